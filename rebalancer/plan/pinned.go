package plan

import (
	"cmp"
	"math"
	"slices"
)

// pinnedLayout lays out a world with pins. Its moves are the fewest unless one stays over capacity.
func pinnedLayout(w *World, o Options) (l layout, exact bool) {
	n := newNetwork(w, o)
	n.distribute()
	exact = n.optimise()
	for k := range n.classes {
		n.lay(&l, k)
	}
	if o.Regime == Periodic {
		n.refuseOver(&l)
	}
	l.arrange(newTally(w))
	return l, exact || o.Regime == Emergency
}

// lay turns the flow of one class into bulk moves: what has no owner, what sits where it may not,
// what only spreads or makes room.
func (n *network) lay(l *layout, k int) {
	class := n.classes[k]
	var targets, misplaced, sources []group
	for c, at := range n.open {
		i := n.cell(k, c)
		switch d := int32(n.flow[i] - n.owned[i]); {
		case d > 0:
			targets = append(targets, group{at, d, class})
		case d < 0 && n.allowed[i]:
			sources = append(sources, group{at, -d, class})
		case d < 0:
			misplaced = append(misplaced, group{at, -d, class})
		}
	}
	why := reason(class, slices.Contains(n.allowed[n.cell(k, 0):n.cell(k, len(n.open))], true))
	placed, left := n.orphans(k)
	l.pair(placed, targets, false)
	l.refuse(left, why)
	l.pair(misplaced, targets, false)
	l.pair(sources, targets, true)
	for c, at := range n.open {
		if i := n.cell(k, c); !n.allowed[i] {
			l.refuse([]group{{at, int32(n.flow[i]), class}}, why)
		}
	}
}

// orphans are the groups of a class in the column nowhere, the pool first: those that the flow
// places, and those that it leaves.
func (n *network) orphans(k int) (placed, left []group) {
	i := n.cell(k, len(n.open))
	todo := int32(n.owned[i] - n.flow[i])
	for _, s := range n.groups {
		if _, isOpen := slices.BinarySearch(n.open, s.at); isOpen || s.class != n.classes[k] || n.w.mayStay(s.class, s.at) {
			continue
		}
		part := min(todo, s.n)
		todo -= part
		placed = append(placed, group{s.at, part, s.class})
		left = append(left, group{s.at, s.n - part, s.class})
	}
	return placed, left
}

// refuseOver names what stays above a capacity.
func (n *network) refuseOver(l *layout) {
	for c, at := range n.open {
		over := n.load[c] - n.limit[c]
		for k, class := range n.classes {
			if i := n.cell(k, c); n.allowed[i] && over > 0 {
				stays := min(over, n.flow[i], n.owned[i])
				l.refuse([]group{{at, int32(stays), class}}, OverCapacity)
				over -= stays
			}
		}
	}
}

// arrange puts the bulk moves in an order in which capacity holds after every move: what must move
// first, then what only spreads, from the fullest; after each of these again what it made room for.
// Full instances that exchange form a ring: there one resource goes ahead and waits in flight.
func (l *layout) arrange(b *tally) {
	todo := l.bulk
	l.bulk = nil
	fullness := func(p bulkMove) int {
		if !p.voluntary {
			return math.MaxInt
		}
		return b.load[p.from]
	}
	slices.SortStableFunc(todo, func(p, q bulkMove) int { return cmp.Compare(fullness(q), fullness(p)) })
	send := func(p *bulkMove, n int32) {
		out := *p
		out.n = n
		l.bulk = append(l.bulk, out)
		p.n -= n
		b.load[p.to] += int(n)
		if p.from != FromPool {
			b.load[p.from] -= int(n)
		}
	}
	for len(todo) > 0 {
		sent := false
		for i := range todo {
			p := &todo[i]
			if p.voluntary && sent {
				break // look again at what must move
			}
			if n := min(p.n, int32(max(0, b.room(p.to)))); n > 0 {
				send(p, n)
				sent = true
			}
		}
		if !sent {
			send(ring(todo), 1)
		}
		todo = slices.DeleteFunc(todo, func(p bulkMove) bool { return p.n == 0 })
	}
}

// ring returns a bulk move of a ring: all targets are full, so each has to send something itself.
func ring(todo []bulkMove) *bulkMove {
	seen := map[InstanceIndex]bool{}
	p := &todo[0]
	for !seen[p.to] {
		seen[p.to] = true
		i := slices.IndexFunc(todo, func(q bulkMove) bool { return q.from == p.to })
		if i < 0 {
			break
		}
		p = &todo[i]
	}
	return p
}
