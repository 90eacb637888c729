package rebalancer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/reconcile"
)

// importChunk is how many creates of one read are queued at once: the rest waits in the read's own
// memory.
const importChunk = 20_000

// BeginRead says that a complete read of the catalogue begins, right before its query is sent. What is being deleted is decided
// already, however long its instance takes: no read finds it missing again.
func (e *Engine) BeginRead(now time.Time) {
	e.compare(func(c *comparison) {
		if !e.leading {
			c.rec.Abort()
			return
		}
		known, count := staying(e.state)
		c.rec.Begin(now, known, count)
		e.book.begin(now)
	})
}

// AbortRead says that the read begun last failed and proves nothing.
func (e *Engine) AbortRead() {
	e.compare(func(c *comparison) {
		c.rec.Abort()
		e.book.abort(time.Now())
	})
}

// Rows hands over a part of the rows of the read that began. The slice may be used again by the
// caller, its strings not. A row whose resource is being deleted counts as new: it is there again, and
// its create turns the delete.
func (e *Engine) Rows(rows []observed.ResourceKnown) {
	ids := make([]string, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	stay := e.index.stay(ids)
	e.compare(func(c *comparison) {
		for i, row := range rows {
			c.rec.Row(row.ID, stay[i])
			e.book.row(row)
		}
	})
}

// EndRead says that the read is complete; rows are its last ones, or all of them. What is new is
// created, what was missing from two complete reads is deleted, or waits for Confirm; weights and
// labels are in force. It returns when that is durable; next is when another read must begin, to
// confirm what is missing or to learn what the orders have come to need; zero: none must.
func (e *Engine) EndRead(ctx context.Context, rows []observed.ResourceKnown) (next time.Time, err error) {
	e.Rows(rows)
	var out reconcile.Outcome
	deletes := newAsk()
	err = e.lend(ctx, func(c *comparison) error {
		out, next, err = e.endRead(c, &deletes)
		return err
	})
	if err != nil {
		return time.Time{}, err
	}
	e.logOutcome(out)
	e.wake.Wake()
	err = e.importRows(ctx, out.Creates)
	e.imported()
	if err != nil {
		return next, fmt.Errorf("create what the catalogue has: %w", err)
	}
	if err := e.wait(ctx, &deletes); err != nil {
		return next, fmt.Errorf("delete what the catalogue lacks: %w", err)
	}
	return next, nil
}

// endRead compares the read and queues what is to be deleted. It takes up to half a second and
// holds no lock for long.
func (e *Engine) endRead(c *comparison, deletes *ask) (out reconcile.Outcome, next time.Time, err error) {
	now := time.Now()
	limits, err := e.compareLimits(c)
	if err != nil {
		return out, time.Time{}, err
	}
	if out, err = c.rec.End(now, limits, e.stays); err != nil {
		e.abortBook(now)
		return out, time.Time{}, err
	}
	c.ended++
	next = out.Confirm
	if e.endBook() { // the orders have come to need more meanwhile
		next = now
	}
	e.found(now, &out)
	return out, next, e.enqueueDeletes(c, slices.Concat(out.Claimed, out.Deletes), deletes)
}

// found notes what a read has found: its claims are owed, its new rows are being created, and another read may be needed.
func (e *Engine) found(now time.Time, out *reconcile.Outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.recheck(now, out.Recheck)
	if e.silence.read(len(out.Creates), e.heard.Load()) {
		e.log.Warn(unannouncedText, "rows", e.silence.rows, "reads", e.silence.reads)
	}
	e.owe(out.Claimed)
	e.importing = true
}

// imported notes that all new rows of a read have been asked for.
func (e *Engine) imported() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.importing = false
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

// known says whether an id is anywhere.
func (e *Engine) known(id string) bool {
	_, known := e.index.place(id)
	return known
}

// stays says whether an id is anywhere, and not being deleted.
func (e *Engine) stays(id string) bool { return e.index.stay([]string{id})[0] }

// compareLimits are the limits of a comparison with the catalogue.
func (e *Engine) compareLimits(c *comparison) (reconcile.Limits, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.leading || e.compared != c {
		return reconcile.Limits{}, orders.ErrNotLeading
	}
	return limits(e.orders.Catalogue), nil
}

func (e *Engine) abortBook(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.book.abort(now)
}

// endBook puts what the read says of traits into force; lacks: the orders have come to need more
// meanwhile.
func (e *Engine) endBook() (lacks bool) {
	r := e.reading()
	var read *traits
	if r != nil {
		read = r.done() // sorts every row: not under the lock
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.book.end(r, read)
	return e.book.lacks()
}

// reading is the read under way, if traits are wanted of it. The catalogue's goroutine alone adds
// to it.
func (e *Engine) reading() *reading {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.book.reading
}

func (e *Engine) logOutcome(out reconcile.Outcome) {
	if len(out.Creates)+len(out.Claimed)+len(out.Deletes) > 0 || out.Waiting != nil {
		e.log.Info("compared with the catalogue", "new", len(out.Creates), "claimed", len(out.Claimed), "gone", len(out.Deletes))
	}
	if w := out.Waiting; w != nil {
		e.log.Warn("deletes wait for a person to confirm their number", "count", w.Count, "share", w.Share)
	}
}

// deletesAtOnce is how many deletes are queued under one hold of Engine.mu: it takes a few
// milliseconds.
const deletesAtOnce = 10_000

// enqueueDeletes queues deletes that no message asked for, some at a time. c is lent: of what a
// message has spoken meanwhile the message decides.
func (e *Engine) enqueueDeletes(c *comparison, ids []string, a *ask) error {
	for some := range slices.Chunk(ids, deletesAtOnce) {
		if err := e.enqueueSome(c, some, a); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	a.less()
	return nil
}

func (e *Engine) enqueueSome(c *comparison, ids []string, a *ask) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.leading || e.compared != c {
		return orders.ErrNotLeading
	}
	for _, id := range ids {
		if _, spoken := c.spoken[id]; !spoken {
			e.queue.add(reconcile.Deleted, id, a)
		}
	}
	return nil
}

// importRows creates what the catalogue has, a chunk at a time, but for what a message has deleted since.
func (e *Engine) importRows(ctx context.Context, ids []string) error {
	for chunk := range slices.Chunk(ids, importChunk) {
		a := newAsk()
		refused, err := e.importSome(chunk, &a)
		if err != nil {
			return err
		}
		if refused > 0 {
			e.log.Warn("the catalogue has ids that cannot be resources", "count", refused)
		}
		e.wake.Wake()
		if err := e.wait(ctx, &a); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) importSome(ids []string, a *ask) (refused int, err error) {
	e.compare(func(c *comparison) {
		if !e.leading {
			err = orders.ErrNotLeading
			return
		}
		for _, id := range ids {
			if protocol.CheckID(id) != nil {
				refused++
			} else if !c.rec.Gone(id) {
				e.queue.add(reconcile.Created, id, a)
			}
		}
		a.less()
	})
	return refused, err
}

// Waiting are the catalogue's deletes that wait for a person; nil when there are none.
func (e *Engine) Waiting() *reconcile.Waiting {
	c, back := e.borrow()
	if back != nil {
		return e.shown()
	}
	defer e.giveBack(c)
	e.forget(c)
	return c.rec.Waiting()
}

// shown is what waits for a person as it was when something was last done with it.
func (e *Engine) shown() *reconcile.Waiting {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.compared.waiting()
}

// waitingCount is the number of deletes that wait for a person. A scrape asks for it: it costs
// nothing and waits for nothing.
func (e *Engine) waitingCount() int {
	if w := e.shown(); w != nil {
		return w.Count
	}
	return 0
}

// forget lets go of waiting deletes whose ids have gone by another way, so that nobody confirms a number that is out of date. It looks at
// each of them, but only after something has changed. c is lent.
func (e *Engine) forget(c *comparison) {
	if c.shown == nil {
		return
	}
	now := e.index.updates()
	if c.forgotten == now {
		return
	}
	c.forgotten = now
	c.rec.Forget(e.known)
}

// ErrCountChanged says that another number of deletes waits for a person than the one that was to be
// confirmed.
var ErrCountChanged = errors.New("another number of deletes waits")

// Confirm carries out the waiting deletes of a set if their number is still the one the person was
// shown; set 0: of the only one of that size, or of all if there are as many in all. It returns
// when they are durable. Where ctx ends first, what was not sent waits again, and the error is
// ErrNotSent or ErrOutcomeUnknown.
func (e *Engine) Confirm(ctx context.Context, set, count int) error {
	var ids []string
	var of *comparison
	var ended int
	a := newAsk()
	err := e.lend(ctx, func(c *comparison) (err error) {
		if _, leading := e.leads(); !leading {
			return orders.ErrNotLeading
		}
		e.forget(c)
		if ids, err = c.rec.Confirm(set, count); err != nil {
			return fmt.Errorf("%w: %w", ErrCountChanged, err)
		}
		of, ended = c, c.ended
		return e.enqueueDeletes(c, ids, &a)
	})
	if err != nil {
		return err
	}
	e.log.Info("a person confirmed deletes", "count", count, "set", set)
	e.wake.Wake()
	return e.await(ctx, &a, func() {
		dropped := e.queue.withdraw(reconcile.Deleted, ids, &a)
		if e.compared == of && of.lent == nil && of.ended == ended { // else the next reads find them again
			of.rec.Unconfirm(time.Now(), dropped)
		}
	})
}

// revive is how long after a message that deleted a row a read begins that has it all the same and
// is believed: longer than a standby is mostly behind, and shorter than who restores a row cares to
// wait.
const revive = 30 * time.Second

// limits are those of a comparison with the catalogue.
func limits(c config.Catalogue) reconcile.Limits {
	c = c.Completed()
	l := reconcile.Limits{MaxShare: *c.MaxDeleteShare, MaxDeletes: *c.MaxDeletes, Lag: c.Lag.Std()}
	l.Gap, l.Revive = min(c.Interval.Std(), l.Lag), min(revive, l.Lag)
	return l
}
