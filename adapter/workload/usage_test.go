package workload

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	metricsfake "k8s.io/metrics/pkg/client/clientset/versioned/fake"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// answered is what metrics.k8s.io says of the pod full. Each container is its name, CPU and memory;
// an empty value is not in the answer.
func answered(containers ...[3]string) *metricsv1beta1.PodMetrics {
	m := &metricsv1beta1.PodMetrics{
		ObjectMeta: metav1.ObjectMeta{Name: "iota-dac-3"},
		Timestamp:  metav1.NewTime(time.Unix(2000, 0)), Window: metav1.Duration{Duration: 15 * time.Second},
	}
	for _, c := range containers {
		m.Containers = append(m.Containers, metricsv1beta1.ContainerMetrics{Name: c[0], Usage: requests(c[1], c[2]).Requests})
	}
	return m
}

// end marks the container as ended. policy is its own restart policy; without one the pod restarts
// it.
func end(p *corev1.Pod, container string, policy corev1.ContainerRestartPolicy) {
	for i := range p.Spec.Containers {
		if c := &p.Spec.Containers[i]; c.Name == container && policy != "" {
			c.RestartPolicy = &policy
		}
	}
	for i := range p.Status.ContainerStatuses {
		if c := &p.Status.ContainerStatuses[i]; c.Name == container {
			c.State.Terminated = &corev1.ContainerStateTerminated{ExitCode: 0, Reason: "Completed"}
		}
	}
}

func TestAGapInAPodsMetricsIsNoZero(t *testing.T) {
	dac, log, side := [3]string{"dac", "300m", "1Gi"}, [3]string{"log", "10m", "64Mi"}, [3]string{"side", "20m", "32Mi"}
	const all = 1<<30 + 64<<20 + 32<<20
	for _, c := range []struct {
		name           string
		answer         *metricsv1beta1.PodMetrics
		change         func(*corev1.Pod)
		cpu, memory    int64
		noCPU, noBytes string
	}{
		{name: "all there is; the init container that ends is not waited for", answer: answered(dac, log, side), cpu: 330, memory: all},
		{
			name: "no container", answer: answered(),
			noCPU: "its sample lacks container dac", noBytes: "its sample lacks container dac",
		},
		{
			name: "a container without CPU", answer: answered(dac, [3]string{"log", "", "64Mi"}, side),
			noCPU: "its sample has no cpu of container log", memory: all,
		},
		{
			name: "a container without memory", answer: answered(dac, log, [3]string{"side", "20m", ""}),
			cpu: 330, noBytes: "its sample has no memory of container side",
		},
		{
			name: "a container without anything", answer: answered(dac, log, [3]string{"side", "", ""}),
			noCPU: "its sample has no cpu of container side", noBytes: "its sample has no memory of container side",
		},
		{
			name: "less than nothing", answer: answered(dac, [3]string{"log", "-10m", "-64Mi"}, side),
			noCPU: "its sample has -10m cpu of container log", noBytes: "its sample has -64Mi memory of container log",
		},
		{
			name: "more than there is room for", answer: answered(dac, [3]string{"log", "7Ei", "8191Pi"}, side),
			noCPU: "its sample has 7Ei cpu of container log", noBytes: "its sample has 8191Pi memory of container log",
		},
		{
			name: "a container that is not in the answer", answer: answered(dac, side),
			noCPU: "its sample lacks container log", noBytes: "its sample lacks container log",
		},
		{
			name: "a sidecar that is not in the answer", answer: answered(dac, log),
			noCPU: "its sample lacks container side", noBytes: "its sample lacks container side",
		},
		{name: "an ephemeral container counts, as with the HPA", answer: answered(dac, log, side, [3]string{"debug", "5m", "1Mi"}), cpu: 335, memory: all + 1<<20},
		{
			name: "an ephemeral container without CPU", answer: answered(dac, log, side, [3]string{"debug", "", "1Mi"}),
			noCPU: "its sample has no cpu of container debug", memory: all + 1<<20,
		},
		{
			name: "a value of 0 is a value", answer: answered(dac, log, [3]string{"side", "0", "0"}), cpu: 310, memory: 1<<30 + 64<<20,
		},
		{
			name: "a container that has ended for good uses nothing", answer: answered(dac, side),
			change: func(p *corev1.Pod) { end(p, "log", corev1.ContainerRestartPolicyNever) }, cpu: 320, memory: 1<<30 + 32<<20,
		},
		{
			name: "a container that crashed is about to come back", answer: answered(dac, side), change: func(p *corev1.Pod) { end(p, "log", "") },
			noCPU: "its sample lacks container log", noBytes: "its sample lacks container log",
		},
		{
			name: "nothing is answered of what has ended", answer: answered(),
			change: func(p *corev1.Pod) {
				p.Spec.InitContainers = nil
				end(p, "dac", corev1.ContainerRestartPolicyNever)
				end(p, "log", corev1.ContainerRestartPolicyNever)
			},
			noCPU: "its sample has no container", noBytes: "its sample has no container",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := full()
			if c.change != nil {
				c.change(p)
			}
			stripped, err := strip(p)
			require.NoError(t, err)
			require.Equal(t, observed.Usage{
				At: time.Unix(2000, 0), Window: 15 * time.Second, WindowText: "15s",
				CPU: c.cpu, Memory: c.memory, MissingCPU: c.noCPU, MissingMemory: c.noBytes,
			}, sample(stripped.(*corev1.Pod), c.answer))
		})
	}
}

