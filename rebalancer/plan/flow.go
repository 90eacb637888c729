package plan

import (
	"cmp"
	"math"
	"slices"
)

// network is a world with pins as a flow: classes → columns → sink. A class is what is pinned to
// the same ordinals; a column is an open instance, and one more column is "nowhere": the pool and
// the lists of leaving instances.
//
// The cheapest flow is the plan: cost is, in this order, (1) what is not placed, sits where its pin
// forbids or sits above a capacity, (2) of these rather the last than the second than the first,
// (3) Σ load², (4) moves. Start from any flow that is possible and cancel cycles of negative cost
// until there is none: then, costs being convex, no flow is cheaper.
type network struct {
	w       *World
	open    []InstanceIndex // instance of each column but the last
	classes []PinIndex
	groups  []group
	// By class × column: flow is how many are there in the end, owned how many are there now and
	// may stay or, where not allowed, wait there for a better place. In the column nowhere owned is
	// the most that may be there: none is ever sent there.
	flow, owned []int
	allowed     []bool
	// By column: load is everything there, limit the capacity; over says that it holds more than
	// that: such a column gets nothing until it has come down to its limit.
	load, limit []int
	over        []bool
	cost        prices
	// dist and via are the search's: node → cost of the cheapest known way to it, and its last arc.
	// Nodes: classes, columns, sink.
	dist []int64
	via  []int32
}

// prices are the costs as one number each; a step of a higher one outweighs cycles of lower.
type prices struct{ square, second, first, broken int64 }

const (
	none     = math.MaxInt
	move     = 1 // the price of a move
	noParent = -1
)

func newNetwork(w *World, o Options) *network {
	open, _, _ := survey(w)
	n := &network{w: w, open: open}
	columns := len(open) + 1
	n.count()
	for _, s := range n.groups {
		n.classes = append(n.classes, s.class)
	}
	slices.Sort(n.classes)
	n.classes = slices.Compact(n.classes)
	cells := len(n.classes) * columns
	n.flow, n.owned, n.allowed = make([]int, cells), make([]int, cells), make([]bool, cells)
	n.load, n.limit = make([]int, columns), make([]int, columns)
	for c, at := range open {
		n.load[c], n.limit[c] = w.Instances[at].Arriving.Count, w.Instances[at].Capacity
		for k, class := range n.classes {
			n.allowed[k*columns+c] = w.Allows(class, at)
		}
	}
	n.limit[len(open)] = none
	for _, s := range n.groups {
		n.enter(s, o)
	}
	n.over = make([]bool, columns)
	for c := range n.over {
		n.over[c] = n.load[c] > n.limit[c]
	}
	n.price()
	n.dist, n.via = make([]int64, len(n.classes)+columns+1), make([]int32, len(n.classes)+columns+1)
	return n
}

// count counts each list by class: the pool first, then by ordinal.
func (n *network) count() {
	counts := make([]int32, len(n.w.Pins)+1)
	for at, l := range n.w.Lists() {
		clear(counts)
		counts[0] = int32(l.IDs.Len())
		for _, p := range l.Pins {
			counts[0]--
			counts[p]++
		}
		for class, c := range counts {
			if c > 0 {
				n.groups = append(n.groups, group{at: at, n: c, class: PinIndex(class)})
			}
		}
	}
}

// enter notes what is there now.
func (n *network) enter(s group, o Options) {
	k, _ := slices.BinarySearch(n.classes, s.class)
	c, isOpen := slices.BinarySearch(n.open, s.at)
	if !isOpen {
		c = len(n.open)
	}
	switch stays := n.w.mayStay(s.class, s.at); {
	case stays && !isOpen: // keeps it and takes no part
	case stays && (o.Regime == Emergency || n.w.Instances[s.at].Fixed):
		n.load[c] += int(s.n)
	default:
		i := n.cell(k, c)
		n.flow[i] += int(s.n)
		n.owned[i] += int(s.n)
		n.load[c] += int(s.n)
	}
}

func (n *network) cell(k, c int) int { return k*(len(n.open)+1) + c }

