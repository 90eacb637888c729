package rebalancer

import (
	"maps"
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/loop"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// hand is what one transaction gives from the pool: to one ordinal, or to two.
type hand []protocol.Give

// lists are the ordinals that get something.
func (h hand) lists() (ns []int) {
	for _, g := range h {
		ns = append(ns, g.To)
	}
	return ns
}

// pieces calls visit with each piece that the hand takes from, until that says true.
func (h hand) pieces(visit func(name string) bool) bool {
	for _, g := range h {
		if slices.ContainsFunc(g.From, func(take protocol.Take) bool { return visit(take.Name) }) {
			return true
		}
	}
	return false
}

func (h hand) resources() (n int) {
	for _, g := range h {
		for _, take := range g.From {
			n += len(take.IDs)
		}
	}
	return n
}

// deal turns the plan's moves out of the pool to the ordinals whose lists may change now into
// hands.
//
// Where neither weights nor pins tell resources apart, only the plan's numbers matter. Then whole
// pieces are dealt where that can be, so that a transaction deletes pieces instead of rewriting
// what is left of them, and two seldom need the same piece.
func (t *term) deal(p *plan.Plan, pool *pooled) []hand {
	wanted := p.FromPool()
	maps.DeleteFunc(wanted, func(n int, _ []plan.Move) bool { return !t.writable(n) })
	if list := &p.World().Pool; list.Weights == nil && list.Pins == nil {
		if hands, ok := t.dealPieces(wanted, pool); ok {
			return hands
		}
	}
	var hands []hand
	for _, n := range ordinals(wanted) {
		indices := make([]int32, len(wanted[n]))
		for i, m := range wanted[n] {
			indices[i] = m.Index
		}
		hands = append(hands, hand{{To: n, From: loop.Fitting(t.st, n, pool.takes(indices), t.view().PoolRest)}})
	}
	return hands
}

// dealPieces deals the oldest pieces first, to two ordinals at a time if that fits into one
// transaction: of two full lists less of a piece is left than of one. False where a list might grow
// too long: the plan, which counts bytes, has chosen by them.
func (t *term) dealPieces(wanted map[int][]plan.Move, pool *pooled) (hands []hand, ok bool) {
	d := dealer{t: t, fresh: t.parts(pool)}
	for ns := ordinals(wanted); len(ns) > 0; {
		first := d.give(ns[0], len(wanted[ns[0]]))
		if len(ns) > 1 {
			both := d // a copy goes on by itself
			second := both.give(ns[1], len(wanted[ns[1]]))
			if both.endHand() <= protocol.MaxMultiBytes && !both.tooLong {
				hands, d, ns = append(hands, hand{first, second}), both, ns[2:]
				continue
			}
		}
		if d.endHand() > protocol.MaxMultiBytes {
			first.From = loop.Fitting(t.st, ns[0], first.From, t.view().PoolRest)
		}
		if d.tooLong {
			return nil, false
		}
		hands, ns = append(hands, hand{first}), ns[1:]
	}
	return hands, true
}

// dealer is the pool while it is dealt: whole pieces, what is left of the one that this hand has
// split, and of those that others have: what one transaction changes no other can take from beside
// it.
type dealer struct {
	t            *term
	fresh, split []part
	open         *part
	size         int // of this hand's transaction, in bytes
	tooLong      bool
}

// part is a piece of the pool or some of it, and what that adds to a list's znode.
type part struct {
	protocol.Take
	cost int
}

func (t *term) parts(pool *pooled) []part {
	pieces := pool.pieces()
	parts := make([]part, len(pieces))
	for i, take := range pieces {
		parts[i] = part{take, t.st.Pool[take.Name].Cost()}
	}
	return parts
}

// perOperation is about what an operation of a transaction takes beside ids.
const perOperation = 200

// give takes n resources for an ordinal.
func (d *dealer) give(to, n int) protocol.Give {
	list := d.t.st.Instances[to].Bytes
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
func (d *dealer) next(n int) (p part) {
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

// endHand returns the bytes of the transaction.
func (d *dealer) endHand() int {
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
