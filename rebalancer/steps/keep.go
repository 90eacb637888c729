package steps

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Calls are those that wait for the writer to change a document, or to roll a wave back. It is safe
// for concurrent use.
type Calls struct {
	mu   sync.Mutex
	open bool
	all  []*Call
}

// Call changes a document beside the assignment, and then, with back, rolls the running wave back.
type Call struct {
	name   string
	change orders.PartsUpdate
	back   bool
	// done: the document is changed, or may be: the answer to an attempt was lost. A later attempt,
	// which finds the document as it is then, may succeed; if it fails, that says nothing of the
	// one before.
	done bool
	// Result is what a rollback has done, once it is answered.
	Result RolledBack
	*inventory.Request
}

// Open lets calls be made.
func (c *Calls) Open() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = true
}

// Close answers all of them with err, and those that come from now on with orders.ErrNotLeading.
func (c *Calls) Close(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.all {
		k.Fail(err)
	}
	c.open, c.all = false, nil
}

// Keep asks for a change of a document.
func (c *Calls) Keep(now time.Time, name string, change orders.Update) (*Call, error) {
	return c.KeepParts(now, name, alone(change))
}

// KeepParts asks for a change of a document and of its parts.
func (c *Calls) KeepParts(now time.Time, name string, change orders.PartsUpdate) (*Call, error) {
	return c.add(&Call{name: name, change: change, Request: inventory.NewRequest(now)})
}

// alone is a change of a document without parts.
func alone(change orders.Update) orders.PartsUpdate {
	return func(old []byte) ([]byte, []protocol.Part, error) {
		fresh, err := change(old)
		return fresh, nil, err
	}
}

// RollBack asks for a rollback, before which the document is changed.
func (c *Calls) RollBack(now time.Time, name string, change orders.Update) (*Call, error) {
	return c.add(&Call{name: name, change: alone(change), back: true, Request: inventory.NewRequest(now)})
}

func (c *Calls) add(k *Call) (*Call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open {
		return nil, orders.ErrNotLeading
	}
	c.all = append(c.all, k)
	return k, nil
}

// GiveUp says that the caller of r does not wait any more. ended: the answer has come before.
func (c *Calls) GiveUp(r *inventory.Request) (ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.GiveUp() {
		return true
	}
	c.all = slices.DeleteFunc(c.all, func(k *Call) bool { return k.Request == r })
	return false
}

// waiting are the calls that roll back, or those that do not, as they came.
func (c *Calls) waiting(back bool) (some []*Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.all {
		if k.back == back {
			some = append(some, k)
		}
	}
	return some
}

// sending is asked right before something is sent for k: an error if its caller has given up.
func (c *Calls) sending(k *Call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return k.Sending()
}

// answer ends calls, each with what the function says.
func (c *Calls) answer(some []*Call, with func(k *Call) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = slices.DeleteFunc(c.all, func(k *Call) bool { return slices.Contains(some, k) })
	for _, k := range some {
		if !k.Ended() {
			k.End(with(k))
		}
	}
}

// failed notes an attempt that failed: what was sent may have been carried out all the same.
func (k *Call) failed(err error) {
	unsettled := errors.Is(err, protocol.ErrUnavailable) ||
		errors.Is(err, protocol.ErrConflict) && errors.Is(err, protocol.ErrRefused)
	k.done = k.done || k.Sent() && unsettled
}

// store is the transaction that changes the document.
func (k *Call) store(st *protocol.State) (protocol.Multi, error) {
	var old []byte
	if doc := st.Kept[k.name]; doc != nil {
		old = slices.Clone(doc.Data)
	}
	fresh, parts, err := k.change(old)
	if err != nil {
		return protocol.Multi{}, err
	}
	return protocol.StoreDoc(st, k.name, fresh, parts...)
}

// Keep stores documents, one at a time: each change is made of what the one before it has left.
type Keep struct {
	Calls *Calls
	// Refused is told what is not kept, and why.
	Refused func(name string, err error)
}

// Next implements Step.
func (s *Keep) Next(v *View) Proposal {
	waiting := s.Calls.waiting(false)
	if len(waiting) == 0 {
		return Proposal{}
	}
	k := waiting[0]
	m, err := k.store(v.State)
	m.Gate = func() error { return s.Calls.sending(k) }
	p := propose(m, err, nil)
	p.As, p.Ended = k.name, func(err error, retried bool) error { return s.ended(k, err, retried) }
	return p
}

// ended answers the caller, unless the change is tried again.
func (s *Keep) ended(k *Call, err error, retried bool) error {
	if retried {
		k.failed(err)
		return err
	}
	if err != nil && k.done {
		err = fmt.Errorf("%w: %w", orders.ErrOutcomeUnknown, err)
	}
	if err != nil && !errors.Is(err, inventory.ErrGaveUp) {
		s.Refused(k.name, err)
	}
	s.Calls.answer([]*Call{k}, func(*Call) error { return err })
	return nil
}
