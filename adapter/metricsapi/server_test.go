package metricsapi

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/component-base/metrics/legacyregistry"
	customv1beta1 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta1"
	customv1beta2 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	externalv1beta1 "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	metricsprovider "sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/limits"
)

// served is a Server on loopback that lets every client ask.
type served struct {
	*Server
	world *world
	mu    sync.Mutex
	reads int
}

func serve(t *testing.T) *served {
	t.Helper()
	return serveWith(t, func(*Server) {})
}

// anyClient is the kubeconfig of an API server by which every client may do everything.
func anyClient(t *testing.T) string {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/subjectaccessreviews"):
			_, _ = io.WriteString(w, `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","status":{"allowed":true}}`)
		case r.URL.Query().Get("watch") != "":
			<-r.Context().Done()
		case strings.HasSuffix(r.URL.Path, "/configmaps"):
			_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"ConfigMapList","metadata":{"resourceVersion":"1"},"items":[]}`)
		default: // it holds no CA: no client has a certificate
			_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"extension-apiserver-authentication"}}`)
		}
	}))
	t.Cleanup(api.Close)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(clientcmdapi.Config{
		CurrentContext: "it", Contexts: map[string]*clientcmdapi.Context{"it": {Cluster: "it"}},
		Clusters: map[string]*clientcmdapi.Cluster{"it": {Server: api.URL}},
	}, file))
	return file
}

func serveWith(t *testing.T, change func(*Server)) *served {
	t.Helper()
	cert, key, err := certutil.GenerateSelfSignedCertKey("localhost", nil, nil)
	require.NoError(t, err)
	cfg := Config{Address: "127.0.0.1:0", Kubeconfig: anyClient(t)}
	cfg.Cert, err = dynamiccertificates.NewStaticCertKeyContent("test", cert, key)
	require.NoError(t, err)
	s := &served{world: newWorld(t)}
	s.Server, err = New(cfg, func() View {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reads++
		return s.world.View
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(t, err)
	change(s.Server)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		require.Error(t, s.Ready())
	})
	require.Eventually(t, func() bool { return s.Ready() == nil }, time.Minute, 5*time.Millisecond)
	return s
}

// get asks for a path and returns the status code and the body.
func (s *served) get(t *testing.T, path, accept string) (int, []byte) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // a certificate of its own, on loopback
		DisableKeepAlives: true,
	}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.Addr().String()+path, nil)
	require.NoError(t, err)
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, body
}

func (s *served) getInto(t *testing.T, path string, into any) {
	t.Helper()
	code, body := s.get(t, path, "application/json")
	require.Equal(t, http.StatusOK, code, string(body))
	require.NoError(t, json.Unmarshal(body, into))
}

const (
	v1beta1Path  = "/apis/custom.metrics.k8s.io/v1beta1"
	v1beta2Path  = "/apis/custom.metrics.k8s.io/v1beta2"
	externalPath = "/apis/external.metrics.k8s.io/v1beta1"
)

