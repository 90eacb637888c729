package rebalancer

import (
	"context"
	"fmt"

	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/loop"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// This file answers the callers of creates and deletes.

func (t *term) created(ids []string) {
	fault.Point("create.published")
	t.e.m.created.Add(float64(len(ids)))
	t.settle(resync.Created, ids)
}

func (t *term) deleted(ids []string) {
	fault.Point("delete.published")
	t.e.m.deleted.Add(float64(len(ids)))
	t.settle(resync.Deleted, ids)
}

// confirm answers for what is so already. Our State says that, and it is true while we lead;
// whether we still did when it was asked, only something of ours shows that began later and found
// our head: a transaction, a look, or else a read of the head alone. Without that, a leader that
// was deposed unawares would answer for a resource that its successor has just deleted.
func (t *term) confirm(ctx context.Context, op resync.Op, ids []string) (bool, error) {
	if len(ids) == 0 {
		return false, nil
	}
	unproven := t.settleProven(op, ids)
	if len(unproven) == 0 {
		return true, nil
	}
	if next := t.confirmed.Add(loop.Gather); t.now.Before(next) {
		t.sooner(next)
		return len(unproven) < len(ids), nil
	}
	if err := t.readHead(ctx); err != nil {
		return false, err
	}
	t.confirmed = t.now
	t.settleProven(op, unproven)
	return true, nil
}

// readHead proves that we lead.
func (t *term) readHead(ctx context.Context) error {
	asked := t.clock()
	read, err := t.e.store.ReadLeft(ctx, t.st.Kind, nil)
	if err != nil {
		return fmt.Errorf("read the head: %w", err)
	}
	if read.Head.Holder != t.holder {
		return fmt.Errorf("%w: the head is held by %s", protocol.ErrFenced, read.Head.Holder)
	}
	t.proved(asked)
	return nil
}

// settleProven answers for those of ids that were asked for before something began that found us
// leading, and returns the others.
func (t *term) settleProven(op resync.Op, ids []string) (unproven []string) {
	proven, unproven := t.e.inventory.Writer.AskedBy(op, ids, t.proven)
	t.settle(op, proven)
	return unproven
}

// proved notes that something which began at that time of the queue's clock found our head. What
// began earlier may end later.
func (t *term) proved(asked int64) { t.proven = max(t.proven, asked) }

// clock is the time by the inventory's clock.
func (t *term) clock() int64 { return t.e.inventory.Writer.Clock() }

// settle answers the callers that wait for ids.
func (t *term) settle(op resync.Op, ids []string) {
	complete := t.e.inventory.Writer.Answer(op, ids)
	if op == resync.Created {
		for _, r := range complete {
			t.e.m.creating.Observe(t.now.Sub(r.Begun()).Seconds())
		}
	}
}
