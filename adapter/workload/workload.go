// Package workload follows the StatefulSets, their pods and the pods' use of CPU and memory.
//
// In: watches on StatefulSets and Pods of one namespace and on Nodes, and polls of metrics.k8s.io.
// Out: of each kind an observed.Cluster at each change and each proof that the watches live, and an
// observed.PodUsage at each poll; or observed.Failed. An observed.PodList when it is asked for.
// Invariant: a pod counts only if its controller is the StatefulSet by uid, and it is gone only by
// a PodList; an age grows unless the API server was heard.
package workload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/shardscaler/shardscaler/adapter/informer"
	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/meter"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// Config is what is followed and how often it is asked.
type Config struct {
	Namespace string
	// MetricsInterval is the time between two polls of metrics.k8s.io, by the clock at its
	// multiples: so all replicas have the same samples. Default 10s.
	MetricsInterval time.Duration
	// Probe is the time between two proofs that the watches live. Default 5s.
	Probe time.Duration
}

// Clients are the two APIs that are read.
type Clients struct {
	Kube    kubernetes.Interface
	Metrics metricsclient.Interface
}

// Source follows the StatefulSets of all configured kinds.
type Source struct {
	cfg      Config
	clients  Clients
	failures *prometheus.CounterVec
	kinds    atomic.Pointer[[]config.Kind]

	sets, pods, nodes *informer.Informer
	changed           wake.Signal
	// telling is held while a signal is made and sent: an older one never comes after a younger.
	telling sync.Mutex
}

// New returns a Source without kinds. It does not connect.
func New(cfg Config, clients Clients, reg prometheus.Registerer) *Source {
	cfg.MetricsInterval = cmp.Or(cfg.MetricsInterval, 10*time.Second)
	cfg.Probe = cmp.Or(cfg.Probe, informer.DefaultProbe)
	s := &Source{cfg: cfg, clients: clients, failures: newFailures(reg), changed: wake.New()}
	kube, ns := clients.Kube, cfg.Namespace
	sets := informer.Config{Renew: cfg.Probe, Strip: strip, Changed: informer.Waking(s.changed)}
	pods, nodes := sets, sets
	pods.Indexers, nodes.Changed = cache.Indexers{bySet: setNameOf}, nodeChanges(s.changed)
	s.sets = informer.New(sets, &appsv1.StatefulSet{}, kube, kube.AppsV1().StatefulSets(ns))
	s.pods = informer.New(pods, &corev1.Pod{}, kube, kube.CoreV1().Pods(ns))
	s.nodes = informer.New(nodes, &corev1.Node{}, kube, kube.CoreV1().Nodes())
	s.Configure(nil)
	return s
}

// Configure replaces the kinds, at any time. They are read only from then on.
func (s *Source) Configure(kinds []config.Kind) {
	s.kinds.Store(&kinds)
	s.changed.Wake()
}

// Run follows until ctx ends, whatever fails, and calls sink concurrently. It may be called once.
func (s *Source) Run(ctx context.Context, sink func(observed.Signal)) error {
	var all sync.WaitGroup
	all.Go(func() { s.sets.RunWithContext(ctx) })
	all.Go(func() { s.pods.RunWithContext(ctx) })
	all.Go(func() { s.nodes.RunWithContext(ctx) })
	all.Go(func() { s.report(ctx, sink) })
	all.Go(func() { s.prove(ctx, sink) })
	all.Go(func() { s.poll(ctx, sink) })
	all.Wait()
	return nil
}

// synced says whether both watches have delivered their first complete list.
func (s *Source) synced() bool { return s.sets.HasSynced() && s.pods.HasSynced() }

func (s *Source) report(ctx context.Context, sink func(observed.Signal)) {
	for informer.Await(ctx, s.changed, nil) {
		if !s.synced() {
			s.changed.Wake() // the first lists are still coming
			continue
		}
		for _, k := range *s.kinds.Load() {
			s.tell(k, sink)
		}
	}
}

// tell sends what is known of a kind, as old as the older of the two watches.
func (s *Source) tell(k config.Kind, sink func(observed.Signal)) {
	s.telling.Lock()
	defer s.telling.Unlock()
	sink(s.cluster(k, s.heard()))
}

// heard is when the API server was last heard on both watches.
func (s *Source) heard() time.Time {
	return slices.MinFunc([]time.Time{s.sets.Heard(), s.pods.Heard()}, time.Time.Compare)
}

