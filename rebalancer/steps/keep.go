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
	keep []*Kept
	back []*Rollback
}

// Kept is a call that changes a document beside the assignment.
type Kept struct {
	name   string
	change orders.Update
	// lost: the answer to an attempt was lost, and whether it was carried out is not known. A later
	// attempt, which finds the document as it is then, may succeed; if it fails, that says nothing
	// of the one before.
	lost bool
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
	for _, k := range c.keep {
		k.Fail(err)
	}
	for _, r := range c.back {
		r.Fail(err)
	}
	c.open, c.keep, c.back = false, nil, nil
}

// Keep asks for a change of a document.
func (c *Calls) Keep(now time.Time, name string, change orders.Update) (*Kept, error) {
	k := &Kept{name: name, change: change, Request: inventory.NewRequest(now)}
	return k, c.add(func() { c.keep = append(c.keep, k) })
}

// add takes a call up, if calls may be made.
func (c *Calls) add(take func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open {
		return orders.ErrNotLeading
	}
	take()
	return nil
}

// GiveUp says that the caller of r does not wait any more. ended: the answer has come before.
func (c *Calls) GiveUp(r *inventory.Request) (ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.GiveUp() {
		return true
	}
	c.keep = slices.DeleteFunc(c.keep, func(k *Kept) bool { return k.Request == r })
	c.back = slices.DeleteFunc(c.back, func(b *Rollback) bool { return b.Request == r })
	return false
}

// sending is asked right before something is sent for r: an error if its caller has given up.
func (c *Calls) sending(r *inventory.Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return r.Sending()
}

// nextKeep is the change that was asked for first; nil: none is asked for.
func (c *Calls) nextKeep() *Kept {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.keep) == 0 {
		return nil
	}
	return c.keep[0]
}

// answerKeep ends a call.
func (c *Calls) answerKeep(k *Kept, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep = slices.DeleteFunc(c.keep, func(other *Kept) bool { return other == k })
	k.End(err)
}

// Keep stores documents, one at a time: each change is made of what the one before it has left.
type Keep struct {
	Calls *Calls
	// Refused is told what is not kept, and why.
	Refused func(name string, err error)
}

// Next implements Step.
func (s *Keep) Next(v *View) Proposal {
	k := s.Calls.nextKeep()
	if k == nil {
		return Proposal{}
	}
	p := Proposal{As: k.name, Ended: func(err error, retried bool) error { return s.ended(k, err, retried) }}
	m, err := document(v.State, k.name, k.change)
	if err != nil {
		p.Err = err
		return p
	}
	m.Gate = func() error { return s.Calls.sending(k.Request) }
	p.Jobs = []Job{{Multi: m}}
	return p
}

// ended answers the caller, unless the change is tried again.
func (s *Keep) ended(k *Kept, err error, retried bool) error {
	if retried {
		k.lost = k.lost || k.Sent() && unsettled(err)
		return err
	}
	if err != nil && k.lost {
		err = fmt.Errorf("%w: %w", orders.ErrOutcomeUnknown, err)
	}
	if err != nil && !errors.Is(err, inventory.ErrGaveUp) {
		s.Refused(k.name, err)
	}
	s.Calls.answerKeep(k, err)
	return nil
}

// unsettled says that what was sent may have been carried out all the same.
func unsettled(err error) bool {
	return errors.Is(err, protocol.ErrUnavailable) || errors.Is(err, protocol.ErrConflict) && errors.Is(err, protocol.ErrRefused)
}

// document is the transaction that changes a document.
func document(st *protocol.State, name string, change orders.Update) (protocol.Multi, error) {
	var old []byte
	if doc := st.Kept[name]; doc != nil {
		old = slices.Clone(doc.Data)
	}
	fresh, err := change(old)
	if err != nil {
		return protocol.Multi{}, err
	}
	return protocol.StoreDoc(st, name, fresh)
}
