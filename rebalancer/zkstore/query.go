package zkstore

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// NewState is the empty State of a kind of which ZooKeeper holds nothing.
func NewState(kind string) *State {
	return &State{
		Kind: kind, HeadVersion: -1,
		Instances: map[int]*Instance{}, Pool: map[string]*Piece{}, Flight: map[string]*Flight{}, Kept: map[string]*Doc{},
		plan: planZnode{version: -1, parts: map[int]int32{}},
	}
}

// Clone returns a copy that later Applies to s do not change, and the other way round. It costs a map entry an instance and piece,
// nothing an id.
func (s *State) Clone() *State {
	c := *s
	c.Instances, c.Pool, c.Flight, c.Kept = maps.Clone(s.Instances), maps.Clone(s.Pool), maps.Clone(s.Flight), maps.Clone(s.Kept)
	return &c
}

// Fault is the first reason why this kind stops: an unreadable list, a newer schema; "" when there is none.
func (s *State) Fault() string {
	if len(s.Faults) > 0 {
		return s.Faults[0]
	}
	first := -1
	for n, in := range s.Instances {
		if in.Fault != "" && (first < 0 || n < first) {
			first = n
		}
	}
	if first >= 0 {
		return s.Instances[first].Fault
	}
	return ""
}

// Assigned counts ids in readable lists.
func (s *State) Assigned() int {
	count := 0
	for _, in := range s.Instances {
		if in.Fault == "" {
			count += len(in.IDs)
		}
	}
	return count
}

// InFlight counts ids in flight, those last known of unreadable lists included.
func (s *State) InFlight() int {
	count := 0
	for _, f := range s.Flight {
		count += len(f.IDs)
	}
	for _, in := range s.Instances {
		if in.Fault != "" {
			count += len(in.IDs)
		}
	}
	return count
}

// Unassigned counts ids in the pool.
func (s *State) Unassigned() int {
	count := 0
	for _, p := range s.Pool {
		count += len(p.IDs)
	}
	return count
}

// IsOpen says whether the ordinal may receive. One that another client has begun to make may not, whatever the head says.
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

