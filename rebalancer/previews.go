package rebalancer

import (
	"errors"
	"maps"
	"sync"

	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/release"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
)

// Preview is what an engine would do next if nothing else happened.
type Preview = steps.Preview

// ErrNoPreview says that none can be made yet: this leader has not looked at everything once.
var ErrNoPreview = errors.New("this replica has just begun to lead: ask again in a moment")

// previews say what would be done, and whether anything has changed since. They are made in their
// caller's goroutine, from what does not change any more: neither the writer nor a lock waits for
// one.
type previews struct {
	*parts
	published  *published
	leadership *leadership

	mu     sync.Mutex
	memory *steps.Memory // nil: none is known
	counts map[int]orders.Changes
}

// Changed are the counts of changes of all lists that have changed since this process leads. They
// are behind State by a moment at most, never ahead of it: what is to be compared with them later
// takes them first, and the State then.
func (p *previews) Changed() map[int]orders.Changes {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

func (p *previews) count(ordinals []int, deleted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.counts == nil {
		p.counts = map[int]orders.Changes{}
	}
	for _, n := range ordinals {
		c := p.counts[n]
		if deleted {
			c.Deleted++
		} else {
			c.Moved++
		}
		p.counts[n] = c
	}
}

func (p *previews) remember(m *steps.Memory) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.memory = m
}

func (p *previews) remembered() *steps.Memory {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.memory
}

// Preview says what would be done by these orders now, and does nothing. asked: a spread counts as
// due whatever the lists are like. ErrNotLeading, ErrNoPreview, protocol.ErrStopped.
func (p *previews) Preview(o orders.Orders, asked bool) (*Preview, error) {
	if _, leading := p.leadership.leads(); !leading {
		return nil, orders.ErrNotLeading
	}
	st, m := p.published.State(), p.remembered()
	if st == nil || m == nil {
		return nil, ErrNoPreview
	}
	now := p.cfg.Now()
	return steps.NewPreview(steps.View{
		View:    release.View{State: st, Orders: &o, Now: now},
		Refusal: o.Refusal(now), Index: p.inventory.Index, Requests: p.inventory.Writer, Attributes: p.inventory.Writer.AttributesBy(o.Own),
	}, m, asked)
}

// Hindrance is why no plan could be begun now: the kind is not written, a wave is under way, or
// resources are in flight that will arrive somewhere; "": one could.
func (p *previews) Hindrance() string {
	st, progress := p.published.State(), p.leadership.Progress()
	if why := orders.Trouble(st, &progress); why != "" || st == nil {
		return why
	}
	if st.Plan != nil {
		return "a wave is under way: plan " + st.Plan.ID
	}
	for _, f := range st.Flight {
		if f.IDs.Len() > f.Deletes() {
			return "resources are in flight"
		}
	}
	return ""
}
