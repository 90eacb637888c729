package preflight

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/fake"

	"github.com/shardscaler/shardscaler/adapter/metricsapi/registration"
	"github.com/shardscaler/shardscaler/internal/app"
	"github.com/shardscaler/shardscaler/internal/clienttls"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/kubectl/doctor"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/servers/certs"
)

// place is where a server is to run: real servers, a ConfigMap and a StatefulSet.
type place struct {
	*servers.Env
	t         *testing.T
	client    kubernetes.Interface
	namespace string
	topic     string
	database  servers.Database
}

const tuning = `kinds:
- name: Thing
  statefulSet: iota-dac
  capacity: 100
  init: 1
  max: 3
  heartbeat: {topic: %s}
`

const statefulSet = `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: iota-dac}
spec:
  replicas: 0
  serviceName: iota-dac
  selector: {matchLabels: {app: iota-dac}}
  template:
    metadata: {labels: {app: iota-dac}}
    spec: {containers: [{name: iota-dac, image: any}]}
`

func newPlace(t *testing.T) *place {
	env := servers.Require(t, servers.AllParts...)
	p := &place{Env: env, t: t, client: env.Kubernetes.Client(t), namespace: env.Kubernetes.Namespace(t), topic: env.Kafka.Topic(t, 1), database: env.Postgres.NewDatabase(t)}
	env.Kubernetes.Apply(t, p.namespace, statefulSet)
	p.tune(fmt.Sprintf(tuning, p.topic))
	return p
}

// tune makes the ConfigMap.
func (p *place) tune(text string) {
	p.t.Helper()
	maps := p.client.CoreV1().ConfigMaps(p.namespace)
	if err := maps.Delete(p.t.Context(), "shardscaler", metav1.DeleteOptions{}); err != nil {
		p.t.Log(err) // the first time there is none
	}
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "shardscaler"}, Data: map[string]string{app.ConfigKey: text}}
	_, err := maps.Create(p.t.Context(), m, metav1.CreateOptions{})
	require.NoError(p.t, err)
}

func (p *place) file(content string) string {
	p.t.Helper()
	name := filepath.Join(p.t.TempDir(), "file")
	require.NoError(p.t, os.WriteFile(name, []byte(content), 0o600))
	return name
}

// config is one by which nothing is missing.
func (p *place) config() Config {
	c := Config{Patience: 10 * time.Second, Now: time.Now(), Options: app.Options{
		Namespace: p.namespace, PodName: "preflight", ConfigMap: "shardscaler", Kubeconfig: p.Kubernetes.Kubeconfig,
		ZooKeeper: p.ZooKeeper.Connect + p.ZooKeeper.Path(p.t), ZooKeeperSession: 4 * time.Second, Kafka: p.Kafka.Addr,
		MQTT: p.MQTT.URL, MQTTTopic: "cm/notify", CatalogueDSNFile: p.file(p.database.ReaderURL + "\n"),
		Listen: ":8080", OldReads: "open", LeaseName: "shardscaler", LeaderTimeout: 2500 * time.Millisecond, Mode: config.ModeAct,
	}}
	require.NoError(p.t, c.Validate())
	return c
}

// find is the finding of a check.
func find(t *testing.T, r *doctor.Report, check string) doctor.Finding {
	t.Helper()
	for _, f := range r.Items {
		if f.Check == check {
			return f
		}
	}
	t.Fatalf("no finding %q in %s", check, text(t, r))
	return doctor.Finding{}
}

func text(t *testing.T, r *doctor.Report) string {
	t.Helper()
	raw, err := json.MarshalIndent(r, "", " ")
	require.NoError(t, err)
	return string(raw)
}

