package steps

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/pack"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/release"
	"github.com/shardscaler/shardscaler/rebalancer/wave"
)

// Place assigns what is in the pool to open ordinals, and begins a wave of what leaving ordinals
// own and what sits where its pin forbids: the emergency regime.
type Place struct {
	Move *Move
	// Placed is told how many resources were assigned from the pool.
	Placed func(n int)

	// last is when it last planned.
	last time.Time
	// full is by what a plan last found no place for anything, and fullWhy why. More creates find
	// none either, and a large pool is not planned anew for each of them, until something that
	// could make room has changed.
	full    shape
	fullWhy string
	// due is what else is assigned from the pool.
	due []pack.Gives
	// rest is what the last plan drains and no wave has held yet.
	rest remainder
	// refused are the groups of what the last plan found no place for.
	refused []plan.RefusedGroup
}

// Next implements Step.
func (s *Place) Next(v *View) (p Proposal) {
	if v.Refusal != "" || v.Orders.Landing {
		return Proposal{}
	}
	if v.More {
		return s.give(v, p)
	}
	p.Blocked = kept(v)
	switch {
	case len(v.State.Pool) == 0 && !v.leaving() && !v.misplaced():
		s.refuse(nil, &p)
		return p
	case len(v.State.Pool) == 0 && s.Move.pending():
		return p
	}
	if why := unlabelled(v, &p); why != "" {
		p.block(why)
		return p
	}
	if s.isFull(v) {
		p.block(s.fullWhy)
		return p
	}
	if tooSoon(v, &s.last, &p) {
		return p
	}
	return s.plan(v, p)
}

// isFull says that no plan would find a place for anything.
func (s *Place) isFull(v *View) bool { return s.full == shapeOf(v) }

// urgent says that something is leaving and can: what pins keep from leaving is no reason to hold
// up the others.
func (s *Place) urgent(v *View) bool { return v.leaving() && !(v.Attributes.Pinned() && s.isFull(v)) }

// remainder is what a wave has left of a plan that drains. It is as good as a new plan as long as
// nothing has changed but by the wave: that would cost what there is to move for each of many waves.
// Whatever the lists have become, a grant keeps to their limits.
type remainder struct {
	moves    wave.Moves
	versions map[int]int32 // of the lists that they are from
	wave     wave.Wave
	by       cause
}

// cause is what a drain is planned by, beside the lists.
type cause struct {
	head       int32
	capacity   int
	orders     string
	attributes *inventory.Attributes
}

func causeOf(v *View) cause {
	return cause{v.State.HeadVersion, v.Orders.Capacity, ordersOf(v), v.Attributes}
}

// goOn has p begin a wave of the rest of the last plan; false: it must be planned anew.
func (s *Place) goOn(v *View, p *Proposal) bool {
	r := s.rest
	s.rest = remainder{}
	if len(r.moves) == 0 || len(v.State.Pool) > 0 || s.Move.pending() || v.flightRoom() >= 0 || r.by != causeOf(v) || !maps.Equal(r.versions, v.versions(r.moves)) {
		return false
	}
	s.drain(v, r, p)
	return true
}

// plan adds to p what a plan says is to be done first: a wave, if one is to begin, or else what it
// assigns from the pool.
func (s *Place) plan(v *View, p Proposal) Proposal {
	if s.goOn(v, &p) {
		return p
	}
	pool := pack.PoolOf(v.State)
	made, err := s.Move.Plan(world(v, pool.IDs), options(v, plan.Emergency, 0))
	if err != nil {
		p.Err = err
		return p
	}
	s.refuse(made, &p)
	if moves := leaves(v, made); len(moves) > 0 && !s.Move.pending() {
		// else the one that runs goes first, and what it does not hold is planned after it
		if v.flightRoom() != 0 {
			s.drain(v, remainder{moves: moves, wave: waveOf(v, made, moves), by: causeOf(v)}, &p)
			return p
		}
		p.block("a limit is reached: resources in flight")
	}
	if len(made.Moves) == 0 {
		s.full, s.fullWhy = shapeOf(v), p.Blocked
	}
	s.due = pack.Pack(v.State, made, &pool, func(n int) bool { return v.writable(n, &p) })
	return s.give(v, p)
}