func TestServer(t *testing.T) {
	s := serve(t)
	huge := strings.Repeat("a", maxSelector+1)

	t.Run("v1beta2 by name", func(t *testing.T) {
		var list customv1beta2.MetricValueList
		s.getInto(t, v1beta2Path+"/namespaces/iota/statefulsets.apps/iota-dac/resources", &list)
		require.Equal(t, "MetricValueList", list.Kind)
		require.Equal(t, "custom.metrics.k8s.io/v1beta2", list.APIVersion)
		require.Len(t, list.Items, 1)
		item := list.Items[0]
		require.Equal(t, "150", item.Value.String())
		require.Equal(t, "resources", item.Metric.Name)
		require.Nil(t, item.Metric.Selector)
		require.Equal(t, "StatefulSet", item.DescribedObject.Kind)
		require.Equal(t, "apps/v1", item.DescribedObject.APIVersion)
		require.True(t, item.Timestamp.Time.Equal(testNow.Add(-time.Second)))
	})
	t.Run("v1beta1 by label", func(t *testing.T) {
		var list customv1beta1.MetricValueList
		s.getInto(t, v1beta1Path+"/namespaces/iota/pods/*/resources_per_instance?labelSelector="+url.QueryEscape("app=iota-dac"), &list)
		require.Len(t, list.Items, 3)
		require.Equal(t, "resources_per_instance", list.Items[0].MetricName)
	})
	t.Run("v1beta2 by label and series", func(t *testing.T) {
		var list customv1beta2.MetricValueList
		s.getInto(t, v1beta2Path+"/namespaces/iota/pods/*/resources_per_instance?metricLabelSelector="+url.QueryEscape("kind in (Rule)"), &list)
		require.Len(t, list.Items, 1)
		require.Equal(t, "iota-rules-engine-0", list.Items[0].DescribedObject.Name)
		require.Equal(t, "kind", list.Items[0].Metric.Selector.MatchExpressions[0].Key)
	})
	t.Run("external", func(t *testing.T) {
		var list externalv1beta1.ExternalMetricValueList
		s.getInto(t, externalPath+"/namespaces/iota/recommended_replicas?labelSelector="+url.QueryEscape("kind=Thing"), &list)
		require.Len(t, list.Items, 1)
		require.Equal(t, "3", list.Items[0].Value.String())
	})
	t.Run("protobuf", func(t *testing.T) {
		code, body := s.get(t, v1beta2Path+"/namespaces/iota/statefulsets.apps/iota-dac/resources", "application/vnd.kubernetes.protobuf")
		require.Equal(t, http.StatusOK, code, string(body))
		require.Equal(t, "k8s\x00", string(body[:4]))
	})
	for name, tc := range map[string]struct {
		path string
		code int
		says string
	}{
		"no such pod":         {v1beta2Path + "/namespaces/iota/pods/web-0/resources_per_instance", 404, "web-0"},
		"no such metric":      {v1beta2Path + "/namespaces/iota/pods/iota-dac-0/latency", 404, "no metric"},
		"no item":             {v1beta1Path + "/namespaces/iota/pods/*/resources_per_instance?labelSelector=app%3Dweb", 404, "app=web"},
		"bad label selector":  {v1beta2Path + "/namespaces/iota/pods/*/resources_per_instance?labelSelector=%3D%3D", 400, ""},
		"huge label selector": {v1beta2Path + "/namespaces/iota/pods/*/resources_per_instance?labelSelector=" + huge, 400, "at most 8192"},
		"huge series":         {externalPath + "/namespaces/x/resources?labelSelector=" + huge, 400, "at most 8192"},
		"bad metric selector": {v1beta2Path + "/namespaces/iota/pods/*/resources_per_instance?metricLabelSelector=%3D%3D", 400, "metricLabelSelector"},
		"lag of a rule":       {v1beta1Path + "/namespaces/iota/pods/iota-rules-engine-0/heartbeat_lag_seconds", 404, "no heartbeat"},
		"ambiguous external":  {externalPath + "/namespaces/iota/recommended_replicas", 400, "matches 2 kinds"},
		"another namespace":   {externalPath + "/namespaces/elsewhere/resources?labelSelector=kind%3DThing", 404, "any kind of namespace elsewhere"},
		"cluster scoped":      {v1beta2Path + "/nodes/n1/resources", 404, "no metric"},
	} {
		t.Run(name, func(t *testing.T) {
			code, body := s.get(t, tc.path, "application/json")
			require.Equal(t, tc.code, code, string(body))
			var status metav1.Status
			require.NoError(t, json.Unmarshal(body, &status))
			require.Equal(t, "Status", status.Kind)
			require.Contains(t, status.Message, tc.says)
		})
	}
	t.Run("write refused", func(t *testing.T) {
		client := &http.Client{Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // as above
			DisableKeepAlives: true,
		}}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.Addr().String()+v1beta2Path+"/namespaces/iota/pods/x/resources", nil)
		require.NoError(t, err)
		response, err := client.Do(request)
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, http.StatusMethodNotAllowed, response.StatusCode)
	})
}

