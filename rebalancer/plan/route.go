package plan

import "slices"

// bulkMove is n resources of one class that go the same way.
type bulkMove struct {
	from, to  InstanceIndex
	n         int32
	class     PinIndex
	voluntary bool
}

// group is n resources of one class in one list.
type group struct {
	at    InstanceIndex
	n     int32
	class PinIndex
}

type unplaced struct {
	group
	why Reason
}

// layout is a plan by numbers, before resources are picked: bulk moves in order of execution.
type layout struct {
	bulk []bulkMove
	left []unplaced
}

// pair sends what the sources have to the targets, both in order, and returns what found no target.
func (l *layout) pair(sources, targets []group, voluntary bool) []group {
	for len(sources) > 0 && len(targets) > 0 {
		g, t := &sources[0], &targets[0]
		if n := min(g.n, t.n); n > 0 {
			l.bulk = append(l.bulk, bulkMove{from: g.at, to: t.at, n: n, class: g.class, voluntary: voluntary})
			g.n -= n
			t.n -= n
		}
		if g.n == 0 {
			sources = sources[1:]
		}
		if t.n == 0 {
			targets = targets[1:]
		}
	}
	return sources
}

func (l *layout) refuse(groups []group, why Reason) {
	for _, s := range groups {
		if s.n > 0 {
			l.left = append(l.left, unplaced{s, why})
		}
	}
}

func (l *layout) moves() (n int) {
	for _, p := range l.bulk {
		n += int(p.n)
	}
	return n
}

// freeLayout is the layout of a world without pins. The number of its moves is the least possible:
// no instance both gives and gets.
func freeLayout(w *World, o Options) layout {
	open, orphans, total := survey(w)
	s := newShares(len(open))
	for i, at := range open {
		in := &w.Instances[at]
		s.owned[i], s.floor[i] = in.owned(), in.Arriving.Count
		if o.Regime == Emergency || in.Fixed {
			s.floor[i] = s.owned[i]
		}
		s.limit[i] = max(in.Capacity, s.floor[i])
		total += s.owned[i]
	}
	s.fill(total)
	return s.layout(open, orphans, s.orphansFirst())
}

// orphansFirst says how many each holds when the orphans are placed and nothing else has moved.
func (s shares) orphansFirst() []int {
	owned, want, surplus := 0, 0, 0
	for i, n := range s.owned {
		owned += n
		want += s.want[i]
		surplus += max(0, n-s.want[i])
	}
	switch {
	case want <= owned: // no orphan is placed
		return s.owned
	case surplus == 0: // nothing else moves
		return s.want
	}
	f := newShares(len(s.owned))
	for i, n := range s.owned {
		f.floor[i], f.owned[i], f.limit[i] = n, n, max(n, s.want[i])
	}
	f.fill(want)
	return f.want
}

// layout turns held → first → want into bulk moves: orphans, then what only spreads, from the
// fullest to the emptiest.
func (s shares) layout(open []InstanceIndex, orphans []group, first []int) layout {
	targets := make([]group, 0, len(open))
	for i, at := range open {
		if n := first[i] - s.owned[i]; n > 0 {
			targets = append(targets, group{at: at, n: int32(n)})
		}
	}
	// Each bulk move uses up a source or a target.
	l := layout{bulk: make([]bulkMove, 0, len(orphans)+len(targets)+len(open))}
	why := Full
	if len(open) == 0 {
		why = NoOpen
	}
	l.refuse(l.pair(orphans, targets, false), why)

	targets = targets[:0]
	sources := make([]group, 0, len(open))
	order := make([]int32, len(open))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return first[b] - first[a] })
	for k := range order {
		if i := order[k]; s.want[i] < s.owned[i] {
			sources = append(sources, group{at: open[i], n: int32(s.owned[i] - s.want[i])})
		}
		if i := order[len(order)-1-k]; s.want[i] > first[i] {
			targets = append(targets, group{at: open[i], n: int32(s.want[i] - first[i])})
		}
	}
	l.refuse(l.pair(sources, targets, true), OverCapacity)
	return l
}

// survey lists the open instances and, of a world without pins, what has no place: the pool first,
// then leaving lists by ordinal.
func survey(w *World) (open []InstanceIndex, orphans []group, total int) {
	open = make([]InstanceIndex, 0, len(w.Instances))
	if n := w.Pool.IDs.Len(); n > 0 {
		orphans = append(orphans, group{at: FromPool, n: int32(n)})
		total = n
	}
	for i := range w.Instances {
		switch in := &w.Instances[i]; {
		case in.Open:
			open = append(open, InstanceIndex(i))
		case in.Leaving && in.IDs.Len() > 0:
			orphans = append(orphans, group{at: InstanceIndex(i), n: int32(in.IDs.Len())})
			total += in.IDs.Len()
		}
	}
	return open, orphans, total
}
