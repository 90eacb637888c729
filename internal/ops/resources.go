package ops

import (
	"cmp"
	"container/heap"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// NotKept is Resource.Why where no move of the resource is known.
const NotKept = "not kept"

// Where a resource is: Resource.Place.
const (
	InList   = "list"
	InPool   = "pool"
	InFlight = "flight"
)

// ResourceOf is where a resource is that an index found at an ordinal, or, with -1, in the pool or
// in flight.
func ResourceOf(v *View, id string, ordinal int) Resource {
	r := Resource{ID: id, Place: InPool, Why: NotKept, Moves: []Move{}}
	if ordinal >= 0 {
		r.Place, r.Instance = InList, &ordinal
		r.occupant(v, ordinal)
	} else if v.State != nil {
		for _, f := range v.State.Flight {
			if f.IDs.Index(id) >= 0 {
				r.Place, r.From = InFlight, &f.From
				r.occupant(v, f.From)
			}
		}
	}
	if p := v.Operator.Pin(id); p != nil {
		r.Pin = &Pin{Resource: id, Instance: p.Ordinal, Said: p.Said}
	}
	r.Parked = parkedFor(v, id, ordinal)
	return r
}

// Follow adds what this replica has seen of the resource's moves.
func (r *Resource) Follow(t inventory.Track) {
	r.Since, r.Why, r.KeptSince = t.Since, t.Why, t.KeptSince
	for _, m := range t.Moves {
		r.Moves = append(r.Moves, Move{ID: r.ID, At: m.At, From: m.From, To: m.To, Why: m.Why})
	}
}

// occupant is the pod that has the resource, or had it and may still run it.
func (r *Resource) occupant(v *View, ordinal int) {
	if inst := v.Snapshot.Instance(ordinal); inst != nil && inst.Occupant() != nil {
		r.Pod, r.Node = inst.Occupant().Name, inst.Occupant().Node
	}
}

// parkedFor says why a resource has no place, as far as that is known of this one: the reasons are
// summed up, with examples.
func parkedFor(v *View, id string, ordinal int) string {
	for _, g := range v.Progress.Parked {
		if g.From == ordinal && (slices.Contains(g.Examples, id) || ordinal < 0 && g.Count == v.Snapshot.Unassigned) {
			return g.Meaning
		}
	}
	return ""
}

// ResourceQuery picks ids.
type ResourceQuery struct {
	// ID picks that id alone; "": any.
	ID string
	// Contains picks the ids that have this text in them; "": any.
	Contains string
	// Instance picks those of one ordinal; nil: of any, of the pool and of the flight.
	Instance *int
	// Limit is how many are returned at most, 0: DefaultPage; Continue is that of the page before.
	Limit    int
	Continue string
}

// after is where a page of ids ended.
type after struct {
	ID       string `json:"r"`
	Instance int    `json:"o"`
}

func compare(a, b ResourceAt) int {
	return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Instance, b.Instance))
}

// ResourcesOf is a page of ids, ascending. It looks at every id that the query may pick and keeps
// no more of them than the page has. It fails with ErrContinue alone.
func ResourcesOf(st *protocol.State, q ResourceQuery) (ResourceList, error) {
	last, err := readAfter(q.Continue)
	if err != nil {
		return ResourceList{}, err
	}
	limit := cmp.Or(q.Limit, DefaultPage)
	least := &smallest{limit: limit + 1}
	picks := func(id string) bool { return (q.ID == "" || id == q.ID) && strings.Contains(id, q.Contains) }
	take := func(ids protocol.IDs, ordinal int) {
		for _, id := range ids.Lent() {
			at := ResourceAt{ID: id, Instance: ordinal}
			if (last == nil || compare(at, *last) > 0) && least.wants(at) && picks(id) {
				at.ID = strings.Clone(id)
				least.take(at)
			}
		}
	}
	q.visit(st, take)
	items := least.items
	slices.SortFunc(items, compare)
	page := ResourceList{Items: append([]ResourceAt{}, items[:min(limit, len(items))]...)}
	if len(items) > limit {
		end := page.Items[limit-1]
		text, err := json.Marshal(after(end))
		if err != nil {
			return ResourceList{}, fmt.Errorf("write continue: %w", err)
		}
		page.Continue = base64.RawURLEncoding.EncodeToString(text)
	}
	return page, nil
}

// visit goes through the lists, or the one that is asked for, the pool and the flight.
func (q *ResourceQuery) visit(st *protocol.State, take func(ids protocol.IDs, ordinal int)) {
	if q.Instance != nil {
		if in := st.Instances[*q.Instance]; in != nil {
			take(in.IDs, in.Ordinal)
		}
		return
	}
	for n, in := range st.Instances {
		take(in.IDs, n)
	}
	for _, p := range st.Pool {
		take(p.IDs, -1)
	}
	for _, f := range st.Flight {
		take(f.IDs, -1)
	}
}

func readAfter(text string) (*ResourceAt, error) {
	if text == "" {
		return nil, nil
	}
	var a after
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(data, &a) //nolint:forbidigo // our own text: nothing else is a cursor
	}
	if err != nil || a.ID == "" {
		return nil, fmt.Errorf("continue %q: %w", text, ErrContinue)
	}
	at := ResourceAt(a)
	return &at, nil
}

// smallest keeps the least of what it is given, the greatest of them first.
type smallest struct {
	items []ResourceAt
	limit int
}

func (s *smallest) wants(at ResourceAt) bool {
	return len(s.items) < s.limit || compare(at, s.items[0]) < 0
}

func (s *smallest) take(at ResourceAt) {
	if len(s.items) < s.limit {
		heap.Push(s, at)
		return
	}
	s.items[0] = at
	heap.Fix(s, 0)
}

// Len implements heap.Interface.
func (s *smallest) Len() int { return len(s.items) }

// Less implements heap.Interface: the greatest comes first.
func (s *smallest) Less(i, j int) bool { return compare(s.items[i], s.items[j]) > 0 }

// Swap implements heap.Interface.
func (s *smallest) Swap(i, j int) { s.items[i], s.items[j] = s.items[j], s.items[i] }

// Push implements heap.Interface.
func (s *smallest) Push(x any) { s.items = append(s.items, x.(ResourceAt)) }

// Pop implements heap.Interface.
func (s *smallest) Pop() any {
	last := s.items[len(s.items)-1]
	s.items = s.items[:len(s.items)-1]
	return last
}

// Undated is the resource as it is: nothing of it changes by time alone.
func (r Resource) Undated() Resource { return r }

// Undated is the page as it is: nothing of it changes by time alone.
func (l ResourceList) Undated() ResourceList { return l }
