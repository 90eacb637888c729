package inventory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Catalogue is the inventory as complete reads of the catalogue see it. One goroutine reads.
type Catalogue struct{ *shared }

// Begin says that a complete read begins, right before its query is sent. What is being deleted is
// decided already, however long its instance takes: no read finds it missing again.
func (s Catalogue) Begin(now time.Time) {
	s.compare(func(c *comparison) {
		if !s.leading {
			c.with.Abort()
			return
		}
		known, count := Remaining(s.state)
		c.with.Begin(now, known, count)
		s.attributes.begin(now)
	})
}

// Abort says that the read begun last failed and proves nothing.
func (s Catalogue) Abort(now time.Time) {
	s.compare(func(c *comparison) {
		c.with.Abort()
		s.attributes.abort(now)
	})
}

// Rows takes a part of the rows of the read that began; the slice may be used again, its strings
// not. A row whose resource is being deleted counts as new: its create replaces the delete.
func (s Catalogue) Rows(rows []observed.ResourceKnown) {
	ids := make([]string, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	remain := s.index.Remain(ids)
	s.compare(func(c *comparison) {
		for i, row := range rows {
			c.with.Row(row.ID, remain[i])
			s.attributes.row(row)
		}
	})
}

// Compared is what a complete read has led to.
type Compared struct {
	resync.Outcome
	// Deleting is complete when what the read lacks is deleted.
	Deleting *Request
	// Next is when another read must begin, to confirm or to learn what is needed; zero: none must.
	Next time.Time
	// Warning is Writer.Unannounced's, if it is this read that raises it.
	Warning     string
	Rows, Reads int
}

// End says that the read is complete. What it lacks is queued to be deleted, or waits for Confirm;
// weights and labels are in force. What is new is the caller's to Import. It takes up to half a
// second and holds no lock for long. A read that this leader has not seen begin is
// orders.ErrNotLeading.
func (s Catalogue) End(ctx context.Context, now time.Time, limits resync.Limits) (out Compared, err error) {
	out.Deleting = NewRequest(now)
	err = s.lend(ctx, func(c *comparison) error {
		if !c.with.Reading() {
			s.abortAttributes(now)
			return fmt.Errorf("the read began before this leader did: %w", orders.ErrNotLeading)
		}
		if out.Outcome, err = c.with.End(now, limits, s.index.remains); err != nil {
			s.abortAttributes(now)
			return err
		}
		c.ended++
		r := s.catalogueRead()
		s.found(now, &out, r, r.done()) // done sorts every row: not under the lock
		return s.enqueueDeletes(c, slices.Concat(out.Claimed, out.Deletes), out.Deleting)
	})
	return out, err
}

// leads says whether requests are taken, and c is the comparison that they are told to.
func (s *shared) leads(c *comparison) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leading && s.comparison == c
}

// found notes what a read has found: what it says of attributes is in force, its claims are owed,
// and its new rows are being created.
func (s *shared) found(now time.Time, out *Compared, r *catalogueRead, read *Attributes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attributes.end(r, read)
	if out.Next = out.Confirm; s.attributes.lacks() { // more has come to be needed meanwhile
		out.Next = now
	}
	if s.unannounced.read(out.Creates.Len(), s.messages) {
		out.Warning, out.Rows, out.Reads = unannouncedText, s.unannounced.rows, s.unannounced.reads
	}
	s.owe(out.Claimed)
	s.importing = true
}

func (s *shared) abortAttributes(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attributes.abort(now)
}

// catalogueRead is the read under way, if attributes are needed of it. Only its reader adds to it.
func (s *shared) catalogueRead() *catalogueRead {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attributes.read
}

// deletesAtOnce is how many deletes are queued under one lock: a few milliseconds.
const deletesAtOnce = 10_000

