package metricsapi

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
	customv1beta1 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta1"
	customv1beta2 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	customclient "k8s.io/metrics/pkg/client/custom_metrics"
	externalclient "k8s.io/metrics/pkg/client/external_metrics"

	"github.com/shardscaler/shardscaler/internal/limits"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// authority signs serving certificates for one name.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{key: key, cert: cert, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue writes a certificate with that serial number.
func (a *authority) issue(t *testing.T, name string, serial int64, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		KeyUsage: x509.KeyUsageDigitalSignature, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	private, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}), 0o600))
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
}

// aggregated is a Server behind the aggregation layer of the real API server.
type aggregated struct {
	*Server
	cluster   *servers.Kubernetes
	config    *rest.Config // an administrator's
	namespace string
	ca        *authority
	name      string // of the serving certificate
	world     *world
	upstream  *upstream
}

// upstream stands before the API server and counts what our server asks of it.
type upstream struct {
	mu    sync.Mutex
	paths map[string]int
}

// between returns a kubeconfig that leads through an upstream, which adds the credentials of file:
// over plain HTTP none are sent.
func between(t *testing.T, file string) (*upstream, string) {
	t.Helper()
	u := &upstream{paths: map[string]int{}}
	config, err := clientcmd.BuildConfigFromFlags("", file)
	require.NoError(t, err)
	target, err := url.Parse(config.Host)
	require.NoError(t, err)
	trusting, err := rest.TLSConfigFor(config)
	require.NoError(t, err)
	transport := &http.Transport{TLSClientConfig: trusting} // client-go would keep its own for ever
	t.Cleanup(transport.CloseIdleConnections)
	proxy := &httputil.ReverseProxy{Transport: transport, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Header.Set("Authorization", "Bearer "+config.BearerToken)
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		u.paths[r.URL.Path]++
		u.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	kubeconfig, err := clientcmd.LoadFromFile(file)
	require.NoError(t, err)
	for _, cluster := range kubeconfig.Clusters {
		cluster.Server, cluster.CertificateAuthority, cluster.CertificateAuthorityData = server.URL, "", nil
	}
	file += "-between"
	require.NoError(t, clientcmd.WriteToFile(*kubeconfig, file))
	return u, file
}

// calls are those since the last call of it: reviews of who asks, and all others by path.
func (u *upstream) calls() (reviews int, others map[string]int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	others = u.paths
	u.paths = map[string]int{}
	for _, review := range []string{"/apis/authentication.k8s.io/v1/tokenreviews", "/apis/authorization.k8s.io/v1/subjectaccessreviews"} {
		reviews += others[review]
		delete(others, review)
	}
	return reviews, others
}

// aggregate serves the metrics APIs as a service account with the rights of manifests/, and
// registers them.
func aggregate(t *testing.T) *aggregated {
	t.Helper()
	// a cluster has one provider of custom metrics
	env := servers.RequireAlone(t, servers.PartKubernetes)
	a := &aggregated{cluster: env.Kubernetes, namespace: env.Kubernetes.Namespace(t), ca: newAuthority(t), world: newWorld(t)}
	var err error
	a.config, err = a.cluster.Config()
	require.NoError(t, err)
	// client-go would look for ever whether the files change
	require.NoError(t, rest.LoadTLSFiles(a.config))
	a.config.CertFile, a.config.KeyFile, a.config.CAFile = "", "", ""
	for i := range a.world.Snapshot.Kinds {
		a.world.Snapshot.Kinds[i].Namespace = a.namespace
	}
	a.name = "shardscaler-metrics." + a.namespace + ".svc"
	dir := t.TempDir()
	cfg := Config{
		Address: "127.0.0.1:0", Kubeconfig: filepath.Join(dir, "kubeconfig"),
		CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key"),
	}
	a.ca.issue(t, a.name, 1, cfg.CertFile, cfg.KeyFile)
	require.NoError(t, a.cluster.ServiceAccountKubeconfig(t.Context(), a.namespace, "shardscaler", cfg.Kubeconfig))
	a.upstream, cfg.Kubeconfig = between(t, cfg.Kubeconfig)
	a.delegate(t)
	reviewing, err := clientcmd.BuildConfigFromFlags("", cfg.Kubeconfig)
	require.NoError(t, err)
	// over plain HTTP, and upstream adds the token
	reviewer, err := kubernetes.NewForConfigAndClient(reviewing, http.DefaultClient)
	require.NoError(t, err)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	cfg.Reviews = &Reviews{Limit: limits.NewReviews(), Client: reviewer}

	a.Server, err = New(cfg, func() View { return a.world.View }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	a.register(t)
	return a
}

// delegate lets the service account ask who calls and what they may.
func (a *aggregated) delegate(t *testing.T) {
	t.Helper()
	rbac := a.cluster.Client(t).RbacV1()
	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: a.namespace, Name: "shardscaler"}}
	name := metav1.ObjectMeta{Name: a.namespace}
	_, err := rbac.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: name, Subjects: subjects, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "system:auth-delegator"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = rbac.RoleBindings("kube-system").Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: name, Subjects: subjects, RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "extension-apiserver-authentication-reader"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx := context.Background()
		require.NoError(t, rbac.ClusterRoleBindings().Delete(ctx, a.namespace, metav1.DeleteOptions{}))
		require.NoError(t, rbac.RoleBindings("kube-system").Delete(ctx, a.namespace, metav1.DeleteOptions{}))
	})
}

