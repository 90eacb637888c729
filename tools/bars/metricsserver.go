package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	libmetrics "sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver/metrics"
	basecmd "sigs.k8s.io/custom-metrics-apiserver/pkg/cmd"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/shardscaler/shardscaler/adapter/metricsapi"
	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/gcpace"
)

// serveCommand is how this program starts itself as one of the servers that are compared.
const serveCommand = "serve-metrics"

// The servers.
const (
	roleOurs        = "ours"
	roleFloor       = "floor"
	roleTestAdapter = "test-adapter"
)

// population is what the servers answer from: pods of StatefulSets of a thousand each.
type population struct {
	Namespace string
	Pods      int
}

const (
	podsASet  = 1000
	halfLabel = "half"
	theMetric = "resources_per_instance"
)

func (p population) sets() int { return (p.Pods + podsASet - 1) / podsASet }

// size of a set: the last one may be smaller.
func (p population) size(set int) int { return min(podsASet, p.Pods-set*podsASet) }

func setName(set int) string { return "set-" + strconv.Itoa(set) }

// pod is the place of a pod in the population. Every other one is labelled half=a.
type pod int

func podOf(set, ordinal int) pod { return pod(set*podsASet + ordinal) }

func (p pod) set() string { return setName(int(p) / podsASet) }

func (p pod) name() string { return p.set() + "-" + strconv.Itoa(int(p)%podsASet) }

func (p pod) uid() string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", int(p)) }

// count is the number of its resources.
func (p pod) count() int { return int(p) * 37 % 4501 }

func (p pod) labels() map[string]string {
	half := "a"
	if p%2 == 1 {
		half = "b"
	}
	return map[string]string{"app": p.set(), halfLabel: half, "statefulset.kubernetes.io/pod-name": p.name()}
}

// check holds an answer against the population.
func (p population) check(body []byte) error {
	var list struct {
		Items []struct {
			DescribedObject struct{ Name string }
			Value           resource.Quantity
			Timestamp       time.Time
		}
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	want := make(map[string]int, p.Pods/2)
	for i := pod(0); i < pod(p.Pods); i += 2 {
		want[i.name()] = i.count()
	}
	for _, item := range list.Items {
		count, known := want[item.DescribedObject.Name]
		if got := item.Value.Value(); !known || got != int64(count) {
			return fmt.Errorf("%w: %s has %d, want %d once", errAnswer, item.DescribedObject.Name, got, count)
		}
		if item.Timestamp.IsZero() {
			return fmt.Errorf("%w: no time", errAnswer)
		}
		delete(want, item.DescribedObject.Name)
	}
	if len(want) > 0 {
		return fmt.Errorf("%w: %d of %d are not in it", errAnswer, len(want), p.Pods/2)
	}
	return nil
}

// serverOptions is what a server is told, as JSON.
type serverOptions struct {
	Role       string
	Population population
	Port       int
	Cert, Key  string // files
	Kubeconfig string
}

// serveMetrics is one of the servers; it ends when ctx does.
func serveMetrics(ctx context.Context, options string) error {
	var o serverOptions
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		return err
	}
	klog.LogToStderr(false)
	if o.Role == roleOurs {
		return serveOurs(ctx, o.Population, metricsapi.Config{
			Address: fmt.Sprintf("127.0.0.1:%d", o.Port), CertFile: o.Cert, KeyFile: o.Key, Kubeconfig: o.Kubeconfig,
		})
	}
	return serveFloor(ctx, o.Population, libraryFlags(o.Port, o.Cert, o.Key, o.Kubeconfig))
}

// libraryFlags are those that every program made with the library takes.
func libraryFlags(port int, cert, key, kubeconfig string) []string {
	return []string{
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port), "--tls-cert-file=" + cert, "--tls-private-key-file=" + key,
		"--lister-kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
	}
}

