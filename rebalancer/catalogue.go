package rebalancer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
)

// importChunk is how many creates of one read are queued at once: the rest waits in the read's own
// memory.
const importChunk = 20_000

// BeginRead says that a complete read of the catalogue begins, right before its query is sent.
func (e *Engine) BeginRead(now time.Time) { e.inventory.Catalogue.Begin(now) }

// AbortRead says that the read begun last failed and proves nothing.
func (e *Engine) AbortRead() { e.inventory.Catalogue.Abort(e.cfg.Now()) }

// Rows hands over a part of the rows of the read that began. The slice may be used again by the
// caller, its strings not.
func (e *Engine) Rows(rows []observed.ResourceKnown) { e.inventory.Catalogue.Rows(rows) }

// EndRead says that the read is complete; rows are its last ones, or all of them. What is new is
// created, what was missing from two complete reads is deleted, or waits for Confirm; weights and
// labels are in force. It returns when that is durable; next is when another read must begin, to
// confirm what is missing or to learn what the orders have come to need; zero: none must.
func (e *Engine) EndRead(ctx context.Context, rows []observed.ResourceKnown) (next time.Time, err error) {
	e.Rows(rows)
	now := e.cfg.Now()
	out, err := e.inventory.Catalogue.End(ctx, now, e.limits())
	if err != nil {
		return time.Time{}, err
	}
	e.recheck(now, out.Recheck)
	e.logCompared(&out)
	e.wake.Wake()
	err = e.importRows(ctx, out.Creates)
	e.inventory.Catalogue.Imported()
	if err != nil {
		return out.Next, fmt.Errorf("create what the catalogue has: %w", err)
	}
	if err := e.wait(ctx, out.Deleting); err != nil {
		return out.Next, fmt.Errorf("delete what the catalogue lacks: %w", err)
	}
	return out.Next, nil
}

// recheck asks for a read at that time, in place of the one that the read before asked for; zero:
// for none.
func (e *Engine) recheck(now, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.later != nil {
		e.later.Stop()
		e.later = nil
	}
	if !at.IsZero() && e.cfg.Reread != nil && e.leading {
		e.later = time.AfterFunc(at.Sub(now), e.cfg.Reread)
	}
}

func (e *Engine) logCompared(out *inventory.Compared) {
	if len(out.Creates)+len(out.Claimed)+len(out.Deletes) > 0 || out.Waiting != nil {
		e.log.Info("compared with the catalogue", "new", len(out.Creates), "claimed", len(out.Claimed), "gone", len(out.Deletes))
	}
	if w := out.Waiting; w != nil {
		e.log.Warn("deletes wait for a person to confirm their number", "count", w.Count, "share", w.Share)
	}
	if out.Warning != "" {
		e.log.Warn(out.Warning, "rows", out.Rows, "reads", out.Reads)
	}
}

// importRows creates what the catalogue has, a chunk at a time, but for what a message has deleted
// since.
func (e *Engine) importRows(ctx context.Context, ids []string) error {
	for chunk := range slices.Chunk(ids, importChunk) {
		r, refused, err := e.inventory.Catalogue.Import(e.cfg.Now(), chunk)
		if err != nil {
			return err
		}
		if refused > 0 {
			e.log.Warn("the catalogue has ids that cannot be resources", "count", refused)
		}
		e.wake.Wake()
		if err := e.wait(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// Waiting are the catalogue's deletes that wait for a person; nil when there are none.
func (e *Engine) Waiting() *resync.Waiting {
	waiting := e.inventory.Catalogue.Waiting()
	e.wakeForClaims()
	return waiting
}

// wakeForClaims wakes the writer after a comparison, for which its step that keeps claims may have
// waited.
func (e *Engine) wakeForClaims() {
	if e.inventory.Writer.ClaimsWait() {
		e.wake.Wake()
	}
}

// Confirm carries out the waiting deletes of a set if their number is still the one the person was
// shown; set 0: of the only one of that size, or of all if there are as many in all. It returns
// when they are durable. Where ctx ends first, what was not sent waits again, and the error is
// ErrNotSent or ErrOutcomeUnknown; with another number it is ErrCountChanged.
func (e *Engine) Confirm(ctx context.Context, set, count int) error {
	c, err := e.inventory.Catalogue.Confirm(ctx, e.cfg.Now(), set, count)
	e.wakeForClaims()
	if err != nil {
		return err
	}
	e.log.Info("a person confirmed deletes", "count", count, "set", set)
	e.wake.Wake()
	return e.await(ctx, c.Request, func() bool { return e.inventory.Catalogue.GiveUp(e.cfg.Now(), c) })
}

// Claim takes a delete by a condition that names these ids and may have lost a part of itself on
// its way: those go which the next complete read of the catalogue lacks, if it begins after this
// call. The read is asked for. nil means that a successor knows of the claim, as far as the
// document has room; what it does not know of it finds with its own reads, as if no message had
// told.
func (e *Engine) Claim(ctx context.Context, ids []string) error {
	fault.Point("delete.received")
	good, bad := checked(ids)
	r, noted, err := e.inventory.Callers.Claim(e.cfg.Now(), good)
	if err != nil {
		return err
	}
	if noted && e.cfg.Reread != nil {
		e.cfg.Reread()
	}
	e.wake.Wake()
	if err := e.wait(ctx, r); err != nil {
		return err
	}
	return bad
}

// Heard tells that a message of the kind has come, whatever it said.
func (e *Engine) Heard() { e.inventory.Callers.Message() }

// Shown takes ids of rows that an update has shown. Where one has no resource, or one that is being
// deleted, a read of the catalogue is asked for: the row may have been made or restored without a
// message.
func (e *Engine) Shown(ids []string) error {
	good, _ := checked(ids) // what can be no resource needs none
	lacking, err := e.inventory.Callers.Lacks(good)
	if lacking && err == nil && e.cfg.Reread != nil {
		e.cfg.Reread()
	}
	return err
}

// reread asks for a read of the catalogue, unless one is under way, asked for, or has failed a
// moment ago.
func (e *Engine) reread() {
	if e.cfg.Reread != nil && e.inventory.AskRead(e.cfg.Now()) {
		e.cfg.Reread()
	}
}

// revive is how long after a message that deleted a row a read begins that has it all the same and
// is believed: longer than a standby is mostly behind, and shorter than who restores a row cares to
// wait.
const revive = 30 * time.Second

// limits are those of a comparison with the catalogue.
func (e *Engine) limits() resync.Limits {
	c := e.catalogue().Completed()
	l := resync.Limits{MaxShare: *c.MaxDeleteShare, MaxDeletes: *c.MaxDeletes, Lag: c.Lag.Std()}
	l.Gap, l.Revive = min(c.Interval.Std(), l.Lag), min(revive, l.Lag)
	return l
}

func (e *Engine) catalogue() config.Catalogue {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.orders.Catalogue
}