// register creates the Service and the APIServices and waits until they are available. A loopback
// address can be no endpoint, but a name can stand for it.
func (a *aggregated) register(t *testing.T) {
	t.Helper()
	_, err := a.cluster.Client(t).CoreV1().Services(a.namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "shardscaler-metrics"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	client, err := aggregator.NewForConfig(a.config)
	require.NoError(t, err)
	services := client.ApiregistrationV1().APIServices()
	port := int32(a.Addr().(*net.TCPAddr).Port)
	for _, gv := range []schema.GroupVersion{
		customv1beta1.SchemeGroupVersion, customv1beta2.SchemeGroupVersion, {Group: "external.metrics.k8s.io", Version: "v1beta1"},
	} {
		name := gv.Version + "." + gv.Group
		_, err := services.Create(t.Context(), &apiregistrationv1.APIService{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: apiregistrationv1.APIServiceSpec{
				Group: gv.Group, Version: gv.Version, GroupPriorityMinimum: 100, VersionPriority: 100, CABundle: a.ca.pem,
				Service: &apiregistrationv1.ServiceReference{Namespace: a.namespace, Name: "shardscaler-metrics", Port: &port},
			},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, services.Delete(context.Background(), name, metav1.DeleteOptions{})) })
		var last []apiregistrationv1.APIServiceCondition
		require.Eventually(t, func() bool {
			service, err := services.Get(t.Context(), name, metav1.GetOptions{})
			require.NoError(t, err)
			last = service.Status.Conditions
			for _, c := range last {
				if c.Type == apiregistrationv1.Available && c.Status == apiregistrationv1.ConditionTrue {
					return true
				}
			}
			return false
		}, time.Minute, 50*time.Millisecond, "%s: %v", name, &last)
	}
}

// as returns the configuration of a service account without any right.
func (a *aggregated) as(t *testing.T, account string) *rest.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), account)
	require.NoError(t, a.cluster.ServiceAccountKubeconfig(t.Context(), a.namespace, account, file))
	config, err := clientcmd.BuildConfigFromFlags("", file)
	require.NoError(t, err)
	return config
}