// serveOurs is the product's metrics API over a state that lives: beats arrive and sources are
// confirmed as in the product.
func serveOurs(ctx context.Context, p population, cfg metricsapi.Config) error {
	gcpace.Start() // as `shardscaler run` does
	var text strings.Builder
	text.WriteString("maxInstancesCeiling: 1000\nkinds:\n")
	for set := range p.sets() {
		fmt.Fprintf(&text, "- {name: %[1]s, statefulSet: %[1]s, capacity: 5000, init: 1, max: 1000, heartbeat: {topic: HeartBeat}}\n", setName(set))
	}
	kinds, err := config.Parse([]byte(text.String()))
	if err != nil {
		return err
	}
	state := observed.New(p.Namespace, kinds.Kinds)
	p.populate(state)
	go p.live(ctx, state)
	server, err := metricsapi.New(cfg, func() metricsapi.View {
		now := time.Now()
		return metricsapi.View{Snapshot: state.Snapshot(now), Config: kinds}
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return err
	}
	return server.Run(ctx)
}

func (p population) populate(state *observed.State) {
	now := time.Now()
	for set := range p.sets() {
		cluster := observed.Cluster{
			Kind: setName(set), At: now, Pods: map[int]observed.Pod{}, Workload: &observed.Workload{UID: setName(set), Replicas: p.size(set)},
		}
		assignment := observed.Assignment{Kind: setName(set), At: now, Lists: map[int]observed.List{}}
		for n := range p.size(set) {
			one := podOf(set, n)
			cluster.Pods[n] = observed.Pod{
				Name: one.name(), UID: one.uid(), Labels: one.labels(), Phase: "Running", Ready: true, Started: now.Add(-time.Hour),
			}
			assignment.Lists[n] = observed.List{Count: one.count()}
			assignment.Assigned += one.count()
		}
		state.Apply(cluster)
		state.Apply(assignment)
	}
}

// live lets every pod beat once a minute and every source be confirmed once a second.
func (p population) live(ctx context.Context, state *observed.State) {
	const beatPeriod, confirmPeriod = time.Minute, time.Second
	beats := time.NewTicker(beatPeriod / time.Duration(p.Pods))
	confirms := time.NewTicker(confirmPeriod)
	defer beats.Stop()
	defer confirms.Stop()
	for next := 0; ; {
		select {
		case <-ctx.Done():
			return
		case now := <-beats.C:
			state.Apply(observed.Beat{Kind: pod(next).set(), Ordinal: next % podsASet, At: now, Arrived: now})
			next = (next + 1) % p.Pods
		case now := <-confirms.C:
			for set := range p.sets() {
				for _, source := range []observed.SourceName{observed.SourceStore, observed.SourceCluster, observed.SourceBus} {
					state.Apply(observed.Read{Kind: setName(set), Source: source, At: now})
				}
			}
		}
	}
}

// serveFloor is the library as it comes, with a provider that has nothing to do.
func serveFloor(ctx context.Context, p population, args []string) error {
	base := &basecmd.AdapterBase{Name: roleFloor, FlagSet: pflag.NewFlagSet(roleFloor, pflag.ContinueOnError)}
	if err := base.Flags().Parse(args); err != nil {
		return err
	}
	base.WithCustomMetrics(readyMade{list: p.list()})
	if err := libmetrics.RegisterMetrics(legacyregistry.Register); err != nil {
		return err
	}
	return base.Run(ctx)
}

// list is what the population's half has, ready-made.
func (p population) list() *custom_metrics.MetricValueList {
	list, now := &custom_metrics.MetricValueList{}, metav1.Now()
	for i := pod(0); i < pod(p.Pods); i += 2 {
		list.Items = append(list.Items, custom_metrics.MetricValue{
			DescribedObject: custom_metrics.ObjectReference{
				APIVersion: "v1", Kind: "Pod", Namespace: p.Namespace, Name: i.name(), UID: types.UID(i.uid()),
			},
			Metric: custom_metrics.MetricIdentifier{Name: theMetric}, Timestamp: now,
			Value: *resource.NewQuantity(int64(i.count()), resource.DecimalSI),
		})
	}
	return list
}

// readyMade answers every selector with the same list.
type readyMade struct {
	provider.CustomMetricsProvider // nil: nothing else is asked
	list                           *custom_metrics.MetricValueList
}

func (r readyMade) GetMetricBySelector(context.Context, string, labels.Selector, provider.CustomMetricInfo, labels.Selector) (*custom_metrics.MetricValueList, error) {
	return r.list, nil
}

func (r readyMade) ListAllMetrics() []provider.CustomMetricInfo {
	return []provider.CustomMetricInfo{{GroupResource: schema.GroupResource{Resource: "pods"}, Namespaced: true, Metric: theMetric}}
}
