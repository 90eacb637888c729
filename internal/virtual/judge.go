package virtual

import (
	"fmt"
	"maps"
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Judge checks protocol rule 12 at each transaction: no id is in two places, and none goes without
// a delete that was asked for; and that no size is written before what goes by it is empty. It
// decodes what a transaction has written and compares that with what it knows, so that a
// transaction costs what it changes. Of the protocol it uses the codec alone, and none of the
// steps.
//
// Two parts of the rule are judged otherwise than it words them. The judge demands that each
// transaction of a leader begins with the head; that the head's version is the present one is
// enforced by the ZooKeeper in memory, and not judged. The judge compares no run intervals, and
// does not ask for a release of kind i to iii: where ids leave the flight and do not return, it
// demands that the process of the ordinal that they were revoked from has applied that `_reload`,
// or that there is no process (World.unreleased).
//
// Its verdict is the first fault; after that nothing more is looked at.
type Judge struct {
	kind string
	// released says why an instance has not released what was revoked from it; "" if it has. Nil:
	// the hand-off promises nothing.
	released func(f *protocol.Flight) string

	// known are the ids of which anything was heard, there are those that are somewhere, holders
	// are the lists and the pieces by path.
	known   map[string]*known
	there   int
	holders map[string]*holder
	// instances are what lies beside the lists, by ordinal.
	instances map[int]beside
	head      protocol.Head
	fault     error
}

// known is an id, and where it is; nil: nowhere.
type known struct {
	at *holder
	// left is the last transaction that took it from where it was.
	left int64
	// wanted: it may come, because a create of it was heard, and no delete since. doomed: it may
	// go, because a delete of it was heard, and no create answered since.
	wanted, doomed bool
}

// holder is a list, or a piece of the pool or of the flight.
type holder struct {
	path string
	// list is the ordinal of a list; -1: it is a piece.
	list   int
	ids    protocol.IDs
	flight *protocol.Flight // nil unless it is a piece of the flight
}

// beside is what a list has beside it.
type beside struct {
	used, capacity int
	times          int64
}

// NewJudge knows of nothing. released may be nil.
func NewJudge(kind string, released func(f *protocol.Flight) string) *Judge {
	return &Judge{
		kind: kind, released: released,
		known: map[string]*known{}, holders: map[string]*holder{}, instances: map[int]beside{},
	}
}

// Heard says that a leader has heard what a caller asks of ids.
func (j *Judge) Heard(op resync.Op, ids []string) {
	for _, id := range ids {
		k := j.known[id]
		if k == nil {
			k = &known{}
			j.known[id] = k
		}
		k.wanted = op == resync.Created
		k.doomed = k.doomed || op == resync.Deleted
	}
}

// Answered says that a caller was told that op is durable for ids: what was created is somewhere,
// and what was deleted is in no list and not in the pool. Where the opposite was heard since, that
// is what counts.
func (j *Judge) Answered(op resync.Op, ids []string) {
	for _, id := range ids {
		k := j.known[id]
		switch {
		case k == nil || k.wanted != (op == resync.Created):
		case k.wanted:
			if k.doomed = false; k.at == nil {
				j.fail("id %q: its create was answered, and it is nowhere", id)
			}
		case k.at != nil && k.at.flight == nil:
			j.fail("id %q: its delete was answered, and it is in %s", id, k.at.path)
		}
	}
}

// Sized says that replicas were written: what goes by that owns nothing (drain before scale down).
func (j *Judge) Sized(replicas int) {
	for _, path := range slices.Sorted(maps.Keys(j.holders)) {
		h := j.holders[path]
		if h.ids.Len() > 0 && (h.list >= replicas || h.flight != nil && h.flight.From >= replicas) {
			j.fail("replicas are written as %d, and %s holds %d ids", replicas, path, h.ids.Len())
		}
	}
}

func (j *Judge) fail(format string, args ...any) {
	if j.fault == nil {
		j.fault = fmt.Errorf(format, args...)
	}
}

// See judges a transaction.
func (j *Judge) See(tx *Transaction) {
	if j.fault != nil {
		return
	}
	t := trial{j: j, tx: tx, before: map[int]beside{}}
	if tx.Step != "" && tx.Ops[0].Path != protocol.HeadPath(j.kind) {
		t.fail("it does not begin with the head")
	}
	for _, op := range tx.Ops {
		if op.Kind != protocol.OpCheck {
			t.see(op)
		}
	}
	t.move()
	t.checkLists()
}

// Places counts the ids by the path of where they are.
func (j *Judge) Places() map[string]int {
	counts := map[string]int{}
	for path, h := range j.holders {
		counts[path] = h.ids.Len()
	}
	return counts
}

// Settled says what is not in the list of an open ordinal; nil: everything is.
func (j *Judge) Settled() error {
	for _, path := range slices.Sorted(maps.Keys(j.holders)) {
		h := j.holders[path]
		if _, open := slices.BinarySearch(j.head.Open, h.list); h.ids.Len() > 0 && !open {
			return fmt.Errorf("%s, which is no list of an open ordinal, holds %d ids", path, h.ids.Len())
		}
	}
	return nil
}
