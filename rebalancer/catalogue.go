package rebalancer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/rebalancer/reconcile"
	"github.com/shardscaler/shardscaler/rebalancer/zkstore"
)

// importChunk is how many creates of one read are queued at once: the rest waits in the read's own
// memory.
const importChunk = 20_000

// BeginRead says that a complete read of the catalogue begins, right before its query is sent.
func (e *Engine) BeginRead(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.leading {
		e.rec.Abort()
		return
	}
	e.rec.Begin(now, all(e.state), count(e.state))
	e.book.begin(now)
}

// AbortRead says that the read begun last failed and proves nothing.
func (e *Engine) AbortRead() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rec.Abort()
	e.book.abort(time.Now())
}

// Rows hands over a part of the rows of the read that began. The slice may be used again by the caller, its strings not.
func (e *Engine) Rows(rows []observed.ResourceKnown) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, row := range rows {
		_, known := e.index.place(row.ID)
		e.rec.Row(row.ID, known)
		e.book.row(row)
	}
}

// EndRead says that the read is complete; rows are its last ones, or all of them. What is new is
// created, what was missing from two complete reads is deleted, or waits for Confirm; weights and
// labels are in force. It returns when that is durable; next is when another read must begin, to
// confirm what is missing or to learn what the orders have come to need; zero: none must.
func (e *Engine) EndRead(ctx context.Context, rows []observed.ResourceKnown) (next time.Time, err error) {
	e.Rows(rows)
	now := time.Now()
	e.mu.Lock()
	if !e.leading {
		e.mu.Unlock()
		return time.Time{}, ErrNotLeading
	}
	out, err := e.rec.End(now, e.orders.compared(), func(id string) bool { _, known := e.index.place(id); return known })
	if err != nil {
		e.book.abort(now)
		e.mu.Unlock()
		return time.Time{}, err
	}
	e.book.end()
	next = out.Confirm
	if e.book.lacks() { // the orders changed meanwhile
		next = now
	}
	e.recheck(now, out.Recheck)
	deletes := newAsk()
	e.owe(out.Claimed)
	e.enqueueDeletes(slices.Concat(out.Claimed, out.Deletes), &deletes)
	e.importing = true
	e.mu.Unlock()
	e.logOutcome(out)
	stir(e.wake)
	err = e.importRows(ctx, out.Creates)
	e.mu.Lock()
	e.importing = false
	e.mu.Unlock()
	if err != nil {
		return next, fmt.Errorf("create what the catalogue has: %w", err)
	}
	if err := deletes.wait(ctx); err != nil {
		return next, fmt.Errorf("delete what the catalogue lacks: %w", err)
	}
	return next, nil
}

// recheck asks for a read at that time, in place of the one that the read before asked for; zero:
// for none. e.mu is held.
func (e *Engine) recheck(now, at time.Time) {
	if e.later != nil {
		e.later.Stop()
		e.later = nil
	}
	if !at.IsZero() && e.cfg.Reread != nil {
		e.later = time.AfterFunc(at.Sub(now), e.cfg.Reread)
	}
}

func (e *Engine) logOutcome(out reconcile.Outcome) {
	if len(out.Creates)+len(out.Claimed)+len(out.Deletes) > 0 || out.Waiting != nil {
		e.log.Info("compared with the catalogue", "new", len(out.Creates), "claimed", len(out.Claimed), "gone", len(out.Deletes))
	}
	if w := out.Waiting; w != nil {
		e.log.Warn("deletes wait for a person to confirm their number", "count", w.Count, "share", w.Share)
	}
}

// enqueueDeletes queues deletes that no message asked for. e.mu is held: nothing may be said of them between the decision and this.
func (e *Engine) enqueueDeletes(ids []string, a *ask) {
	for _, id := range ids {
		e.queue.add(reconcile.Deleted, id, a)
	}
	if a.left == 0 {
		close(a.done)
	}
}

// importRows creates what the catalogue has, a chunk at a time, but for what a message has deleted since.
func (e *Engine) importRows(ctx context.Context, ids []string) error {
	for len(ids) > 0 {
		chunk := ids[:min(importChunk, len(ids))]
		ids = ids[len(chunk):]
		a := newAsk()
		refused := 0
		e.mu.Lock()
		if !e.leading {
			e.mu.Unlock()
			return ErrNotLeading
		}
		for _, id := range chunk {
			if zkstore.CheckID(id) != nil {
				refused++
			} else if !e.rec.Gone(id) {
				e.queue.add(reconcile.Created, id, &a)
			}
		}
		if a.left == 0 {
			close(a.done)
		}
		e.mu.Unlock()
		if refused > 0 {
			e.log.Warn("the catalogue has ids that cannot be resources", "count", refused)
		}
		stir(e.wake)
		if err := a.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Waiting are the catalogue's deletes that wait for a person; nil when there are none.
func (e *Engine) Waiting() *reconcile.Waiting {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forget()
	return e.rec.Waiting()
}

// forget lets go of waiting deletes whose ids have gone by another way, so that nobody confirms a number that is out of date. It looks at
// each of them, but only after something has changed. e.mu is held.
func (e *Engine) forget() {
	now := e.index.updates()
	if e.forgotten == now {
		return
	}
	e.forgotten = now
	e.rec.Forget(func(id string) bool { _, known := e.index.place(id); return known })
}

// Confirm carries out the waiting deletes if their number is still the one the person was shown; it returns when they are durable.
func (e *Engine) Confirm(ctx context.Context, count int) error {
	e.mu.Lock()
	if !e.leading {
		e.mu.Unlock()
		return ErrNotLeading
	}
	e.forget()
	ids, err := e.rec.Confirm(count)
	if err != nil {
		e.mu.Unlock()
		return err
	}
	a := newAsk()
	e.enqueueDeletes(ids, &a)
	e.mu.Unlock()
	e.log.Info("a person confirmed deletes", "count", count)
	stir(e.wake)
	return a.wait(ctx)
}
