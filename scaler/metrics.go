package scaler

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// metrics are the scaler's own; every one carries the kind. A size that is not known has no series: 0 would lie.
type metrics struct {
	sizes     map[string]*prometheus.GaugeVec
	proposals *prometheus.GaugeVec
	decisions *prometheus.CounterVec
	scales    *prometheus.CounterVec
	instances *prometheus.GaugeVec

	failures, restarts             prometheus.Counter
	left, excess, blind, suspended prometheus.Gauge
	foreign, conflict              prometheus.Gauge
	holds, overloaded              *prometheus.GaugeVec
	drainPhase                     *prometheus.GaugeVec
	drainSeconds, drainBlocked     prometheus.Gauge
	lost                           prometheus.Gauge
	duration                       prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, kind string) *metrics {
	f := promauto.With(prometheus.WrapRegistererWith(prometheus.Labels{"kind": kind}, reg))
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: "shardscaler_" + name, Help: help}, labels)
	}
	counter := func(name, help string) prometheus.Counter { return counters(name, help).WithLabelValues() }
	vector := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Name: "shardscaler_" + name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge { return vector(name, help).WithLabelValues() }
	m := &metrics{
		sizes:     map[string]*prometheus.GaugeVec{},
		proposals: vector("signal_proposed_replicas", "Size that a signal asks for; no series while it is missing.", "signal"),
		decisions: counters("decisions_total", "Decisions, by verb (keep, grow, shrink, still) and by what determined them.",
			"verb", "reason"),
		scales:       counters("scales_total", "Sizes written, by direction.", "direction"),
		instances:    vector("instances", "Instances, by condition.", "condition"),
		holds:        vector("shrink_held", "1 while this reason keeps the size from falling.", "reason"),
		drainPhase:   vector("drain_phase", "1 for the phase that a drain is in: closing, emptying, verifying, lowering, waiting, ending.", "phase"),
		drainSeconds: gauge("drain_seconds", "Time since the drain under way began; 0 without one."),
		drainBlocked: gauge("drain_blocked", "1 while something keeps a drain from going on."),
		lost:         gauge("lost_instances", "Instances whose node is lost."),
		overloaded: vector("overloaded_instances",
			"Instances above a target for the hottest one, by what is to relieve them: rebalance, growth or none.", "relief"),
		failures:  counter("scale_failures_total", "Sizes that could not be written; conflicts are none."),
		restarts:  counter("restarts_total", "Pods deleted because they were silent."),
		left:      gauge("draining_resources", "Resources still owned by instances that are to go."),
		excess:    gauge("excess_resources", "Resources that do not fit into the largest size."),
		blind:     gauge("blind", "1 while nothing is decided for want of input."),
		suspended: gauge("restarts_suspended", "1 while nobody is restarted, because silence is widespread or cannot be judged."),
		foreign:   gauge("foreign_writer", "1 while no sizes are written, because another writer of replicas insists on its own."),
		conflict:  gauge("conflicting_hpa", "1 while an HPA writes replicas that are not its own, or several HPAs select the same pods."),
		duration: f.NewHistogram(prometheus.HistogramOpts{
			Name: "shardscaler_tick_duration_seconds",
			Help: "Time of one look: decide, order and act.", Buckets: []float64{.0005, .001, .005, .02, .1, .5, 2, 10},
		}),
	}
	for name, help := range map[string]string{
		"current": "Size of the StatefulSet.", "wanted": "Size the signals ask for now.", "desired": "Size to bring about.",
		"min": "Least size (init).", "max": "Greatest size.", "floor": "Size the resource count asks for.",
	} {
		m.sizes[name] = vector("replicas_"+name, help)
	}
	return m
}

func (m *metrics) observe(d *outcome.Report, took time.Duration) {
	m.duration.Observe(took.Seconds())
	m.decisions.WithLabelValues(string(d.Verb), string(d.Reason)).Inc()
	m.blind.Set(oneIf(d.Blind != ""))
	m.suspended.Set(oneIf(d.Health.Suspended != ""))
	m.foreign.Set(oneIf(d.Foreign.Text() != ""))
	m.conflict.Set(oneIf(d.Conflict != nil))
	for _, v := range []*prometheus.GaugeVec{m.proposals, m.instances, m.holds, m.overloaded} {
		v.Reset()
	}
	for _, v := range d.Health.Verdicts {
		m.instances.WithLabelValues(string(v.Condition)).Inc()
	}
	m.observeSizes(d)
	m.observeDrain(d)
	m.lost.Set(float64(len(d.Lost)))
	if d.Blind != "" {
		return
	}
	m.excess.Set(float64(d.Excess))
	m.left.Set(float64(outcome.Total(d.Acted().Left)))
	for _, s := range d.Signals {
		if s.Missing == "" {
			m.proposals.WithLabelValues(string(s.Name)).Set(float64(s.Proposed))
		}
	}
	for _, h := range d.Hot {
		m.overloaded.WithLabelValues(string(h.Relief)).Inc()
	}
	for _, h := range d.Holds {
		m.holds.WithLabelValues(string(h.By)).Set(1)
	}
}

func (m *metrics) observeDrain(d *outcome.Report) {
	m.drainPhase.Reset()
	m.drainSeconds.Set(0)
	m.drainBlocked.Set(0)
	if dr := d.Drain; dr != nil {
		m.drainPhase.WithLabelValues(string(dr.Phase)).Set(1)
		m.drainSeconds.Set(d.At.Sub(dr.Since).Seconds())
		m.drainBlocked.Set(oneIf(dr.BlockedFor(d.At, outcome.ShownAfter)))
	}
}

func (m *metrics) observeSizes(d *outcome.Report) {
	for _, v := range m.sizes {
		v.Reset()
	}
	set := func(name string, n int) { m.sizes[name].WithLabelValues().Set(float64(n)) }
	set("min", d.Init)
	set("max", d.Max)
	if d.Current != nil {
		set("current", *d.Current)
	}
	if d.Blind == "" {
		set("wanted", d.Needed)
		set("desired", d.Desired)
		set("floor", d.Floor)
	}
}

func (m *metrics) scaled(from, to int) {
	direction := "up"
	if to < from {
		direction = "down"
	}
	m.scales.WithLabelValues(direction).Inc()
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
