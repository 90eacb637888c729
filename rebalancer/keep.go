package rebalancer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
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
	*inventory.Request
}

// Keep changes a small document beside the assignment, leader only. It works also while the kind is
// stopped. What change fails with is returned, and nothing is written. Where ctx ends first, the
// error is ErrNotSent or ErrOutcomeUnknown.
func (e *Engine) Keep(ctx context.Context, name string, change orders.Update) error {
	k := &keep{name: name, change: change, Request: inventory.NewRequest(e.cfg.Now())}
	if err := e.enqueue(func(c *calls) { c.keeps = append(c.keeps, k) }); err != nil {
		return err
	}
	return e.await(ctx, k.Request, func() bool {
		return e.giveUp(k.Request, func(c *calls) { c.keeps = except(c.keeps, k) })
	})
}

// keepAlso queues a document of the term's own; no caller waits for it.
func (t *term) keepAlso(name string, data []byte) {
	_ = t.e.add(func(c *calls) {
		c.keeps = append(c.keeps, &keep{name: name, change: orders.Replace(data), Request: inventory.NewRequest(t.now)})
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
		m.Gate = func() error { return t.e.sending(k.Request) }
		err = t.commit(fault.Doing(ctx, k.name), job{m: m})
	}
	if errors.Is(err, protocol.ErrConflict) || t.ends(ctx, err) {
		k.lost = k.lost || k.Sent() && unsettled(err)
		return false, err
	}
	if err != nil && k.lost {
		err = fmt.Errorf("%w: %w", orders.ErrOutcomeUnknown, err)
	}
	if err != nil && !errors.Is(err, inventory.ErrGaveUp) {
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
	if len(e.calls.keeps) == 0 {
		return nil
	}
	return e.calls.keeps[0]
}

func (e *Engine) answerKeep(k *keep, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls.keeps = except(e.calls.keeps, k)
	k.End(err)
}
