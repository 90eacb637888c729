package rebalancer

import (
	"slices"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// leadership is what this process has been told to do, and whether it is the one that does it.
type leadership struct {
	*parts
	mu      sync.Mutex
	changed bool // ZooKeeper said that a status changed, and the leader has not read it yet
	spread  bool // a spread was asked for, and the leader's loop does not know yet
	orders  orders.Orders
	number  int // counts the orders
	leading bool
	holder  string
	// later asks for a read of the catalogue that the last one needs; nil: it needs none.
	later    *time.Timer
	progress orders.Progress
}

// Order replaces the orders.
func (l *leadership) Order(o orders.Orders) {
	o.Stay = slices.Sorted(slices.Values(o.Stay))
	if l.accept(o) {
		l.resync()
	}
	l.wake.Wake()
}

// land gives the last orders anew, but for what lands.
func (l *leadership) land() {
	o := l.lastOrders()
	o.At, o.Landing = l.cfg.Now(), true
	l.Order(o)
}

func (l *leadership) lastOrders() orders.Orders {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.orders
}

// accept takes the orders, and what they need of the catalogue with them. lacks: a read is needed.
func (l *leadership) accept(o orders.Orders) (lacks bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.orders = o
	l.number++
	return l.inventory.Need(inventory.NeedsOf(&o))
}

// leads says whether this process writes, and under which holder of the head.
func (l *leadership) leads() (holder string, leading bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holder, l.leading
}

// Leading says whether this process holds the head as far as it knows. It asks nobody.
func (l *leadership) Leading() bool {
	_, leading := l.leads()
	return leading
}

// Progress says what the engine is doing.
func (l *leadership) Progress() orders.Progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.progress
}

// resyncAt asks for a read at that time, in place of the one that the read before asked for; zero:
// for none.
func (l *leadership) resyncAt(now, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.later != nil {
		l.later.Stop()
		l.later = nil
	}
	if !at.IsZero() && l.cfg.Resync != nil && l.leading {
		l.later = time.AfterFunc(at.Sub(now), l.cfg.Resync)
	}
}

func (l *leadership) catalogue() config.Catalogue {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.orders.Catalogue
}

// noteChange tells the leader that a status changed.
func (l *leadership) noteChange() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed = true
}

// Spread has the lists be spread once, however little they differ, as soon as spreading may begin.
// Only this leader knows of it.
func (l *leadership) Spread() {
	l.askSpread()
	l.wake.Wake()
}

func (l *leadership) askSpread() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spread = l.leading
}

func (l *leadership) forgetAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leading, l.holder, l.spread = false, "", false
	l.calls.Close(orders.ErrNotLeading)
	l.inventory.Resign(l.cfg.Now())
	l.orders, l.progress = orders.Orders{}, orders.Progress{Moved: l.progress.Moved}
}

// begin lets callers ask for writes; begins: this process did not lead before.
func (l *leadership) begin(st *protocol.State, holder string) (begins bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	begins, err := l.inventory.Lead(l.cfg.Now(), st)
	if err != nil {
		l.log.Warn("the last leader's claims cannot be read; two complete reads of the catalogue find again what they said", "error", err)
	}
	l.leading, l.holder, l.changed = true, holder, false
	l.calls.Open()
	return begins
}
