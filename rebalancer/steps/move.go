package steps

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/wave"
)

// Move carries the running wave on: it revokes what the limits allow, and ends the wave when all of
// it has arrived. It remembers for all steps that move resources the wave that runs, nil if none
// does, how fast it goes, and the voluntary moves of the last minute.
type Move struct {
	// Plan makes a plan. Begun and Ended are told of each wave.
	Plan  func(w *plan.World, o plan.Options) (*plan.Plan, error)
	Begun func(w *wave.Running)
	Ended func(w *wave.Running)
	Place *Place

	running *wave.Running
	pace    wave.Pace
	window  wave.Window
	// begun is the wave of which revoking has begun.
	begun *wave.Running
	// planned are the versions of the sources' lists that the running wave was planned by.
	planned map[int]int32
	// due are the sources that are revoked from while the step is asked for more, room how many
	// more resources may be; negative: any number.
	due  []int
	room int
	pacer
}

// Next implements Step.
func (s *Move) Next(v *View) Proposal {
	w := s.running
	switch {
	case w == nil || v.Refusal != "":
		return Proposal{}
	case v.More && s.begun == w:
		return s.revoke(v, w, Proposal{})
	case v.More:
		// it was stored just now, by the orders that it was planned by: nothing of it is dropped
		return s.begin(v, w)
	}
	s.drop(v, w)
	switch {
	case len(w.Pending) > 0:
		return s.begin(v, w)
	case len(w.InFlight(v.State)) > 0:
		return Proposal{}
	}
	return s.end(v, w)
}

// end says in ZooKeeper that no wave runs.
func (s *Move) end(v *View, w *wave.Running) Proposal {
	var note []byte
	if recent := s.window.Recent(v.Now); v.Orders.Limits.MovesPerMinute > 0 && len(recent) > 0 {
		note = recent.Note()
	}
	m, err := protocol.ClearPlan(v.State, note)
	return propose(m, err, func(time.Time) {
		s.Ended(w)
		s.running = nil
	})
}

// drop drops what the wave has not revoked yet where the orders have changed since it was planned,
// or its instance keeps what it has since then: that is rolled back by never having left, and what
// must move is planned again. An undo is not, and waits for an instance that may come back.
//
// It forgets while nothing is committed, which is safe: what was revoked is in flight in State and
// not in Pending, and what was not is in its list still, as if this wave had never named it.
func (s *Move) drop(v *View, w *wave.Running) {
	if v.Orders.Landing {
		clear(w.Pending)
		return
	}
	refuses := func(n int) bool {
		return n >= 0 && !(v.Orders.Stays(n) && v.State.IsOpen(n) && (w.Reason != wave.Spread || !v.Releases.Absent(n)))
	}
	maps.DeleteFunc(w.Pending, func(_ int, d wave.SourceMoves) bool {
		return v.Releases.Fixed(d.From) != "" && (w.Reason != wave.Undo || v.Releases.FixedForGood(d.From, v.Now))
	})
	if !w.Voluntary() {
		maps.DeleteFunc(w.Pending, func(_ int, d wave.SourceMoves) bool { return v.Orders.Stays(d.From) && !v.expels(d) })
	} else if s.Place.urgent(v) {
		clear(w.Pending) // what leaves has precedence
	}
	for _, d := range w.Pending {
		if w.Voluntary() && refuses(d.From) || slices.ContainsFunc(d.To, refuses) {
			clear(w.Pending)
		}
	}
}

// begin revokes from all sources whose lists may change now, each once, so that every receiver's
// list can then be written once.
func (s *Move) begin(v *View, w *wave.Running) (p Proposal) {
	s.begun, s.room = w, v.flightRoom()
	if w.Voluntary() {
		if p.Blocked = suspendedWave(v, w); p.Blocked != "" {
			return p
		}
		s.room = s.voluntaryRoom(v, &p)
	}
	if s.room == 0 {
		p.Blocked = "a limit is reached: resources in flight, or moves per minute"
		return p
	}
	s.look(v, w)
	s.due = slices.DeleteFunc(w.Pending.Sources(), func(n int) bool {
		why := v.Releases.Fixed(n)
		if why != "" {
			p.block(fmt.Sprintf("waiting for instance %d: %s", n, why))
		}
		return why != "" || !v.abandoned(n) && (!v.writable(n, &p) || !s.inPace(v, &p) || !v.soonGranted(w.Pending[n].To, &p))
	})
	for _, n := range s.due {
		if version, known := s.planned[n]; known && version == v.State.Instances[n].ListVersion {
			continue // all of it is there
		}
		// before the first batch: until the last one nothing leaves a list but by them
		w.SkipGone(n, func(id string) bool { at, known := v.Index.Find(id); return known && at == int32(n) })
	}
	return s.revoke(v, w, p)
}