// enqueueDeletes queues deletes that no message asked for. c is lent: of what a message has spoken
// meanwhile the message decides.
func (s *shared) enqueueDeletes(c *comparison, ids []string, r *Request) error {
	for some := range slices.Chunk(ids, deletesAtOnce) {
		if err := s.enqueueSome(c, some, r); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.less()
	return nil
}

func (s *shared) enqueueSome(c *comparison, ids []string, r *Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.leading || s.comparison != c {
		return orders.ErrNotLeading
	}
	for _, id := range ids {
		if _, spoken := c.spoken[id]; !spoken {
			s.requests.add(resync.Deleted, id, r)
		}
	}
	return nil
}

// Import queues the creation of some rows that a read has found new, but for what a message has
// deleted since. refused counts ids that can be no resources. Imported must come last.
func (s Catalogue) Import(now time.Time, ids []string) (r *Request, refused int, err error) {
	r = NewRequest(now)
	s.compare(func(c *comparison) {
		if !s.leading {
			err = orders.ErrNotLeading
			return
		}
		for _, id := range ids {
			if protocol.CheckID(id) != nil {
				refused++
			} else if !c.with.Gone(id) {
				s.requests.add(resync.Created, id, r)
			}
		}
		r.less()
	})
	return r, refused, err
}

// Imported notes that all new rows of a read have been asked for.
func (s Catalogue) Imported() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.importing = false
}

// Waiting are the deletes that wait for a person; nil when there are none.
func (s Catalogue) Waiting() *resync.Waiting {
	c, back := s.borrow()
	if back != nil {
		waiting, _ := s.open()
		return waiting
	}
	defer s.giveBack(c)
	s.forget(c)
	return c.with.Waiting()
}

// open is comparison.open.
func (s *shared) open() (waiting *resync.Waiting, claimed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.comparison.open()
}

// WaitingCount is the number of deletes that wait for a person. A scrape asks for it: it is free.
func (s Catalogue) WaitingCount() int {
	if w, _ := s.open(); w != nil {
		return w.Count
	}
	return 0
}

// Claimed is the number of ids that are claimed to be deleted.
func (s Catalogue) Claimed() int {
	_, claimed := s.open()
	return claimed
}

// forget drops waiting deletes whose ids have gone by another way, so that no outdated number
// is confirmed, if anything has changed since it last did. c is lent.
func (s *shared) forget(c *comparison) {
	if c.shown == nil {
		return
	}
	now := s.index.Updates()
	if c.forgotten == now {
		return
	}
	c.forgotten = now
	c.with.Forget(s.index.knows)
}

// ErrCountChanged says that the number of waiting deletes is another than was to be confirmed.
var ErrCountChanged = errors.New("the number of waiting deletes is another")

// Confirmation is a set of deletes that a person has confirmed.
type Confirmation struct {
	*Request
	ids   []string
	of    *comparison
	ended int
}

// Confirm queues the waiting deletes of a set if their number is still the one the person was
// shown; set 0: of the only one of that size, or of all if there are as many in all.
func (s Catalogue) Confirm(ctx context.Context, now time.Time, set, count int) (*Confirmation, error) {
	out := &Confirmation{Request: NewRequest(now)}
	err := s.lend(ctx, func(c *comparison) (err error) {
		s.forget(c)
		if out.ids, err = c.with.Confirm(set, count); err != nil {
			return fmt.Errorf("%w: %w", ErrCountChanged, err)
		}
		out.of, out.ended = c, c.ended
		return s.enqueueDeletes(c, out.ids, out.Request)
	})
	return out, err
}

// GiveUp says that the caller of Confirm does not wait any more: what was not sent waits for a
// person again. ended: the answer has come before.
func (s Catalogue) GiveUp(now time.Time, c *Confirmation) (ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.GiveUp() {
		return true
	}
	dropped := s.requests.withdraw(resync.Deleted, c.ids, c.Request)
	if s.comparison == c.of && c.of.lent == nil && c.of.ended == c.ended {
		// else the next reads find them again
		c.of.with.Unconfirm(now, dropped)
	}
	return false
}
