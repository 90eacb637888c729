package virtual

import (
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/loop"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// host is the engine as its loop sees it.
type host struct{ *engine }

// Round implements loop.Host.
func (h host) Round() {}

// Ordered implements loop.Host. A status that changed is seen at the next look: there are no
// watches.
func (h host) Ordered() loop.Ordered {
	return loop.Ordered{Orders: h.orders, Number: h.ordered, Attributes: h.inventory.Writer.Attributes()}
}

// Publish implements loop.Host.
func (h host) Publish(st *protocol.State, changed bool) {
	if changed {
		h.version++
	}
	h.state = st
	h.inventory.Follow(st)
}

// Wake implements loop.Host: what the loop has begun beside is over before that pass is.
func (h host) Wake() {}

// Show implements loop.Host.
func (h host) Show(p *orders.Progress, _ time.Time) {
	p.Moved, p.Alarm = h.progress.Moved, h.progress.Alarm
	h.progress = *p
}

// Stop implements loop.Host.
func (h host) Stop(why string) (news bool) {
	news = why != h.progress.Alarm
	h.progress.Alarm = why
	return news
}

// Reread implements loop.Host. A world has no catalogue that could be read.
func (h host) Reread() {}

// Moved implements loop.Host.
func (h host) Moved(n int) { h.progress.Moved += int64(n) }
