package plan

import "slices"

// parcel is n resources of one class that go the same way.
type parcel struct {
	from, to  Place
	n         int32
	class     PinIndex
	voluntary bool
}

// stock is n resources of one class in one list.
type stock struct {
	at    Place
	n     int32
	class PinIndex
}

// leftover is a stock without a place.
type leftover struct {
	stock
	why Reason
}

// layout is a plan by numbers, before single resources are picked: parcels in order of execution.
type layout struct {
	parcels []parcel
	left    []leftover
}

// pair sends what the givers have to the takers, both in their order, and returns what found no taker.
func (l *layout) pair(givers, takers []stock, voluntary bool) []stock {
	for len(givers) > 0 && len(takers) > 0 {
		g, t := &givers[0], &takers[0]
		if n := min(g.n, t.n); n > 0 {
			l.parcels = append(l.parcels, parcel{from: g.at, to: t.at, n: n, class: g.class, voluntary: voluntary})
			g.n -= n
			t.n -= n
		}
		if g.n == 0 {
			givers = givers[1:]
		}
		if t.n == 0 {
			takers = takers[1:]
		}
	}
	return givers
}

func (l *layout) refuse(stocks []stock, why Reason) {
	for _, s := range stocks {
		if s.n > 0 {
			l.left = append(l.left, leftover{s, why})
		}
	}
}

func (l *layout) moves() (n int) {
	for _, p := range l.parcels {
		n += int(p.n)
	}
	return n
}

// freeLayout is the layout of a world without pins. The number of its moves is the least possible: nobody both gives and gets.
func freeLayout(w *World, o Options) layout {
	open, orphans, waiting := survey(w)
	s := newShares(len(open))
	total := waiting
	for i, at := range open {
		in := &w.Instances[at]
		held := len(in.IDs) + in.Arriving.Count
		s.held[i], s.floor[i] = held, in.Arriving.Count
		if o.Regime == Emergency || in.Fixed {
			s.floor[i] = held
		}
		s.limit[i] = max(in.Capacity, s.floor[i])
		total += held
	}
	s.fill(total)
	surplus, deficit := 0, 0
	for i := range open {
		surplus += max(0, s.held[i]-s.want[i])
		deficit += max(0, s.want[i]-s.held[i])
	}
	first := s.held // what they hold once the orphans are placed
	if placed := deficit - min(surplus, deficit); placed > 0 {
		first = s.want
		if surplus > 0 {
			first = s.orphansFirst(placed)
		}
	}
	return s.layout(open, orphans, first)
}

// orphansFirst says how many each holds when so many orphans have been placed and nothing else has moved.
func (s shares) orphansFirst(placed int) []int {
	f := newShares(len(s.held))
	for i, h := range s.held {
		f.floor[i], f.held[i], f.limit[i] = h, h, max(h, s.want[i])
		placed += h
	}
	f.fill(placed)
	return f.want
}

// layout turns held → first → want into parcels: orphans, then what only spreads, from the fullest to the emptiest.
func (s shares) layout(open []Place, orphans []stock, first []int) layout {
	takers := make([]stock, 0, len(open))
	for i, at := range open {
		if n := first[i] - s.held[i]; n > 0 {
			takers = append(takers, stock{at: at, n: int32(n)})
		}
	}
	// Each parcel uses up a giver or a taker.
	l := layout{parcels: make([]parcel, 0, len(orphans)+len(takers)+len(open))}
	why := Full
	if len(open) == 0 {
		why = NoOpen
	}
	l.refuse(l.pair(orphans, takers, false), why)

	takers = takers[:0]
	givers := make([]stock, 0, len(open))
	order := make([]int32, len(open))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return first[b] - first[a] })
	for k := range order {
		if i := order[k]; s.want[i] < s.held[i] {
			givers = append(givers, stock{at: open[i], n: int32(s.held[i] - s.want[i])})
		}
		if i := order[len(order)-1-k]; s.want[i] > first[i] {
			takers = append(takers, stock{at: open[i], n: int32(s.want[i] - first[i])})
		}
	}
	l.refuse(l.pair(givers, takers, true), OverCapacity)
	return l
}

// survey lists the open instances and, of a world without pins, what has no place: the pool first, then leaving lists by ordinal.
func survey(w *World) (open []Place, orphans []stock, total int) {
	open = make([]Place, 0, len(w.Instances))
	if n := len(w.Pool.IDs); n > 0 {
		orphans = append(orphans, stock{at: FromPool, n: int32(n)})
		total = n
	}
	for i := range w.Instances {
		switch in := &w.Instances[i]; {
		case in.Open:
			open = append(open, Place(i))
		case in.Leaving && len(in.IDs) > 0:
			orphans = append(orphans, stock{at: Place(i), n: int32(len(in.IDs))})
			total += len(in.IDs)
		}
	}
	return open, orphans, total
}
