package rebalancer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/loop"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/wave"
)

// ErrNothingToRollBack is what a rollback fails with when no wave runs and nothing is in flight.
var ErrNothingToRollBack = errors.New("nothing to roll back")

// RolledBack is what a rollback does.
type RolledBack struct {
	// PlanID is the plan that was running; empty when only what was in flight was turned.
	PlanID string `json:"planId,omitempty"`
	// Stayed were not taken yet and stay where they are; Returned were in flight and go back to
	// their instance; Undone had arrived, and a wave of their own takes them back.
	Stayed   int `json:"stayed"`
	Returned int `json:"returned"`
	Undone   int `json:"undone"`
	// Kept go on, or stay where they have arrived, because the instance they came from is closed,
	// or the one they have arrived on does not acknowledge.
	Kept int `json:"kept"`
}

// rollback is one call of Rollback: the document that is kept first, and the result.
type rollback struct {
	name   string
	change orders.Update
	result RolledBack
	// paused says that the document is kept, or may be: a part of it has been carried out.
	paused bool
	*inventory.Request
}

// Rollback turns the running wave round, leader only: what is in flight returns to its source if
// that is open, and what has arrived is taken back by moves like any others. It returns when that
// is under way. Nothing is spread until orders made later. So that what was undone is not soon
// planned again, the document of that name, which pauses, is changed first; where there is nothing
// to roll back it is not. Where ctx ends first, the error is ErrNotSent or ErrOutcomeUnknown.
func (e *Engine) Rollback(ctx context.Context, name string, pause orders.Update) (RolledBack, error) {
	r := &rollback{name: name, change: pause, Request: inventory.NewRequest(e.cfg.Now())}
	if err := e.enqueue(func(c *calls) { c.rollbacks = append(c.rollbacks, r) }); err != nil {
		return RolledBack{}, err
	}
	err := e.await(ctx, r.Request, func() bool {
		return e.giveUp(r.Request, func(c *calls) { c.rollbacks = except(c.rollbacks, r) })
	})
	if err != nil {
		return RolledBack{}, err
	}
	return r.result, nil
}

// rollBack serves calls of Rollback, all that there are at once. It is tried until it succeeds,
// ends the term or the callers go: each part of it may be repeated.
func (t *term) rollBack(ctx context.Context) (bool, error) {
	asked := t.e.askedRollbacks()
	if len(asked) == 0 {
		return false, nil
	}
	result, err := t.turnBack(ctx, asked)
	if errors.Is(err, protocol.ErrConflict) || t.ends(ctx, err) {
		return false, err
	}
	t.e.answerRollbacks(asked, result, err)
	return true, nil
}

func (e *Engine) askedRollbacks() []*rollback {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.calls.rollbacks)
}

func (e *Engine) answerRollbacks(asked []*rollback, result RolledBack, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls.rollbacks = slices.DeleteFunc(e.calls.rollbacks, func(r *rollback) bool { return slices.Contains(asked, r) })
	for _, r := range asked {
		if !r.Ended() {
			r.result = result
		}
		if err == nil || !r.paused {
			r.End(err)
			continue
		}
		r.End(fmt.Errorf("%w: it may be paused, and a part of the moves turned round: %w", orders.ErrOutcomeUnknown, err))
	}
}

// pauseFirst keeps the documents that pause. They are what is sent first: if all callers have given
// up before, nothing is.
func (t *term) pauseFirst(ctx context.Context, asked []*rollback) error {
	here := false
	for _, r := range asked {
		m, err := t.document(r.name, r.change)
		if err != nil {
			return fmt.Errorf("pause: %w", err)
		}
		var gone error
		m.Gate = func() error {
			gone = t.e.sending(r.Request)
			return gone
		}
		if err := t.commit(ctx, job{m: m}); err != nil {
			r.paused = r.paused || r.Sent() && unsettled(err)
			return err
		}
		r.paused = r.paused || gone == nil
		here = here || gone == nil
	}
	if !here {
		return inventory.ErrGaveUp
	}
	return nil
}

func (t *term) turnBack(ctx context.Context, asked []*rollback) (RolledBack, error) {
	var done RolledBack
	switch {
	case t.idle != "":
		return done, fmt.Errorf("roll back: nothing may be moved: %s", t.idle)
	case t.wave == nil && t.flying() == 0:
		return done, ErrNothingToRollBack
	}
	if err := t.pauseFirst(ctx, asked); err != nil {
		return done, err
	}
	t.spread.rolledBack, t.spread.due = t.now, false
	if t.wave != nil {
		done.PlanID, done.Stayed = t.wave.Plan, t.wave.Left()
		t.wave.DropAll()
	}
	if err := t.turnFlights(ctx, &done); err != nil {
		return done, err
	}
	err := t.undo(ctx, &done)
	t.e.log.Info("rolled back", "plan", done.PlanID, "stayed", done.Stayed, "returned", done.Returned, "undone", done.Undone, "kept", done.Kept)
	return done, err
}

// turnFlights sends home what is in flight.
func (t *term) turnFlights(ctx context.Context, done *RolledBack) error {
	names := t.st.FlightNames()
	for len(names) > 0 {
		b := newBatch(loop.MaxBytes)
		for ; len(names) > 0 && !b.full(); names = names[1:] {
			f := t.st.Flight[names[0]]
			var back []string
			home := t.stays(f.From) && t.st.IsOpen(f.From)
			for i, id := range f.IDs.All() {
				switch to := f.Target(i); {
				case to == protocol.ToDelete:
				case !home:
					done.Kept++
				default:
					done.Returned++
					if to != f.From {
						back = append(back, id)
					}
				}
			}
			if len(back) > 0 {
				m, err := protocol.Redirect(t.st, f.Name, back, f.From)
				b.add(job{m: m}, err)
			}
		}
		if err := t.send(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// undo begins a wave that takes back what the running one has moved. What an undo has moved is not
// undone: it would come and go.
func (t *term) undo(ctx context.Context, done *RolledBack) error {
	if t.wave == nil || t.wave.Reason == wave.Undo {
		return nil
	}
	var moves wave.Moves
	for _, d := range t.wave.Moves {
		home := t.stays(d.From) && t.st.IsOpen(d.From)
		for i, id := range d.IDs {
			at, known := t.e.inventory.Index.Find(id)
			switch {
			case !known || at < 0 || int(at) != d.To[i]:
			case !home || t.releases.FixedForGood(d.To[i], t.now):
				done.Kept++
			default:
				moves.Add(d.To[i], id, d.From)
				done.Undone++
			}
		}
	}
	if moves.Empty() {
		return nil
	}
	return t.begin(ctx, &moves, wave.Wave{Plan: t.wave.Plan, Reason: wave.Undo, Why: "a person rolled the plan back"})
}
