package inventory

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// Request is one call that waits for the writer. Its methods are called with the lock of the queue
// that holds it, save Done and, once that is closed, Err.
type Request struct {
	Begun time.Time
	// left counts its ids that are not durable yet, and one more until all of them are queued.
	left  int
	ended bool
	err   error
	done  chan struct{}
	// sent: something of it is or was on its way to ZooKeeper. gaveUp: its caller does not wait any
	// more, and nothing more of it is to be sent.
	sent, gaveUp bool
}

// NewRequest returns one that begins now.
func NewRequest(now time.Time) *Request {
	return &Request{left: 1, Begun: now, done: make(chan struct{})}
}

// ErrGaveUp says that a transaction was not sent, because its caller had given up before.
var ErrGaveUp = errors.New("the caller has given up")

// Done is closed when it is answered.
func (r *Request) Done() <-chan struct{} { return r.done }

// Err is the answer.
func (r *Request) Err() error { return r.err }

// Sent says whether something of it is or was on its way to ZooKeeper.
func (r *Request) Sent() bool { return r.sent }

// Ended says whether it is answered.
func (r *Request) Ended() bool { return r.ended }

// Sending is asked right before something of it is sent: ErrGaveUp if that must not be.
func (r *Request) Sending() error {
	if r.gaveUp {
		return ErrGaveUp
	}
	r.sent = true
	return nil
}

// End answers the caller, once.
func (r *Request) End(err error) {
	if !r.ended {
		r.ended, r.err = true, err
		close(r.done)
	}
}

// Fail answers the caller that it was not done, or, if something was sent, that this is not known.
func (r *Request) Fail(err error) {
	if r.sent {
		err = fmt.Errorf("%w: %w", orders.ErrOutcomeUnknown, err)
	}
	r.End(err)
}

// GiveUp says that the caller waits no more: what was not sent never is. ended: it was answered.
func (r *Request) GiveUp() (ended bool) {
	r.gaveUp = r.gaveUp || !r.ended
	return r.ended
}

// less says that one more is durable, or that all is queued; complete: that was the last.
func (r *Request) less() (complete bool) {
	if r.left--; r.left == 0 {
		r.End(nil)
	}
	return r.left == 0
}

// requests are what was asked for and is not committed yet: for each id the last that was said of
// it. A create that follows a delete replaces it, and the other way; the callers of both are
// answered when the last is durable. Nothing goes before it is committed: Pending shows, Answer
// removes.
type requests struct {
	by map[string]*asked
	// order lists the ids of each op as they came. An id may stand twice, or have another op by
	// now, or none.
	order [2][]string
	shown int
	// now counts what was ever added: a clock that tells what was asked before a send or read.
	now int64
}

// asked is the last that was said of an id, and the callers that wait for it.
type asked struct {
	op    resync.Op
	shown int   // the last call of Pending that showed it
	at    int64 // by the clock, when it was last asked for
	by    []*Request
}

func (q *requests) add(op resync.Op, id string, r *Request) {
	if q.by == nil {
		q.by = map[string]*asked{}
	}
	w := q.by[id]
	if w == nil || w.op != op {
		q.order[op] = append(q.order[op], id)
	}
	if w == nil {
		w = &asked{}
		q.by[id] = w
	}
	q.now++
	w.op, w.at = op, q.now
	r.left++
	w.by = append(w.by, r)
}

// wanted is what is said of an id if that is op; else nil.
func (q *requests) wanted(op resync.Op, id string) *asked {
	if w := q.by[id]; w != nil && w.op == op {
		return w
	}
	return nil
}

// withdraw takes r's part in wanting op of ids away. It returns those that no other request wants.
func (q *requests) withdraw(op resync.Op, ids []string, r *Request) (dropped []string) {
	for _, id := range ids {
		w := q.wanted(op, id)
		if w == nil || !slices.Contains(w.by, r) {
			continue
		}
		w.by = slices.DeleteFunc(w.by, func(other *Request) bool { return other == r })
		if len(w.by) == 0 {
			delete(q.by, id)
			dropped = append(dropped, id)
		}
	}
	return dropped
}

// fail answers all callers with err and forgets what they asked for.
func (q *requests) fail(err error) {
	for _, w := range q.by {
		for _, r := range w.by {
			r.Fail(err)
		}
	}
	*q = requests{}
}