// price sets the costs. A cycle visits each node at most once: that bounds the steps it can hold.
func (n *network) price() {
	nodes, total := int64(len(n.classes)+len(n.open)+2), int64(0)
	for _, l := range n.load {
		total += int64(l)
	}
	n.cost.square = move * 2 * nodes
	n.cost.second = n.cost.square * 4 * (total + 1)
	n.cost.first = n.cost.second * 16
	n.cost.broken = n.cost.first * 2 * nodes
}

// add is the price of one more of a class in a column, and for how many it holds; take that of one
// less; up and down are those of a column's load.
func (n *network) add(k, c int) (price int64, upTo int) {
	i := n.cell(k, c)
	left := n.owned[i] - n.flow[i]
	switch {
	case c == len(n.open):
		return n.cost.first + n.cost.second, left
	case !n.allowed[i]:
		return n.cost.first, left
	case left > 0:
		return 0, left
	case n.over[c]:
		return move, 0
	}
	return move, none
}

func (n *network) take(k, c int) (price int64, upTo int) {
	i := n.cell(k, c)
	switch {
	case c == len(n.open):
		return -n.cost.first - n.cost.second, n.flow[i]
	case !n.allowed[i]:
		return -n.cost.first, n.flow[i]
	case n.flow[i] > n.owned[i]:
		return -move, n.flow[i] - n.owned[i]
	}
	return 0, n.flow[i]
}

func (n *network) up(c int) (price int64, upTo int) {
	if c == len(n.open) {
		return 0, none
	}
	price = n.cost.square * int64(2*n.load[c]+1)
	switch {
	case n.load[c] < n.limit[c]:
		return price, n.limit[c] - n.load[c]
	case n.over[c]:
		return price + n.cost.first + 2*n.cost.second, none
	}
	return price, 0
}

func (n *network) down(c int) (price int64, upTo int) {
	if c == len(n.open) {
		return 0, n.load[c]
	}
	price = -n.cost.square * int64(2*n.load[c]-1)
	switch {
	case n.load[c] <= n.limit[c]:
		return price, n.load[c]
	case n.over[c]:
		return price - n.cost.first - 2*n.cost.second, n.load[c] - n.limit[c]
	}
	return price - n.cost.broken, n.load[c] - n.limit[c] // a first guess that may not stand
}

// distribute is the first guess: each class as even as it can be on top of what was distributed
// before, the most tightly pinned first.
func (n *network) distribute() {
	ways := func(k int) (ways int) {
		for c := range n.open {
			if n.allowed[n.cell(k, c)] {
				ways++
			}
		}
		return ways
	}
	order := make([]int, len(n.classes))
	for k := range order {
		order[k] = k
		for c := range n.open {
			if i := n.cell(k, c); n.allowed[i] {
				n.load[c] -= n.flow[i]
			}
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(ways(a), ways(b)) })
	for _, k := range order {
		n.distributeClass(k, ways(k))
	}
}

func (n *network) distributeClass(k, ways int) {
	s, columns := newShares(ways), make([]int, 0, ways)
	nowhere := n.cell(k, len(n.open))
	total := n.flow[nowhere]
	for c := range n.open {
		if i := n.cell(k, c); n.allowed[i] {
			j := len(columns)
			columns = append(columns, c)
			s.floor[j], s.owned[j], s.limit[j] = n.load[c], n.load[c]+n.owned[i], max(n.load[c], n.limit[c])
			if n.over[c] {
				s.limit[j] = max(n.load[c], min(n.limit[c], s.owned[j]))
			}
			total += n.load[c] + n.flow[i]
		}
	}
	left := max(0, s.fill(total))
	over := max(0, left-n.owned[nowhere]) // these stay above a capacity
	n.load[len(n.open)] += left - over - n.flow[nowhere]
	n.flow[nowhere] = left - over
	for j, c := range columns {
		i := n.cell(k, c)
		n.flow[i] = s.want[j] - s.floor[j]
		back := min(over, max(0, n.owned[i]-n.flow[i]))
		n.flow[i] += back
		over -= back
		n.load[c] += n.flow[i]
	}
}

