// Package pack turns what a plan assigns from the pool into transactions.
//
// In: a State and a plan. Out: Gives, each of which fits into one transaction. Invariant: what one
// of them takes from a pool piece, another one leaves there.
package pack

import (
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Gives is what one transaction gives from the pool: to one ordinal, or to two.
type Gives []protocol.Give

// Lists are the ordinals that get something.
func (all Gives) Lists() (ns []int) {
	for _, g := range all {
		ns = append(ns, g.To)
	}
	return ns
}

// Pieces are the pool pieces that it takes from; one may stand twice.
func (all Gives) Pieces() (names []string) {
	for _, g := range all {
		for _, take := range g.From {
			names = append(names, take.Name)
		}
	}
	return names
}

// Resources is how many it gives.
func (all Gives) Resources() (n int) {
	for _, g := range all {
		for _, take := range g.From {
			n += len(take.IDs)
		}
	}
	return n
}

// Pack turns the plan's moves out of the pool, to the ordinals of which writable says so, into
// transactions.
//
// Where neither weights nor pins tell resources apart, only the plan's numbers matter. Then whole
// pieces are given where that can be, so that a transaction deletes pieces instead of rewriting
// what is left of them, and two seldom need the same piece.
func Pack(st *protocol.State, p *plan.Plan, pool *Pool, writable func(n int) bool) []Gives {
	all := slices.DeleteFunc(portions(p), func(w portion) bool { return !writable(w.to) })
	if list := &p.World().Pool; list.Weights == nil && list.Pins == nil {
		if gives, ok := packPieces(st, all, pool); ok {
			return gives
		}
	}
	var gives []Gives
	for _, w := range all {
		gives = append(gives, Gives{{To: w.to, From: Fitting(st, w.to, pool.takes(w.indices), pooled(st))}})
	}
	return gives
}

// portion is what of the pool a plan gives to an ordinal, by places in the list.
type portion struct {
	to      int
	indices []int32
}

// portions are those of a plan, ascending by ordinal.
func portions(p *plan.Plan) []portion {
	all := make([]portion, len(p.World().Instances))
	for _, m := range p.Moves {
		if m.From == plan.FromPool {
			all[m.To].to = p.World().Ordinal(m.To)
			all[m.To].indices = append(all[m.To].indices, m.Index)
		}
	}
	return slices.DeleteFunc(all, func(w portion) bool { return len(w.indices) == 0 })
}

// pooled says what is in a piece of the pool.
func pooled(st *protocol.State) func(piece string) protocol.IDs {
	return func(piece string) protocol.IDs { return st.Pool[piece].IDs }
}

// packPieces gives the oldest pieces first, to two ordinals at a time if that fits into one
// transaction: of two full lists less of a piece is left than of one. False where a list might grow
// too long: the plan, which counts bytes, has chosen by them.
func packPieces(st *protocol.State, all []portion, pool *Pool) (gives []Gives, ok bool) {
	k := packer{st: st, fresh: pool.pieces}
	for len(all) > 0 {
		first := k.give(all[0])
		if len(all) > 1 {
			both := k // a copy goes on by itself
			second := both.give(all[1])
			if both.end() <= protocol.MaxMultiBytes && !both.tooLong {
				gives, k, all = append(gives, Gives{first, second}), both, all[2:]
				continue
			}
		}
		if k.end() > protocol.MaxMultiBytes {
			first.From = Fitting(st, first.To, first.From, pooled(st))
		}
		if k.tooLong {
			return nil, false
		}
		gives, all = append(gives, Gives{first}), all[1:]
	}
	return gives, true
}

// packer is the pool while it is assigned: whole pieces, what is left of the one that this
// transaction has split, and of those that others have: what one transaction changes no other can
// take from beside it.
type packer struct {
	st           *protocol.State
	fresh, split []part
	open         *part
	size         int // of this transaction, in bytes
	tooLong      bool
}

// give takes as many resources as an ordinal is to get.
func (k *packer) give(w portion) protocol.Give {
	list := k.st.Instances[w.to].Bytes
	g := protocol.Give{To: w.to}
	for n := len(w.indices); n > 0; {
		p := k.next(n)
		if len(p.IDs) > n {
			rest := part{protocol.Take{Name: p.Name, IDs: p.IDs[n:]}, p.cost}
			p.IDs, p.cost = p.IDs[:n:n], protocol.Costs(p.IDs[:n])
			rest.cost -= p.cost
			k.open = &rest
		}
		n -= len(p.IDs)
		list += p.cost
		k.size += perOperation
		g.From = append(g.From, p.Take)
	}
	k.size += list + 3*perOperation
	k.tooLong = k.tooLong || list > protocol.MaxListBytes
	return g
}

// next is the part to go on with where n are still needed: a whole piece, or else the smallest rest
// that suffices, which leaves least.
func (k *packer) next(n int) (p part) {
	if k.open != nil {
		p, k.open = *k.open, nil
		return p
	}
	if len(k.fresh) == 0 {
		k.fresh, k.split = k.split, nil
	}
	if len(k.fresh[0].IDs) > n {
		best := -1
		for i := range k.split {
			if size := len(k.split[i].IDs); size >= n && (best < 0 || size < len(k.split[best].IDs)) {
				best = i
			}
		}
		if best >= 0 {
			p, k.split = k.split[best], slices.Concat(k.split[:best], k.split[best+1:])
			return p
		}
	}
	p, k.fresh = k.fresh[0], k.fresh[1:]
	return p
}

// end ends the transaction, and returns its bytes.
func (k *packer) end() int {
	size := k.size
	if k.open != nil {
		size += k.open.cost
		k.split = append(slices.Clip(k.split), *k.open)
	}
	k.open, k.size = nil, 0
	return size
}