func TestBehindTheRealAPIServer(t *testing.T) {
	a := aggregate(t)
	discoverer, err := discovery.NewDiscoveryClientForConfig(a.config)
	require.NoError(t, err)

	t.Run("kubectl", func(t *testing.T) {
		for _, version := range []string{"v1beta1", "v1beta2"} {
			path := "/apis/custom.metrics.k8s.io/" + version + "/namespaces/" + a.namespace
			text, err := a.cluster.Run(t.Context(), "get", "--raw", path+"/statefulsets.apps/iota-dac/resources")
			require.NoError(t, err)
			// in both versions, what is looked at has the same form
			var list customv1beta2.MetricValueList
			require.NoError(t, json.Unmarshal([]byte(text), &list))
			require.Equal(t, "custom.metrics.k8s.io/"+version, list.APIVersion)
			require.Equal(t, "150", list.Items[0].Value.String())

			_, err = a.cluster.Run(t.Context(), "get", "--raw", path+"/pods/iota-rules-engine-0/heartbeat_lag_seconds")
			require.ErrorContains(t, err, "no heartbeat")
		}
	})

	t.Run("discovery", func(t *testing.T) {
		var resources []*metav1.APIResourceList
		var failed map[schema.GroupVersion]error
		require.Eventually(t, func() bool {
			// the API server asks for the aggregated form now and then
			_, lists, err := discoverer.ServerGroupsAndResources()
			if err != nil {
				failed, _ = discovery.GroupDiscoveryFailedErrorGroups(err)
				return false
			}
			resources = nil
			for _, list := range lists {
				if list.GroupVersion == "custom.metrics.k8s.io/v1beta2" && len(list.APIResources) > 0 {
					resources = append(resources, list)
				}
			}
			return len(resources) == 1
		}, time.Minute, 100*time.Millisecond, "failed: %v", failed)
		var names []string
		for _, r := range resources[0].APIResources {
			names = append(names, r.Name)
		}
		for _, row := range table {
			for _, object := range row.objects() {
				require.Contains(t, names, object.String()+"/"+row.name)
			}
		}
	})

	t.Run("Go client", func(t *testing.T) {
		groups, err := restmapper.GetAPIGroupResources(discoverer)
		require.NoError(t, err)
		mapper := restmapper.NewDiscoveryRESTMapper(groups)
		for _, version := range []schema.GroupVersion{customv1beta1.SchemeGroupVersion, customv1beta2.SchemeGroupVersion} {
			t.Run(version.Version, func(t *testing.T) { a.testGoClient(t, version, mapper) })
		}
		external, err := externalclient.NewForConfig(a.config)
		require.NoError(t, err)
		values, err := external.NamespacedMetrics(a.namespace).List("recommended_replicas", labels.SelectorFromSet(labels.Set{"kind": "Thing"}))
		require.NoError(t, err)
		require.Equal(t, "3", values.Items[0].Value.String())
	})

	t.Run("who may ask", func(t *testing.T) { a.testAccess(t) })
	t.Run("certificate renewed", func(t *testing.T) { a.testRenewal(t) })
}

func (a *aggregated) testGoClient(t *testing.T, version schema.GroupVersion, mapper meta.RESTMapper) {
	client, err := customclient.NewForVersionForConfig(a.config, mapper, version)
	require.NoError(t, err)
	metrics := client.NamespacedMetrics(a.namespace)
	pod := schema.GroupKind{Kind: "Pod"}

	list, err := metrics.GetForObjects(pod, labels.SelectorFromSet(labels.Set{"app": "iota-dac"}), "resources_per_instance", labels.Everything())
	require.NoError(t, err)
	got := map[string]int64{}
	for _, item := range list.Items {
		got[item.DescribedObject.Name] = item.Value.Value()
		require.True(t, item.Timestamp.Time.Equal(testNow.Add(-time.Second)), item.Timestamp)
	}
	require.Equal(t, map[string]int64{"iota-dac-0": 100, "iota-dac-1": 0, "iota-dac-2": 42}, got)

	value, err := metrics.GetForObject(schema.GroupKind{Group: "apps", Kind: "StatefulSet"}, "iota-dac", "recommended_replicas", labels.Everything())
	require.NoError(t, err)
	require.EqualValues(t, 3, value.Value.Value())

	_, err = metrics.GetForObjects(pod, labels.SelectorFromSet(labels.Set{"app": "web"}), "resources_per_instance", labels.Everything())
	require.True(t, apierrors.IsNotFound(err), err)
	_, err = metrics.GetForObject(pod, "iota-dac-9", "heartbeat_lag_seconds", labels.Everything())
	require.True(t, apierrors.IsNotFound(err), err)
}

