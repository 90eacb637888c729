package rebalancer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/internal/guard"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// glance is a look at ZooKeeper that goes on beside the term's own writes, so that nobody waits for
// it: it costs a request a znode. What it reads is put together with what was written meanwhile.
// Where somebody else has meddled, nothing is taken from it: then the term stands still for a
// complete look.
type glance struct {
	begun   time.Time
	asked   int64            // when it began, by the queue's clock
	touched protocol.Touched // by the term since it began
	result  chan glanced
}

type glanced struct {
	fresh *protocol.State
	moved bool
	err   error
}

// beginGlance starts one unless one is under way. The term is woken at its end.
func (t *term) beginGlance(ctx context.Context) {
	if t.glance != nil {
		return
	}
	g := &glance{begun: t.tick(), asked: t.clock(), touched: protocol.Touched{}, result: make(chan glanced, 1)}
	t.glance, t.changed = g, false
	before := t.st.Clone()
	t.glances.Go(func() {
		var seen glanced
		seen.err = guard.Run(func() (err error) {
			seen.fresh, seen.moved, err = t.e.store.ReadOnce(ctx, before)
			return err
		})
		g.result <- seen
		t.e.wake.Wake()
	})
}

// takeGlance takes over what a glance has seen, if one has ended.
func (t *term) takeGlance() error {
	if t.glance == nil {
		return nil
	}
	g := t.glance
	select {
	case seen := <-g.result:
		t.glance = nil
		return t.adoptGlance(g, seen)
	default:
		return nil
	}
}

func (t *term) adoptGlance(g *glance, seen glanced) error {
	guard.Raise(seen.err)
	switch {
	case errors.Is(seen.err, protocol.ErrUnavailable):
		t.dirty = true // nothing is in doubt: what was being written meanwhile has been settled over the next session, as this look will be
		return nil
	case seen.err != nil:
		return fmt.Errorf("read: %w", seen.err)
	}
	if seen.fresh.Head.Holder != t.holder {
		return fmt.Errorf("%w: the head is held by %s", protocol.ErrFenced, seen.fresh.Head.Holder)
	}
	t.proved(g.asked)
	now := t.tick()
	t.refreshed, t.rest = now, max(lookPause, lookShare*now.Sub(g.begun))
	st := t.st.Overlay(seen.fresh, g.touched)
	if seen.moved && foreignEdit(t.st, st) != "" {
		t.dirty = true // the look that follows counts it
		return nil
	}
	st.Torn = false // what changed while it was read we have written ourselves, or it is statuses
	t.st = st
	t.releases.Observe(st, g.begun, now)
	t.publish(seen.moved)
	return nil
}
