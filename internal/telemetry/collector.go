package telemetry

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/adapter/metricsapi"
	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/meter"
)

// Collector turns the newest View into series at each scrape. What is gone, and what is not known,
// or no longer, has no series: there is no 0 that means "unknown".
type Collector func() metricsapi.View // safe for concurrent use

// described are all series.
var described []*prometheus.Desc

func describe(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc("shardscaler_"+name, help, labels, nil)
	described = append(described, d)
	return d
}

func ofInstance(name, help string) *prometheus.Desc {
	return describe("instance_"+name, help, "kind", "ordinal")
}

func ofKind(name, help string, labels ...string) *prometheus.Desc {
	return describe("kind_"+name, help, append([]string{"kind"}, labels...)...)
}

// The series. The label is not called instance: Prometheus gives that name to what it scrapes.
var (
	instanceResources     = ofInstance("resources", "Ids in the list of an instance.")
	instanceLag           = ofInstance("heartbeat_lag_seconds", "Age of the newest heartbeat that an instance's present pod sent; without one, of the pod.")
	instanceCPU           = ofInstance("cpu_cores", "CPU that an instance uses, from metrics.k8s.io.")
	instanceMemory        = ofInstance("memory_bytes", "Memory that an instance uses, from metrics.k8s.io.")
	instanceCPURequest    = ofInstance("cpu_request_cores", "CPU that an instance's containers request.")
	instanceMemoryRequest = ofInstance("memory_request_bytes", "Memory that an instance's containers request.")
	instanceReady         = ofInstance("ready", "1 if the pod of an instance is Ready, else 0.")

	kindResources     = ofKind("resources", "Resources of a kind by state: assigned, in_flight or unassigned.", "state")
	kindCatalogued    = ofKind("catalogue_resources", "Resources of a kind in the last complete read of the catalogue.")
	kindReplicas      = ofKind("replicas", "Current replicas of the StatefulSet, as its spec has them.")
	kindReadyReplicas = ofKind("ready_replicas", "Ready pods of the StatefulSet as its controller reports them.")
	kindRecommended   = ofKind("recommended_replicas", "Recommended replicas: what the kind's own signals ask for, within its bounds and windows.")
	kindInit          = ofKind("init_replicas", "Least number of instances, as configured.")
	kindMax           = ofKind("max_replicas", "Greatest number of instances, as configured.")
	kindCapacity      = ofKind("capacity", "Hard limit of resources on one instance, as configured.")
	kindMode          = ofKind("mode", "1 with the mode in force as label: observe, recommend or act.", "mode")
	kindTarget        = ofKind("target_per_instance", "Resources on one instance that sizing aims at, as configured.")

	sourceAge = describe("source_age_seconds",
		"Time since an input was last read completely; no series before the first time.", "kind", "source")
	sourceFailing = describe("source_failing",
		"1 if the latest try to read an input failed, else 0.", "kind", "source")
)

// Describe implements prometheus.Collector.
func (c Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range described {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c Collector) Collect(ch chan<- prometheus.Metric) {
	view := c()
	for i := range view.Snapshot.Kinds {
		k := &view.Snapshot.Kinds[i]
		cfg := view.Configured(i)
		if cfg == nil {
			continue
		}
		s := series{ch: ch, kind: k, now: view.Snapshot.At}
		s.gauge(kindInit, float64(cfg.Init))
		s.gauge(kindMax, float64(cfg.Max))
		s.gauge(kindCapacity, float64(cfg.Capacity))
		s.gauge(kindTarget, float64(cfg.TargetPerInstance))
		s.gauge(kindMode, 1, string(cfg.Mode))
		s.counts(view)
		s.sources()
		if k.Sources.Cluster.Fresh(s.now, observed.ClusterMaxAge) {
			if w := k.Workload; w != nil {
				s.gauge(kindReplicas, float64(w.Replicas))
				s.gauge(kindReadyReplicas, float64(w.ReadyReplicas))
			}
			for n := range k.Instances {
				s.instance(cfg, &k.Instances[n])
			}
		}
	}
}

// series sends what is known of one kind.
type series struct {
	ch   chan<- prometheus.Metric
	kind *observed.Kind
	now  time.Time
}

func (s series) gauge(d *prometheus.Desc, value float64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{s.kind.Name}, labels...)...)
}

func (s series) counts(view metricsapi.View) {
	if _, err := observed.Resources(s.kind, s.now); err == nil {
		s.gauge(kindResources, float64(s.kind.Assigned), "assigned")
		s.gauge(kindResources, float64(s.kind.InFlight), "in_flight")
		s.gauge(kindResources, float64(s.kind.Unassigned), "unassigned")
	}
	if s.kind.Sources.Catalogue.Known() {
		s.gauge(kindCatalogued, float64(s.kind.Catalogue))
	}
	if n, err := view.Recommended[s.kind.Name].Value(s.kind.Name); err == nil {
		s.gauge(kindRecommended, float64(n))
	}
}

func (s series) sources() {
	all := map[observed.SourceName]*observed.Source{
		observed.SourceStore: &s.kind.Sources.Store, observed.SourceCluster: &s.kind.Sources.Cluster,
		observed.SourceMetrics: &s.kind.Sources.Metrics, observed.SourceCatalogue: &s.kind.Sources.Catalogue,
		observed.SourceNotify: &s.kind.Sources.Notify, observed.SourceBus: s.kind.Sources.Bus,
		observed.SourceGroups: &s.kind.Sources.Groups, observed.SourceHPAs: &s.kind.Sources.HPAs,
	}
	for name, source := range all {
		if source == nil {
			continue // a kind without heartbeat has no bus
		}
		s.gauge(sourceFailing, meter.Number(source.Error != ""), string(name))
		if source.Known() {
			s.gauge(sourceAge, source.Age(s.now).Seconds(), string(name))
		}
	}
}

func (s series) instance(cfg *config.Kind, inst *observed.Instance) {
	pod := inst.Pod
	if pod == nil {
		return
	}
	ordinal := strconv.Itoa(inst.Ordinal)
	s.gauge(instanceReady, meter.Number(pod.Ready), ordinal)
	if n, err := observed.ResourcesPerInstance(s.kind, inst, s.now); err == nil {
		s.gauge(instanceResources, float64(n), ordinal)
	}
	if lag, err := observed.Lag(s.kind, *cfg, inst, s.now); err == nil {
		s.gauge(instanceLag, lag.Seconds(), ordinal)
	}
	const milli = 1000
	if u := inst.Usage; u != nil && s.now.Sub(u.At) <= cfg.Freshness.Metrics.Std() {
		if u.MissingCPU == "" {
			s.gauge(instanceCPU, float64(u.CPU)/milli, ordinal)
		}
		if u.MissingMemory == "" {
			s.gauge(instanceMemory, float64(u.Memory), ordinal)
		}
	}
	if len(pod.MissingCPURequest) == 0 {
		s.gauge(instanceCPURequest, float64(pod.CPURequest)/milli, ordinal)
	}
	if len(pod.MissingMemoryRequest) == 0 {
		s.gauge(instanceMemoryRequest, float64(pod.MemoryRequest), ordinal)
	}
}
