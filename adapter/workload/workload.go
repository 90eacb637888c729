// Package workload follows the StatefulSets, their pods and the pods' use of CPU and memory.
//
// In: watches on StatefulSets and Pods of one namespace and on Nodes, lists of the StatefulSets,
// polls of metrics.k8s.io. Out: of each kind an observed.Cluster at each change, an observed.Read
// at each proof that the watches live, and an observed.PodUsage at each poll; or observed.Failed.
// An observed.PodList when it is asked for.
// Invariant: a pod counts only if its controller is the StatefulSet by uid, and it is gone only by
// a PodList; an age grows unless the API server was heard.
//
//	workload.go  what is followed, and what it says of a kind
//	report.go    tells it, or that nothing has changed
//	proof.go     asks the API server whether the watches live
//	nodes.go     the nodes of pods that are not ready
//	usage.go     the pods' use of CPU and memory
//	podlist.go   which pods there are, for who has to know that one is gone
package workload

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
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
	// multiples: so all replicas have the same samples. Default 15s, as often as metrics-server
	// has new ones and as an HPA looks.
	MetricsInterval time.Duration
	// Renew is how long nothing is heard on a watch before it is proven anew: the pods' by another
	// one, the StatefulSets' by a list. Default informer.DefaultRenew.
	Renew time.Duration
}

// Clients are the APIs that are read.
type Clients struct {
	Kube     kubernetes.Interface
	Metadata metadata.Interface
	Metrics  metricsclient.Interface
}

// Source follows the StatefulSets of all configured kinds.
type Source struct {
	cfg      Config
	clients  Clients
	failures *prometheus.CounterVec
	kinds    atomic.Pointer[[]config.Kind]

	sets, pods, nodes *informer.Informer
	changed           wake.Signal
	// ended wakes report at once: a pod is gone, or has ended.
	ended wake.Signal
	moved moved
	// doubt wakes prove: a request has failed.
	doubt wake.Signal
	// nodesAsked is when the nodes were asked for last, for report alone.
	nodesAsked time.Time
}

// New returns a Source without kinds. It does not connect.
func New(cfg Config, clients Clients, reg prometheus.Registerer) *Source {
	cfg.MetricsInterval = cmp.Or(cfg.MetricsInterval, 15*time.Second)
	cfg.Renew = cmp.Or(cfg.Renew, informer.DefaultRenew)
	s := &Source{cfg: cfg, clients: clients, failures: newFailures(reg), changed: wake.New(), ended: wake.New(), doubt: wake.New()}
	kube, ns := clients.Kube, cfg.Namespace
	sets := informer.Config{Renew: informer.QuietRenew, Proven: true, Strip: strip, Changed: s.changes(setOf), Failed: s.doubt.Wake}
	pods := informer.Config{Renew: cfg.Renew, Strip: strip, Changed: s.podChanges(), Failed: s.doubt.Wake, Indexers: cache.Indexers{bySet: setNameOf}}
	nodes := informer.Config{Renew: informer.QuietRenew, Strip: strip, Changed: s.nodeChanges()}
	s.sets = informer.New(sets, &appsv1.StatefulSet{}, kube, kube.AppsV1().StatefulSets(ns))
	s.pods = informer.New(pods, &corev1.Pod{}, kube, kube.CoreV1().Pods(ns))
	s.nodes = informer.New(nodes, &corev1.Node{}, kube, kube.CoreV1().Nodes())
	s.Configure(nil)
	return s
}

// Configure replaces the kinds, at any time. They are read only from then on.
func (s *Source) Configure(kinds []config.Kind) {
	s.kinds.Store(&kinds)
	s.moved.all()
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

// heard is when the API server was last heard on both watches.
func (s *Source) heard() time.Time {
	return slices.MinFunc([]time.Time{s.sets.Heard(), s.pods.Heard()}, time.Time.Compare)
}

func newFailures(reg prometheus.Registerer) *prometheus.CounterVec {
	return meter.In(reg).Counters("shardscaler_cluster_failures_total",
		"Failed reads of the Kubernetes API: watch (StatefulSets and pods) or metrics (metrics.k8s.io).", "api")
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
