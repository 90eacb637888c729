package workload

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
)

// placed is the StatefulSet work with one pod on node-1.
func placed() []runtime.Object {
	yes := true
	return []runtime.Object{
		&appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Name: "work", Namespace: "iota", UID: "s", ResourceVersion: "1"},
			Spec:       appsv1.StatefulSetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "work"}}},
		},
		&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name: "work-0", Namespace: "iota", UID: "u",
				OwnerReferences: []metav1.OwnerReference{{Kind: "StatefulSet", Name: "work", UID: "s", Controller: &yes}},
			},
			Spec: corev1.PodSpec{NodeName: "node-1"},
		},
	}
}

func node(ready corev1.ConditionStatus, since time.Time) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "node-1"},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
			{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionUnknown},
			{Type: corev1.NodeReady, Status: ready, LastTransitionTime: metav1.NewTime(since)},
		}},
	}
}

func TestANodeThatIsLostShowsOnItsPods(t *testing.T) {
	since := time.Unix(1000, 0).UTC()
	kube := fake.NewClientset(append(placed(), node(corev1.ConditionTrue, since))...)
	_, rec := run(t, Config{Namespace: "iota", Renew: time.Second}, fakes(kube))
	lost := func(at time.Time) func(observed.Cluster) bool {
		return func(c observed.Cluster) bool { p, ok := c.Pods[0]; return ok && p.NodeLost.Equal(at) }
	}
	_, mark := observedtest.Await(t, rec, 0, "a pod on a sound node", lost(time.Time{}))
	_, err := kube.CoreV1().Nodes().UpdateStatus(t.Context(), node(corev1.ConditionUnknown, since), metav1.UpdateOptions{})
	require.NoError(t, err)
	_, mark = observedtest.Await(t, rec, mark, "its node lost", lost(since))
	_, err = kube.CoreV1().Nodes().UpdateStatus(t.Context(), node(corev1.ConditionTrue, since.Add(time.Minute)), metav1.UpdateOptions{})
	require.NoError(t, err)
	observedtest.Await(t, rec, mark, "its node back", lost(time.Time{}))
}

// An installation from before the right to read nodes goes on without it.
func TestNodesThatMayNotBeReadHoldNothingUp(t *testing.T) {
	kube := fake.NewClientset(placed()...)
	kube.PrependReactor("list", "nodes", func(ktesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("forbidden") })
	kube.PrependWatchReactor("nodes", func(ktesting.Action) (bool, watch.Interface, error) { return true, nil, errors.New("forbidden") })
	_, rec := run(t, Config{Namespace: "iota", Renew: time.Second}, fakes(kube))
	c, _ := observedtest.Await(t, rec, 0, "a pod", func(c observed.Cluster) bool { return len(c.Pods) == 1 })
	require.Zero(t, c.Pods[0].NodeLost)
}

func TestANodeIsReducedToWhatIsRead(t *testing.T) {
	since := time.Unix(1000, 0).UTC()
	for status, want := range map[corev1.ConditionStatus]time.Time{corev1.ConditionTrue: {}, corev1.ConditionFalse: since, corev1.ConditionUnknown: since} {
		n := node(status, since)
		n.Labels, n.Spec.PodCIDR = map[string]string{"much": "text"}, "10.0.0.0/24"
		stripped, err := strip(n)
		require.NoError(t, err)
		kept := stripped.(*corev1.Node)
		require.True(t, unready(kept).Equal(want), status)
		require.Len(t, kept.Status.Conditions, 1)
		require.Empty(t, kept.Labels)
		require.Empty(t, kept.Spec)
	}
	require.Zero(t, unready(&corev1.Node{}), "a node that has not reported yet is not lost")
}
