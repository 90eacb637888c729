package steps

import (
	"errors"
	"fmt"

	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/wave"
)

// ErrNothingToRollBack is what a rollback fails with when no wave runs and nothing is in flight.
var ErrNothingToRollBack = errors.New("nothing to roll back")

// RolledBack is what a rollback does.
type RolledBack struct {
	// PlanID is the plan that was running; empty when only what was in flight was returned.
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
// then what takes the wave back. It is tried until it succeeds, the term ends or the callers go:
// each part of it may be repeated.
type RollBack struct {
	Calls  *Calls
	Move   *Move
	Spread *Spread
	// Done is told what was done.
	Done func(done *RolledBack)

	// asked are the calls that are being served, next the number of those whose document has been
	// sent, here says that one of those had a caller.
	asked []*Call
	next  int
	here  bool
	// stayed says what was forgotten of the wave until the callers are answered: a later try finds
	// nothing of it.
	stayed RolledBack
}

// Next implements Step.
func (s *RollBack) Next(v *View) Proposal {
	if len(s.asked) == 0 {
		if s.asked, s.next, s.here = s.Calls.waiting(true), 0, false; len(s.asked) == 0 {
			return Proposal{}
		}
		if s.Move.running == nil && v.flying() == 0 && v.Refusal == "" {
			return s.refuse(ErrNothingToRollBack)
		}
	}
	switch {
	case v.Refusal != "":
		return s.refuse(fmt.Errorf("roll back: nothing may be moved: %s", v.Refusal))
	case s.next < len(s.asked):
		return s.pause(v, s.asked[s.next])
	case !s.here:
		return s.refuse(inventory.ErrGaveUp)
	}
	return s.takeBack(v)
}

// refuse answers all callers with an error.
func (s *RollBack) refuse(err error) Proposal {
	return Proposal{Err: err, Ended: func(err error, retried bool) error { return s.ended(RolledBack{}, err, retried) }}
}

// pause keeps the document of one call. The documents are what is sent first: if all callers have
// given up before, nothing is.
func (s *RollBack) pause(v *View, k *Call) Proposal {
	m, err := k.store(v.State)
	if err != nil {
		return s.refuse(fmt.Errorf("pause: %w", err))
	}
	var gone error
	m.Gate = func() error {
		gone = s.Calls.sending(k)
		return gone
	}
	p := propose(m, nil, nil)
	p.Onward, p.Ended = s, func(err error, retried bool) error {
		if err != nil {
			k.failed(err)
			return s.ended(RolledBack{}, err, retried)
		}
		k.done, s.here = k.done || gone == nil, s.here || gone == nil
		s.next++
		return nil
	}
	return p
}

// takeBack returns what is in flight, and begins a wave that takes back what has arrived.
func (s *RollBack) takeBack(v *View) Proposal {
	// Said before anything is sent: the pause is stored already, and this only keeps back moves. If
	// what is sent fails, what was revoked is in flight in State, whoever owns it, and what was not
	// stays where it is, and is planned again if it must move.
	s.Spread.rolledBack, s.Spread.due = v.Now, false
	running := s.Move.running
	if running != nil {
		s.stayed.PlanID = running.Plan
		s.stayed.Stayed += running.Pending.Count()
		clear(running.Pending)
	}
	done := s.stayed
	var p Proposal
	jobs := returnFlights(v, &done, &p)
	undo := s.undo(v, running, &done)
	if p.Err == nil && len(undo) > 0 {
		again := wave.Wave{Plan: running.Plan, Reason: wave.Undo, Why: "a person rolled the plan back"}
		s.Move.store(v, undo, again, jobs, &p)
	}
	if len(p.Jobs) == 0 { // no undo, or one that cannot be stored
		p.inOrder(jobs)
	}
	p.Ended = func(err error, retried bool) error {
		if err == nil {
			s.Done(&done)
		}
		return s.ended(done, err, retried)
	}
	return p
}

// returnFlights returns what is in flight to where it came from.
func returnFlights(v *View, done *RolledBack, p *Proposal) (jobs []Job) {
	for _, name := range v.State.FlightNames() {
		f := v.State.Flight[name]
		n := f.IDs.Len() - f.Deletes()
		if !v.Orders.Stays(f.From) || !v.State.IsOpen(f.From) {
			done.Kept += n
			continue
		}
		done.Returned += n
		back := departing(f)
		if len(back) == 0 {
			continue
		}
		m, err := protocol.Redirect(v.State, name, back, f.From)
		if err != nil {
			p.Err = err
			break
		}
		jobs = append(jobs, Job{Multi: m})
	}
	return jobs
}

// undo are the moves that bring back what the running wave has moved. What an undo has moved is not
// undone: it would come and go.
func (s *RollBack) undo(v *View, running *wave.Running, done *RolledBack) wave.Moves {
	moves := wave.Gathering{}
	if running == nil || running.Reason == wave.Undo {
		return nil
	}
	for _, d := range running.Moves {
		returns := v.Orders.Stays(d.From) && v.State.IsOpen(d.From)
		for i, id := range d.IDs.Lent() {
			at, known := v.Index.Find(id)
			switch {
			case !known || at < 0 || int(at) != d.To[i]:
			case !returns || v.Releases.FixedForGood(d.To[i], v.Now):
				done.Kept++
			default:
				moves.Add(d.To[i], id, d.From)
				done.Undone++
			}
		}
	}
	return moves.Moves()
}

// ended answers the callers, unless all of it is tried again.
func (s *RollBack) ended(done RolledBack, err error, retried bool) error {
	asked := s.asked
	s.asked = nil
	if retried {
		return err
	}
	s.stayed = RolledBack{}
	s.Calls.answer(asked, func(k *Call) error {
		if k.Result = done; err == nil || !k.done {
			return err
		}
		return fmt.Errorf("%w: it may be paused, and some moves may already return: %w", orders.ErrOutcomeUnknown, err)
	})
	return nil
}