// Both forms of discovery list every row of the table, in each version.
func TestDiscovery(t *testing.T) {
	s := serve(t)
	var custom, external []string
	for _, row := range table {
		for _, object := range row.objects() {
			custom = append(custom, object.String()+"/"+row.name)
		}
		if row.external {
			external = append(external, row.name)
		}
	}
	for path, want := range map[string][]string{v1beta1Path: custom, v1beta2Path: custom, externalPath: external} {
		var list metav1.APIResourceList
		s.getInto(t, path, &list)
		var got []string
		for _, r := range list.APIResources {
			require.True(t, r.Namespaced)
			got = append(got, r.Name)
		}
		require.ElementsMatch(t, want, got, path)
	}

	code, body := s.get(t, "/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
	require.Equal(t, http.StatusOK, code, string(body))
	var groups apidiscoveryv2.APIGroupDiscoveryList
	require.NoError(t, json.Unmarshal(body, &groups))
	got := map[string][]string{}
	var order []string
	for _, group := range groups.Items {
		for _, version := range group.Versions {
			gv := group.Name + "/" + version.Version
			order = append(order, gv)
			for _, r := range version.Resources {
				if len(r.Subresources) == 0 {
					got[gv] = append(got[gv], r.Resource)
				}
				for _, sub := range r.Subresources {
					got[gv] = append(got[gv], r.Resource+"/"+sub.Subresource)
				}
			}
		}
	}
	require.ElementsMatch(t, custom, got["custom.metrics.k8s.io/v1beta1"])
	require.ElementsMatch(t, custom, got["custom.metrics.k8s.io/v1beta2"])
	require.ElementsMatch(t, external, got["external.metrics.k8s.io/v1beta1"])
	require.Len(t, order, 3)
	require.Equal(t, []string{"custom.metrics.k8s.io/v1beta2", "custom.metrics.k8s.io/v1beta1"}, []string{order[0], order[1]})
}

func TestOpenAPI(t *testing.T) {
	s := serve(t)
	code, body := s.get(t, "/openapi/v2", "application/json")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, string(body), "v1beta2.MetricValueList")
	require.Contains(t, string(body), "ExternalMetricValueList")

	var index struct {
		Paths map[string]struct{ ServerRelativeURL string }
	}
	s.getInto(t, "/openapi/v3", &index)
	for path, schema := range map[string]string{
		v1beta1Path: "v1beta1.MetricValueList", v1beta2Path: "v1beta2.MetricValueList", externalPath: "v1beta1.ExternalMetricValueList",
	} {
		code, body := s.get(t, index.Paths[strings.TrimPrefix(path, "/")].ServerRelativeURL, "application/json")
		require.Equal(t, http.StatusOK, code, path)
		require.Contains(t, string(body), schema)
	}
}

// A panic costs one request its answer, and no other one.
func TestPanicIsAnAnswer(t *testing.T) {
	s := serve(t)
	s.mu.Lock()
	whole := s.world.View
	s.world.View.Config = nil
	s.mu.Unlock()
	code, _ := s.get(t, v1beta2Path+"/namespaces/iota/statefulsets.apps/iota-dac/resources", "")
	require.Equal(t, http.StatusInternalServerError, code)
	require.InDelta(t, 1, testutil.ToFloat64(s.provider.metrics.panics), 0)
	s.mu.Lock()
	s.world.View = whole
	s.mu.Unlock()
	code, _ = s.get(t, v1beta2Path+"/namespaces/iota/statefulsets.apps/iota-dac/resources", "")
	require.Equal(t, http.StatusOK, code)
}

// The histograms that the libraries offer are fed: how old what was answered is, and how long an
// answer took.
func TestLibraryMetricsAreFed(t *testing.T) {
	s := serve(t)
	count := func(name string, labels map[string]string) uint64 {
		families, err := legacyregistry.DefaultGatherer.Gather()
		require.NoError(t, err)
		sum := uint64(0)
		for _, family := range families {
			if family.GetName() != name {
				continue
			}
			for _, m := range family.GetMetric() {
				got := map[string]string{}
				for _, l := range m.GetLabel() {
					got[l.GetName()] = l.GetValue()
				}
				matches := true
				for k, v := range labels {
					matches = matches && got[k] == v
				}
				if matches {
					sum += m.GetHistogram().GetSampleCount()
				}
			}
		}
		return sum
	}
	custom, external := map[string]string{"group": "custom.metrics.k8s.io"}, map[string]string{"group": "external.metrics.k8s.io"}
	const freshness, latency = "metrics_apiserver_metric_freshness_seconds", "apiserver_request_duration_seconds"
	fresh, latencies := count(freshness, custom), count(latency, custom)
	code, _ := s.get(t, v1beta2Path+"/namespaces/iota/pods/*/resources_per_instance", "")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, fresh+4, count(freshness, custom), "one for each value")
	require.Equal(t, latencies+1, count(latency, custom))
	fresh = count(freshness, external)
	code, _ = s.get(t, externalPath+"/namespaces/iota/resources", "")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, fresh+2, count(freshness, external))
}