func TestNothingIsMissing(t *testing.T) {
	p := newPlace(t)
	c := p.config()
	conn := p.ZooKeeper.Dial(t)
	chroot := strings.TrimPrefix(c.ZooKeeper, p.ZooKeeper.Connect)
	// a server's session, which a second client of its name would end
	lost := make(chan error, 1)
	notifications := c.Notifications()
	server := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(c.MQTT).SetClientID(notifications.ClientID).SetCleanSession(false).SetAutoReconnect(false).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { lost <- err }))
	require.True(t, server.Connect().WaitTimeout(10*time.Second))
	t.Cleanup(func() { server.Disconnect(0) })

	for _, exists := range []bool{false, true} {
		reports := make(chan *doctor.Report)
		for range 2 { // two callers at once
			go func() { reports <- Run(t.Context(), c) }()
		}
		for range 2 {
			r := <-reports
			require.False(t, Missing(r), text(t, r))
			require.False(t, r.Wrong(), text(t, r))
			require.Contains(t, find(t, r, "ZooKeeper").Cause, map[bool]string{false: "does not exist yet and can be made", true: "znodes can be made below " + chroot + "/"}[exists])
			require.Contains(t, find(t, r, "Kafka topic "+p.topic).Cause, "partitions: 1")
			require.Contains(t, find(t, r, "rights").Cause, "has all")
			require.Equal(t, doctor.OK, find(t, r, "kind Thing: catalogue.query").Status)
			require.Equal(t, doctor.OK, find(t, r, "ZooKeeper "+p.ZooKeeper.Addrs()[0]).Status, text(t, r))
		}
		children, _, err := conn.Children(chroot)
		if !exists {
			require.ErrorIs(t, err, zk.ErrNoNode, "it has made nothing")
			_, err = conn.Create(chroot, nil, 0, zk.WorldACL(zk.PermAll))
		}
		require.NoError(t, err)
		require.Empty(t, children)
	}
	select {
	case err := <-lost:
		t.Fatalf("the server's own session has ended: %v", err)
	default:
	}
	require.True(t, server.IsConnected())
}

// A server of ZooKeeper and a broker that take connections and say nothing are named, and keep nothing
// else from being looked at.
func TestSilentServersHoldNothingUp(t *testing.T) {
	p := newPlace(t)
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	c := p.config()
	at := silent.Addr().String()
	c.ZooKeeper = at + "," + c.ZooKeeper
	c.Kafka = at + "," + c.Kafka
	r := Run(t.Context(), c)
	require.Contains(t, find(t, r, "ZooKeeper "+at).Cause, "cannot be reached")
	require.Equal(t, doctor.Warning, find(t, r, "Kafka "+at).Status)
	require.Contains(t, find(t, r, "ZooKeeper").Cause, "servers answer", text(t, r))
	require.Contains(t, find(t, r, "Kafka topic "+p.topic).Cause, "partitions: 1", text(t, r))
}

