package loop

import (
	"slices"

	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
	"github.com/shardscaler/shardscaler/rebalancer/wave"
)

// teller tells callers, metrics and the log what steps have done, and knows the steps that remember
// something of which others are told.
type teller struct {
	*core
	move       *steps.Move
	place      *steps.Place
	spread     *steps.Spread
	duplicates []protocol.Duplicate
}

func newTeller(c *core) *teller {
	t := &teller{core: c}
	t.move = &steps.Move{Plan: t.plan, Begun: t.waveBegun, Ended: t.waveEnded}
	t.place = &steps.Place{Move: t.move, Placed: t.placed}
	t.spread = &steps.Spread{Place: t.place, Move: t.move}
	t.move.Place = t.place
	return t
}

// recall takes up what an earlier leader has stored.
func (t *teller) recall() {
	w, err := t.move.Recall(&t.view)
	if err != nil {
		t.Log.Error("not all is known of earlier moves", "error", err)
	}
	t.spread.Recall(t.view.State, w)
	if w != nil {
		t.Log.Info("taking up a wave", "plan", w.Plan, "reason", w.Reason, "moves", w.Total, "left", w.Pending.Count())
	}
}

// done answers the callers that wait for what a transaction did, and counts that. A redirect only
// has what was asked for before not take place.
func (t *teller) done(step string, a steps.Answer) {
	switch {
	case len(a.IDs) == 0:
		return
	case step == "redirect":
	case a.Op == resync.Created:
		fault.Point("create.published")
		t.Metrics.created.Add(float64(len(a.IDs)))
	default:
		fault.Point("delete.published")
		t.Metrics.deleted.Add(float64(len(a.IDs)))
	}
	t.answer(a.Op, a.IDs)
}

func (t *teller) notKept(name string, err error) {
	t.Log.Error("a document is not kept", "document", name, "error", err)
}

func (t *teller) opened(open, before, added []int) {
	t.Log.Info("instances that may receive", "open", open, "before", before)
	t.spread.Opened(t.view.State, before, added)
}

func (t *teller) removed(n int) {
	t.Log.Info("removed the znodes of an empty instance", "instance", n)
}

func (t *teller) completed(n int) {
	t.Log.Warn("another client has left an ordinal incomplete: it is completed", "instance", n)
}

const (
	// listedDuplicates is how many resolved duplicates are shown, loggedDuplicates how many of one
	// znode are logged.
	listedDuplicates = 1000
	loggedDuplicates = 100
)

func (t *teller) deduped(found []protocol.Duplicate) {
	t.Metrics.duplicates.Add(float64(len(found)))
	t.Log.Warn("ids were in two places", "count", len(found))
	for i, d := range found {
		if i < loggedDuplicates {
			t.Log.Warn("an id was in two places", "resource", d.ID, "stayed", d.Stayed, "removed", d.Removed)
		}
		if len(t.duplicates) < listedDuplicates {
			t.duplicates = append(t.duplicates, d)
		}
	}
}

// granted counts what an instance received.
func (t *teller) granted(n int, parts []steps.Part) {
	for _, part := range parts {
		from, w := protocol.FlightSource(part.Flight), t.move.Arrived(t.view.Now, part.Flight, part.N)
		planID, reason := "", wave.Drain
		switch {
		case w != nil:
			planID, reason = w.Plan, w.Reason
		case t.view.Orders.Stays(from):
			reason = wave.Spread
		}
		why := reason
		switch {
		case from == n || reason == wave.Undo:
			why = "undone"
		case w != nil && reason == wave.Drain && slices.Contains(w.Reassigned, from):
			why = "reassigned"
		}
		t.moved(reason, planID, why, part.N)
	}
	t.Log.Debug("granted", "instance", n)
}

// pooled counts what has come back to the pool.
func (t *teller) pooled(part steps.Part) { t.move.Arrived(t.view.Now, part.Flight, part.N) }

// placed counts what was assigned from the pool.
func (t *teller) placed(n int) { t.moved("new", "", "created", n) }

func (t *teller) moved(reason, planID, why string, n int) {
	t.Metrics.moves.WithLabelValues(reason).Add(float64(n))
	t.Host.Moved(planID, why, n)
}

func (t *teller) waveBegun(w *wave.Running) {
	t.Metrics.waves.WithLabelValues(w.Reason).Inc()
	t.Log.Info("a wave begins", "plan", w.Plan, "reason", w.Reason, "why", w.Why, "moves", w.Total, "beyond", w.Beyond)
}

func (t *teller) waveEnded(w *wave.Running) {
	t.Log.Info("a wave has ended", "plan", w.Plan, "reason", w.Reason, "arrived", w.Arrived, "of", w.Total)
}

func (t *teller) rolledBack(d *steps.RolledBack) {
	t.Log.Info("rolled back", "plan", d.PlanID, "stayed", d.Stayed, "returned", d.Returned, "undone", d.Undone, "kept", d.Kept)
}

// plan makes a plan, and measures how long that took.
func (t *teller) plan(w *plan.World, o plan.Options) (*plan.Plan, error) {
	begun := t.Now()
	p, err := plan.Make(w, o)
	t.Metrics.planning.Observe(t.Now().Sub(begun).Seconds())
	return p, err
}
