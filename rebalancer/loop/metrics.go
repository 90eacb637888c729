package loop

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/internal/meter"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Metrics are those of a kind's engine; every one carries the kind.
type Metrics struct {
	created, deleted, duplicates, conflicts, foreign prometheus.Counter
	moves                                            *prometheus.CounterVec
	changes                                          prometheus.Counter
	commits                                          *prometheus.CounterVec
	waves                                            *prometheus.CounterVec
	wave                                             *prometheus.GaugeVec
	perMinute, secondsLeft                           prometheus.Gauge
	leading, alarm, unannounced                      prometheus.Gauge
	parked                                           *prometheus.GaugeVec
	planning, creating                               prometheus.Histogram
}

// NewMetrics registers the series; waiting counts the deletes that wait for a person, claimed those
// that wait for a read. state is the latest one, nil before the first read.
func NewMetrics(reg prometheus.Registerer, kind string, waiting, claimed func() float64, state func() *protocol.State) *Metrics {
	const prefix = "shardscaler_rebalancer_"
	m := meter.In(prometheus.WrapRegistererWithPrefix(prefix, prometheus.WrapRegistererWith(prometheus.Labels{"kind": kind}, reg)))
	m.GaugeFunc("waiting_deletes",
		"Deletes found by a comparison with the catalogue that wait for a person to confirm their number.", waiting)
	m.GaugeFunc("claimed_deletes",
		"Resources that a delete by a condition named and no complete read of the catalogue has decided yet.", claimed)
	counted := func(count func(st *protocol.State) int) func() float64 {
		return func() float64 {
			st := state()
			if st == nil {
				return 0
			}
			return float64(count(st))
		}
	}
	m.GaugeFunc("pool_pieces", "Pieces of the pool of unassigned resources.",
		counted(func(st *protocol.State) int { return len(st.Pool) }))
	m.GaugeFunc("in_flight_resources", "Resources revoked from an instance and not yet granted to another.",
		counted((*protocol.State).InFlight))
	return &Metrics{
		created:    m.Counter("created_total", "Resources made durable."),
		deleted:    m.Counter("deleted_total", "Resources deleted."),
		duplicates: m.Counter("duplicates_total", "Ids found in two places and left in one."),
		conflicts:  m.Counter("conflicts_total", "Writes refused because something else had changed; each is followed by a complete read."),
		foreign:    m.Counter("foreign_edits_total", "Changes of the assignment that another client made."),
		changes:    m.Counter("list_changes_total", "Changes of an instance's list."),
		moves: m.Counters("moves_total",
			"Resources assigned or granted to an instance, by reason: new (from the pool), drain, pin, spread, undo.", "reason"),
		commits: m.Counters("commits_total", "Transactions committed, by step of the protocol.", "step"),
		parked: m.Gauges("parked_resources",
			"Resources that have no place, or not the one they should have, by reason.", "reason"),
		waves: m.Counters("waves_total", "Waves of moves begun, by reason: drain, pin, spread, undo.", "reason"),
		wave: m.Gauges("wave_moves",
			"Moves of the running wave, by state: planned, acknowledged (released by their instance), moved, left (not arrived yet); none while no wave runs.",
			"state"),
		perMinute:   m.Gauge("wave_moves_per_minute", "Moves per minute while a wave runs."),
		secondsLeft: m.Gauge("wave_left_seconds", "Estimated time to the end of the running plan; 0 when none runs or nothing can be said."),
		leading:     m.Gauge("leading", "1 while this process writes the assignment."),
		unannounced: m.Gauge("unannounced_rows", "Rows found only by reading the catalogue since a message of the kind last came; above 0 notifications seem to be lost."),
		alarm:       m.Gauge("stopped", "1 while an alarm has stopped the kind: its assignment is not written."),
		planning:    m.Histogram("plan_seconds", "Time to plan.", .0001, .001, .005, .02, .1, .5),
		creating: m.Histogram("create_seconds", "Time from a create's arrival to durable.",
			.001, .002, .005, .01, .02, .05, .1, .5, 1, 5, 30),
	}
}

// Leads shows that this process writes, or, with the last of what only a leader knows, that it
// does not.
func (m *Metrics) Leads(leading bool) {
	if leading {
		m.leading.Set(1)
		return
	}
	m.showParked(nil)
	m.Progressed(&orders.Progress{}, time.Time{})
	m.leading.Set(0)
	m.alarm.Set(0)
}

// showParked shows what has no place.
func (m *Metrics) showParked(groups []plan.RefusedGroup) {
	m.parked.Reset()
	for _, g := range groups {
		m.parked.WithLabelValues(g.Why).Add(float64(g.Count))
	}
}

// Progressed shows the running wave.
func (m *Metrics) Progressed(p *orders.Progress, now time.Time) {
	left := 0.0
	if p.EstimatedEnd != nil {
		left = max(0, p.EstimatedEnd.Sub(now).Seconds())
	}
	m.secondsLeft.Set(left)
	m.perMinute.Set(p.PerMinute)
	if p.PlanID == "" {
		m.wave.Reset()
		return
	}
	for state, n := range map[string]int{"planned": p.Moves, "acknowledged": p.Acknowledged, "moved": p.Done, "left": p.Left} {
		m.wave.WithLabelValues(state).Set(float64(n))
	}
}
