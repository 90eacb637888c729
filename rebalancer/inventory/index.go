package inventory

import (
	"hash/maphash"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/protocol/idlist"
)

// Places other than an ordinal's list.
const (
	InPool   int32 = -1
	InFlight int32 = -2
	nowhere  int32 = -3
)

// Index says where each id is. It is built from a State at its first use and from then on kept up
// by comparing States, at the cost of what differs. It is brought up to the latest State when it is
// asked, or when no caller waits: a plan of many transactions does not wait for it after each.
//
// It keeps a 64-bit hash of each id, about 20 bytes each, and no strings: a string would keep alive
// the whole list that it was once read from. Two of 350,000 ids share a hash in one process in 300
// million; the next process has another seed.
//
// Beside each place it keeps since when the id is there and why, and it logs moves between places:
// both from the first State that it is built of.
//
// It calls nothing that it was given, so that no other lock can be taken under its own.
type Index struct {
	// each calls work for 0 to n-1, several at once if it can.
	each func(n int, work func(i int))

	// started: it was ever used. next is the State that it is to equal; nil: it does.
	started atomic.Bool
	next    atomic.Pointer[protocol.State]
	// plan is the last one that a State had since the index was brought up to one.
	plan atomic.Pointer[protocol.StoredPlan]

	mu   sync.RWMutex
	seed maphash.Seed
	// of is the State that the index equals; nil: not built.
	of      *protocol.State
	at      [shards]*spots // by hash, in the shard that it is of
	log     moveLog
	updated int
	// twice is how many places hold an id that another one holds too: 0 except in an adopted tree.
	twice int
}

// shards are built side by side, and each is small enough for a processor's cache.
const shards = 8

// follow makes the index equal st when it is asked next, if it was ever used; st must not change
// afterwards. It waits for nothing. Calls of follow and start are in the order of the States, which
// shared.mu sees to.
func (x *Index) follow(st *protocol.State) {
	if x.started.Load() {
		if st.Plan != nil {
			x.plan.Store(st.Plan)
		}
		x.next.Store(st)
	}
}

// start has the index built of st when it is asked next, and kept up. It never waits.
func (x *Index) start(st *protocol.State) {
	x.started.Store(true)
	x.next.Store(st)
}

// CatchUp makes the index equal the latest State.
func (x *Index) CatchUp() {
	if x.next.Load() == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if st := x.next.Swap(nil); st != nil {
		x.update(st)
	}
}

// Find returns where the id is.
func (x *Index) Find(id string) (place int32, known bool) {
	x.CatchUp()
	x.mu.RLock()
	defer x.mu.RUnlock()
	place = x.find(id)
	return place, place != nowhere
}

// places returns where each id is, nowhere included, and by which State.
func (x *Index) places(ids []string) (places []int32, of *protocol.State) {
	places = make([]int32, len(ids))
	x.CatchUp()
	x.mu.RLock()
	defer x.mu.RUnlock()
	for i, id := range ids {
		places[i] = x.find(id)
	}
	return places, x.of
}

// Remain says of each id whether it is anywhere, and not being deleted.
func (x *Index) Remain(ids []string) []bool {
	places, of := x.places(ids)
	var deleted map[string]struct{}
	if slices.Contains(places, InFlight) {
		deleted = beingDeleted(of)
	}
	stay := make([]bool, len(ids))
	for i, id := range ids {
		_, goes := deleted[id]
		stay[i] = places[i] != nowhere && !goes
	}
	return stay
}

func (x *Index) remains(id string) bool { return x.Remain([]string{id})[0] }

func (x *Index) knows(id string) bool {
	_, known := x.Find(id)
	return known
}

// beingDeleted are the ids in flight that go nowhere.
func beingDeleted(st *protocol.State) map[string]struct{} {
	ids := map[string]struct{}{}
	for _, f := range st.Flight {
		for i, id := range f.IDs.All() {
			if f.Target(i) == protocol.ToDelete {
				ids[id] = struct{}{}
			}
		}
	}
	return ids
}

// find is where the id is, with the lock held.
func (x *Index) find(id string) int32 {
	if x.of == nil {
		return nowhere
	}
	h := idlist.Hash(x.seed, id)
	if s, known := x.at[h%shards].get(h); known {
		return shown(s.place)
	}
	return nowhere
}

// Track is what is known of the way of an id; false: there is no such id.
func (x *Index) Track(id string) (t Track, known bool) {
	x.CatchUp()
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.of == nil {
		return Track{}, false
	}
	h := idlist.Hash(x.seed, id)
	s, known := x.at[h%shards].get(h)
	if !known {
		return Track{}, false
	}
	return x.log.track(h, s), true
}

// Updates is how often the index was brought up to a State.
func (x *Index) Updates() int {
	x.CatchUp()
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.updated
}

// Duplicates is the number of places that hold an id which another one holds too.
func (x *Index) Duplicates() int {
	x.CatchUp()
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.twice
}

// update applies what changed. Where duplicates came or went, only a new start is right. A panic in
// the middle leaves an index that the next question builds from the start.
func (x *Index) update(st *protocol.State) {
	x.updated++
	was := x.of
	x.of = nil
	defer func() {
		if x.of == nil {
			x.next.CompareAndSwap(nil, st)
		}
	}()
	plan := st.Plan
	if last := x.plan.Swap(st.Plan); plan == nil {
		plan = last // it has ended since
	}
	if was != nil {
		x.log.observe(st, plan)
		if x.apply(was, st); st.Count() == x.len() && x.twice == 0 {
			x.of = st
			return
		}
	}
	x.build(st)
	x.of = st
}

