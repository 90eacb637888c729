package steps

import (
	"errors"
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/wave"
)

// Recall takes up the wave that an earlier leader has stored, and what the limits of voluntary
// moves must remember of it. resumed is nil if there is none; err says what cannot be read, and
// that what is in flight goes on without it.
func (s *Move) Recall(v *View) (resumed *wave.Running, err error) {
	if note := v.State.PlanNote(); note != nil {
		if err = exact.JSON(note, &s.window); err != nil {
			err = fmt.Errorf("the voluntary moves of the last minute are not known: %w", err)
		}
	}
	if v.State.Plan == nil {
		return nil, err
	}
	w, unread := wave.Parse(v.State.Plan.Data)
	if unread != nil {
		err = errors.Join(err, fmt.Errorf("the stored wave cannot be read, and what is in flight goes on without it: %w", unread))
		w = &wave.Wave{Plan: v.State.Plan.ID}
	}
	s.running = wave.Resume(w, v.State, v.Index.Find)
	s.window = w.Window
	if w.Reason == wave.Spread {
		// When it revoked them is not known: at the latest now. What it has not revoked is planned
		// again, since lists have changed meanwhile.
		s.window = append(s.window, wave.Moved{At: v.Now, N: s.running.Total - s.running.Left()})
		s.running.DropAll()
	}
	return s.running, err
}

// store has p store a wave of what is to be revoked, all of it before anything is revoked, and then
// begin to revoke. before is sent before the wave is there.
func (s *Move) store(v *View, moves *wave.Moves, w wave.Wave, before []Job, p *Proposal) {
	w.Fill(moves, s.window.Recent(v.Now), v.Now)
	data, err := w.Encode()
	if err != nil {
		p.Err = err
		return
	}
	parts, last, err := protocol.StorePlan(v.State, w.Plan, data)
	if err != nil {
		p.Err = err
		return
	}
	for _, part := range parts {
		before = append(before, Job{Multi: part})
	}
	p.inOrder(before, Job{Multi: last, Then: func(time.Time) {
		s.running = wave.Begin(&w)
		s.Begun(s.running)
	}})
}

// pending says whether a wave has something to revoke yet: then no other begins.
func (s *Move) pending() bool { return s.running != nil && s.running.Pending() }

// voluntaryRoom is how many voluntary moves may be made now, of those that may be in flight;
// negative: any number. p comes again when more may.
func (s *Move) voluntaryRoom(v *View, p *Proposal) int {
	room := v.flightRoom()
	budget, next := s.window.Budget(v.Orders.Limits.MovesPerMinute, v.Now)
	if !next.IsZero() {
		p.again(next)
	}
	if budget >= 0 && (room < 0 || budget < room) {
		return budget
	}
	return room
}

// Arrived counts what of a flight piece has arrived, and returns the reason of the wave that the
// piece belongs to; "": it belongs to none.
func (s *Move) Arrived(now time.Time, piece string, n int) (reason string) {
	if !s.running.Owns(piece) {
		return ""
	}
	s.running.Arrived += n
	s.pace.Arrived(now, n)
	return s.running.Reason
}

// Progress describes the running wave.
func (s *Move) Progress(v *View, p *orders.Progress) {
	w := s.running
	if w == nil {
		return
	}
	flying, released := 0, 0
	for _, f := range w.InFlight(v.State) {
		flying += f.IDs.Len()
		if ok, _, _ := v.Releases.Released(&v.View, f); ok {
			released += f.IDs.Len()
		}
	}
	p.PlanID, p.Reason, p.Why, p.Begun = w.Plan, w.Reason, w.Why, w.Begun
	p.Moves, p.Beyond, p.Done, p.Acknowledged, p.Left = w.Total, w.Beyond, w.Arrived, w.Arrived+released, w.Left()+flying
	p.PerMinute = s.pace.PerMinute(v.Now)
	if p.PerMinute > 0 && p.Left > 0 {
		end := v.Now.Add(time.Duration(float64(p.Left+p.Beyond) / p.PerMinute * float64(time.Minute))).UTC().Truncate(time.Second)
		p.EstimatedEnd = &end
	}
}
