package protocol

import (
	"maps"
	"slices"
)

// NewState is the empty State of a kind of which ZooKeeper holds nothing.
func NewState(kind string) *State {
	return &State{
		Kind: kind, HeadVersion: -1,
		Instances: map[int]*Instance{}, Pool: map[string]*Piece{}, Flight: map[string]*Flight{}, Kept: map[string]*Doc{},
		plan: planZnode{known: unknown, parts: map[int]int32{}},
	}
}

// Clone returns a copy. It costs a map entry an instance and piece, nothing an id.
func (s *State) Clone() *State {
	c := *s
	c.Instances, c.Pool, c.Flight, c.Kept = maps.Clone(s.Instances), maps.Clone(s.Pool), maps.Clone(s.Flight), maps.Clone(s.Kept)
	return &c
}

// Fault is why this kind stops: an unreadable list, a newer schema; "": none.
func (s *State) Fault() string {
	if len(s.Faults) > 0 {
		return s.Faults[0]
	}
	var first *Instance
	for _, in := range s.Instances {
		if in.Fault != "" && (first == nil || in.Ordinal < first.Ordinal) {
			first = in
		}
	}
	if first == nil {
		return ""
	}
	return first.Fault
}

// Assigned counts ids in readable lists.
func (s *State) Assigned() int { return s.listed(true) }

// InFlight counts ids in flight, those last known of unreadable lists included.
func (s *State) InFlight() int {
	count := s.listed(false)
	for _, f := range s.Flight {
		count += f.IDs.Len()
	}
	return count
}

// listed counts the ids of lists, of those that can be read or of the others.
func (s *State) listed(readable bool) (count int) {
	for _, in := range s.Instances {
		if (in.Fault == "") == readable {
			count += in.IDs.Len()
		}
	}
	return count
}

// Unassigned counts ids in the pool.
func (s *State) Unassigned() (count int) {
	for _, p := range s.Pool {
		count += p.IDs.Len()
	}
	return count
}

// IsOpen says whether the ordinal may receive: open, and not just begun by another client.
func (s *State) IsOpen(n int) bool {
	_, open := slices.BinarySearch(s.Head.Open, n)
	return open && (s.Instances[n] == nil || !s.Instances[n].Begun)
}

// Ordinals are those that have znodes, ascending.
func (s *State) Ordinals() []int { return slices.Sorted(maps.Keys(s.Instances)) }

// PoolNames are the names of the pool pieces, oldest first.
func (s *State) PoolNames() []string {
	return slices.SortedFunc(maps.Keys(s.Pool), comparePairs)
}

// FlightNames are the names of the flight pieces, by ordinal, then oldest first.
func (s *State) FlightNames() []string {
	return slices.SortedFunc(maps.Keys(s.Flight), comparePairs)
}

// Size is a number of ids and what they add to a list's znode.
type Size struct{ Count, Bytes int }

// Plus is the sum.
func (s Size) Plus(o Size) Size { return Size{s.Count + o.Count, s.Bytes + o.Bytes} }

// Reserved is what is in flight to each ordinal: room that nothing else may take.
func (s *State) Reserved() map[int]Size {
	reserved := make(map[int]Size)
	for _, f := range s.Flight {
		for i := range f.IDs.Len() {
			if to := f.Target(i); to >= 0 {
				reserved[to] = reserved[to].Plus(Size{1, CostAt(f.IDs, i)})
			}
		}
	}
	return reserved
}

// Target is where the i-th id goes: an ordinal, ToPool or ToDelete.
func (f *Flight) Target(i int) int {
	if len(f.To) == 0 {
		return ToDelete
	}
	return f.To[i]
}

// Sole is the one destination of all of its ids; false: there are several.
func (f *Flight) Sole() (to int, ok bool) {
	to = f.Target(0)
	return to, !slices.ContainsFunc(f.To, func(other int) bool { return other != to })
}

// Deletes is how many of its ids are to be deleted.
func (f *Flight) Deletes() (n int) {
	for i := range f.IDs.Len() {
		if f.Target(i) == ToDelete {
			n++
		}
	}
	return n
}
