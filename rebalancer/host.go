package rebalancer

import (
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/loop"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
)

// host is the engine as a loop sees it: it implements loop.Host.
type host struct{ e *Engine }

func (h host) Ordered() loop.Ordered {
	h.e.leadership.mu.Lock()
	defer h.e.leadership.mu.Unlock()
	changed, spread := h.e.changed, h.e.spread
	h.e.changed, h.e.spread = false, false
	return loop.Ordered{
		Orders: h.e.orders, Number: h.e.number, Attributes: h.e.inventory.Writer.Attributes(), StatusChanged: changed, Spread: spread,
	}
}

func (h host) Publish(st *protocol.State, changed bool) {
	h.e.publish(st, changed)
	h.e.news.Wake()
}

func (h host) Wake() { h.e.wake.Wake() }

// Show shows p with what the engine itself knows.
func (h host) Show(p *orders.Progress, now time.Time) {
	h.e.leadership.mu.Lock()
	defer h.e.leadership.mu.Unlock()
	p.Moved, p.Alarm = h.e.progress.Moved, h.e.progress.Alarm
	h.e.progress = *p
	h.e.m.Progressed(p, now)
}

func (h host) Stop(why string) (news bool) {
	h.e.leadership.mu.Lock()
	defer h.e.leadership.mu.Unlock()
	news = why != h.e.progress.Alarm
	h.e.progress.Alarm = why
	return news
}

func (h host) Moved(plan, why string, n int) {
	h.countMoved(n)
	if h.e.cfg.Moved != nil {
		h.e.cfg.Moved(plan, why, n)
	}
}

func (h host) countMoved(n int) {
	h.e.leadership.mu.Lock()
	defer h.e.leadership.mu.Unlock()
	h.e.progress.Moved += int64(n)
}

func (h host) Changed(ordinals []int, deleted bool) { h.e.previews.count(ordinals, deleted) }

func (h host) Remember(m *steps.Memory) { h.e.previews.remember(m) }

func (h host) Alive() { h.e.led.Store(h.e.cfg.Now().UnixNano()) }

func (h host) Resync() { h.e.resync() }
