package rebalancer

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
)

// ErrBadID says that some ids can never be resources. What was asked for the others is done.
var ErrBadID = errors.New("bad id")

// RolledBack is what a rollback does.
type RolledBack = steps.RolledBack

// ErrNothingToRollBack is what a rollback fails with when no wave runs and nothing is in flight.
var ErrNothingToRollBack = steps.ErrNothingToRollBack

// callers ask the writer for something, and wait until it is durable.
type callers struct {
	*parts
	*published
	// over is closed when nothing runs any more that could answer a call.
	over chan struct{}
}

// Create makes resources durable; nil means every one is in the pool, in a list or in flight.
// Repeating it does no harm.
func (c *callers) Create(ctx context.Context, rs []observed.ResourceKnown) error {
	fault.Point("create.received")
	ids := make([]string, len(rs))
	for i := range rs {
		ids[i] = rs[i].ID
	}
	return c.ask(ctx, resync.Created, ids)
}

// Delete removes resources; nil means the deletes are committed. Unknown ids are no error.
func (c *callers) Delete(ctx context.Context, ids []string) error {
	fault.Point("delete.received")
	return c.ask(ctx, resync.Deleted, ids)
}

// ask queues what a message said of ids and waits until it is durable. A caller that gives up
// waiting takes nothing back: what a message says is so, and comes again.
func (c *callers) ask(ctx context.Context, op resync.Op, ids []string) error {
	good, bad := checked(ids)
	r, err := c.inventory.Callers.Hear(c.cfg.Now(), op, good)
	if err != nil {
		return err
	}
	return cmp.Or(c.wait(ctx, r), bad)
}

// wait wakes the writer, and waits for its answer.
func (c *callers) wait(ctx context.Context, r *inventory.Request) error {
	c.wake.Wake()
	select {
	case <-r.Done():
		return r.Err()
	case <-c.over:
		return orders.ErrNotLeading
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Abandon answers the calls that wait for an engine whose loops a panic has ended. The engine is
// not used again.
func (c *callers) Abandon() { close(c.over) }

// Claim takes a delete by a condition that names these ids and may have lost a part of itself on
// its way: those go which the next complete read of the catalogue lacks, if it begins after this
// call. The read is asked for. nil means that a successor knows of the claim, as far as the
// document has room; what it does not know of it finds with its own reads, as if no message had
// told.
func (c *callers) Claim(ctx context.Context, ids []string) error {
	fault.Point("delete.received")
	good, bad := checked(ids)
	r, noted, err := c.inventory.Callers.Claim(c.cfg.Now(), good)
	if err != nil {
		return err
	}
	if noted && c.cfg.Resync != nil {
		c.cfg.Resync()
	}
	return cmp.Or(c.wait(ctx, r), bad)
}

// Heard tells that a message of the kind has come, whatever it said.
func (c *callers) Heard() { c.inventory.Callers.Message() }

// Shown takes ids of rows that an update has shown. Where one has no resource, or one that is being
// deleted, a read of the catalogue is asked for: the row may have been made or restored without a
// message.
func (c *callers) Shown(ids []string) error {
	good, _ := checked(ids) // what can be no resource needs none
	lacking, err := c.inventory.Callers.Lacks(good)
	if lacking && err == nil && c.cfg.Resync != nil {
		c.cfg.Resync()
	}
	return err
}

// Keep changes a small document beside the assignment, leader only. It works also while the kind is
// stopped. What change fails with is returned, and nothing is written. Where ctx ends first, the
// error is ErrNotSent or ErrOutcomeUnknown.
func (c *callers) Keep(ctx context.Context, name string, change orders.Update) error {
	k, err := c.calls.Keep(c.cfg.Now(), name, change)
	if err != nil {
		return err
	}
	return c.call(ctx, k.Request)
}

// KeepParts is Keep of a document that has parts.
func (c *callers) KeepParts(ctx context.Context, name string, change orders.PartsUpdate) error {
	k, err := c.calls.KeepParts(c.cfg.Now(), name, change)
	if err != nil {
		return err
	}
	return c.call(ctx, k.Request)
}

// Rollback takes the running wave back, leader only: what is in flight returns to its source if
// that is open, and what has arrived is taken back by moves like any others. It returns when that
// is under way. Nothing is spread until orders made later. So that what was undone is not soon
// planned again, the document of that name, which pauses, is changed first; where there is nothing
// to roll back it is not. Where ctx ends first, the error is ErrNotSent or ErrOutcomeUnknown.
func (c *callers) Rollback(ctx context.Context, name string, pause orders.Update) (RolledBack, error) {
	r, err := c.calls.RollBack(c.cfg.Now(), name, pause)
	if err != nil {
		return RolledBack{}, err
	}
	if err := c.call(ctx, r.Request); err != nil {
		return RolledBack{}, err
	}
	return r.Result, nil
}

// call waits for the answer to one of the calls.
func (c *callers) call(ctx context.Context, r *inventory.Request) error {
	return c.await(ctx, r, func() bool { return c.calls.GiveUp(r) })
}

// await returns the answer to r. If ctx ends first, what of r was not sent never will be: giveUp
// sees to that, unless the answer has come meanwhile (ended). What was sent before is settled all
// the same (protocol rule 9), but its caller is not there to be told.
func (c *callers) await(ctx context.Context, r *inventory.Request, giveUp func() (ended bool)) error {
	why := c.wait(ctx, r)
	if giveUp() {
		return r.Err()
	}
	if _, _, _, failure := c.latest(); failure != nil {
		why = fmt.Errorf("%w; the latest read of ZooKeeper: %w", why, failure)
	}
	if r.Sent() {
		return fmt.Errorf("%w: %w", orders.ErrOutcomeUnknown, why)
	}
	return fmt.Errorf("%w: %w", orders.ErrNotSent, why)
}

// checked splits off the ids that can never be resources; bad names the first of them.
func checked(ids []string) (good []string, bad error) {
	good = make([]string, 0, len(ids))
	for _, id := range ids {
		err := protocol.CheckID(id)
		switch {
		case err == nil:
			good = append(good, id)
		case bad == nil:
			bad = fmt.Errorf("%w: %w", ErrBadID, err)
		}
	}
	return good, bad
}
