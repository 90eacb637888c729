package loop

import (
	"context"
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
)

// proof answers callers for what is so already. Our State says that, and it is true while we lead;
// whether we still did when it was asked, only something of ours shows that began later and found
// our head: a transaction, a read, or else one of the head alone. Without that, a leader that
// was deposed unawares would answer for a resource that its successor has just deleted.
type proof struct {
	*core
	// at is the time, by the inventory's clock, at which something began that found us leading.
	at int64
	// read is when the head was last read for its own sake.
	read time.Time
}

// proved notes that something which began at that time of the inventory's clock found our head.
// What began earlier may end later.
func (p *proof) proved(asked int64) { p.at = max(p.at, asked) }

// confirm answers for what is so already; answered: for some of it.
func (p *proof) confirm(ctx context.Context, a steps.Answer) (answered bool, err error) {
	unproven := p.answerProven(a.Op, a.IDs)
	if len(unproven) == 0 {
		return true, nil
	}
	if next := p.read.Add(steps.Gather); p.view.Now.Before(next) {
		p.again(next)
		return len(unproven) < len(a.IDs), nil
	}
	if err := p.readHead(ctx); err != nil {
		return false, err
	}
	p.read = p.view.Now
	p.answerProven(a.Op, unproven)
	return true, nil
}

// readHead proves that we lead.
func (p *proof) readHead(ctx context.Context) error {
	asked := p.view.Requests.Clock()
	left, err := p.Store.ReadLeft(ctx, p.view.State.Kind, nil)
	if err != nil {
		return fmt.Errorf("read the head: %w", err)
	}
	if err := p.leads(&left.Head); err != nil {
		return err
	}
	p.proved(asked)
	return nil
}

// answerProven answers for those of ids that were asked for before something began that found us
// leading, and returns the others.
func (p *proof) answerProven(op resync.Op, ids []string) (unproven []string) {
	proven, unproven := p.view.Requests.AskedBy(op, ids, p.at)
	p.answer(op, proven)
	return unproven
}

// leads says whether a head is ours; nil: it is.
func (c *core) leads(head *protocol.Head) error {
	if head.Holder != c.Holder {
		return fmt.Errorf("%w: another process leads (head): %s", protocol.ErrFenced, head.Holder)
	}
	return nil
}

// answer answers the callers that wait for ids.
func (c *core) answer(op resync.Op, ids []string) {
	complete := c.view.Requests.Answer(op, ids)
	if op == resync.Created {
		for _, r := range complete {
			c.Metrics.creating.Observe(c.view.Now.Sub(r.Begun).Seconds())
		}
	}
}
