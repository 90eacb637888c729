package steps

import (
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Gather is the least time between two new pool pieces, and between two reads of the head: what
// arrives meanwhile shares the next one. 5,000 creates a second thus make 200 pieces and not 5,000.
const Gather = 5 * time.Millisecond

// Create makes durable what is wanted and nowhere yet: as new pool pieces, or, where its delete is
// still in flight, by another destination.
type Create struct {
	// last is when a pool piece was last added.
	last time.Time
}

// Next implements Step.
func (s *Create) Next(v *View) Proposal {
	wanted := v.Requests.Pending(resync.Created)
	if len(wanted) == 0 {
		return Proposal{}
	}
	if next := s.last.Add(Gather); v.Now.Before(next) {
		return Proposal{Again: next}
	}
	var durable, fresh []string
	flying := map[string]struct{}{}
	for _, id := range wanted {
		switch at, known := v.Index.Find(id); {
		case !known, at == inventory.InFlight && fault.RecreatedElsewhere.Made():
			fresh = append(fresh, id)
		case at == inventory.InFlight:
			flying[id] = struct{}{}
		default:
			durable = append(durable, id)
		}
	}
	var p Proposal
	durable = append(durable, redirect(v, &p, resync.Created, flying, protocol.ToPool)...)
	if len(p.Jobs) == 0 && p.Err == nil {
		if p = s.pieces(v, fresh); p.Err == nil {
			p.Answer = Answer{resync.Created, durable}
		}
	}
	return p
}

// pieces adds up to a batch of pool pieces.
func (s *Create) pieces(v *View, ids []string) (p Proposal) {
	if len(ids) == 0 {
		return p
	}
	if len(v.State.Pool)+MaxJobs > protocol.MaxPool && !v.Busy {
		// what is under way makes room, and may need the pieces
		if p = merge(v); len(p.Jobs) > 0 {
			return p
		}
	}
	for len(ids) > 0 && !p.full() && len(v.State.Pool)+int(p.Pieces) < protocol.MaxPool {
		n := protocol.Fit(ids, protocol.MaxPieceBytes)
		m, err := protocol.Create(v.State, v.Piece+p.Pieces, ids[:n:n])
		p.add(Job{Multi: m, Answer: Answer{resync.Created, ids[:n:n]}, Then: func(now time.Time) { s.last = now }}, err)
		p.Pieces++
		ids = ids[n:]
	}
	if p.Pieces == 0 {
		p.Blocked = "the pool is full: no create can be taken"
	}
	return p
}

// redirect has p give ids in flight another destination: op says whether they are to live or to go.
// It returns what goes the right way already.
func redirect(v *View, p *Proposal, op resync.Op, ids map[string]struct{}, to int) (right []string) {
	if len(ids) == 0 {
		return nil
	}
	for _, name := range v.State.FlightNames() {
		f := v.State.Flight[name]
		var other []string
		for i, id := range f.IDs.All() {
			if _, wanted := ids[id]; !wanted {
				continue
			}
			if deleted := f.Target(i) == protocol.ToDelete; deleted == (op == resync.Created) {
				other = append(other, id)
			} else {
				right = append(right, id)
			}
		}
		if len(other) > 0 && !p.full() {
			m, err := protocol.Redirect(v.State, name, other, to)
			p.ask(v, m, err, Answer{op, other})
		}
	}
	return right
}

// ask adds a transaction that does what callers want, unless it overlaps one that is under way. It
// is sent only if that is wanted still: a caller may have given up.
func (p *Proposal) ask(v *View, m protocol.Multi, err error, a Answer, lists ...int) {
	if slices.ContainsFunc(v.UnderWay, func(j Job) bool { return j.Multi.Overlaps(m) }) {
		return
	}
	m.Gate = func() error {
		if !v.Requests.Sending(a.Op, a.IDs) {
			return inventory.ErrGaveUp
		}
		return nil
	}
	p.add(Job{Multi: m, Answer: a, Lists: lists}, err)
}

// crowded is the number of pool pieces from which small ones are merged.
const crowded = protocol.MaxPool / 2

// Compact merges small pool pieces when there are many and they cannot be assigned.
type Compact struct{}

// Next implements Step.
func (Compact) Next(v *View) Proposal {
	if len(v.State.Pool) < crowded {
		return Proposal{}
	}
	return merge(v)
}

// merge merges small pool pieces, however many there are.
func merge(v *View) (p Proposal) {
	if m, ok := protocol.CompactPool(v.State, v.Piece); ok {
		p.Jobs, p.Pieces = []Job{{Multi: m}}, 1
	}
	return p
}