// Each trouble is named, with what cures it, and no password is.
func TestWhatIsMissingIsNamedWithItsCure(t *testing.T) {
	const secret = "Pa55word"
	p := newPlace(t)
	conn := p.ZooKeeper.Dial(t)
	locked := p.ZooKeeper.Path(t)
	_, err := conn.Create(locked, nil, 0, zk.DigestACL(zk.PermAll, "another", "one"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Delete(locked, -1) })
	files, err := certs.Write(t.TempDir(), "any")
	require.NoError(t, err)
	database, err := url.Parse(p.database.ReaderURL)
	require.NoError(t, err)
	database.User = url.UserPassword("reader", secret)
	account := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, p.Kubernetes.ServiceAccountKubeconfig(t.Context(), p.namespace, "shardscaler", account))
	good := fmt.Sprintf(tuning, p.topic)

	for _, c := range []struct {
		name          string
		change        func(c *Config)
		tuning        string
		check         string
		status        doctor.Status
		cause, next   string
		stillComplete bool
	}{
		{
			name: "ZooKeeper is away", change: func(c *Config) { c.ZooKeeper, c.Patience = "127.0.0.1:1/any", 2*time.Second },
			check: "ZooKeeper", status: doctor.Critical, cause: "open a session", next: "--zookeeper",
		},
		{
			name: "the chroot is another user's", change: func(c *Config) { c.ZooKeeper = p.ZooKeeper.Connect + locked },
			check: "ZooKeeper", status: doctor.Critical, cause: "not authenticated", next: "--zookeeper-auth-file",
		},
		{
			name: "the file of credentials is not there", change: func(c *Config) { c.ZooKeeperAuth = "/no/such/file" },
			check: "ZooKeeper", status: doctor.Critical, cause: "read auth file", next: "docs/operating.md",
		},
		{
			name: "a topic is not there", change: func(*Config) {}, tuning: fmt.Sprintf(tuning, "no-such-topic"),
			check: "Kafka topic no-such-topic", status: doctor.Warning, next: "heartbeat.topic", stillComplete: true,
		},
		{
			name: "Kafka is away", change: func(c *Config) { c.Kafka = "127.0.0.1:1" },
			check: "Kafka topic " + p.topic, status: doctor.Critical, cause: "no broker answers", next: "make a broker answer",
		},
		{
			name: "Kafka is not named", change: func(c *Config) { c.Kafka = "" },
			check: "Kafka", status: doctor.Critical, cause: "no broker is named", next: "--kafka",
		},
		{
			name: "the MQTT broker is away", change: func(c *Config) { c.MQTT = "tcp://user:" + secret + "@127.0.0.1:1" },
			check: "MQTT tcp://user:xxxxx@127.0.0.1:1", status: doctor.Critical, cause: "refused", next: "--mqtt",
		},
		{
			name: "the database's password is wrong", change: func(c *Config) { c.CatalogueDSNFile = p.file(database.String()) },
			check: "catalogue", status: doctor.Critical, cause: "ask for the version", next: "--catalogue-dsn-file",
		},
		{
			name: "the address of the database is none", change: func(c *Config) { c.CatalogueDSNFile = p.file("postgres://" + secret + "%") },
			check: "catalogue", status: doctor.Critical, cause: "catalogue address", next: "--catalogue-dsn-file",
		},
		{
			name: "the Secret is not mounted", change: func(c *Config) { c.CatalogueDSNFile = "/no/such/file" },
			check: "catalogue", status: doctor.Critical, cause: "read --catalogue-dsn-file", next: "credentialsSecret",
		},
		{
			name: "a query returns no id", change: func(*Config) {}, tuning: good + "  catalogue: {query: 'SELECT 1 AS one'}\n",
			check: "kind Thing: catalogue.query", status: doctor.Critical, cause: `column "one"`, next: "catalogue.query",
		},
		{
			name: "a query asks for a table that is not there", change: func(*Config) {}, tuning: good + "  catalogue: {query: 'SELECT id FROM nowhere;'}\n",
			check: "kind Thing: catalogue.query", status: doctor.Critical, cause: "nowhere", next: "catalogue.query",
		},
		{
			name: "a StatefulSet is not there", change: func(*Config) {}, tuning: strings.ReplaceAll(good, "iota-dac", "iota-none"),
			check: "kind Thing: StatefulSet", status: doctor.Warning, cause: "iota-none does not exist", next: "statefulSet", stillComplete: true,
		},
		{
			name: "the ConfigMap is not there", change: func(c *Config) { c.ConfigMap = "none" },
			check: "configuration", status: doctor.Critical, cause: "configmap " + p.namespace + "/none does not exist", next: "helm",
		},
		{
			name: "the configuration is not valid", change: func(*Config) {}, tuning: good + "  settleSeconds: -1\n",
			check: "configuration", status: doctor.Critical, cause: "kinds[0].settleSeconds: Invalid value: -1", next: "check-config",
		},
		{
			name: "an authority has expired", change: func(c *Config) {
				c.ZooKeeperTLS.Files = clienttls.Files{CAFile: files.CAFile}
				c.Now, c.Patience = time.Now().AddDate(200, 0, 0), time.Second
			},
			check: "--zookeeper-tls-ca-file", status: doctor.Critical, cause: "it has expired", next: "renew it",
		},
		{
			name: "a certificate is for another name", change: func(c *Config) {
				c.SecurePort, c.TLSCertFile, c.TLSKeyFile, c.MetricsService = 6443, files.CertFile, files.KeyFile, "metrics"
			},
			check: "serving certificate", status: doctor.Critical, cause: "metrics." + p.namespace + ".svc", next: "make one that is for",
		},
		{
			name: "a server without rights", change: func(c *Config) { c.ServiceAccount = "shardscaler" },
			check: "rights: shardscaler-statefulsets", status: doctor.Critical, cause: "update statefulsets/scale.apps iota-dac", next: "statefulSets",
		},
		{
			name: "who asks has no rights", change: func(c *Config) { c.Kubeconfig, c.ConfigFile, c.ConfigMap = account, p.file(good), "" },
			check: "rights: shardscaler", status: doctor.Critical, cause: "who asks may not", next: "Role and RoleBinding shardscaler",
		},
		{
			name: "the API server is not known", change: func(c *Config) { c.Kubeconfig = "/no/such/file" },
			check: "API server", status: doctor.Critical, cause: "no such file", next: "--kubeconfig",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.t = t
			p.tune(good)
			if c.tuning != "" {
				p.tune(c.tuning)
			}
			cfg := p.config()
			c.change(&cfg)
			r := Run(t.Context(), cfg)
			f := find(t, r, c.check)
			require.Equal(t, c.status, f.Status, text(t, r))
			require.Contains(t, f.Cause, c.cause)
			require.Contains(t, f.Next, c.next)
			require.Equal(t, !c.stillComplete, Missing(r), text(t, r))
			require.NotContains(t, text(t, r), secret)
		})
	}
}

