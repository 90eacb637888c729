package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// TestWhatRunsNowhereIsReassignedAtOnce loses instances of which nothing runs any more: a pod that is
// gone, one that has ended, a process that fences itself. Ticks are so far apart that no test waits
// for one: what happens is woken by what has happened. The nodes are this test's own, one instance on
// each, so that a pod can be kept from running again.
func TestWhatRunsNowhereIsReassignedAtOnce(t *testing.T) {
	const size, rules = 4, 240
	w, ids := startOnNodes(t, size, rules, func(_ *servers.Env, o *product.Options, k *config.Kind) {
		o.WorkloadFlags = append(o.WorkloadFlags, "--fences")
		k.Health = config.Health{Action: config.ActionReassign, ReassignAfter: new(config.Duration(0))}
	})
	pods := w.Kube.CoreV1().Pods(w.Namespace)

	for _, c := range []struct {
		name        string
		ordinal     int
		lose, found func(ctx context.Context, pod string) error
	}{
		{"a pod that is gone", 2, func(ctx context.Context, pod string) error {
			return pods.Delete(ctx, pod, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
		}, nil},
		{"a pod that has ended", 1, func(ctx context.Context, pod string) error {
			patch := fmt.Appendf(nil, `{"status":{"phase":%q,"reason":"Evicted"}}`, corev1.PodFailed)
			_, err := pods.Patch(ctx, pod, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
			return err
		}, nil},
		{
			"a process that fences itself", 3,
			func(ctx context.Context, _ string) error { return w.Control.Fault(ctx, rule, 3, "hang", 0) },
			func(ctx context.Context, _ string) error { return w.Control.Fault(ctx, rule, 3, "resume", 0) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			pod := podName(ruleSet, c.ordinal)
			node := w.nodeOf(pod)
			w.cordon(node, true)
			w.ticks(5 * time.Minute)
			w.runsWhatIsAssigned(rule)
			require.NoError(t, c.lose(t.Context(), pod))
			w.until("others own what it had", func(ctx context.Context) error { return w.emptied(ctx, c.ordinal, rules) })
			w.holds(w.assignment(rule), ids)
			runs, err := w.Runs()
			require.NoError(t, err)
			require.Empty(t, runs.Overlaps)

			w.ticks(500 * time.Millisecond)
			w.cordon(node, false)
			if c.found != nil {
				require.NoError(t, c.found(t.Context(), pod))
			}
			w.settled(rule, ruleSet, size, rules)
			w.runsWhatIsAssigned(rule)
		})
		if t.Failed() {
			return
		}
	}
	w.t = t
	w.lostNothing(rule, nil)
	runs, err := w.Runs()
	require.NoError(t, err)
	require.Empty(t, runs.Overlaps)
}

// ticks sets how far apart ticks are that nothing wakes.
func (w *world) ticks(every time.Duration) {
	w.t.Helper()
	require.NoError(w.t, w.Configure(w.t.Context(), func(c *config.Config) { c.SyncPeriod = config.Duration(every) }))
}

// nodeOf is the node of a pod.
func (w *world) nodeOf(pod string) string {
	w.t.Helper()
	p, err := w.Kube.CoreV1().Pods(w.Namespace).Get(w.t.Context(), pod, metav1.GetOptions{})
	require.NoError(w.t, err)
	return p.Spec.NodeName
}

// cordon keeps other pods from a node, or lets them come again.
func (w *world) cordon(node string, cordoned bool) {
	w.t.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, cordoned)
	_, err := w.Kube.CoreV1().Nodes().Patch(w.t.Context(), node, types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(w.t, err)
}