// optimise cancels negative cycles until there is none, and opens the columns that have come down
// to their limits. It is exact if all have.
func (n *network) optimise() (exact bool) {
	for opened := true; opened; {
		for cycle := n.negativeCycle(); cycle != nil; cycle = n.negativeCycle() {
			n.cancel(cycle)
		}
		opened, exact = false, true
		for c, over := range n.over {
			n.over[c] = n.load[c] > n.limit[c]
			opened = opened || over && !n.over[c]
			exact = exact && !n.over[c]
		}
	}
	return exact
}

// arc leads from one node to another: a class to a column (add), back (take), a column to the sink
// (up), back (down).
type arc struct{ from, to int32 }

func (n *network) column(c int) int32 { return int32(len(n.classes) + c) }

func (n *network) sink() int32 { return int32(len(n.classes) + len(n.open) + 1) }

// price of an arc for one unit, and for how many it holds (the squares aside).
func (n *network) arcPrice(a arc) (int64, int) {
	classes := int32(len(n.classes))
	switch {
	case a.from == n.sink():
		return n.down(int(a.to - classes))
	case a.to == n.sink():
		return n.up(int(a.from - classes))
	case a.from < classes:
		return n.add(int(a.from), int(a.to-classes))
	default:
		return n.take(int(a.to), int(a.from-classes))
	}
}

// negativeCycle searches as Bellman and Ford did, from all nodes at once.
func (n *network) negativeCycle() []arc {
	clear(n.dist)
	for i := range n.via {
		n.via[i] = noParent
	}
	for changed := true; changed; {
		changed = false
		relax := func(a arc) {
			price, upTo := n.arcPrice(a)
			if d := n.dist[a.from] + price; upTo > 0 && d < n.dist[a.to] {
				n.dist[a.to], n.via[a.to] = d, a.from
				changed = true
			}
		}
		for c := range len(n.open) + 1 {
			relax(arc{n.sink(), n.column(c)})
			for k := range n.classes {
				relax(arc{n.column(c), int32(k)})
			}
		}
		for c := range len(n.open) + 1 {
			for k := range n.classes {
				relax(arc{int32(k), n.column(c)})
			}
			relax(arc{n.column(c), n.sink()})
		}
		if cycle := n.parentCycle(); cycle != nil {
			return cycle
		}
	}
	return nil
}

// parentCycle returns a cycle among the cheapest known ways: such a cycle is negative.
func (n *network) parentCycle() []arc {
	seen := make([]int32, len(n.via)) // from which start a node was reached, plus one
	for start := range n.via {
		node := int32(start)
		for node != noParent && seen[node] == 0 {
			seen[node] = int32(start) + 1
			node = n.via[node]
		}
		if node == noParent || seen[node] != int32(start)+1 {
			continue
		}
		cycle := []arc{{n.via[node], node}}
		for at := n.via[node]; at != node; at = n.via[at] {
			cycle = append(cycle, arc{n.via[at], at})
		}
		return cycle
	}
	return nil
}

// cancel sends through a cycle as much as makes it cheaper with every unit.
func (n *network) cancel(cycle []arc) {
	price, amount, squares := int64(0), none, false
	var up, down int
	classes := len(n.classes)
	for _, a := range cycle {
		p, upTo := n.arcPrice(a)
		price += p
		amount = min(amount, upTo)
		switch {
		case a.to == n.sink():
			up = int(a.from) - classes
			squares = true
		case a.from == n.sink():
			down = int(a.to) - classes
		}
	}
	if squares {
		// The k-th unit costs 2 × square more than the one before at each end that is an instance.
		steps := int64(0)
		for _, c := range []int{up, down} {
			if c != len(n.open) {
				steps += 2 * n.cost.square
			}
		}
		if steps > 0 {
			amount = min(amount, int((-price-1)/steps)+1)
		}
	}
	for _, a := range cycle {
		switch {
		case a.to == n.sink():
			n.load[up] += amount
		case a.from == n.sink():
			n.load[down] -= amount
		case int(a.from) < classes:
			n.flow[n.cell(int(a.from), int(a.to)-classes)] += amount
		default:
			n.flow[n.cell(int(a.to), int(a.from)-classes)] -= amount
		}
	}
}