const withSidecar = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: sided}
spec:
  replicas: 1
  serviceName: sided
  selector: {matchLabels: {app: sided}}
  template:
    metadata:
      labels: {app: sided}
      annotations: {kwok.x-k8s.io/usage-cpu: 250m, kwok.x-k8s.io/usage-memory: 200Mi}
    spec:
      terminationGracePeriodSeconds: 1
      initContainers:
      - {name: side, image: side, restartPolicy: Always, resources: {requests: {cpu: 500m, memory: 512Mi}}}
      containers:
      - {name: work, image: work, resources: {requests: {cpu: 500m, memory: 512Mi}}}
`

// TestUsageIsWhatTheRealMetricsServerKnows uses that kwok measures no init containers, sidecars
// included: metrics-server then answers the pod without its sidecar, as it does with any container
// that a node does not report.
func TestUsageIsWhatTheRealMetricsServerKnows(t *testing.T) {
	k := servers.Require(t, servers.PartKubernetes).Kubernetes
	ns := k.Namespace(t)
	c := clients(t, k)
	k.Apply(t, ns, workload3)
	k.Apply(t, ns, withSidecar)
	kinds := []config.Kind{{Name: "Thing", StatefulSet: "work"}, {Name: "Sided", StatefulSet: "sided"}}
	_, rec := runKinds(t, Config{Namespace: ns, MetricsInterval: time.Second, Renew: time.Second}, kinds, c)
	samples := func(kind string, n int) observed.PodUsage {
		got, _ := observedtest.Await(t, rec, 0, "usage of "+kind, func(u observed.PodUsage) bool { return u.Kind == kind && len(u.Usage) == n })
		return got
	}
	whole := samples("Thing", 2).Usage[0]
	require.InDelta(t, 250, whole.CPU, 25)
	require.EqualValues(t, 200<<20, whole.Memory)
	require.False(t, whole.At.IsZero())
	require.Empty(t, whole.MissingCPU+whole.MissingMemory)

	sided := samples("Sided", 1).Usage[0]
	answer, err := c.Metrics.MetricsV1beta1().PodMetricses(ns).Get(t.Context(), "sided-0", metav1.GetOptions{})
	require.NoError(t, err)
	require.Len(t, answer.Containers, 1, "metrics-server answers the pod, of one container alone")
	require.Equal(t, "its sample lacks container side", sided.MissingCPU)
	require.Equal(t, "its sample lacks container side", sided.MissingMemory)
	require.Zero(t, sided.CPU+sided.Memory)
}

// One list of the namespace serves all kinds, unless the pods of others in it cost more than lists
// by selector. With 1,000 kinds it is still one.
func TestSamplesComeByAsFewListsAsAreWorthIt(t *testing.T) {
	for _, c := range []struct {
		kinds, others int
		lists         []string // by selector
	}{
		{kinds: 1, others: 0, lists: []string{""}},
		{kinds: 1, others: 1, lists: []string{"app=set-0"}},
		{kinds: 2, others: perList, lists: []string{""}},
		{kinds: 2, others: perList + 1, lists: []string{"app=set-0", "app=set-1"}},
		{kinds: 1000, others: 2000, lists: []string{""}},
	} {
		metrics := metricsfake.NewSimpleClientset()
		s := New(Config{Namespace: "iota"}, Clients{Kube: fake.NewClientset(), Metrics: metrics}, prometheus.NewRegistry())
		var kinds []config.Kind
		for i := range c.kinds {
			name := fmt.Sprint("set-", i)
			kinds = append(kinds, config.Kind{Name: fmt.Sprint("Kind", i), StatefulSet: name})
			require.NoError(t, s.sets.GetStore().Add(&appsv1.StatefulSet{
				ObjectMeta: metav1.ObjectMeta{Namespace: "iota", Name: name},
				Spec:       appsv1.StatefulSetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}},
			}))
			require.NoError(t, s.pods.GetStore().Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "iota", Name: name + "-0"}}))
		}
		for i := range c.others {
			require.NoError(t, s.pods.GetStore().Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "iota", Name: fmt.Sprintf("other-%d-x", i)}}))
		}
		answer := s.samples(t.Context(), kinds)
		for _, k := range kinds {
			_, err := answer(k)
			require.NoError(t, err)
		}
		var lists []string
		for _, a := range metrics.Actions() {
			lists = append(lists, a.(ktesting.ListAction).GetListRestrictions().Labels.String())
		}
		require.Equal(t, c.lists, lists, "%d kinds and %d pods of others", c.kinds, c.others)
	}
}
