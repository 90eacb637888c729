package app

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	ktesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
	metricsfake "k8s.io/metrics/pkg/client/clientset/versioned/fake"
	"k8s.io/utils/ptr"

	"github.com/shardscaler/shardscaler/adapter/catalog"
	"github.com/shardscaler/shardscaler/adapter/notify"
	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/adapter/owners"
	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
	"github.com/shardscaler/shardscaler/adapter/workload"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/limits"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/scaler/actuate"
)

// cluster is an API server that holds the StatefulSets of so many kinds, each with three pods.
type cluster struct {
	kube     *fake.Clientset
	metadata *metadatafake.FakeMetadataClient
	metrics  *metricsfake.Clientset
	dynamic  *dynamicfake.FakeDynamicClient
	events   *record.FakeRecorder
}

const setSize = 3

func clusterOf(kinds int) *cluster {
	var sets []metav1.PartialObjectMetadata
	var objects []runtime.Object
	for k := range kinds {
		name := fmt.Sprint("set-", k)
		labels := map[string]string{"app": name}
		set := &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "iota", Name: name, UID: types.UID(name)},
			Spec:       appsv1.StatefulSetSpec{Replicas: ptr.To(int32(setSize)), Selector: &metav1.LabelSelector{MatchLabels: labels}},
			Status:     appsv1.StatefulSetStatus{Replicas: setSize, ReadyReplicas: setSize, AvailableReplicas: setSize, UpdatedReplicas: setSize},
		}
		objects, sets = append(objects, set), append(sets, metav1.PartialObjectMetadata{ObjectMeta: set.ObjectMeta})
		for n := range setSize {
			objects = append(objects, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: "iota", Name: fmt.Sprintf("%s-%d", name, n), UID: types.UID(fmt.Sprintf("%s-%d", name, n)), Labels: labels,
					OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))},
				},
				Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
			})
		}
	}
	scheme := metadatafake.NewTestScheme()
	_ = metav1.AddMetaToScheme(scheme)
	c := &cluster{
		kube: fake.NewClientset(objects...), metadata: metadatafake.NewSimpleMetadataClient(scheme), metrics: metricsfake.NewSimpleClientset(),
		dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
			v1alpha1.GroupVersion.WithResource(v1alpha1.Resource): v1alpha1.Kind + "List",
		}),
		events: record.NewFakeRecorder(1000),
	}
	c.metadata.PrependReactor("list", "statefulsets", func(ktesting.Action) (bool, runtime.Object, error) {
		list := &metav1.List{}
		for i := range sets {
			list.Items = append(list.Items, runtime.RawExtension{Object: &sets[i]})
		}
		return true, list, nil
	})
	return c
}

// calls are how often what was asked for, events among it, since the last time.
func (c *cluster) calls() map[string]int {
	calls := map[string]int{}
	for api, fake := range map[string]*ktesting.Fake{"kube": &c.kube.Fake, "metadata": &c.metadata.Fake, "metrics": &c.metrics.Fake, "dynamic": &c.dynamic.Fake} {
		for _, a := range fake.Actions() {
			calls[api+" "+a.GetVerb()+" "+a.GetResource().Resource]++
		}
		fake.ClearActions()
	}
	if n := len(c.events.Events); n > 0 {
		calls["events"] = n
	}
	for len(c.events.Events) > 0 {
		<-c.events.Events
	}
	return calls
}

// lead runs an App that leads so many kinds, until ctx ends.
func lead(ctx context.Context, t *testing.T, c *cluster, kinds int) (end func()) {
	t.Helper()
	reg, log := prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
	a := &App{
		opts: Options{Namespace: "iota", PodName: "shardscaler-0", Mode: config.ModeAct}, log: log, kube: &kube{client: c.kube},
		state: observed.New("iota", nil), leadership: newLeadership(), runners: newRunners(), reviews: limits.NewReviews(),
	}
	a.metrics = newMetrics(reg, a.leadership.leadsHeard)
	a.live = newLive(log, a.metrics, config.ModeAct, func(err error) { t.Error(err) })
	a.actuator = actuator{actuate.New(c.kube, c.events, log), actuate.NewGroups(c.dynamic), workload.NewPodLister(c.metadata, "iota")}
	a.store = &quiet{heads: map[string]protocol.Head{}}
	a.workload = workload.New(workload.Config{Namespace: "iota"}, workload.Clients{Kube: c.kube, Metadata: c.metadata, Metrics: c.metrics}, reg)
	a.owners = owners.New(owners.Config{Namespace: "iota"}, c.kube, c.dynamic, log)
	var err error
	a.catalog, err = catalog.New(catalog.At("postgres://127.0.0.1:1/iota"), a.reconciler, log, reg)
	require.NoError(t, err)
	a.counted = a.catalog.With(counters)
	a.notify = notify.New(notify.Config{}, handler{&a.runners, a.catalog}, log, reg)
	var text strings.Builder
	text.WriteString("kinds:\n")
	for k := range kinds {
		fmt.Fprintf(&text, "- {name: Kind%d, statefulSet: set-%[1]d, capacity: 10, init: %d, max: 50}\n", k, setSize)
	}
	a.live.offer(offered{text: []byte(text.String())})
	a.leadership.Lead(ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = a.workload.Run(ctx, a.state.Apply) })
	running.Go(func() { _ = a.owners.Run(ctx, a.state.Apply) })
	running.Go(func() { _ = a.keepRunners(ctx) })
	synctest.Wait()
	time.Sleep(time.Minute)
	for k := range kinds {
		r := a.runner(fmt.Sprint("Kind", k))
		d, _ := r.own()
		require.NotNil(t, d)
		require.Empty(t, d.Blind)
		require.Equal(t, setSize, d.Desired)
	}
	return running.Wait
}

// At rest the API server is asked for lists of the namespace, and nothing for each kind.
func TestTheAPIServerIsAskedNoMoreForManyKindsThanForOne(t *testing.T) {
	asked := func(kinds int) (calls map[string]int) {
		synctest.Test(t, func(t *testing.T) {
			c := clusterOf(kinds)
			ctx, cancel := context.WithCancel(t.Context())
			end := lead(ctx, t, c, kinds)
			begun := c.calls()
			require.Equal(t, kinds, begun["kube patch statefulsets"], "each is claimed once")
			time.Sleep(2 * time.Minute)
			calls = c.calls()
			cancel()
			end()
		})
		return calls
	}
	one := asked(1)
	require.NotEmpty(t, one)
	many := asked(20)
	for call := range many {
		require.InDelta(t, one[call], many[call], 2, call) // in the same time one more, or less, may fit
	}
}