func newFailures(reg prometheus.Registerer) *prometheus.CounterVec {
	return meter.In(reg).Counters("shardscaler_cluster_failures_total",
		"Failed reads of the Kubernetes API: watch (StatefulSets and pods) or metrics (metrics.k8s.io).", "api")
}

var errWatchLags = errors.New("the watch lags behind the API server")

// prove asks the API server about each StatefulSet now and then, and the watches for what it said:
// it finds out a watch that stands still, and a server that has lost its store.
func (s *Source) prove(ctx context.Context, sink func(observed.Signal)) {
	for ; ctx.Err() == nil; wake.Sleep(ctx, s.cfg.Probe) {
		for _, k := range *s.kinds.Load() {
			at := time.Now()
			if err := s.proof(ctx, k); err != nil {
				if ctx.Err() != nil {
					return
				}
				s.failures.WithLabelValues("watch").Inc()
				sink(observed.Failed{Kind: k.Name, Source: observed.SourceCluster, At: at, Err: err})
				continue
			}
			s.tell(k, sink)
		}
	}
}

// settleTime is how long the watch may need to deliver what the API server has just answered.
const settleTime = 2 * time.Second

func (s *Source) proof(ctx context.Context, k config.Kind) error {
	ctx, cancel := context.WithTimeout(ctx, informer.RequestTimeout)
	defer cancel()
	live, err := s.clients.Kube.AppsV1().StatefulSets(s.cfg.Namespace).Get(ctx, k.StatefulSet, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("get StatefulSet %s: %w", k.StatefulSet, err)
	}
	want := ""
	if err == nil {
		want = live.ResourceVersion
	}
	before := s.seen(k.StatefulSet)
	ctx, cancel = context.WithTimeout(ctx, settleTime)
	defer cancel()
	for again := true; again; again = wake.Sleep(ctx, 50*time.Millisecond) {
		// A version that moved since the answer is a watch that lives.
		if now := s.seen(k.StatefulSet); s.synced() && (now == want || now != before) {
			return informer.Silence("the watches have", s.heard(), 2*s.cfg.Probe)
		}
	}
	return errWatchLags
}

// seen is the resourceVersion of the StatefulSet as the watch has it; empty: it has none.
func (s *Source) seen(name string) string {
	if set := s.set(name); set != nil {
		return set.ResourceVersion
	}
	return ""
}

func (s *Source) set(name string) *appsv1.StatefulSet {
	obj, exists, err := s.sets.GetStore().GetByKey(s.cfg.Namespace + "/" + name)
	if err != nil || !exists { // a cache's Get has no error of its own
		return nil
	}
	return obj.(*appsv1.StatefulSet)
}

func (s *Source) cluster(k config.Kind, at time.Time) observed.Cluster {
	c := observed.Cluster{Kind: k.Name, At: at, Pods: map[int]observed.Pod{}, Unadopted: map[int]observed.Pod{}}
	set := s.set(k.StatefulSet)
	if set != nil {
		w := reduceSet(set)
		c.Workload = &w
	}
	for n, pod := range s.named(k.StatefulSet) {
		o := reducePod(pod)
		if set != nil && metav1.IsControlledBy(pod, set) {
			o.NodeLost = s.nodeLost(o.Node)
			c.Pods[n] = o
		} else if !o.Ended() { // else it runs nothing
			c.Unadopted[n] = o
		}
	}
	return c
}

// bySet indexes pods by the StatefulSet whose pods have such names: another may own them now.
const bySet = "set"

func setNameOf(obj any) ([]string, error) {
	name := obj.(*corev1.Pod).Name
	if at := strings.LastIndexByte(name, '-'); at > 0 {
		return []string{name[:at]}, nil
	}
	return nil, nil
}

// named are the pods that have a name of this StatefulSet's pods, by ordinal, under any owner.
func (s *Source) named(set string) map[int]*corev1.Pod {
	found, _ := s.pods.GetIndexer().ByIndex(bySet, set) // it fails without the index alone
	pods := make(map[int]*corev1.Pod, len(found))
	for _, obj := range found {
		pod := obj.(*corev1.Pod)
		if n, ok := exact.PodOrdinal(set, pod.Name); ok {
			pods[n] = pod
		}
	}
	return pods
}
