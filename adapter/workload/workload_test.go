package workload

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/metadata"
	metadatafake "k8s.io/client-go/metadata/fake"
	ktesting "k8s.io/client-go/testing"
	"k8s.io/client-go/util/retry"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"
	metricsfake "k8s.io/metrics/pkg/client/clientset/versioned/fake"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// run starts a source for kind Thing and checks at the end that it leaves no goroutine behind.
func run(t *testing.T, cfg Config, clients Clients) (*Source, *observedtest.Recorder) {
	return runKinds(t, cfg, []config.Kind{{Name: "Thing", StatefulSet: "work"}}, clients)
}

func runKinds(t *testing.T, cfg Config, kinds []config.Kind, clients Clients) (*Source, *observedtest.Recorder) {
	before := goleak.IgnoreCurrent()
	s := New(cfg, clients, prometheus.NewRegistry())
	s.Configure(kinds)
	rec := &observedtest.Recorder{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx, rec.Sink) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		// The connection to the API server is the client's and is kept by it.
		goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"),
			goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
			goleak.IgnoreAnyFunction("k8s.io/client-go/transport.(*dynamicClientCert).run"))
	})
	return s, rec
}

// fakes are clients of which that of the metadata has the StatefulSets of kube.
func fakes(kube *fake.Clientset) Clients {
	scheme := metadatafake.NewTestScheme()
	_ = metav1.AddMetaToScheme(scheme)
	meta := metadatafake.NewSimpleMetadataClient(scheme)
	meta.PrependReactor("list", "statefulsets", func(a ktesting.Action) (bool, runtime.Object, error) {
		all, err := kube.AppsV1().StatefulSets(a.GetNamespace()).List(context.Background(), metav1.ListOptions{})
		list := &metav1.List{}
		for i := 0; err == nil && i < len(all.Items); i++ {
			list.Items = append(list.Items, runtime.RawExtension{Object: &metav1.PartialObjectMetadata{ObjectMeta: all.Items[i].ObjectMeta}})
		}
		return true, list, err
	})
	return Clients{kube, meta, metricsfake.NewSimpleClientset()}
}

func TestAWatchThatIsSilentIsFoundOut(t *testing.T) {
	kube := fake.NewClientset()
	var opened atomic.Int32
	var deaf atomic.Bool
	kube.PrependWatchReactor("pods", func(ktesting.Action) (bool, watch.Interface, error) {
		opened.Add(1)
		if deaf.Load() {
			return true, nil, errors.New("connection refused")
		}
		return false, nil, nil
	})
	s, rec := run(t, Config{Namespace: "iota", Renew: 600 * time.Millisecond}, fakes(kube))
	first, mark := observedtest.Await(t, rec, 0, "picture", func(observed.Cluster) bool { return true })
	require.Nil(t, first.Workload)
	mark = younger(t, rec, mark, first.At)
	require.Eventually(t, func() bool { return opened.Load() > 2 }, time.Minute, time.Millisecond)
	deaf.Store(true)
	failed, mark := observedtest.Await(t, rec, mark, "failure", func(f observed.Failed) bool { return f.Source == observed.SourceCluster })
	require.ErrorContains(t, failed.Err, "silent")
	require.Eventually(t, func() bool { return s.pods.Heard().Before(s.sets.Heard()) }, time.Minute, time.Millisecond, "the StatefulSets are heard on")
	require.Equal(t, s.pods.Heard(), s.heard(), "a picture is as old as the older of the two")
	deaf.Store(false)
	younger(t, rec, mark, failed.At)
}

// younger waits until all is known as it was after a moment.
func younger(t *testing.T, rec *observedtest.Recorder, from int, than time.Time) (mark int) {
	t.Helper()
	_, mark = observedtest.Await(t, rec, from, "younger picture", func(s observed.Signal) bool {
		switch v := s.(type) {
		case observed.Cluster:
			return v.At.After(than)
		case observed.Read:
			return v.Source == observed.SourceCluster && v.At.After(than)
		}
		return false
	})
	return mark
}

// These tests ask a real API server.