// revoke adds the next batch to p.
func (s *Move) revoke(v *View, w *wave.Running, p Proposal) Proposal {
	p.More = true
	var rest []int
	for ; len(s.due) > 0 && !p.full() && s.room != 0; s.due = s.due[1:] {
		n, bytes := s.due[0], RevokeBytes
		switch {
		case v.abandoned(n) && v.beingWritten(n):
			rest = append(rest, n)
			continue
		case v.abandoned(n):
			bytes = abandonedBytes
		case !s.inPace(v, &p):
			continue
		}
		ids, to := w.Next(n, s.room, bytes)
		if len(to) == 0 {
			continue
		}
		if s.room > 0 {
			s.room -= len(to)
		}
		if !v.abandoned(n) {
			s.waiting++
		} else if len(w.Pending[n].To) > 0 {
			rest = append(rest, n)
		}
		times, ends := v.State.NextTimes(n), apart(v.State.Instances[n], to)
		m, err := protocol.RevokeApart(v.State, n, ids, to, ends, v.Pod(n))
		sent := v.Now
		p.add(Job{Multi: m, Lists: []int{n}, Then: func(now time.Time) {
			for i := range ends {
				w.Revoked(protocol.FlightName(n, times+int64(i)), sent)
			}
			if w.Voluntary() {
				s.window = append(s.window, wave.Moved{At: now, N: len(to)})
			}
		}}, err)
	}
	if p.More = len(p.Jobs) > 0; len(rest) > 0 {
		s.due, p.Onward = append(rest, s.due...), s // when its list is written
	}
	return p
}

// abandonedBytes bounds the ids of one revoke from an instance whose list nobody reads any more, so
// that each target has a piece of its own: pieces that several share are granted one after the other.
const abandonedBytes = RevokeBytes / 4

// maxApart bounds the pieces of one revoke.
const maxApart = 32

// apart says where the pieces end into which ids are revoked: each holds what goes to one target, or
// to a few where there are many. Where they would not fit into one transaction there is one piece.
func apart(in *protocol.Instance, to []int) (ends []int) {
	for i := range to {
		if i+1 == len(to) || to[i] != to[i+1] {
			ends = append(ends, i+1)
		}
	}
	const perPiece = 400 // bytes beside ids
	if size := in.Bytes + len(to)*len(`,-1`); size+maxApart*perPiece > protocol.MaxMultiBytes {
		return ends[len(ends)-1:]
	}
	few := ends[:0:0]
	each := (len(ends) + maxApart - 1) / maxApart
	for i := each; i < len(ends); i += each {
		few = append(few, ends[i-1])
	}
	return append(few, len(to))
}

// sharedUntil is how long the list of n waits for what the wave after the running one gives to it:
// no longer than it would have to wait for its next change. Zero: it need not wait.
func (s *Move) sharedUntil(v *View, n int) (at time.Time) {
	if s != nil && s.running != nil && slices.Contains(s.running.Shared, n) {
		return s.running.Begun.Add(v.Orders.ListInterval())
	}
	return at
}

// suspendedWave says why a voluntary wave may revoke nothing now; "" when it may. An undo was asked
// for by a person, pause or not.
func suspendedWave(v *View, w *wave.Running) string {
	switch {
	case w.Reason == wave.Undo:
		return ""
	case v.Orders.SpreadSuspended != "":
		return v.Orders.SpreadSuspended
	case v.Orders.Limits.Paused:
		return "paused"
	}
	return ""
}

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
		s.window = append(s.window, wave.Moved{At: v.Now, N: s.running.Total - s.running.Pending.Count()})
		clear(s.running.Pending)
	}
	return s.running, err
}

// store has p store a wave of what is to be revoked, all of it before anything is revoked. before
// is sent before the wave is there. It returns the moves that have no place in the wave.
func (s *Move) store(v *View, moves wave.Moves, w wave.Wave, before []Job, p *Proposal) (later wave.Moves) {
	data, err := w.Fill(moves, s.window.Recent(v.Now), v.Now)
	if err != nil {
		p.Err = err
		return nil
	}
	parts, last, err := protocol.StorePlan(v.State, w.Plan, data)
	if err != nil {
		p.Err = err
		return nil
	}
	for _, part := range parts {
		before = append(before, Job{Multi: part})
	}
	planned := v.versions(moves)
	p.inOrder(before, Job{Multi: last, Then: func(time.Time) {
		s.running, s.planned = wave.Begin(&w), planned
		s.Begun(s.running)
	}})
	return moves.After(&w)
}

// versions are those of the lists that moves are from.
func (v *View) versions(moves wave.Moves) map[int]int32 {
	versions := make(map[int]int32, len(moves))
	for n := range moves {
		if in := v.State.Instances[n]; in != nil {
			versions[n] = in.ListVersion
		}
	}
	return versions
}

// pending says whether a wave has something to revoke yet: then no other begins.
func (s *Move) pending() bool { return s.running != nil && len(s.running.Pending) > 0 }

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

// usedUp says that the moves of this minute are used up, and when there are more; "" where they are not.
func (s *Move) usedUp(v *View) string {
	most := v.Orders.Limits.MovesPerMinute
	budget, next := s.window.Budget(most, v.Now)
	if budget != 0 {
		return ""
	}
	return fmt.Sprintf("the %d moves of a minute (movesPerMinute) are used up; it goes on at %s", most, next.UTC().Format(time.RFC3339))
}

// Arrived counts what of a flight piece has arrived, and returns the wave that the piece belongs
// to; nil: it belongs to none.
func (s *Move) Arrived(now time.Time, piece string, n int) *wave.Running {
	if !s.running.Owns(piece) {
		return nil
	}
	s.running.Arrived += n
	s.pace.Arrived(now, n)
	return s.running
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
	p.Moves, p.Beyond, p.Done, p.Acknowledged, p.Left = w.Total, w.Beyond, w.Arrived, w.Arrived+released, w.Pending.Count()+flying
	p.PerMinute = s.pace.PerMinute(v.Now)
	if p.PerMinute > 0 && p.Left > 0 {
		end := v.Now.Add(time.Duration(float64(p.Left+p.Beyond) / p.PerMinute * float64(time.Minute))).UTC().Truncate(time.Second)
		p.EstimatedEnd = &end
	}
}