func TestAPreflightEndsWithItsContext(t *testing.T) {
	p := newPlace(t)
	c := p.config()
	c.ZooKeeper, c.Patience = "127.0.0.1:1", time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan *doctor.Report)
	go func() { ended <- Run(ctx, c) }()
	cancel()
	select {
	case r := <-ended:
		require.True(t, Missing(r))
	case <-time.After(time.Minute):
		t.Fatal("it goes on")
	}
}

// lookAt is a look at a cluster with these APIServices: the Service that each leads to; "": the API
// server itself.
func lookAt(t *testing.T, services map[string]string, available apiregistrationv1.ConditionStatus) *look {
	t.Helper()
	var objects []runtime.Object
	for name, service := range services {
		s := &apiregistrationv1.APIService{ObjectMeta: metav1.ObjectMeta{Name: name}}
		s.Status.Conditions = []apiregistrationv1.APIServiceCondition{{Type: apiregistrationv1.Available, Status: available, Reason: "MissingEndpoints", Message: "none"}}
		if namespace, name, is := strings.Cut(service, "/"); is {
			s.Spec.Service = &apiregistrationv1.ServiceReference{Namespace: namespace, Name: name}
		}
		objects = append(objects, s)
	}
	l := &look{apiServices: fake.NewClientset(objects...).ApiregistrationV1()}
	l.Namespace, l.MetricsService, l.SecurePort = "iota", "shardscaler-metrics", 6443
	return l
}

func TestWhoServesPodMetrics(t *testing.T) {
	const name = "v1beta1.metrics.k8s.io"
	for _, c := range []struct {
		needed    bool
		services  map[string]string
		available apiregistrationv1.ConditionStatus
		status    doctor.Status
		cause     string
	}{
		{true, map[string]string{name: "kube-system/metrics-server"}, apiregistrationv1.ConditionTrue, doctor.OK, "served by kube-system/metrics-server"},
		{true, map[string]string{name: "kube-system/metrics-server"}, apiregistrationv1.ConditionFalse, doctor.Critical, "not available (MissingEndpoints)"},
		{true, nil, "", doctor.Critical, "does not exist"},
		{false, nil, "", doctor.Info, "no kind has a target"},
	} {
		l := lookAt(t, c.services, c.available)
		l.tuning = &config.Config{Kinds: []config.Kind{{Name: "Thing"}}}
		if c.needed {
			l.tuning.Kinds[0].CPU = &config.ResourceTarget{TargetUtilization: 70}
		}
		var f findings
		l.metrics(t.Context(), &f)
		require.Len(t, f, 1)
		require.Equal(t, c.status, f[0].Status)
		require.Contains(t, f[0].Cause, c.cause)
	}
}

func TestAnotherProviderOfCustomMetricsIsNamed(t *testing.T) {
	services := map[string]string{registration.Names[0]: "monitoring/prometheus-adapter", registration.Names[1]: "iota/shardscaler-metrics"}
	for takeOver, want := range map[bool][]doctor.Status{
		false: {doctor.Warning, doctor.OK, doctor.Warning, doctor.Warning}, true: {doctor.Info, doctor.OK, doctor.Warning, doctor.Warning},
	} {
		l := lookAt(t, services, apiregistrationv1.ConditionTrue)
		l.TakeOverAPIServices = takeOver
		var f findings
		l.registrations(t.Context(), &f)
		var got []doctor.Status
		for _, one := range f {
			got = append(got, one.Status)
		}
		require.Equal(t, want, got)
		require.Contains(t, f[0].Cause, "monitoring/prometheus-adapter")
	}
}
