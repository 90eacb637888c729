package registration

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/fake"
)

// cluster has the three objects, leading to a Service; caBundle is "old".
type cluster struct {
	*fake.Clientset
	said []string
}

func newCluster(service string) *cluster {
	var objects []runtime.Object
	for _, name := range Names {
		version, group, _ := strings.Cut(name, ".")
		namespace, service, _ := strings.Cut(service, "/")
		objects = append(objects, &apiregistrationv1.APIService{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: apiregistrationv1.APIServiceSpec{
				Group: group, Version: version, GroupPriorityMinimum: 100, VersionPriority: 100, CABundle: []byte("old"),
				Service: &apiregistrationv1.ServiceReference{Namespace: namespace, Name: service},
			},
		})
	}
	return &cluster{Clientset: fake.NewClientset(objects...)}
}

func (c *cluster) watcher(cfg Config) *Watcher {
	cfg.Namespace, cfg.Service = "iota", "shardscaler-metrics"
	return New(cfg, c.ApiregistrationV1(), func(fault string) { c.said = append(c.said, fault) }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
}

func (c *cluster) get(t *testing.T, name string) apiregistrationv1.APIServiceSpec {
	t.Helper()
	o, err := c.ApiregistrationV1().APIServices().Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return o.Spec
}

// written counts the changes that were asked for.
func (c *cluster) written() int {
	n := 0
	for _, action := range c.Actions() {
		if action.GetVerb() != "get" {
			n++
		}
	}
	return n
}

func bundle(text string) func() []byte { return func() []byte { return []byte(text) } }

const own, foreign = "iota/shardscaler-metrics", "monitoring/prometheus-adapter"

func TestBundleIsKeptCurrent(t *testing.T) {
	c := newCluster(own)
	current := "new"
	w := c.watcher(Config{Bundle: func() []byte { return []byte(current) }})
	for _, want := range []string{"new", "new", "newer"} {
		current = want
		require.NoError(t, w.Sync(t.Context()))
		for _, name := range Names {
			require.Equal(t, want, string(c.get(t, name).CABundle))
			require.InDelta(t, 1, testutil.ToFloat64(w.ours.WithLabelValues(name)), 0)
		}
	}
	require.Equal(t, 2*len(Names), c.written(), "nothing is written that is as it should be")
	require.Empty(t, w.Fault())
	require.Empty(t, c.said)
}

func TestWithoutBundleNothingIsWritten(t *testing.T) {
	for name, b := range map[string]func() []byte{"from elsewhere": nil, "not made yet": func() []byte { return nil }} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(own)
			require.NoError(t, c.watcher(Config{Bundle: b}).Sync(t.Context()))
			require.Zero(t, c.written())
		})
	}
}

func TestAnotherProvider(t *testing.T) {
	c := newCluster(foreign)
	w := c.watcher(Config{Bundle: bundle("new")})
	for range 3 {
		require.NoError(t, w.Sync(t.Context()))
	}
	require.Zero(t, c.written(), "it is left alone")
	require.Len(t, c.said, len(Names), "and reported once")
	require.Contains(t, c.said[0], "v1beta1.custom.metrics.k8s.io: it leads to another provider: Service monitoring/prometheus-adapter")
	require.Contains(t, w.Fault(), "v1beta1.external.metrics.k8s.io: it leads to another provider")
	require.InDelta(t, 0, testutil.ToFloat64(w.ours.WithLabelValues(Names[0])), 0)

	// The other one goes, and takes its object along; later ours is there.
	require.NoError(t, c.Tracker().Delete(apiregistrationv1.SchemeGroupVersion.WithResource("apiservices"), "", Names[0]))
	require.NoError(t, w.Sync(t.Context()))
	require.Contains(t, w.Fault(), "v1beta1.custom.metrics.k8s.io: it does not exist")
	require.Len(t, c.said, len(Names)+1)
	require.NoError(t, c.Tracker().Add(&apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: Names[0]},
		Spec:       apiregistrationv1.APIServiceSpec{Service: &apiregistrationv1.ServiceReference{Namespace: "iota", Name: "shardscaler-metrics"}},
	}))
	require.NoError(t, w.Sync(t.Context()))
	require.NotContains(t, w.Fault(), Names[0])
	require.InDelta(t, 1, testutil.ToFloat64(w.ours.WithLabelValues(Names[0])), 0)
}

func TestTakeOver(t *testing.T) {
	c := newCluster(foreign)
	w := c.watcher(Config{Bundle: bundle("new"), TakeOver: true, Port: 443})
	require.NoError(t, w.Sync(t.Context()))
	for _, name := range Names {
		spec := c.get(t, name)
		require.Equal(t, "new", string(spec.CABundle))
		require.Equal(t, "iota", spec.Service.Namespace)
		require.Equal(t, "shardscaler-metrics", spec.Service.Name)
		require.EqualValues(t, 443, *spec.Service.Port)
		require.False(t, spec.InsecureSkipTLSVerify)
	}
	require.Empty(t, w.Fault())
	require.NoError(t, w.Sync(t.Context()))
	require.Equal(t, len(Names), c.written())
}

func TestUnreadable(t *testing.T) {
	c := newCluster(own)
	w := c.watcher(Config{})
	require.NoError(t, w.Sync(t.Context()))
	c.PrependReactor("get", "apiservices", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("connection refused")
	})
	require.ErrorContains(t, w.Sync(t.Context()), "look after APIService v1beta2.custom.metrics.k8s.io: connection refused")
	require.Zero(t, testutil.CollectAndCount(w.ours), "not known is not 0")
}

func TestReadOnlyWritesNothingAndSaysWhatItWould(t *testing.T) {
	for service, fault := range map[string]string{own: "writes nothing; it leads to Service " + own, foreign: "writes nothing; it leads to Service " + foreign} {
		c := newCluster(service)
		w := c.watcher(Config{Bundle: bundle("new"), TakeOver: true, ReadOnly: true})
		require.NoError(t, w.Sync(t.Context()))
		require.Zero(t, c.written())
		require.Contains(t, w.Fault(), fault)
	}
	c := newCluster(own)
	w := c.watcher(Config{Bundle: bundle("old"), ReadOnly: true})
	require.NoError(t, w.Sync(t.Context()))
	require.Empty(t, w.Fault(), "nothing would be written")
}
