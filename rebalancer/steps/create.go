package steps

import (
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
	// Created is told of ids that are in new pieces, Redirected of those that live on.
	Created    func(ids []string)
	Redirected func(op resync.Op, ids []string)

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
		case !known:
			fresh = append(fresh, id)
		case at == inventory.InFlight && fault.RecreatedElsewhere.Made():
			fresh = append(fresh, id)
		case at == inventory.InFlight:
			flying[id] = struct{}{}
		default:
			durable = append(durable, id)
		}
	}
	b := NewBatch()
	durable = append(durable, redirect(v, b, resync.Created, flying, protocol.ToPool, s.Redirected)...)
	p := b.Proposal()
	if len(p.Jobs) == 0 && p.Err == nil {
		if p = s.pieces(v, fresh); p.Err == nil {
			p.Answer = Answer{resync.Created, durable}
		}
	}
	return p
}

// pieces adds up to a batch of pool pieces.
func (s *Create) pieces(v *View, ids []string) Proposal {
	if len(ids) == 0 {
		return Proposal{}
	}
	if len(v.State.Pool)+MaxJobs > protocol.MaxPool && !v.Busy { // what is under way makes room, and may need the pieces
		if p := (Merge{}).Next(v); len(p.Jobs) > 0 {
			return p
		}
	}
	b, pieces := NewBatch(), int64(0)
	for len(ids) > 0 && !b.Full() && len(v.State.Pool)+int(pieces) < protocol.MaxPool {
		n := protocol.Fit(ids, protocol.MaxPieceBytes)
		some := ids[:n:n]
		m, err := protocol.Create(v.State, v.Piece+pieces, some)
		pieces++
		ids = ids[n:]
		b.Add(m, err, func(now time.Time) {
			s.last = now
			s.Created(some)
		})
	}
	p := b.Proposal()
	if p.Pieces = pieces; pieces == 0 {
		p.Blocked = "the pool is full: no create can be taken"
	}
	return p
}

// redirect gives ids in flight another destination: op says whether they are to live or to go. It
// returns what goes the right way already.
func redirect(
	v *View, b *Batch, op resync.Op, ids map[string]struct{}, to int, redirected func(resync.Op, []string),
) (right []string) {
	if len(ids) == 0 {
		return nil
	}
	for _, name := range v.State.FlightNames() {
		f := v.State.Flight[name]
		var turn []string
		for i, id := range f.IDs.All() {
			if _, wanted := ids[id]; !wanted {
				continue
			}
			if deleted := f.Target(i) == protocol.ToDelete; deleted == (op == resync.Created) {
				turn = append(turn, id)
			} else {
				right = append(right, id)
			}
		}
		if len(turn) > 0 && !b.Full() {
			m, err := protocol.Redirect(v.State, name, turn, to)
			m.Gate = unlessGaveUp(v, op, turn)
			b.Add(m, err, func(time.Time) { redirected(op, turn) })
		}
	}
	return right
}

// unlessGaveUp lets a transaction that does what is wanted of ids be sent only if it is wanted still:
// its caller may have given up.
func unlessGaveUp(v *View, op resync.Op, ids []string) func() error {
	return func() error {
		if !v.Requests.Sending(op, ids) {
			return inventory.ErrGaveUp
		}
		return nil
	}
}
