package rebalancer

import (
	"cmp"
	"context"
	"fmt"

	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
)

// RolledBack is what a rollback does.
type RolledBack = steps.RolledBack

// ErrNothingToRollBack is what a rollback fails with when no wave runs and nothing is in flight.
var ErrNothingToRollBack = steps.ErrNothingToRollBack

// Keep changes a small document beside the assignment, leader only. It works also while the kind is
// stopped. What change fails with is returned, and nothing is written. Where ctx ends first, the
// error is ErrNotSent or ErrOutcomeUnknown.
func (e *Engine) Keep(ctx context.Context, name string, change orders.Update) error {
	k, err := e.calls.Keep(e.cfg.Now(), name, change)
	if err != nil {
		return err
	}
	return e.call(ctx, k.Request)
}

// Rollback turns the running wave round, leader only: what is in flight returns to its source if
// that is open, and what has arrived is taken back by moves like any others. It returns when that
// is under way. Nothing is spread until orders made later. So that what was undone is not soon
// planned again, the document of that name, which pauses, is changed first; where there is nothing
// to roll back it is not. Where ctx ends first, the error is ErrNotSent or ErrOutcomeUnknown.
func (e *Engine) Rollback(ctx context.Context, name string, pause orders.Update) (RolledBack, error) {
	r, err := e.calls.RollBack(e.cfg.Now(), name, pause)
	if err != nil {
		return RolledBack{}, err
	}
	if err := e.call(ctx, r.Request); err != nil {
		return RolledBack{}, err
	}
	return r.Result, nil
}

// call waits for the answer to one of the calls.
func (e *Engine) call(ctx context.Context, r *inventory.Request) error {
	e.wake.Wake()
	return e.await(ctx, r, func() bool { return e.calls.GiveUp(r) })
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

// Trouble says why a kind is not written, by what a replica knows of it; "" if nothing stands
// against it. st may be nil. What is unreadable every replica sees; what ZooKeeper refuses, and
// that another client edits too much, the leader alone knows.
func Trouble(st *protocol.State, p *orders.Progress) string {
	stopped := p.Alarm
	if st != nil {
		stopped = cmp.Or(stopped, st.Fault())
	}
	switch {
	case stopped != "":
		return "the kind is stopped: " + stopped
	case p.Refused != "":
		return "zookeeper refuses what is to be written: " + p.Refused
	}
	return ""
}
