// Package inventory knows the resources of a kind beside what ZooKeeper holds: where each one is,
// what is asked of it and who waits, what the catalogue says of it.
//
// In: States, messages, complete reads of the catalogue. Out: to the writer what is to be created
// and deleted, to callers when that is durable, to the planner weights and pins. Invariant: the
// last that was said of an id counts, and a caller is answered only when that is durable.
//
//	message ──► Callers ───┐                       ┌──► Writer: pending ─► (committed) ─► answered
//	                       ├─► requests, claims ───┤
//	catalogue ► Catalogue ─┴─► resync, attributes ─┴──► Writer: attributes
//	State ────► Follow ──────► Index ─────────────────► where an id is
//
// One lock guards all but the index, which has its own, held for half a second while it is built.
// No caller asks the index while it holds the other one (a test sees to that).
package inventory

import (
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Inventory is that of one kind. It is safe for concurrent use.
type Inventory struct {
	Index     *Index
	Callers   Callers
	Catalogue Catalogue
	Writer    Writer
	*shared
}

// New returns an Inventory that takes no requests until Lead. each calls work for 0 to n-1, several
// at once if it can.
func New(now time.Time, each func(n int, work func(i int))) *Inventory {
	s := &shared{
		index: &Index{each: each}, comparison: newComparison(now),
		attributes: newAttributeStore(), owed: map[string]struct{}{},
	}
	return &Inventory{Index: s.index, Callers: Callers{s}, Catalogue: Catalogue{s}, Writer: Writer{s}, shared: s}
}

// shared is what the faces of an Inventory have in common.
type shared struct {
	index *Index

	mu sync.Mutex
	// leading: requests are taken. state is the latest.
	leading    bool
	state      *protocol.State
	requests   requests
	comparison *comparison
	attributes attributeStore
	// claiming are the callers of claims that are not kept yet.
	claiming []*Request
	// importing: what a read has found new is not all asked for yet.
	importing bool
	// owed are ids of claims that a read has found right, and whose delete is not durable yet.
	owed map[string]struct{}
	// messages counts those of the kind, unannounced the reads that found new rows without any.
	messages    int
	unannounced unannounced
}

// Follow takes st, which does not change any more, for the latest State. Calls of it are in the
// order of the States. It does not wait for the index.
func (s *shared) Follow(st *protocol.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = st
	if !st.Torn { // else an id that moved may show twice or not at all
		s.index.follow(st)
	}
}

// Lead takes requests from now on. begins: it took none before; then it goes on with what the
// leader before has kept, and the error says why it cannot.
func (s *shared) Lead(now time.Time, st *protocol.State) (begins bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if begins = !s.leading; begins {
		s.comparison = newComparison(now) // what was said before it has not heard
		err = s.takeUp(now, st)
	}
	s.leading = true
	return begins, err
}

// Resign takes no requests any more, and answers those that wait.
func (s *shared) Resign(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leading = false
	s.requests.fail(orders.ErrNotLeading)
	for _, r := range s.claiming {
		r.Fail(orders.ErrNotLeading)
	}
	s.claiming = nil
	s.comparison = newComparison(now) // what others are told meanwhile it does not hear
	clear(s.owed)
	s.unannounced = unannounced{}
	s.attributes.forget()
}

// Need says what of the catalogue's rows is needed. lacks: a read is needed to know it.
func (s *shared) Need(n Needs) (lacks bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attributes.want(n)
	return s.leading && s.attributes.lacks()
}

// AskRead says whether a read of the catalogue is to be asked for now: none is under way, asked
// for, or has failed a moment ago.
func (s *shared) AskRead(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attributes.ask(now)
}

// Callers is the inventory as messages and callers see it.
type Callers struct{ *shared }

// Message notes that a message of the kind has come, whatever it said.
func (s Callers) Message() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages++
}

// Hear notes and queues what a message said of ids. Whether an id is known is asked before: where
// the State has changed since, it is taken for known, which only makes the next comparison with the
// catalogue remember the message.
func (s Callers) Hear(now time.Time, op resync.Op, ids []string) (*Request, error) {
	places, of := s.index.places(ids)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.leading {
		return nil, orders.ErrNotLeading
	}
	r, current := NewRequest(now), of == s.state
	for i, id := range ids {
		known := places[i] != nowhere
		s.comparison.hear(saying{at: now, id: id, op: op, exists: known || !current})
		if op == resync.Created && !known {
			s.attributes.created(id)
		}
		s.requests.add(op, id, r)
	}
	r.less()
	return r, nil
}

// Claim notes a claim that ids are deleted: on those that exist, or may soon, because they are
// asked for, or among the rows of a read that are not all created yet. Where the State has changed
// since the index was asked, an id is taken for one that exists: the read decides. noted: there is
// such an id. The caller is answered when the claim is kept.
func (s Callers) Claim(now time.Time, ids []string) (r *Request, noted bool, err error) {
	places, of := s.index.places(ids)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.leading {
		return nil, false, orders.ErrNotLeading
	}
	any := of != s.state || s.importing || s.comparison.lent != nil || s.comparison.with.Reading()
	for i, id := range ids {
		if places[i] != nowhere || any || s.requests.by[id] != nil {
			s.comparison.hear(saying{at: now, id: id, claim: true})
			noted = true
		}
	}
	r = NewRequest(now)
	s.claiming = append(s.claiming, r)
	return r, noted, nil
}

// Lacks says whether any of the ids has no resource that stays. What is asked for counts as done.
func (s Callers) Lacks(ids []string) (bool, error) {
	remain := s.index.Remain(ids)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.leading {
		return false, orders.ErrNotLeading
	}
	for i, id := range ids {
		switch w := s.requests.by[id]; {
		case w != nil && w.op == resync.Deleted, w == nil && !remain[i]:
			return true, nil
		}
	}
	return false, nil
}

// Indexed has the index kept up from now on, built when it is asked; false: there is no State yet.
func (s *shared) Indexed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != nil && !s.index.started.Load() {
		s.index.start(s.state)
	}
	return s.state != nil
}
