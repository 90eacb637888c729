// Package pack turns what a plan gives from the pool into transactions.
//
// In: a State and a plan. Out: Gives, each of which fits into one transaction. Invariant: what one
// of them takes from a pool piece, another one leaves there.
package pack

import (
	"maps"
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Gives is what one transaction gives from the pool: to one ordinal, or to two.
type Gives []protocol.Give

// Lists are the ordinals that get something.
func (h Gives) Lists() (ns []int) {
	for _, g := range h {
		ns = append(ns, g.To)
	}
	return ns
}

// Pieces are the pool pieces that it takes from; one may stand twice.
func (h Gives) Pieces() (names []string) {
	for _, g := range h {
		for _, take := range g.From {
			names = append(names, take.Name)
		}
	}
	return names
}

// Resources is how many it gives.
func (h Gives) Resources() (n int) {
	for _, g := range h {
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
	wanted := p.FromPool()
	maps.DeleteFunc(wanted, func(n int, _ []plan.Move) bool { return !writable(n) })
	if list := &p.World().Pool; list.Weights == nil && list.Pins == nil {
		if all, ok := packPieces(st, wanted, pool); ok {
			return all
		}
	}
	var all []Gives
	for _, n := range ordinals(wanted) {
		indices := make([]int32, len(wanted[n]))
		for i, m := range wanted[n] {
			indices[i] = m.Index
		}
		all = append(all, Gives{{To: n, From: Fitting(st, n, pool.takes(indices), restOf(st))}})
	}
	return all
}

// ordinals of a map, ascending.
func ordinals[V any](m map[int]V) []int { return slices.Sorted(maps.Keys(m)) }

// packPieces gives the oldest pieces first, to two ordinals at a time if that fits into one
// transaction: of two full lists less of a piece is left than of one. False where a list might grow
// too long: the plan, which counts bytes, has chosen by them.
func packPieces(st *protocol.State, wanted map[int][]plan.Move, pool *Pool) (all []Gives, ok bool) {
	d := packer{st: st, fresh: partsOf(st, pool)}
	for ns := ordinals(wanted); len(ns) > 0; {
		first := d.give(ns[0], len(wanted[ns[0]]))
		if len(ns) > 1 {
			both := d // a copy goes on by itself
			second := both.give(ns[1], len(wanted[ns[1]]))
			if both.end() <= protocol.MaxMultiBytes && !both.tooLong {
				all, d, ns = append(all, Gives{first, second}), both, ns[2:]
				continue
			}
		}
		if d.end() > protocol.MaxMultiBytes {
			first.From = Fitting(st, ns[0], first.From, restOf(st))
		}
		if d.tooLong {
			return nil, false
		}
		all, ns = append(all, Gives{first}), ns[1:]
	}
	return all, true
}

// packer is the pool while it is given away: whole pieces, what is left of the one that this
// transaction has split, and of those that others have: what one transaction changes no other can
// take from beside it.
type packer struct {
	st           *protocol.State
	fresh, split []part
	open         *part
	size         int // of this transaction, in bytes
	tooLong      bool
}

// part is a piece of the pool or some of it, and what that adds to a list's znode.
type part struct {
	protocol.Take
	cost int
}

func partsOf(st *protocol.State, pool *Pool) []part {
	pieces := pool.pieces()
	parts := make([]part, len(pieces))
	for i, take := range pieces {
		parts[i] = part{take, st.Pool[take.Name].Cost()}
	}
	return parts
}

// give takes n resources for an ordinal.
func (d *packer) give(to, n int) protocol.Give {
	list := d.st.Instances[to].Bytes
	g := protocol.Give{To: to}
	for n > 0 {
		p := d.next(n)
		if len(p.IDs) > n {
			rest := part{protocol.Take{Name: p.Name, IDs: p.IDs[n:]}, p.cost}
			p.IDs, p.cost = p.IDs[:n:n], costOf(p.IDs[:n])
			rest.cost -= p.cost
			d.open = &rest
		}
		n -= len(p.IDs)
		list += p.cost
		d.size += perOperation
		g.From = append(g.From, p.Take)
	}
	d.size += list + 3*perOperation
	d.tooLong = d.tooLong || list > protocol.MaxListBytes
	return g
}

// next is the part to go on with where n are still needed: a whole piece, or else the smallest rest
// that suffices, which leaves least.
func (d *packer) next(n int) (p part) {
	if d.open != nil {
		p, d.open = *d.open, nil
		return p
	}
	if len(d.fresh) == 0 {
		d.fresh, d.split = d.split, nil
	}
	if len(d.fresh[0].IDs) > n {
		best := -1
		for i := range d.split {
			if size := len(d.split[i].IDs); size >= n && (best < 0 || size < len(d.split[best].IDs)) {
				best = i
			}
		}
		if best >= 0 {
			p, d.split = d.split[best], slices.Concat(d.split[:best], d.split[best+1:])
			return p
		}
	}
	p, d.fresh = d.fresh[0], d.fresh[1:]
	return p
}

// end ends the transaction, and returns its bytes.
func (d *packer) end() int {
	size := d.size
	if d.open != nil {
		size += d.open.cost
		d.split = append(slices.Clip(d.split), *d.open)
	}
	d.open, d.size = nil, 0
	return size
}

// costOf is what ids add to a znode.
func costOf(ids []string) (size int) {
	for _, id := range ids {
		size += protocol.Cost(id)
	}
	return size
}