const workload3 = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: work}
spec:
  replicas: 2
  serviceName: work
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: work}}
  template:
    metadata:
      labels: {app: work}
      annotations: {kwok.x-k8s.io/usage-cpu: 250m, kwok.x-k8s.io/usage-memory: 200Mi}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: work, image: work, resources: {requests: {cpu: 500m, memory: 512Mi}}}
`

func clients(t *testing.T, k *servers.Kubernetes) Clients {
	cfg, err := k.Config()
	require.NoError(t, err)
	m, err := metricsclient.NewForConfig(cfg)
	require.NoError(t, err)
	meta, err := metadata.NewForConfig(cfg)
	require.NoError(t, err)
	return Clients{k.Client(t), meta, m}
}

func running(n int) func(observed.Cluster) bool {
	return func(c observed.Cluster) bool {
		if c.Workload == nil || len(c.Pods) != n {
			return false
		}
		for _, p := range c.Pods {
			if !p.Ready {
				return false
			}
		}
		return true
	}
}

func TestPodsAreFollowedFromBirthToDeath(t *testing.T) {
	k := servers.Require(t, servers.PartKubernetes).Kubernetes
	ns := k.Namespace(t)
	c := clients(t, k)
	_, rec := run(t, Config{Namespace: ns, MetricsInterval: time.Second, Renew: time.Second}, c)
	none, _ := observedtest.Await(t, rec, 0, "picture of nothing", func(c observed.Cluster) bool { return c.Workload == nil })
	require.Empty(t, none.Pods)

	k.Apply(t, ns, workload3)
	two, mark := observedtest.Await(t, rec, 0, "two pods", running(2))
	require.Equal(t, 2, two.Workload.Replicas)
	require.Equal(t, "app=work", two.Workload.Selector)
	require.EqualValues(t, 500, two.Pods[1].CPURequest)
	require.Equal(t, "work-1", two.Pods[1].Name)
	require.False(t, two.Pods[1].Started.IsZero())

	// A pod of such a name that the StatefulSet does not own is no instance, and is there.
	stranger := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "work-7", Labels: map[string]string{"role": "stranger"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
	_, err := c.Kube.CoreV1().Pods(ns).Create(t.Context(), stranger, metav1.CreateOptions{})
	require.NoError(t, err)

	_, err = k.Run(t.Context(), "delete", "pod", "-n", ns, "work-1")
	require.NoError(t, err)
	replaced, mark := observedtest.Await(t, rec, mark, "another pod of the same name", func(c observed.Cluster) bool {
		return running(2)(c) && c.Pods[1].UID != two.Pods[1].UID
	})
	require.Equal(t, two.Pods[0].UID, replaced.Pods[0].UID)
	require.NotContains(t, replaced.Pods, 7)
	require.Equal(t, "work-7", replaced.Unadopted[7].Name)

	// Nothing happens any more, and yet what is known grows younger.
	younger(t, rec, mark, replaced.At.Add(2*time.Second))

	mark = rec.Mark()
	require.NoError(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		_, err := c.Kube.AppsV1().StatefulSets(ns).Patch(t.Context(), "work", types.MergePatchType, []byte(`{"spec":{"replicas":1}}`), metav1.PatchOptions{})
		return err
	}))
	_, mark = observedtest.Await(t, rec, mark, "one pod", running(1))
	_, err = k.Run(t.Context(), "delete", "statefulset", "-n", ns, "work")
	require.NoError(t, err)
	gone, _ := observedtest.Await(t, rec, mark, "picture of nothing", func(c observed.Cluster) bool { return c.Workload == nil })
	require.Empty(t, gone.Pods, "pods without their StatefulSet are no instances")
}

const podLevel = `
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
      terminationGracePeriodSeconds: 1
      resources: {requests: {cpu: 700m, memory: 1Gi}}
      containers:
      - {name: work, image: work}
      - {name: log, image: log, resources: {requests: {cpu: 100m}}}
