package steps

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/wave"
)

// ErrNothingToRollBack is what a rollback fails with when no wave runs and nothing is in flight.
var ErrNothingToRollBack = errors.New("nothing to roll back")

// Rollback is a call that rolls the running wave back: the document that is kept first, and what
// was done, once it is answered.
type Rollback struct {
	name   string
	change orders.Update
	Result RolledBack
	// paused says that the document is kept, or may be: a part of it has been carried out.
	paused bool
	*inventory.Request
}

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

// RollBack serves calls that roll back, all that there are at once: first the documents that pause,
// then what turns the wave round. It is tried until it succeeds, the term ends or the callers go:
// each part of it may be repeated.
type RollBack struct {
	Calls  *Calls
	Waves  *Waves
	Spread *Spread
	// Done is told what was done.
	Done func(done *RolledBack)

	// asked are the calls that are being served, next the number of those whose document has been
	// sent, here says that one of those had a caller.
	asked []*Rollback
	next  int
	here  bool
}

// Next implements Step.
func (s *RollBack) Next(v *View) Proposal {
	if len(s.asked) == 0 {
		if s.asked, s.next, s.here = s.Calls.rollbacks(), 0, false; len(s.asked) == 0 {
			return Proposal{}
		}
		if s.Waves.running == nil && v.flying() == 0 && v.Idle == "" {
			return s.refuse(ErrNothingToRollBack)
		}
	}
	switch {
	case v.Idle != "":
		return s.refuse(fmt.Errorf("roll back: nothing may be moved: %s", v.Idle))
	case s.next < len(s.asked):
		return s.pause(v, s.asked[s.next])
	case !s.here:
		return s.refuse(inventory.ErrGaveUp)
	}
	return s.turn(v)
}

// refuse answers all callers with an error.
func (s *RollBack) refuse(err error) Proposal {
	return Proposal{Err: err, Ended: func(err error, retried bool) error { return s.ended(RolledBack{}, err, retried) }}
}

// pause keeps the document of one call. The documents are what is sent first: if all callers have
// given up before, nothing is.
func (s *RollBack) pause(v *View, r *Rollback) Proposal {
	m, err := document(v.State, r.name, r.change)
	if err != nil {
		return s.refuse(fmt.Errorf("pause: %w", err))
	}
	var gone error
	m.Gate = func() error {
		gone = s.Calls.sending(r.Request)
		return gone
	}
	return Proposal{Jobs: []Job{{Multi: m}}, Onward: true, Ended: func(err error, retried bool) error {
		if err != nil {
			r.paused = r.paused || r.Sent() && unsettled(err)
			return s.ended(RolledBack{}, err, retried)
		}
		r.paused, s.here = r.paused || gone == nil, s.here || gone == nil
		s.next++
		return nil
	}}
}

// turn turns the wave round: what is in flight goes home, and a wave takes back what has arrived.
func (s *RollBack) turn(v *View) Proposal {
	var done RolledBack
	s.Spread.undone(v.Now)
	running := s.Waves.running
	if running != nil {
		done.PlanID, done.Stayed = running.Plan, running.Pending.Count()
		clear(running.Pending)
	}
	rounds, err := turnFlights(v, &done)
	if err == nil && running != nil && running.Reason != wave.Undo { // what an undo has moved is not undone: it would come and go
		var begin [][]Job
		begin, err = s.undo(v, running, &done)
		rounds = append(rounds, begin...)
	}
	p := Proposal{Err: err, Ended: func(err error, retried bool) error {
		if err == nil {
			s.Done(&done)
		}
		return s.ended(done, err, retried)
	}}
	p.rounds(rounds)
	return p
}

// turnFlights sends home what is in flight.
func turnFlights(v *View, done *RolledBack) (rounds [][]Job, err error) {
	for names := v.State.FlightNames(); len(names) > 0; {
		b := NewBatch()
		for ; len(names) > 0 && !b.Full(); names = names[1:] {
			f := v.State.Flight[names[0]]
			var back []string
			home := v.Orders.Stays(f.From) && v.State.IsOpen(f.From)
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
				m, err := protocol.Redirect(v.State, f.Name, back, f.From)
				b.Add(m, err, nil)
			}
		}
		if rounds = append(rounds, b.proposal.Jobs); b.proposal.Err != nil {
			return rounds, b.proposal.Err
		}
	}
	return slices.DeleteFunc(rounds, func(jobs []Job) bool { return len(jobs) == 0 }), nil
}

// undo begins a wave that takes back what the running one has moved.
func (s *RollBack) undo(v *View, running *wave.Running, done *RolledBack) (rounds [][]Job, err error) {
	moves := wave.Moves{}
	for _, d := range running.Moves {
		home := v.Orders.Stays(d.From) && v.State.IsOpen(d.From)
		for i, id := range d.IDs {
			at, known := v.Index.Find(id)
			switch {
			case !known || at < 0 || int(at) != d.To[i]:
			case !home || v.Releases.FixedForGood(d.To[i], v.Now):
				done.Kept++
			default:
				moves.Add(d.To[i], id, d.From)
				done.Undone++
			}
		}
	}
	if len(moves) == 0 {
		return nil, nil
	}
	return s.Waves.begin(v, moves, wave.Wave{Plan: running.Plan, Reason: wave.Undo, Why: "a person rolled the plan back"})
}

// ended answers the callers, unless all of it is tried again.
func (s *RollBack) ended(done RolledBack, err error, retried bool) error {
	asked := s.asked
	s.asked = nil
	if retried {
		return err
	}
	s.Calls.answerRollbacks(asked, done, func(r *Rollback) error {
		if err == nil || !r.paused {
			return err
		}
		return fmt.Errorf("%w: it may be paused, and a part of the moves turned round: %w", orders.ErrOutcomeUnknown, err)
	})
	return nil
}

// RollBack asks for a rollback, before which the document is changed.
func (c *Calls) RollBack(now time.Time, name string, change orders.Update) (*Rollback, error) {
	r := &Rollback{name: name, change: change, Request: inventory.NewRequest(now)}
	return r, c.add(func() { c.back = append(c.back, r) })
}

// rollbacks are all that are asked for.
func (c *Calls) rollbacks() []*Rollback {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.back)
}

// answerRollbacks ends calls; answer says with what.
func (c *Calls) answerRollbacks(asked []*Rollback, result RolledBack, answer func(r *Rollback) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.back = slices.DeleteFunc(c.back, func(r *Rollback) bool { return slices.Contains(asked, r) })
	for _, r := range asked {
		if !r.Ended() {
			r.Result = result
		}
		r.End(answer(r))
	}
}
