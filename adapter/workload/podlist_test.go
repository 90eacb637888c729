package workload

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

func podLister(t *testing.T, k *servers.Kubernetes, namespace string) *PodLister {
	cfg, err := k.Config()
	require.NoError(t, err)
	client, err := metadata.NewForConfig(cfg)
	require.NoError(t, err)
	return NewPodLister(client, namespace)
}

// The list has every pod that may run something, on however many pages, and no other.
func TestThePodListHasEveryPodThatMayRun(t *testing.T) {
	k := servers.Require(t, servers.PartKubernetes).Kubernetes
	ns, other := k.Namespace(t), k.Namespace(t)
	kube := k.Client(t)
	uids := map[string]types.UID{}
	for _, name := range []string{"a", "b-1", "c", "failed", "succeeded", "waits"} {
		node := "none" // there is no such node: kwok plays none of them
		if name == "waits" {
			node = ""
		}
		pod, err := kube.CoreV1().Pods(ns).Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       corev1.PodSpec{NodeName: node, SchedulerName: "none", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		uids[name] = pod.UID
		phase := map[string]corev1.PodPhase{"c": corev1.PodRunning, "failed": corev1.PodFailed, "succeeded": corev1.PodSucceeded}[name]
		if phase != "" {
			pod.Status.Phase = phase
			_, err = kube.CoreV1().Pods(ns).UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
			require.NoError(t, err)
		}
	}
	lister := podLister(t, k, ns)
	for _, lister.page = range []int64{listPage, 2} {
		before := time.Now()
		c, err := lister.ListPods(t.Context())
		require.NoError(t, err)
		require.False(t, c.Begun.Before(before))
		require.Equal(t, map[string]string{"a": string(uids["a"]), "b-1": string(uids["b-1"]), "c": string(uids["c"])}, c.UIDs)
	}
	none, err := podLister(t, k, other).ListPods(t.Context())
	require.NoError(t, err)
	require.Empty(t, none.UIDs)

	ended, end := context.WithCancel(t.Context())
	end()
	_, err = lister.ListPods(ended)
	require.ErrorContains(t, err, "list all pods of the namespace")
}

// The pods of a StatefulSet that is deleted without them, and created again, are there all the
// while.
func TestPodsOutliveTheirStatefulSet(t *testing.T) {
	k := servers.Require(t, servers.PartKubernetes).Kubernetes
	ns := k.Namespace(t)
	k.Apply(t, ns, workload3)
	_, rec := run(t, Config{Namespace: ns, Renew: time.Second}, clients(t, k))
	two, mark := observedtest.Await(t, rec, 0, "two pods", running(2))
	require.Empty(t, two.Unadopted)
	uids := func(pods map[int]observed.Pod) map[int]string {
		out := map[int]string{}
		for n, p := range pods {
			out[n] = p.UID
		}
		return out
	}
	_, err := k.Run(t.Context(), "delete", "statefulset", "-n", ns, "work", "--cascade=orphan")
	require.NoError(t, err)
	orphaned, mark := observedtest.Await(t, rec, mark, "both pods orphaned", func(c observed.Cluster) bool { return c.Workload == nil })
	require.Empty(t, orphaned.Pods)
	require.Equal(t, uids(two.Pods), uids(orphaned.Unadopted))

	// One of them cannot be adopted: its labels were edited.
	_, err = k.Run(t.Context(), "label", "pod", "-n", ns, "work-1", "app=other", "--overwrite")
	require.NoError(t, err)
	k.Apply(t, ns, workload3)
	again, _ := observedtest.Await(t, rec, mark, "one pod adopted", func(c observed.Cluster) bool { return c.Workload != nil && len(c.Pods) == 1 })
	require.NotEqual(t, two.Workload.UID, again.Workload.UID)
	require.Equal(t, two.Pods[0].UID, again.Pods[0].UID)
	require.Equal(t, two.Pods[0].Node, again.Pods[0].Node, "it is known again wholly")
	require.Equal(t, map[int]string{1: two.Pods[1].UID}, uids(again.Unadopted))
}