// A caller that asks and does not read holds places; others still get theirs, and the deadline
// frees what it holds.
func TestSlowClientIsCutOff(t *testing.T) {
	s := serveWith(t, func(s *Server) { s.maxInFlight, s.requestTimeout = 4, time.Second })
	const path = v1beta2Path + "/namespaces/iota/pods/*/resources_per_instance"
	s.mu.Lock()
	thing := s.world.kind("Thing")
	for n := len(thing.Instances); n < 50_000; n++ { // far more than the sockets between us take
		thing.Instances = append(thing.Instances, observed.Instance{Ordinal: n, Pod: testPod("iota-dac", 0), List: &observed.List{Count: n}})
	}
	s.mu.Unlock()
	for range 2 {
		conn, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // as above
		require.NoError(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
	}
	const small = v1beta2Path + "/namespaces/iota/statefulsets.apps/iota-dac/recommended_replicas"
	require.Eventually(t, func() bool {
		code, body := s.get(t, small, "")
		return code == http.StatusTooManyRequests && strings.Contains(string(body), "limit of 2 concurrent requests reached")
	}, time.Minute, 5*time.Millisecond, "the caller has the half that is its own")
	require.Eventually(t, func() bool {
		code, _ := s.get(t, small, "")
		return code == http.StatusOK
	}, time.Minute, 20*time.Millisecond, "though it has not read anything")
}

func TestShareIsPerCaller(t *testing.T) {
	hold, holding := make(chan struct{}), make(chan struct{})
	limited := limit(limits.NewShare(4), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			holding <- struct{}{}
			<-hold
		}
	}))
	ask := func(caller, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		ctx := request.WithUser(t.Context(), &user.DefaultInfo{Name: caller})
		limited.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil))
		return w
	}
	var held sync.WaitGroup
	for range 2 {
		held.Go(func() { ask("greedy", "/hold") })
		<-holding
	}
	refused := ask("greedy", "/")
	require.Equal(t, http.StatusTooManyRequests, refused.Code)
	require.Equal(t, "1", refused.Header().Get("Retry-After"))
	require.Equal(t, http.StatusOK, ask("other", "/").Code)
	close(hold)
	held.Wait()
	require.Equal(t, http.StatusOK, ask("greedy", "/").Code)
}

func TestWithoutACertificateNothingIsServed(t *testing.T) {
	_, err := New(Config{Address: "127.0.0.1:0"}, func() View { return View{} }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.ErrorContains(t, err, "certificate file: required")
}

// Whatever a caller sends as selector, it is taken as labels.Parse takes it or refused with a 400,
// and nothing panics.
func FuzzMetricSelector(f *testing.F) {
	for _, seed := range []string{"", "kind=Thing", "kind in (Thing,Rule),namespace!=x", "!kind", "==", "a in ()", "kind=Th\x00ing", "(((", "kind gt 3", "statefulset=iota-dac"} {
		f.Add(seed)
	}
	w := newWorld(f)
	p := newProvider(w)
	f.Fuzz(func(t *testing.T, text string) {
		query := url.Values{metricSelectorParam: {text}}
		selector, parseErr := labels.Parse(text)
		if err := checkSelectors(query); (err == nil) != (parseErr == nil) {
			t.Fatalf("check says %v, labels.Parse says %v", err, parseErr)
		}
		if parseErr != nil {
			return
		}
		list, err := p.GetMetricBySelector(t.Context(), "iota", labels.Everything(),
			metricsprovider.CustomMetricInfo{GroupResource: statefulSets, Metric: "resources"}, selector)
		matching := 0
		for _, kind := range w.Snapshot.Kinds {
			cfg, _ := w.Config.Kind(kind.Name)
			if selector.Matches(labels.Set{"namespace": "iota", "kind": kind.Name, "statefulset": cfg.StatefulSet}) {
				matching++
			}
		}
		if err != nil && matching > 0 || err == nil && len(list.Items) != matching {
			t.Fatalf("selector %q: %v, %v, want %d items", text, list, err, matching)
		}
	})
}
