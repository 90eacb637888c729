package rebalancer

import (
	"context"
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/protocol/idlist"
)

// importChunk is how many creates of one read are queued at once: the rest waits in the read's own
// memory.
const importChunk = 20_000

// revive is how long after a message that deleted a row a read begins that has it all the same and
// is believed: longer than a standby is mostly behind, and shorter than who restores a row cares to
// wait.
const revive = 30 * time.Second

// reads are complete reads of the catalogue, and what comes of them.
type reads struct {
	*callers
	leadership *leadership
}

// BeginRead says that a complete read of the catalogue begins, right before its query is sent.
func (s *reads) BeginRead(now time.Time) { s.inventory.Catalogue.Begin(now) }

// AbortRead says that the read begun last failed and proves nothing.
func (s *reads) AbortRead() { s.inventory.Catalogue.Abort(s.cfg.Now()) }

// Rows hands over a part of the rows of the read that began. The slice may be used again by the
// caller, its strings not.
func (s *reads) Rows(rows []observed.ResourceKnown) { s.inventory.Catalogue.Rows(rows) }

// EndRead says that the read is complete; rows are its last ones, or all of them. What is new is
// created, what was missing from two complete reads is deleted, or waits for Confirm; weights and
// labels are in force. It returns when that is durable; next is when another read must begin, to
// confirm what is missing or to learn what the orders have come to need; zero: none must.
func (s *reads) EndRead(ctx context.Context, rows []observed.ResourceKnown) (next time.Time, err error) {
	s.Rows(rows)
	now := s.cfg.Now()
	out, err := s.inventory.Catalogue.End(ctx, now, s.limits())
	if err != nil {
		return time.Time{}, err
	}
	s.leadership.resyncAt(now, out.Resync)
	s.logCompared(&out)
	s.wake.Wake()
	err = s.importRows(ctx, out.Creates)
	s.inventory.Catalogue.Imported()
	if err != nil {
		return out.Next, fmt.Errorf("create what the catalogue has: %w", err)
	}
	if err := s.wait(ctx, out.Deleting); err != nil {
		return out.Next, fmt.Errorf("delete what the catalogue lacks: %w", err)
	}
	return out.Next, nil
}

func (s *reads) logCompared(out *inventory.Compared) {
	if out.Creates.Len()+len(out.Claimed)+len(out.Deletes) > 0 || out.Waiting != nil {
		s.log.Info("compared with the catalogue", "new", out.Creates.Len(), "claimed", len(out.Claimed), "gone", len(out.Deletes))
	}
	if w := out.Waiting; w != nil {
		s.log.Warn("deletes wait for a person to confirm their number", "count", w.Count, "share", w.Share)
	}
	if out.Warning != "" {
		s.log.Warn(out.Warning, "rows", out.Rows, "reads", out.Reads)
	}
}

// importRows creates what the catalogue has, a chunk at a time, but for what a message has deleted
// since.
func (s *reads) importRows(ctx context.Context, ids idlist.List) error {
	for from := 0; from < ids.Len(); from += importChunk {
		chunk := ids.Slice(from, min(from+importChunk, ids.Len()))
		r, refused, err := s.inventory.Catalogue.Import(s.cfg.Now(), chunk.Strings())
		if err != nil {
			return err
		}
		if refused > 0 {
			s.log.Warn("the catalogue has ids that cannot be resources", "count", refused)
		}
		if err := s.wait(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// Waiting are the catalogue's deletes that wait for a person; nil when there are none.
func (s *reads) Waiting() *resync.Waiting {
	waiting := s.inventory.Catalogue.Waiting()
	s.wakeForClaims()
	return waiting
}

// wakeForClaims wakes the writer after a comparison, for which its step that keeps claims may have
// waited.
func (s *reads) wakeForClaims() {
	if s.inventory.Writer.ClaimsWait() {
		s.wake.Wake()
	}
}

// Confirm carries out the waiting deletes of a set if their number is still the one the person was
// shown; set 0: of the only one of that size, or of all if there are as many in all. It returns
// when they are durable. Where ctx ends first, what was not sent waits again, and the error is
// ErrNotSent or ErrOutcomeUnknown; with another number it is ErrCountChanged.
func (s *reads) Confirm(ctx context.Context, set, count int) error {
	c, err := s.inventory.Catalogue.Confirm(ctx, s.cfg.Now(), set, count)
	s.wakeForClaims()
	if err != nil {
		return err
	}
	s.log.Info("a person confirmed deletes", "count", count, "set", set)
	return s.await(ctx, c.Request, func() bool { return s.inventory.Catalogue.GiveUp(s.cfg.Now(), c) })
}

// limits are those of a comparison with the catalogue.
func (s *reads) limits() resync.Limits {
	c := s.leadership.catalogue().Completed()
	l := resync.Limits{MaxShare: *c.MaxDeleteShare, MaxDeletes: *c.MaxDeletes, Lag: c.Lag.Std()}
	l.Gap, l.Revive = min(c.Interval.Std(), l.Lag), min(revive, l.Lag)
	return l
}
