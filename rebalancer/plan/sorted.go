package plan

import (
	"container/heap"
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// sortedList is one list by weight, from which resources are taken one by one. Only those are on it
// that may stay in the list.
type sortedList struct {
	list *List
	// sorted holds weight << 32 | index, ascending.
	sorted []uint64
	// below[i+1] is where to look for the nearest place at or below i that is not taken, -1: none.
	below []int32
	low   int // everything before has been taken
}

func (s *weightPlanner) sorted(at InstanceIndex) *sortedList {
	if sh := s.sortedLists[at]; sh != nil {
		return sh
	}
	l := s.w.list(at)
	sh := &sortedList{list: l, sorted: make([]uint64, 0, l.IDs.Len())}
	for i := range l.IDs.Len() {
		if s.w.Allows(l.pin(i), at) {
			sh.sorted = append(sh.sorted, uint64(l.weight(i))<<32|uint64(i))
		}
	}
	slices.Sort(sh.sorted)
	sh.below = make([]int32, len(sh.sorted)+1)
	for i := range sh.below {
		sh.below[i] = int32(i) - 1
	}
	s.sortedLists[at] = sh
	return sh
}

// at is the nearest place at or below i that has not been taken.
func (sh *sortedList) at(i int32) int32 {
	root := i
	for root >= 0 && sh.below[root+1] != root {
		root = sh.below[root+1]
	}
	for i > root { // next time the way is short
		i, sh.below[i+1] = sh.below[i+1], root
	}
	return root
}

// take finds the heaviest that to takes of at most ideal, else the lightest of at most limit.
func (sh *sortedList) take(s *weightPlanner, to InstanceIndex, ideal, limit int64) (index int32, ok bool) {
	over, _ := slices.BinarySearch(sh.sorted, uint64(max(0, ideal)+1)<<32)
	for i := sh.at(int32(over) - 1); i >= 0; i = sh.at(i - 1) {
		if sh.fits(s, to, i) {
			return sh.remove(i), true
		}
	}
	for sh.low < len(sh.sorted) && sh.at(int32(sh.low)) != int32(sh.low) {
		sh.low++
	}
	for i := max(over, sh.low); i < len(sh.sorted) && int64(sh.sorted[i]>>32) <= limit; i++ {
		if sh.at(int32(i)) == int32(i) && sh.fits(s, to, int32(i)) {
			return sh.remove(int32(i)), true
		}
	}
	return 0, false
}

func (sh *sortedList) fits(s *weightPlanner, to InstanceIndex, i int32) bool {
	index := int(uint32(sh.sorted[i]))
	return s.w.Allows(sh.list.pin(index), to) && (s.bytes == nil || s.tally.fits(to, protocol.CostAt(sh.list.IDs, index)))
}

func (sh *sortedList) remove(i int32) int32 {
	sh.below[i+1] = i - 1
	return int32(uint32(sh.sorted[i]))
}

// first are the lightest n that have not been taken.
func (sh *sortedList) first(n int) (indexes []int32) {
	for i := 0; i < len(sh.sorted) && len(indexes) < n; i++ {
		if sh.at(int32(i)) == int32(i) {
			indexes = append(indexes, int32(uint32(sh.sorted[i])))
		}
	}
	return indexes
}

// lightest has the open instances with the lightest on top.
type lightest struct {
	s     *weightPlanner
	items []InstanceIndex
	place []int // of an instance among items, -1: not there
}

func newLightest(s *weightPlanner) *lightest {
	h := &lightest{s: s, place: slices.Repeat([]int{-1}, len(s.weight))}
	for _, at := range s.open {
		h.moved(at)
	}
	return h
}

// moved puts an instance where it belongs after its weight changed, also a dropped one.
func (h *lightest) moved(at InstanceIndex) {
	switch {
	case at == FromPool || !h.s.w.Instances[at].Open:
	case h.place[at] < 0:
		heap.Push(h, at)
	default:
		heap.Fix(h, h.place[at])
	}
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (h *lightest) Len() int { return len(h.items) }

func (h *lightest) Less(i, j int) bool { return h.s.lighter(h.items[i], h.items[j]) }

func (h *lightest) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.place[h.items[i]], h.place[h.items[j]] = i, j
}

func (h *lightest) Push(at any) {
	h.place[at.(InstanceIndex)] = len(h.items)
	h.items = append(h.items, at.(InstanceIndex))
}

func (h *lightest) Pop() any {
	last := len(h.items) - 1
	at := h.items[last]
	h.items, h.place[at] = h.items[:last], -1
	return at
}
