package rebalancer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// keep is one call of Keep.
type keep struct {
	name   string
	change orders.Update
	// lost: the answer to an attempt was lost, and whether it was carried out is not known. A later
	// attempt, which finds the document as it is then, may succeed; if it fails, that says nothing
	// of the one before.
	lost bool
	ask
}

// Keep changes a small document beside the assignment, leader only. It works also while the kind is
// stopped. What change fails with is returned, and nothing is written. Where ctx ends first, the
// error is ErrNotSent or ErrOutcomeUnknown.
func (e *Engine) Keep(ctx context.Context, name string, change orders.Update) error {
	k := &keep{name: name, change: change, ask: newAsk()}
	if err := e.enqueue(func(q *queue) { q.keeps = append(q.keeps, k) }); err != nil {
		return err
	}
	return e.await(ctx, &k.ask, func() {
		e.queue.keeps = slices.DeleteFunc(e.queue.keeps, func(other *keep) bool { return other == k })
	})
}

// enqueue asks something of the writer.
func (e *Engine) enqueue(add func(q *queue)) error {
	if err := e.add(add); err != nil {
		return err
	}
	e.wake.Wake()
	return nil
}

func (e *Engine) add(add func(q *queue)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.leading {
		return orders.ErrNotLeading
	}
	add(&e.queue)
	return nil
}

// await returns the answer to a. If ctx ends first, what of a was not sent never will be: withdraw,
// called with e.mu held, takes it out of the queue. What was sent before is settled all the same
// (protocol rule 9), but its caller is not there to be told.
func (e *Engine) await(ctx context.Context, a *ask, withdraw func()) error {
	why := e.wait(ctx, a)
	e.mu.Lock()
	defer e.mu.Unlock()
	if a.ended {
		return a.err
	}
	a.gone = true
	withdraw()
	if e.failure != nil {
		why = fmt.Errorf("%w; the latest look at ZooKeeper: %w", why, e.failure)
	}
	if a.sent {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, why)
	}
	return fmt.Errorf("%w: %w", ErrNotSent, why)
}

// errGone: a transaction was not sent, because its caller had given up before.
var errGone = errors.New("the caller has given up")

// sending is asked right before something is sent for a: an error if its caller has given up.
func (e *Engine) sending(a *ask) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if a.gone {
		return errGone
	}
	a.sent = true
	return nil
}

// keepAlso queues a document of the term's own; no caller waits for it.
func (t *term) keepAlso(name string, data []byte) {
	_ = t.e.add(func(q *queue) {
		q.keeps = append(q.keeps, &keep{name: name, change: orders.Replace(data), ask: newAsk()})
	}) // while it leads
}

// keep stores documents, one at a time: each change is made of what the one before it has left.
func (t *term) keep(ctx context.Context) (bool, error) {
	k := t.e.nextKeep()
	if k == nil {
		return false, nil
	}
	m, err := t.document(k.name, k.change)
	if err == nil {
		m.Gate = func() error { return t.e.sending(&k.ask) }
		err = t.commit(fault.Doing(ctx, k.name), job{m: m})
	}
	if errors.Is(err, protocol.ErrConflict) || t.ends(ctx, err) {
		k.lost = k.lost || k.sent && unsettled(err)
		return false, err
	}
	if err != nil && k.lost {
		err = fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	if err != nil && !errors.Is(err, errGone) {
		t.e.log.Error("a document is not kept", "document", k.name, "error", err)
	}
	t.e.answerKeep(k, err)
	return true, nil
}

// unsettled says that what was sent may have been carried out all the same.
func unsettled(err error) bool {
	return errors.Is(err, protocol.ErrUnavailable) || errors.Is(err, protocol.ErrConflict) && errors.Is(err, protocol.ErrRefused)
}

// document is the transaction that changes a document.
func (t *term) document(name string, change orders.Update) (protocol.Multi, error) {
	var old []byte
	if doc := t.st.Kept[name]; doc != nil {
		old = slices.Clone(doc.Data)
	}
	fresh, err := change(old)
	if err != nil {
		return protocol.Multi{}, err
	}
	return protocol.StoreDoc(t.st, name, fresh)
}

func (e *Engine) nextKeep() *keep {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue.keeps) == 0 {
		return nil
	}
	return e.queue.keeps[0]
}

func (e *Engine) answerKeep(k *keep, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue.keeps = slices.DeleteFunc(e.queue.keeps, func(other *keep) bool { return other == k })
	k.end(err)
}
