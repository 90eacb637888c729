package workload

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"
	"k8s.io/utils/ptr"

	"github.com/shardscaler/shardscaler/adapter/informer"
	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/testbed/apiwire"
	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// wired are clients of a real API server over a wire that can fall silent.
func wired(t *testing.T, k *servers.Kubernetes) (Clients, *apiwire.Wire) {
	t.Helper()
	cfg, err := k.Config()
	require.NoError(t, err)
	wire := &apiwire.Wire{}
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { wire.Next = next; return wire })
	return Clients{kubernetes.NewForConfigOrDie(cfg), metadata.NewForConfigOrDie(cfg), metricsclient.NewForConfigOrDie(cfg)}, wire
}

// What a watch has shown is taken for fresh for as long as it takes to find out that it is silent.
func TestASilentWatchIsFoundOutWhileWhatItShowedCounts(t *testing.T) {
	require.LessOrEqual(t, informer.Limit(informer.DefaultRenew), observed.ClusterMaxAge)
	require.LessOrEqual(t, observed.ClusterMaxAge, 30*time.Second)
}

// The watch of the StatefulSets, or of their pods, is cut without a word. What the fold is given
// grows older from then on, until the watch has been opened anew; and is called unknown if it cannot
// be.
func TestAWatchThatIsCutSilentlyGrowsOldAndHeals(t *testing.T) {
	k := servers.Require(t, servers.PartKubernetes).Kubernetes
	for resource, label := range map[string]func(Clients, string, string) error{
		"pods": func(c Clients, ns, value string) error {
			_, err := c.Kube.CoreV1().Pods(ns).Patch(t.Context(), "work-0", types.MergePatchType, labelled(value), metav1.PatchOptions{})
			return err
		},
		"statefulsets.apps": func(c Clients, ns, value string) error {
			_, err := c.Kube.AppsV1().StatefulSets(ns).Patch(t.Context(), "work", types.MergePatchType, labelled(value), metav1.PatchOptions{})
			return err
		},
	} {
		t.Run(resource, func(t *testing.T) {
			ns := k.Namespace(t)
			k.Apply(t, ns, workload3)
			c, wire := wired(t, k)
			_, rec := run(t, Config{Namespace: ns, Renew: time.Second}, c)
			has := func(value string) func(observed.Cluster) bool {
				return func(c observed.Cluster) bool {
					return c.Workload != nil && (c.Pods[0].Labels["seen"] == value || c.Workload.Labels["seen"] == value)
				}
			}
			_, mark := observedtest.Await(t, rec, 0, "two pods", running(2))

			require.Positive(t, wire.Cut(resource))
			require.NoError(t, label(c, ns, "one"))
			_, mark = observedtest.Await(t, rec, mark, "what happened after the cut", has("one"))
			mark = younger(t, rec, mark, time.Now())

			require.Positive(t, wire.Hold(resource))
			cut := time.Now()
			require.NoError(t, label(c, ns, "two"))
			failed, after := observedtest.Await(t, rec, mark, "failure", func(f observed.Failed) bool { return f.Source == observed.SourceCluster })
			require.Error(t, failed.Err)
			observedtest.Await(t, rec, after, "another failure", func(f observed.Failed) bool { return f.Source == observed.SourceCluster && f.At.After(failed.At) })
			for _, s := range rec.All()[mark:] {
				switch v := s.(type) {
				case observed.Cluster:
					require.False(t, v.At.After(cut), "%s later than the cut: %+v", v.At.Sub(cut), v)
				case observed.Read:
					require.False(t, v.Source == observed.SourceCluster && v.At.After(cut), "%s later than the cut", v.At.Sub(cut))
				}
			}
			wire.Release(resource)
			_, mark = observedtest.Await(t, rec, mark, "what happened meanwhile", has("two"))
			younger(t, rec, mark, failed.At)
		})
	}
}

func labelled(value string) []byte {
	return fmt.Appendf(nil, `{"metadata":{"labels":{"seen":%q}}}`, value)
}

const onNode = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: work}
spec:
  replicas: 1
  serviceName: work
  selector: {matchLabels: {app: work}}
  template:
    metadata: {labels: {app: work}}
    spec:
      nodeName: %s
      tolerations: [{operator: Exists}]
      containers:
      - {name: work, image: work}
`

// TestTheWatchOfNodesIsCutSilently has a node of its own, whose Lease it holds: kwok then does not
// report for the node.
func TestTheWatchOfNodesIsCutSilently(t *testing.T) {
	k := servers.Require(t, servers.PartKubernetes).Kubernetes
	ns := k.Namespace(t)
	c, wire := wired(t, k)
	nodes, leases := k.Client(t).CoreV1().Nodes(), k.Client(t).CoordinationV1().Leases(corev1.NamespaceNodeLease)
	_, err := leases.Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: ns}, Spec: coordinationv1.LeaseSpec{
		HolderIdentity: ptr.To("nobody"), LeaseDurationSeconds: ptr.To[int32](3600), RenewTime: ptr.To(metav1.NowMicro()),
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = leases.Delete(context.Background(), ns, metav1.DeleteOptions{}) })
	_, err = nodes.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = nodes.Delete(context.Background(), ns, metav1.DeleteOptions{}) })
	lose := func(since time.Time) {
		t.Helper()
		_, err := nodes.Patch(t.Context(), ns, types.StrategicMergePatchType, fmt.Appendf(nil,
			`{"status":{"conditions":[{"type":"Ready","status":"Unknown","lastTransitionTime":%q}]}}`, since.Format(time.RFC3339)), metav1.PatchOptions{}, "status")
		require.NoError(t, err)
	}
	lost := func(since time.Time) func(observed.Cluster) bool {
		return func(c observed.Cluster) bool { p, ok := c.Pods[0]; return ok && p.NodeLost.Equal(since) }
	}
	first := time.Now().Add(-time.Hour).Truncate(time.Second).UTC()
	lose(first)
	k.Apply(t, ns, fmt.Sprintf(onNode, ns))
	_, rec := run(t, Config{Namespace: ns, Renew: time.Second}, c)
	_, mark := observedtest.Await(t, rec, 0, "a pod on a lost node", lost(first))

	require.Positive(t, wire.Cut("nodes"))
	second := first.Add(time.Minute)
	lose(second)
	_, mark = observedtest.Await(t, rec, mark, "what happened after the cut", lost(second))

	require.Positive(t, wire.Hold("nodes"))
	_, mark = observedtest.Await(t, rec, mark, "nothing said of the node any more", lost(time.Time{}))
	third := second.Add(time.Minute)
	lose(third)
	wire.Release("nodes")
	observedtest.Await(t, rec, mark, "what happened meanwhile", lost(third))
}