// Reserved is what is in flight to each ordinal: room that nothing else may take.
func (s *State) Reserved() map[int]Size {
	reserved := make(map[int]Size)
	for _, f := range s.Flight {
		for i, id := range f.IDs {
			if to := f.Target(i); to >= 0 {
				r := reserved[to]
				reserved[to] = Size{r.Count + 1, r.Bytes + Cost(id)}
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

// Deletes is how many of its ids are to be deleted.
func (f *Flight) Deletes() (n int) {
	for i := range f.IDs {
		if f.Target(i) == ToDelete {
			n++
		}
	}
	return n
}

// place is where an id was found.
type location struct {
	// rank orders the places by who keeps a duplicate: flight, lists with a live status, other lists, pool.
	rank    int
	ordinal int
	name    string
}

const (
	rankFlight = iota
	rankLive
	rankList
	rankPool
)

func (p location) String() string {
	switch p.rank {
	case rankFlight:
		return "flight"
	case rankPool:
		return "pool"
	}
	return strconv.Itoa(p.ordinal)
}

// walk visits every place in the order of rule 11: who comes first keeps a duplicate.
func (s *State) walk(visit func(p location, ids []string)) {
	for _, name := range s.FlightNames() {
		visit(location{rank: rankFlight, name: name}, s.Flight[name].IDs)
	}
	for _, rank := range []int{rankLive, rankList} {
		for _, n := range s.Ordinals() {
			if in := s.Instances[n]; in.Live == (rank == rankLive) {
				visit(location{rank: rank, ordinal: n}, in.IDs)
			}
		}
	}
	for _, name := range s.PoolNames() {
		visit(location{rank: rankPool, name: name}, s.Pool[name].IDs)
	}
}

func (s *State) count() int { return s.Assigned() + s.InFlight() + s.Unassigned() }

// Check says which id is in two places, if any is, and which is not allowed. It costs a map insert an id.
func (s *State) Check() error {
	seen := make(map[string]location, s.count())
	var err error
	s.walk(func(p location, ids []string) {
		for _, id := range ids {
			if err != nil {
				return
			}
			first, twice := seen[id]
			if twice {
				err = fmt.Errorf("id %q: is in %s %s and in %s %s", id, first, first.name, p, p.name)
				return
			}
			seen[id] = p
			err = CheckID(id)
		}
	})
	return err
}

// Duplicate is an id that was found in more than one place.
type Duplicate struct {
	ID string
	// Stayed and Removed are places: an ordinal's number, "pool" or "flight".
	Stayed, Removed string
}

// Dedupe leaves each id that is in several places where protocol rule 11 wants it: one Multi for each znode that
// loses something, none of which overlap.
func Dedupe(s *State) ([]Multi, []Duplicate, error) {
	seen := make(map[string]location, s.count())
	var multis []Multi
	var duplicates []Duplicate
	var failed error
	s.walk(func(p location, ids []string) {
		keep := make([]bool, len(ids))
		lost := 0
		for i, id := range ids {
			first, twice := seen[id]
			if keep[i] = !twice; keep[i] {
				seen[id] = p
				continue
			}
			lost++
			duplicates = append(duplicates, Duplicate{ID: id, Stayed: first.String(), Removed: p.String()})
		}
		if lost == 0 || failed != nil {
			return
		}
		var m Multi
		m, failed = strip(s, p, keep)
		multis = append(multis, m)
	})
	if failed != nil {
		return nil, nil, failed
	}
	return multis, duplicates, nil
}

// strip leaves only the marked ids in a place.
func strip(s *State, p location, keep []bool) (Multi, error) {
	b, err := begin(s, "dedupe")
	if err != nil {
		return Multi{}, err
	}
	marked := func(ids []string) (rest []string) {
		for i, id := range ids {
			if keep[i] {
				rest = append(rest, id)
			}
		}
		return rest
	}
	switch p.rank {
	case rankPool:
		b.setPiece(s.Pool[p.name], marked(s.Pool[p.name].IDs))
	case rankFlight:
		f := *s.Flight[p.name]
		f.IDs, f.To = marked(f.IDs), nil
		for i, ok := range keep {
			if ok {
				f.To = append(f.To, s.Flight[p.name].Target(i))
			}
		}
		b.setFlight(f)
	default:
		in, err := s.changeable(p.ordinal)
		if err != nil {
			return b.fail("%w", err)
		}
		b.setList(in, marked(in.IDs))
	}
	return b.done()
}

// Absence is what one leader has seen itself of a status that is gone.
type Absence struct {
	// Last is the status before it vanished; nil if this leader has not seen it.
	Last *Status
	// For is how long it has been absent since the revoke, by this leader's monotonic clock: an absence from before the revoke proves
	// nothing, since a process that came and read the old list meanwhile may have gone unseen.
	For time.Duration
	// Fault is Instance.StatusFault: what is there in place of a status; "": nothing.
	Fault string
}

// Fate is what Kubernetes says of the pod that a flight was taken from, by a picture from after the revoke. An older one would miss a
// successor that has read the old list.
type Fate struct {
	// Gone: no pod of the namespace has that uid any more, or its containers have terminated for
	// good. Where none was recorded, because none was known: the ordinal has no pod, and no status
	// that lives.
	Gone bool
	// Successor is the uid of the pod that the ordinal has instead, "" if it has none. It is also
	// the present pod where none was recorded.
	Successor string
}

// fenceMargin is waited for beyond the session of an instance that fences itself.
const fenceMargin = 2 * time.Second

// Released says whether the instance has let go of what is in flight from it, by protocol rule 6, and by which part of it: "i" the
// instance's own status, "ii" the pod is gone and its successor, if it has one, knows of the revoke, "iii" a fencing instance lost its
// session long enough ago. If not, the reason says what is waited for. status is nil unless it is ephemeral and readable
// (Instance.Status).
func Released(f *Flight, status *Status, pod Fate, absence Absence) (bool, string) {
	switch {
	case f.Pod == "" && pod.Successor == "" && !pod.Gone:
		return false, "no pod was recorded that could release it"
	case f.Pod != "" && status != nil && status.Pod == f.Pod && status.Times >= f.Times:
		return true, "i"
	case f.Pod == "" || pod.Gone:
		return succeeded(f, status, pod.Successor)
	}
	if status != nil && status.Pod == f.Pod {
		return false, fmt.Sprintf("the instance has applied %d, not yet %d", status.Times, f.Times)
	}
	if status != nil {
		return false, fmt.Sprintf("the status is of pod %q, what is in flight was taken from pod %s", status.Pod, f.Pod)
	}
	last := absence.Last
	if last == nil || last.Pod != f.Pod || !last.Fences || last.SessionMs <= 0 {
		if absence.Fault != "" {
			return false, fmt.Sprintf("the status %s, which proves nothing", absence.Fault)
		}
		return false, "the status is absent, which proves nothing of an instance that does not fence itself"
	}
	wait := time.Duration(last.SessionMs)*time.Millisecond + fenceMargin
	if absence.For >= wait {
		return true, "iii"
	}
	return false, fmt.Sprintf("the fencing instance has been absent for %s of %s", absence.For, wait)
}

// succeeded is rule 6 ii. The revoke recorded the pod that its leader knew of. A successor may have read the list before the revoke, and
// then it runs what was taken; only its own word says that it does not, or not any more.
func succeeded(f *Flight, status *Status, successor string) (bool, string) {
	switch {
	case successor == "" || status != nil && status.Pod == successor && status.Times >= f.Times:
		return true, "ii"
	case status != nil && status.Pod == successor:
		return false, fmt.Sprintf("pod %q is gone; its successor has applied %d, not yet %d", f.Pod, status.Times, f.Times)
	}
	return false, fmt.Sprintf("pod %q is gone; its successor %s has not said yet what it has applied", f.Pod, successor)
}
