package rebalancer

import (
	"context"
	"fmt"
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// calls are those of Keep and Rollback that wait for the writer. Engine.mu guards them.
type calls struct {
	keeps     []*keep
	rollbacks []*rollback
}

// fail answers all of them with err.
func (c *calls) fail(err error) {
	for _, k := range c.keeps {
		k.Fail(err)
	}
	for _, r := range c.rollbacks {
		r.Fail(err)
	}
	*c = calls{}
}

// except returns the calls that are not one.
func except[C comparable](calls []C, one C) []C {
	return slices.DeleteFunc(calls, func(other C) bool { return other == one })
}

// enqueue asks something of the writer.
func (e *Engine) enqueue(add func(c *calls)) error {
	if err := e.add(add); err != nil {
		return err
	}
	e.wake.Wake()
	return nil
}

func (e *Engine) add(add func(c *calls)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.leading {
		return orders.ErrNotLeading
	}
	add(&e.calls)
	return nil
}

// giveUp says that the caller of r does not wait any more; withdraw takes its call out of those
// that wait. ended: the answer has come before.
func (e *Engine) giveUp(r *inventory.Request, withdraw func(c *calls)) (ended bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.GiveUp() {
		return true
	}
	withdraw(&e.calls)
	return false
}

// sending is asked right before something is sent for r: an error if its caller has given up.
func (e *Engine) sending(r *inventory.Request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return r.Sending()
}

// await returns the answer to r. If ctx ends first, what of r was not sent never will be: giveUp
// sees to that, unless the answer has come meanwhile (ended). What was sent before is settled all
// the same (protocol rule 9), but its caller is not there to be told.
func (e *Engine) await(ctx context.Context, r *inventory.Request, giveUp func() (ended bool)) error {
	why := e.wait(ctx, r)
	if giveUp() {
		return r.Err()
	}
	if failure := e.readFailure(); failure != nil {
		why = fmt.Errorf("%w; the latest look at ZooKeeper: %w", why, failure)
	}
	if r.Sent() {
		return fmt.Errorf("%w: %w", orders.ErrOutcomeUnknown, why)
	}
	return fmt.Errorf("%w: %w", orders.ErrNotSent, why)
}

// readFailure is why ZooKeeper could not be read when it was last tried; nil: it could.
func (e *Engine) readFailure() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failure
}