// leaves are the moves that a plan makes from leaving ordinals. What has no place stays where it
// runs, but not with an ordinal that is gone: that goes to the pool, where it is counted as what it
// is.
func leaves(v *View, p *plan.Plan) wave.Moves {
	moves, homeless := wave.MovesOf(p), wave.Gathering{}
	for _, refusal := range p.Refused {
		if refusal.From == plan.FromPool {
			continue
		}
		in := &p.World().Instances[refusal.From]
		if in.Leaving && (slices.Contains(v.Orders.Gone, in.Ordinal) || release.AssumedDead(v.Orders, in.Ordinal)) {
			homeless.Add(in.Ordinal, in.IDs.At(int(refusal.Index)), protocol.ToPool)
		}
	}
	moves.Join(homeless.Moves())
	return moves
}

// waveOf is a wave of what a plan drains, without its moves.
func waveOf(v *View, made *plan.Plan, moves wave.Moves) wave.Wave {
	reason := wave.Pin
	if len(wave.Leaving(made.World())) > 0 {
		reason = wave.Drain
	}
	w := wave.New(reason, made, 0)
	for _, n := range moves.Sources() {
		if slices.Contains(v.Orders.Reassign, n) || release.AssumedDead(v.Orders, n) {
			w.Reassigned = append(w.Reassigned, n)
			moves.SortByTarget(n)
		}
	}
	return w
}

// drain has p begin a wave of the first of what is to be drained.
func (s *Place) drain(v *View, r remainder, p *Proposal) {
	r.moves = s.Move.store(v, r.moves, r.wave, nil, p)
	r.versions = v.versions(r.moves)
	s.rest, p.Onward = r, s.Move
}

// give adds to p the next batch of what is due from the pool. The plan stays good while creates are
// served in between: they only add.
func (s *Place) give(v *View, p Proposal) Proposal {
	busy := piecesOf(v.UnderWay)
	p.More = true
	later := s.due[:0:0]
	for i, g := range s.due {
		if p.full() {
			later = append(later, s.due[i:]...)
			break
		}
		pieces := g.Pieces()
		if slices.ContainsFunc(pieces, func(name string) bool { return busy[name] }) {
			later = append(later, g)
			continue
		}
		if slices.ContainsFunc(pieces, func(name string) bool { return v.State.Pool[name] == nil }) {
			later = nil // pieces were merged meanwhile: plan again
			break
		}
		m, err := protocol.Assign(v.State, g...)
		then := func(time.Time) { s.Placed(g.Resources()) }
		p.add(Job{Multi: m, Then: then, Lists: g.Lists(), Pieces: pieces}, err)
		for _, name := range pieces {
			busy[name] = true
		}
	}
	s.due = later
	p.More = len(p.Jobs) > 0 || len(later) > 0
	return p
}

// Parked are the first groups of what the last plan found no place for.
func (s *Place) Parked() []plan.RefusedGroup {
	const shown = 100
	return s.refused[:min(len(s.refused), shown)]
}

// refuse notes what a plan found no place for, and has p say it; nil: everything has one.
func (s *Place) refuse(made *plan.Plan, p *Proposal) {
	if made == nil && s.refused == nil {
		return
	}
	if s.refused = nil; made != nil && len(made.Refused) > 0 {
		s.refused = made.RefusedGroups()
	}
	var whys []string
	sums, total := map[string]int{}, 0
	for i := range s.refused {
		g := &s.refused[i]
		switch g.Pin {
		case whyUnlabelled:
			g.Why, g.Pin, g.Meaning = whyUnlabelled, "", "the catalogue has not told its labels yet, and pins go by labels"
			p.Resync = true
		case whyUnreadable:
			g.Why, g.Pin, g.Meaning = whyUnreadable, "", "the catalogue's row has a weight or labels that cannot be read, and pins go by labels"
		}
		why := g.Why
		if g.Pin != "" {
			why += " (" + g.Pin + ")"
		}
		if sums[why] == 0 {
			whys = append(whys, why)
		}
		sums[why] += g.Count
		total += g.Count
	}
	p.Parked = append([]plan.RefusedGroup{}, s.refused...)
	if total == 0 {
		return
	}
	for i, why := range whys {
		whys[i] = fmt.Sprintf("%d %s", sums[why], why)
	}
	p.block(fmt.Sprintf("resources without a place: %d (%s)", total, strings.Join(whys[:min(len(whys), 5)], ", ")))
}
