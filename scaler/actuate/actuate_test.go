package actuate

import (
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// cluster is a namespace of a real API server with one StatefulSet in it.
func cluster(t *testing.T) (kubernetes.Interface, Workload) {
	env := servers.Require(t, servers.PartKubernetes)
	client, ns := env.Kubernetes.Client(t), env.Kubernetes.Namespace(t)
	return client, createSet(t, client, ns)
}

func createSet(t *testing.T, client kubernetes.Interface, ns string) Workload {
	labels, one := map[string]string{"app": "dac"}, int32(1)
	set, err := client.AppsV1().StatefulSets(ns).Create(t.Context(), &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "iota-dac"},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &one, ServiceName: "dac", Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "dac", Image: "dac:1"}}},
			},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return Workload{Namespace: ns, Name: "iota-dac", UID: string(set.UID)}
}

// steady waits until the StatefulSet's controller has nothing left to write, and returns the size.
func steady(t *testing.T, k *Kubernetes, w Workload) Size {
	t.Helper()
	var size Size
	require.Eventually(t, func() bool {
		set, err := k.client.AppsV1().StatefulSets(w.Namespace).Get(t.Context(), w.Name, metav1.GetOptions{})
		require.NoError(t, err)
		size, err = k.Size(t.Context(), w)
		require.NoError(t, err)
		return set.Status.ReadyReplicas == *set.Spec.Replicas && set.ResourceVersion == size.ResourceVersion
	}, time.Minute, 100*time.Millisecond)
	return size
}

func TestSizesAreWrittenOnlyOverWhatWasRead(t *testing.T) {
	client, w := cluster(t)
	k := New(client, nil, quiet())
	read := steady(t, k, w)
	require.Equal(t, 1, read.Replicas)
	require.NoError(t, k.Resize(t.Context(), w, read, 3))
	require.ErrorIs(t, k.Resize(t.Context(), w, read, 5), ErrConflict, "the version read is old")

	// A new leader claims: what a former one has read is void.
	former := steady(t, k, w)
	require.NoError(t, k.Claim(t.Context(), w, "two/b"))
	require.ErrorIs(t, k.Resize(t.Context(), w, former, 1), ErrConflict)
	now, err := k.Size(t.Context(), w)
	require.NoError(t, err)
	require.Equal(t, 3, now.Replicas)

	require.ErrorContains(t, k.Resize(t.Context(), w, Size{}, 1), "was not read before", "never without a version")
}

func TestASetMadeAnewIsNotTakenForTheOld(t *testing.T) {
	client, w := cluster(t)
	k := New(client, nil, quiet())
	read := steady(t, k, w)
	require.NoError(t, client.AppsV1().StatefulSets(w.Namespace).Delete(t.Context(), w.Name, metav1.DeleteOptions{}))
	require.Eventually(t, func() bool {
		_, err := client.AppsV1().StatefulSets(w.Namespace).Get(t.Context(), w.Name, metav1.GetOptions{})
		return err != nil
	}, time.Minute, 50*time.Millisecond)
	createSet(t, client, w.Namespace)

	_, err := k.Size(t.Context(), w)
	require.ErrorIs(t, err, ErrConflict)
	require.Error(t, k.Resize(t.Context(), w, read, 4))
	require.Error(t, k.Claim(t.Context(), w, "one/a"))
	set, err := client.AppsV1().StatefulSets(w.Namespace).Get(t.Context(), w.Name, metav1.GetOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 1, *set.Spec.Replicas)
	require.Empty(t, set.Annotations[LeaderAnnotation])
}

func TestARestartTakesThePodThatWasMeantAndNoOther(t *testing.T) {
	client, w := cluster(t)
	k := New(client, nil, quiet())
	steady(t, k, w)
	pods := client.CoreV1().Pods(w.Namespace)
	first, err := pods.Get(t.Context(), "iota-dac-0", metav1.GetOptions{})
	require.NoError(t, err)
	require.NoError(t, k.Restart(t.Context(), w, first.Name, string(first.UID)))
	var second *corev1.Pod
	require.Eventually(t, func() bool {
		second, err = pods.Get(t.Context(), "iota-dac-0", metav1.GetOptions{})
		return err == nil && second.UID != first.UID
	}, time.Minute, 100*time.Millisecond, "the StatefulSet makes it anew")

	require.NoError(t, k.Restart(t.Context(), w, first.Name, string(first.UID)), "ordered twice: it is gone already")
	again, err := pods.Get(t.Context(), "iota-dac-0", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, second.UID, again.UID)
	require.Nil(t, again.DeletionTimestamp)
	require.NoError(t, k.Restart(t.Context(), w, "iota-dac-9", "nobody"))
}

func TestEventsThatRepeatAreFolded(t *testing.T) {
	recorder := record.NewFakeRecorder(10)
	k := New(nil, recorder, quiet())
	one, two := Workload{Namespace: "iot", Name: "one"}, Workload{Namespace: "iot", Name: "two"}
	k.Publish(one, Scaled(1, 2, "count asks for 2"))
	k.Publish(one, Scaled(1, 2, "count asks for 2"))
	k.Publish(two, Scaled(1, 2, "count asks for 2"))
	k.Publish(one, Blind("ZooKeeper cannot be read"))
	k.Publish(one, Scaled(2, 3, "count asks for 3"))
	close(recorder.Events)
	var got []string
	for e := range recorder.Events {
		got = append(got, e)
	}
	require.Equal(t, []string{
		"Normal Scaled replicas 1 -> 2: count asks for 2",
		"Normal Scaled replicas 1 -> 2: count asks for 2",
		"Warning Blind ZooKeeper cannot be read",
		"Normal Scaled replicas 2 -> 3: count asks for 3",
	}, got)

	key, now := eventKey{one, "Scaled"}, time.Now()
	require.False(t, k.fresh(key, "replicas 2 -> 3: count asks for 3", now))
	require.True(t, k.fresh(key, "replicas 2 -> 3: count asks for 3", now.Add(repeatAfter)))
}
