package rebalancer

import (
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/reconcile"
)

// queue holds what was asked for and is not committed yet: for each id the last thing that was said of it. A create that follows a
// delete turns it round and the other way; whoever asked for either is answered when the last word is durable.
//
// It is guarded by Engine.mu. The writer takes nothing out before it is committed: pending shows, settle removes.
type queue struct {
	by map[string]*want
	// order lists the ids of each op as they came. An id may stand in it twice, or with a want that has turned or gone.
	order [2][]string
	keeps []*keep
	// claims are calls of Claim.
	claims []*ask
	// rollbacks are calls of Rollback.
	rollbacks []*rollback
	round     int
	// now counts what was ever added: a clock by which the writer knows what had been asked when it sent or looked.
	now int64
}

// want is the last thing said of an id, and who waits for it.
type want struct {
	op    reconcile.Op
	round int   // the last call of pending that showed it
	at    int64 // by the queue's clock, when it was last asked for
	asks  []*ask
}

// ask is one call that waits for the writer.
type ask struct {
	// left counts its ids that are not durable yet, and one more until all of them are queued.
	left  int
	ended bool
	err   error
	begun time.Time
	done  chan struct{}
	// sent: something of it is or was on its way to ZooKeeper. gone: its caller has given up, and
	// nothing more of it is to be sent.
	sent, gone bool
}

func newAsk() ask { return ask{left: 1, begun: time.Now(), done: make(chan struct{})} }

// less says that one of what is left is durable, or that all is queued; complete: that was the
// last.
func (a *ask) less() (complete bool) {
	if a.left--; a.left == 0 {
		a.end(nil)
	}
	return a.left == 0
}

// end answers the caller, once.
func (a *ask) end(err error) {
	if !a.ended {
		a.ended, a.err = true, err
		close(a.done)
	}
}

// add notes that op is wanted of id; a may be nil.
func (q *queue) add(op reconcile.Op, id string, a *ask) {
	if q.by == nil {
		q.by = map[string]*want{}
	}
	w := q.by[id]
	switch {
	case w == nil:
		w = &want{op: op}
		q.by[id] = w
		q.order[op] = append(q.order[op], id)
	case w.op != op:
		w.op = op
		q.order[op] = append(q.order[op], id)
	}
	q.now++
	w.at = q.now
	if a != nil {
		a.left++
		w.asks = append(w.asks, a)
	}
}

// pending are the ids of which op is wanted now, each once, in the order in which they came. The result is the caller's.
func (q *queue) pending(op reconcile.Op) []string {
	if len(q.order[op]) == 0 {
		return nil
	}
	q.round++
	live := q.order[op][:0]
	for _, id := range q.order[op] {
		if w := q.by[id]; w != nil && w.op == op && w.round != q.round {
			w.round = q.round
			live = append(live, id)
		}
	}
	clear(q.order[op][len(live):])
	q.order[op] = live
	if len(live) == 0 {
		q.order[op] = nil
	}
	return append([]string(nil), live...)
}

// asked splits ids of which op is wanted by whether that was last asked for by then.
func (q *queue) asked(op reconcile.Op, ids []string, then int64) (by, after []string) {
	for _, id := range ids {
		if w := q.by[id]; w != nil && w.op == op && w.at > then {
			after = append(after, id)
		} else {
			by = append(by, id)
		}
	}
	return by, after
}

// settle answers for ids of which op is now durable. Those that turned meanwhile stay: their last word is still to be carried out.
// It returns the calls that are thereby complete.
func (q *queue) settle(op reconcile.Op, ids []string) (complete []*ask) {
	for _, id := range ids {
		w := q.by[id]
		if w == nil || w.op != op {
			continue
		}
		delete(q.by, id)
		for _, a := range w.asks {
			if a.less() {
				complete = append(complete, a)
			}
		}
	}
	return complete
}

// withdraw takes a's part in wanting op of ids away. It returns those that no other call wants:
// they are not queued any more.
func (q *queue) withdraw(op reconcile.Op, ids []string, a *ask) (dropped []string) {
	for _, id := range ids {
		w := q.by[id]
		if w == nil || w.op != op || !slices.Contains(w.asks, a) {
			continue
		}
		if w.asks = slices.DeleteFunc(w.asks, func(other *ask) bool { return other == a }); len(w.asks) == 0 {
			delete(q.by, id)
			dropped = append(dropped, id)
		}
	}
	return dropped
}

// sending says that ids are about to be sent, op being wanted of them; false: of one of them it is
// not wanted any more.
func (q *queue) sending(op reconcile.Op, ids []string) bool {
	for _, id := range ids {
		if w := q.by[id]; w == nil || w.op != op {
			return false
		}
	}
	for _, id := range ids {
		for _, a := range q.by[id].asks {
			a.sent = true
		}
	}
	return true
}

// fail answers everybody with err and forgets all.
func (q *queue) fail(err error) {
	for _, w := range q.by {
		for _, a := range w.asks {
			a.fail(err)
		}
	}
	for _, k := range q.keeps {
		k.fail(err)
	}
	for _, a := range q.claims {
		a.fail(err)
	}
	for _, r := range q.rollbacks {
		r.fail(err)
	}
	*q = queue{}
}

// fail answers the caller that it was not done, or, if something was sent, that this is not known.
func (a *ask) fail(err error) {
	if a.sent {
		err = fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	a.end(err)
}
