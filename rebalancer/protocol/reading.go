package protocol

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// A reading compares what is there with what was read before and fetches only what differs. So one
// way serves the first read, the follower, the leader and the time after a lost session alike.

// Read reads once what differs from prev and shares the rest with it. What cannot be understood is
// a fault in the State; missing trees are an empty one. changed says that something differs. The
// State is Torn where something was deleted while it was read; of other writes the watches tell.
func Read(znodes Znodes, prev *State, now time.Time) (next *State, changed bool, err error) {
	r := newReading(prev)
	r.next.ReadAt = now
	if err := r.readAll(znodes); err != nil {
		return nil, false, err
	}
	r.keepDeleted()
	slices.Sort(r.next.Faults)
	// Where nothing has come, less is there only if something has gone.
	changed = r.changed || len(r.next.Pool) < len(prev.Pool) || len(r.next.Flight) < len(prev.Flight) ||
		len(r.next.Kept) < len(prev.Kept) || !slices.Equal(prev.Faults, r.next.Faults)
	return r.next, changed, nil
}

// reading is one pass over a kind. Its parts are read side by side.
type reading struct {
	kind string
	prev *State

	mu      sync.Mutex
	next    *State
	changed bool
}

func newReading(prev *State) *reading {
	return &reading{kind: prev.Kind, prev: prev, next: NewState(prev.Kind)}
}

// store changes next; differs says that it is not as prev had it.
func (r *reading) store(differs bool, change func(*State)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed = r.changed || differs
	change(r.next)
}

func (r *reading) fault(path string, err error) {
	r.store(false, func(s *State) { s.Faults = append(s.Faults, path+": "+err.Error()) })
}

// errDeleted ends the reading of a part; the next one sees whether it has gone for good.
var errDeleted = errors.New("a znode was deleted while it was read")

// each reads parts; of those that are deleted meanwhile, nothing is known.
func (r *reading) each(znodes Znodes, parts []func(Znodes) error) error {
	reads := make([]func(Znodes) error, len(parts))
	for i, part := range parts {
		reads[i] = func(znodes Znodes) error {
			err := part(znodes)
			if errors.Is(err, errDeleted) {
				r.store(true, func(s *State) { s.Torn = true })
				return nil
			}
			return err
		}
	}
	return znodes.Each(reads)
}

func (r *reading) readAll(znodes Znodes) error {
	var pool, flights, own, ordinals []string
	list := func(path string, names *[]string) func(Znodes) error {
		return func(znodes Znodes) (err error) {
			*names, _, err = znodes.Children(path, true)
			return err
		}
	}
	if err := r.each(znodes, []func(Znodes) error{
		r.readHead,
		list(PoolPath(r.kind), &pool), list(FlightsPath(r.kind), &flights),
		list(ownPath(r.kind), &own), list(KindPath(r.kind), &ordinals),
	}); err != nil {
		return err
	}
	// Lists before pieces: then a list's watch fires for what moves between the two after its read.
	if err := r.each(znodes, parts(ordinals, r.readOrdinal)); err != nil {
		return err
	}
	return r.each(znodes, append(slices.Concat(
		parts(pool, r.readPiece), parts(flights, r.readFlight),
		parts(slices.DeleteFunc(own, isProtocolName), r.readDoc)), r.readPlan))
}

// parts are those that read a name each.
func parts(names []string, read func(znodes Znodes, name string) error) []func(Znodes) error {
	all := make([]func(Znodes) error, len(names))
	for i, name := range names {
		all[i] = func(znodes Znodes) error { return read(znodes, name) }
	}
	return all
}

// readZnode reads a znode: stat and got are nil where there is none, got also where it is the one
// known. One that never comes back must not be awaited: the watch for that would stay for ever.
func readZnode(znodes Znodes, path string, await bool, was known) (stat *Stat, got *Znode, err error) {
	stat, err = znodes.Stat(path, await)
	if err != nil || stat == nil || was.is(stat) {
		return stat, nil, err
	}
	if stat.Bytes > maxZnode {
		return stat, &Znode{Stat: *stat}, nil
	}
	got, err = znodes.Get(path, true)
	if err == nil && got == nil {
		err = errDeleted
	}
	if err != nil {
		return nil, nil, err
	}
	return &got.Stat, got, nil
}

func (r *reading) readHead(znodes Znodes) error {
	path, prev := HeadPath(r.kind), r.prev
	was := known{prev.HeadVersion, -1, prev.head.zxid}
	if prev.head.fault {
		was = unknown
	}
	stat, got, err := readZnode(znodes, path, true, was)
	if err != nil {
		return err
	}
	if stat == nil {
		r.store(prev.HeadVersion >= 0, func(*State) {})
		return nil
	}
	head := prev.Head
	if got != nil {
		head, err = DecodeHead(got.Data)
	}
	r.store(got != nil && got.Zxid != prev.head.zxid, func(s *State) {
		s.Head, s.HeadVersion, s.head = head, stat.Version, headZnode{stat.Zxid, err != nil}
	})
	if err != nil {
		r.fault(path, err)
	}
	return nil
}

// keepDeleted looks at instances whose znode is no longer there. We delete none that owns
// something. So if, under the same head, ids went with it, another client did, and the ids last
// known there count as in flight from that ordinal.
func (r *reading) keepDeleted() {
	sameHead := r.next.HeadVersion >= 0 && r.next.HeadVersion == r.prev.HeadVersion
	for n, was := range r.prev.Instances {
		if r.next.Instances[n] != nil {
			continue
		}
		if sameHead && was.IDs.Len() > 0 && r.missesAny(was.IDs) {
			if was.DataVersion < 0 { // known already
				r.next.Instances[n] = was
				continue
			}
			in := nothing(n)
			in.IDs, in.Fault = was.IDs, InstancePath(r.kind, n)+": has been deleted by another client"
			r.next.Instances[n] = in
		}
		r.changed = true
	}
}

// missesAny says that not all the ids are elsewhere now.
func (r *reading) missesAny(ids IDs) bool {
	missing := setOf(ids.Strings())
	for _, p := range r.next.places() {
		for _, id := range p.ids.Among(missing) {
			delete(missing, id)
		}
	}
	return len(missing) > 0
}
