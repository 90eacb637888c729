package telemetry

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/adapter/metricsapi"
	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

// Collector turns the newest View into series at each scrape. Series of instances and kinds that
// are gone disappear by construction, and what is not known, or no longer, has no series: there is
// no 0 that means "unknown".
type Collector struct {
	view func() metricsapi.View
}

// NewCollector returns a Collector over view, which must be safe for concurrent use.
func NewCollector(view func() metricsapi.View) *Collector { return &Collector{view: view} }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// The series. The label is not called instance: Prometheus gives that name to what it scrapes.
var (
	instanceResources = describe("shardscaler_instance_resources",
		"Ids in the list of an instance.", "kind", "ordinal")
	instanceLag = describe("shardscaler_instance_heartbeat_lag_seconds",
		"Time since the newest heartbeat of an instance.", "kind", "ordinal")
	instanceCPU = describe("shardscaler_instance_cpu_cores",
		"CPU that an instance uses, from metrics.k8s.io.", "kind", "ordinal")
	instanceMemory = describe("shardscaler_instance_memory_bytes",
		"Memory that an instance uses, from metrics.k8s.io.", "kind", "ordinal")
	instanceCPURequest = describe("shardscaler_instance_cpu_request_cores",
		"CPU that an instance's containers request.", "kind", "ordinal")
	instanceMemoryRequest = describe("shardscaler_instance_memory_request_bytes",
		"Memory that an instance's containers request.", "kind", "ordinal")
	instanceReady = describe("shardscaler_instance_ready",
		"1 if the pod of an instance is Ready, else 0.", "kind", "ordinal")

	kindResources = describe("shardscaler_kind_resources",
		"Resources of a kind by state: assigned, in_flight or unassigned.", "kind", "state")
	kindCatalogued = describe("shardscaler_kind_catalogue_resources",
		"Resources of a kind in the last complete read of the catalogue.", "kind")
	kindReplicas = describe("shardscaler_kind_replicas",
		"Size of the StatefulSet as its spec has it.", "kind")
	kindReadyReplicas = describe("shardscaler_kind_ready_replicas",
		"Ready pods of the StatefulSet as its controller reports them.", "kind")
	kindRecommended = describe("shardscaler_kind_recommended_replicas",
		"Size that the kind's own signals ask for, within its bounds and windows.", "kind")
	kindInit = describe("shardscaler_kind_init_replicas",
		"Least number of instances, as configured.", "kind")
	kindMax = describe("shardscaler_kind_max_replicas",
		"Greatest number of instances, as configured.", "kind")
	kindCapacity = describe("shardscaler_kind_capacity",
		"Hard limit of resources on one instance, as configured.", "kind")
	kindTarget = describe("shardscaler_kind_target_per_instance",
		"Resources on one instance that sizing aims at, as configured.", "kind")

	sourceAge = describe("shardscaler_source_age_seconds",
		"Time since an input was last read completely; no series before the first time.", "kind", "source")
	sourceFailing = describe("shardscaler_source_failing",
		"1 if the latest try to read an input failed, else 0.", "kind", "source")
)

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		instanceResources, instanceLag, instanceCPU, instanceMemory, instanceCPURequest, instanceMemoryRequest, instanceReady,
		kindResources, kindCatalogued, kindReplicas, kindReadyReplicas, kindRecommended, kindInit, kindMax, kindCapacity, kindTarget,
		sourceAge, sourceFailing,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	view := c.view()
	for i := range view.Snapshot.Kinds {
		k := &view.Snapshot.Kinds[i]
		cfg, ok := view.Config.Kind(k.Name)
		if !ok {
			continue
		}
		s := series{ch: ch, kind: k, now: view.Snapshot.At}
		s.configured(cfg)
		s.counts(view)
		s.sources()
		if k.Sources.Cluster.Fresh(s.now, observed.ClusterMaxAge) {
			s.workload()
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

func (s series) configured(cfg *config.Kind) {
	s.gauge(kindInit, float64(cfg.Init))
	s.gauge(kindMax, float64(cfg.Max))
	s.gauge(kindCapacity, float64(cfg.Capacity))
	s.gauge(kindTarget, float64(cfg.TargetPerInstance))
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

func (s series) workload() {
	if w := s.kind.Workload; w != nil {
		s.gauge(kindReplicas, float64(w.Replicas))
		s.gauge(kindReadyReplicas, float64(w.ReadyReplicas))
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
		s.gauge(sourceFailing, number(source.Error != ""), string(name))
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
	s.gauge(instanceReady, number(pod.Ready), ordinal)
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

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