func (x *Index) build(st *protocol.State) {
	x.seed = maphash.MakeSeed()
	x.each(shards, func(shard int) { x.at[shard] = x.buildShard(st, uint64(shard)) })
	x.twice = st.Count() - x.len()
	x.log.begin(st.ReadAt)
}

// buildShard hashes every id to find those of the shard: cheaper than putting them aside.
func (x *Index) buildShard(st *protocol.State, shard uint64) *spots {
	at := newSpots(st.Count() / shards)
	differences(&protocol.State{}, st, func(_, is protocol.IDs, place int32) {
		for _, h := range is.Hashes(x.seed) {
			if h%shards == shard {
				at.put(h, spot{place: place})
			}
		}
	})
	return at
}

func (x *Index) len() (n int) {
	for _, at := range x.at {
		n += at.n
	}
	return n
}

// apply writes what came to a place over where it was, and takes away what went and came nowhere.
// Where ids both went and came, what went is marked first: an id may be in both, as when pieces of
// the pool are merged.
func (x *Index) apply(old, st *protocol.State) {
	changes, came := []difference(nil), map[int32]bool{}
	differences(old, st, func(was, is protocol.IDs, place int32) {
		changes = append(changes, difference{was, is, place})
		came[place] = came[place] || is.Len() > 0
	})
	went := func(onlyWhereCame bool, visit func(at *spots, h uint64, s spot, c *difference)) {
		for i := range changes {
			c := &changes[i]
			if onlyWhereCame && !came[c.place] {
				continue
			}
			for _, h := range c.was.Hashes(x.seed) {
				if s, known := x.at[h%shards].get(h); known {
					visit(x.at[h%shards], h, s, c)
				}
			}
		}
	}
	went(true, func(at *spots, h uint64, s spot, c *difference) {
		if s.place == c.place {
			at.put(h, spot{s.place, s.mark | gone})
		}
	})
	for _, c := range changes {
		for _, h := range c.is.Hashes(x.seed) {
			prev, known := x.at[h%shards].get(h)
			x.at[h%shards].put(h, x.log.arrived(h, prev, known, c.place))
		}
	}
	went(false, func(at *spots, h uint64, s spot, c *difference) {
		if s.mark&gone != 0 || s.place == c.place && !came[c.place] {
			at.drop(h)
		}
	})
}

// difference is what differs in one list or piece.
type difference struct {
	was, is protocol.IDs
	place   int32
}

// differences calls visit for each place whose ids differ, with the ids that differ.
func differences(old, st *protocol.State, visit func(was, is protocol.IDs, place int32)) {
	differ(old.Instances, st.Instances, func(in *protocol.Instance) protocol.IDs { return in.IDs },
		func(n int, was, is protocol.IDs) { visit(was, is, int32(n)) })
	differ(old.Pool, st.Pool, func(p *protocol.Piece) protocol.IDs { return p.IDs },
		func(_ string, was, is protocol.IDs) { visit(was, is, InPool) })
	differ(old.Flight, st.Flight, func(f *protocol.Flight) protocol.IDs { return f.IDs },
		func(name string, was, is protocol.IDs) { visit(was, is, flightFrom(sourceOf(old, st, name))) })
}

// sourceOf is the ordinal that a flight piece of either State is from.
func sourceOf(old, st *protocol.State, name string) int {
	if f := st.Flight[name]; f != nil {
		return f.From
	}
	return old.Flight[name].From
}

// differ calls visit for each key under which the two hold other ids, with those that differ.
func differ[K comparable, V any](old, now map[K]*V, ids func(*V) protocol.IDs, visit func(k K, was, is protocol.IDs)) {
	compare := func(k K, was, is *V) {
		var before, after protocol.IDs
		if was != nil {
			before = ids(was)
		}
		if is != nil {
			after = ids(is)
		}
		if before, after = before.Differ(after); before.Len()+after.Len() > 0 {
			visit(k, before, after)
		}
	}
	for k, is := range now {
		compare(k, old[k], is)
	}
	for k, was := range old {
		if now[k] == nil {
			compare(k, was, nil)
		}
	}
}

// Remaining lends every id of st that is not being deleted, each until the next one, duplicates as
// often as they occur, and says how many there are.
func Remaining(st *protocol.State) (ids iter.Seq[string], n int) {
	n = st.Count()
	for _, f := range st.Flight {
		n -= f.Deletes()
	}
	return func(yield func(string) bool) {
		all := func(ids protocol.IDs) bool {
			for _, id := range ids.Lent() {
				if !yield(id) {
					return false
				}
			}
			return true
		}
		for _, in := range st.Instances {
			if !all(in.IDs) {
				return
			}
		}
		for _, p := range st.Pool {
			if !all(p.IDs) {
				return
			}
		}
		for _, f := range st.Flight {
			for i, id := range f.IDs.Lent() {
				if f.Target(i) != protocol.ToDelete && !yield(id) {
					return
				}
			}
		}
	}, n
}
