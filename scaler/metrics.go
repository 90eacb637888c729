package scaler

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/internal/meter"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// metrics are the scaler's own; every one carries the kind. A size that is not known has no series:
// 0 would lie.
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
	duration                       prometheus.Observer
	syncPeriod                     prometheus.Gauge
	due                            atomic.Int64 // when the next decision is due at the latest, in Unix nanoseconds; 0: not known
}

func newMetrics(reg prometheus.Registerer, kind string, now func() time.Time) *metrics {
	in := meter.In(prometheus.WrapRegistererWith(prometheus.Labels{"kind": kind}, prometheus.WrapRegistererWithPrefix("shardscaler_", reg)))
	m := &metrics{
		sizes:        map[string]*prometheus.GaugeVec{},
		proposals:    in.Gauges("signal_proposed_replicas", "Replicas that one signal asks for; no series while it is missing.", "signal"),
		decisions:    in.Counters("decisions_total", "Decisions, by action (keep, grow, shrink, still) and by what determined them.", "verb", "reason"),
		scales:       in.Counters("scales_total", "Replicas written, by direction.", "direction"),
		instances:    in.Gauges("instances", "Instances, by condition.", "condition"),
		holds:        in.Gauges("shrink_held", "1 while this reason is a hold: it stands against a scale down.", "reason"),
		drainPhase:   in.Gauges("drain_phase", "1 for the phase that a drain is in: closing, emptying, verifying, lowering, waiting, ending.", "phase"),
		drainSeconds: in.Gauge("drain_seconds", "Time since the drain under way began; 0 without one."),
		drainBlocked: in.Gauge("drain_blocked", "1 while a drain is blocked."),
		lost:         in.Gauge("lost_instances", "Instances whose node is lost."),
		overloaded: in.Gauges("overloaded_instances",
			"Instances above a target for the hottest one, by what is to relieve them: rebalance, growth (scale up) or none.", "relief"),
		failures:  in.Counter("scale_failures_total", "Failed writes of replicas; conflicts are not counted."),
		restarts:  in.Counter("restarts_total", "Pods deleted because they were silent."),
		left:      in.Gauge("draining_resources", "Resources still owned by instances that are leaving."),
		excess:    in.Gauge("excess_resources", "Resources too many for max instances at capacity."),
		blind:     in.Gauge("blind", "1 while blind: an input is too old, incomplete or contradictory, and nothing is decided."),
		suspended: in.Gauge("restarts_suspended", "1 while restarts and reassigning are suspended, because silence is widespread or cannot be judged."),
		foreign:   in.Gauge("foreign_writer", "1 while replicas are left to another writer that keeps writing its own."),
		conflict:  in.Gauge("conflicting_hpa", "1 while an HPA writes replicas that are not its own, or several HPAs select the same pods."),
		duration: in.Histograms("tick_duration_seconds", "Duration of one tick: decide, order and act.",
			[]float64{.0005, .001, .005, .02, .1, .5, 2, 10}).WithLabelValues(),
		syncPeriod: in.Gauge("sync_period_seconds", "Most time between two decisions (syncPeriod), as configured."),
	}
	in.GaugeFunc("decision_delay_seconds", "Time by which the next decision is late: since the last one, beyond the sync period; 0 while it is not due.", func() float64 {
		due := m.due.Load()
		if due == 0 {
			return 0
		}
		return max(0, now().Sub(time.Unix(0, due)).Seconds())
	})
	for name, help := range map[string]string{
		"current": "Current replicas of the StatefulSet.", "wanted": "Needed replicas: what the signals ask for now, within init and max.",
		"desired": "Desired replicas: the needed ones after windows, policies, bounds and holds.",
		"min":     "Minimum of replicas (init).", "max": "Maximum of replicas (max).", "floor": "Replicas that the resource count asks for.",
	} {
		m.sizes[name] = in.Gauges("replicas_"+name, help)
	}
	return m
}

// decided notes that a decision was made, and how long after it the next one is due at the latest.
func (m *metrics) decided(at time.Time, period time.Duration) {
	m.syncPeriod.Set(period.Seconds())
	m.due.Store(at.Add(period).UnixNano())
}

func (m *metrics) observe(d *outcome.Report, took time.Duration) {
	m.duration.Observe(took.Seconds())
	m.decisions.WithLabelValues(string(d.Verb), string(d.Reason)).Inc()
	m.blind.Set(meter.Number(d.Blind != ""))
	m.suspended.Set(meter.Number(d.Health.Suspended != ""))
	m.foreign.Set(meter.Number(d.Foreign.Text() != ""))
	m.conflict.Set(meter.Number(d.Conflict != nil))
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
		m.drainBlocked.Set(meter.Number(dr.BlockedFor(d.At, outcome.ShownAfter)))
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