// A right on the API group is what it takes, through the API server and on the server's own port
// alike.
func (a *aggregated) testAccess(t *testing.T) {
	path := "/apis/custom.metrics.k8s.io/v1beta2/namespaces/" + a.namespace + "/statefulsets.apps/iota-dac/resources"
	stranger := a.as(t, "stranger")
	ask := func(base, bearer string, spoof bool) int {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		require.NoError(t, err)
		if bearer != "" {
			request.Header.Set("Authorization", "Bearer "+bearer)
		}
		if spoof { // as the API server's front proxy would say it, but without its certificate
			request.Header.Set("X-Remote-User", "system:admin")
			request.Header.Set("X-Remote-Group", "system:masters")
		}
		client := &http.Client{Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the question is who we are, not who they are
			DisableKeepAlives: true,
		}}
		response, err := client.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		return response.StatusCode
	}
	direct := "https://" + a.Addr().String()
	require.Equal(t, http.StatusForbidden, ask(a.config.Host, stranger.BearerToken, false))
	require.Equal(t, http.StatusForbidden, ask(direct, stranger.BearerToken, false))
	require.Equal(t, http.StatusForbidden, ask(direct, "", true))
	require.Equal(t, http.StatusUnauthorized, ask(direct, "not-a-token", false))

	rbac := a.cluster.Client(t).RbacV1()
	_, err := rbac.Roles(a.namespace).Create(t.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"custom.metrics.k8s.io"}, Resources: []string{"*"}, Verbs: []string{"get", "list"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = rbac.RoleBindings(a.namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"}, RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "reader"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: a.namespace, Name: "reader"}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	reader := a.as(t, "reader")
	for _, base := range []string{a.config.Host, direct} {
		require.Eventually(t, func() bool { return ask(base, reader.BearerToken, false) == http.StatusOK }, time.Minute, 50*time.Millisecond, base)
	}

	_, before := a.upstream.calls()
	require.NotEmpty(t, before, "that it counts: the front proxy's CA was asked for")
	const reads = 100
	for range reads {
		require.Equal(t, http.StatusOK, ask(direct, reader.BearerToken, false))
	}
	reviews, others := a.upstream.calls()
	require.Empty(t, others, "a read calls no server")
	require.Less(t, reviews, reads/5, "and who asks is remembered for a while")

	// A flood of forged tokens: some are reviewed, the others turned away, and who is known is
	// served meanwhile.
	var flood sync.WaitGroup
	var busy, refused atomic.Int64
	for i := range reads {
		flood.Go(func() {
			switch code := ask(direct, fmt.Sprintf("forged-%d", i), false); code {
			case http.StatusTooManyRequests:
				busy.Add(1)
			case http.StatusUnauthorized:
				refused.Add(1)
			default:
				t.Errorf("a forged token was answered with %d", code)
			}
		})
	}
	require.Equal(t, http.StatusOK, ask(direct, reader.BearerToken, false))
	flood.Wait()
	require.EqualValues(t, reads, busy.Load()+refused.Load())
	reviews, _ = a.upstream.calls()
	require.Less(t, reviews, int(refused.Load())+10, "one review a token that was not turned away")
	require.Positive(t, busy.Load())
}

// The files are replaced and the next connection sees the new certificate, with nothing restarted.
func (a *aggregated) testRenewal(t *testing.T) {
	serial := func() int64 {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(a.ca.pem)
		conn, err := tls.Dial("tcp", a.Addr().String(), &tls.Config{RootCAs: roots, ServerName: a.name, MinVersion: tls.VersionTLS12})
		require.NoError(t, err)
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	require.EqualValues(t, 1, serial())
	a.ca.issue(t, a.name, 2, a.cfg.CertFile, a.cfg.KeyFile)
	require.Eventually(t, func() bool { return serial() == 2 }, 2*time.Minute, 100*time.Millisecond)
}