`

func TestReadyPodsAreNotYetAvailable(t *testing.T) {
	k := servers.Require(t, servers.PartKubernetes).Kubernetes
	ns := k.Namespace(t)
	_, rec := run(t, Config{Namespace: ns, Renew: time.Second}, clients(t, k))
	k.Apply(t, ns, strings.Replace(workload3, "spec:\n", "spec:\n  minReadySeconds: 3600\n", 1))
	got, _ := observedtest.Await(t, rec, 0, "two ready pods, in their controller's words", func(c observed.Cluster) bool {
		return running(2)(c) && c.Workload.ReadyReplicas == 2
	})
	require.Zero(t, *got.Workload.AvailableReplicas)
}

func TestWhatAPodRequestsForItselfIsRead(t *testing.T) {
	k := servers.Require(t, servers.PartKubernetes).Kubernetes
	ns := k.Namespace(t)
	_, rec := run(t, Config{Namespace: ns, Renew: time.Second}, clients(t, k))
	k.Apply(t, ns, podLevel)
	one, _ := observedtest.Await(t, rec, 0, "one pod", running(1))
	require.EqualValues(t, 700, one.Pods[0].CPURequest)
	require.EqualValues(t, 1<<30, one.Pods[0].MemoryRequest)
	require.Empty(t, one.Pods[0].MissingCPURequest)
	require.Empty(t, one.Pods[0].MissingMemoryRequest)
	require.Empty(t, one.Pods[0].Resizing)
}

func TestAResizeInPlaceIsFollowed(t *testing.T) {
	k := servers.Require(t, servers.PartKubernetes).Kubernetes
	ns := k.Namespace(t)
	c := clients(t, k)
	_, rec := run(t, Config{Namespace: ns, Renew: time.Second}, c)
	k.Apply(t, ns, workload3)
	before, mark := observedtest.Await(t, rec, 0, "two pods", running(2))
	require.Empty(t, before.Pods[0].Resizing)
	patch := func(subresource, text string) {
		t.Helper()
		_, err := c.Kube.CoreV1().Pods(ns).Patch(t.Context(), "work-0", types.StrategicMergePatchType, []byte(text), metav1.PatchOptions{}, subresource)
		require.NoError(t, err)
	}
	// kwok does not write this part of the status. A kubelet would say here that its node can
	// resize containers, and has no room now.
	patch("status", `{"status":{"containerStatuses":[{"name":"work","resources":{"requests":{"cpu":"500m","memory":"512Mi"}}}]}}`)
	patch("resize", `{"spec":{"containers":[{"name":"work","resources":{"requests":{"cpu":"1"}}}]}}`)
	patch("status", `{"status":{"conditions":[{"type":"PodResizePending","status":"True","reason":"Deferred","message":"Node didn't have enough resource: cpu"}]}}`)
	resized, mark := observedtest.Await(t, rec, mark, "a pending resize", func(c observed.Cluster) bool { return running(2)(c) && c.Pods[0].Resizing != "" })
	require.Equal(t, "PodResizePending: Deferred", resized.Pods[0].Resizing)
	require.EqualValues(t, 1000, resized.Pods[0].CPURequest, "that of the spec, as with the HPA")
	require.Empty(t, resized.Pods[1].Resizing)

	patch("status", `{"status":{"conditions":[{"type":"PodResizePending","$patch":"delete"}]}}`)
	observedtest.Await(t, rec, mark, "the end of it", func(c observed.Cluster) bool { return running(2)(c) && c.Pods[0].Resizing == "" })
}

func TestAnAPIServerThatFreezesOrDiesIsTold(t *testing.T) {
	k := servers.RequireAlone(t, servers.PartKubernetes).Kubernetes
	ns := k.Namespace(t)
	k.Apply(t, ns, workload3)
	_, rec := run(t, Config{Namespace: ns, Renew: time.Second}, clients(t, k))
	_, mark := observedtest.Await(t, rec, 0, "two pods", running(2))
	for _, fault := range []struct {
		name          string
		cause, repair func() error
	}{
		{"frozen", k.APIServer.Freeze, k.APIServer.Continue},
		{"killed", k.APIServer.Kill, func() error { return k.APIServer.Start(t.Context()) }},
	} {
		require.NoError(t, fault.cause())
		failed, after := observedtest.Await(t, rec, mark, "failure", func(f observed.Failed) bool { return f.Source == observed.SourceCluster })
		require.Error(t, failed.Err, fault.name)
		require.NoError(t, fault.repair())
		mark = younger(t, rec, after, failed.At)
	}
}
