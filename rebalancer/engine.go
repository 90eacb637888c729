package rebalancer

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/internal/guard"
	"github.com/shardscaler/shardscaler/internal/wake"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/loop"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
)

// Config is what an Engine needs to know once; everything that operators tune comes with the
// Orders.
type Config struct {
	// Kind is the kind of resources this engine keeps.
	Kind string
	// Holder names this process in the head, for people: the pod's name. A nonce is added.
	Holder string
	// ReadEvery is the time between two reads of ZooKeeper when nothing changes. Default 2s.
	ReadEvery time.Duration
	// Resync asks for a complete read of the catalogue soon. It must not block; nil: there is
	// no catalogue to ask.
	Resync func()
	// Moved is told of resources that this process has assigned or granted to an instance: the plan,
	// "" where there is none, and why, in words of ops.Resource. It must not block; nil: none is told.
	Moved func(plan, why string, n int)
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Each calls work for 0 to n-1. Default: each call in a goroutine of its own.
	Each func(n int, work func(i int))
}

// Store is what an engine uses of *zk.Client.
type Store interface {
	loop.Store
	// Connected says whether there is a session now, and if not, why; Changes also signals when it
	// is lost.
	Connected() (bool, error)
	Changes(kind string) (all, statuses <-chan struct{})
	CommitAll(ctx context.Context, s *protocol.State, ms []protocol.Multi) (errs []error)
}

// Engine keeps the assignment of one kind. Every replica follows (Run); the one that leads also
// writes (Lead).
//
//	follower:  Run ── read ─────► state, index, signals
//	leader:    Lead ─ one goroutine owns the State: requests and Orders in, transactions out;
//	           Run only passes signals on
type Engine struct {
	*parts
	*published
	*leadership
	*callers
	*reads
	*previews
	// reader holds a token while nothing reads the state: Run takes it for each read, Lead for as
	// long as it leads.
	reader chan struct{}
	// pauses are those after reads that failed, known to Run alone.
	pauses loop.Pauses
	// followed is when Run's loop last went on, led when the leader's did, 0 while Lead does not
	// run: in nanoseconds since 1970, for a liveness probe that must not wait for a lock.
	followed, led atomic.Int64
}

// parts are what all parts of an engine share.
type parts struct {
	cfg   Config
	store Store
	log   *slog.Logger
	m     *loop.Metrics
	// inventory and calls have their own locks, which may be taken under those of published and
	// leadership.
	inventory *inventory.Inventory
	calls     steps.Calls
	// wake tells the leader, news tells Run that there is something to report.
	wake, news wake.Signal
}

// New returns an engine that does nothing until Run.
func New(cfg Config, store Store, log *slog.Logger, reg prometheus.Registerer) *Engine {
	cfg.ReadEvery = cmp.Or(cfg.ReadEvery, 2*time.Second)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Each == nil {
		cfg.Each = sideBySide
	}
	p := &parts{
		cfg: cfg, store: store, log: log.With("kind", cfg.Kind), inventory: inventory.New(cfg.Now(), cfg.Each),
		wake: wake.New(), news: wake.New(),
	}
	e := &Engine{parts: p, published: &published{parts: p}, leadership: &leadership{parts: p}, reader: make(chan struct{}, 1)}
	p.m = loop.NewMetrics(reg, cfg.Kind,
		func() float64 { return float64(p.inventory.Catalogue.WaitingCount()) },
		func() float64 { return float64(p.inventory.Catalogue.Claimed()) }, e.State)
	e.callers = &callers{parts: p, published: e.published, over: make(chan struct{})}
	e.reads = &reads{callers: e.callers, leadership: e.leadership}
	e.previews = &previews{parts: p, published: e.published, leadership: e.leadership}
	e.followed.Store(cfg.Now().UnixNano())
	e.reader <- struct{}{}
	return e
}

// resync asks for a read of the catalogue, unless one is under way, asked for, or has failed a
// moment ago.
func (p *parts) resync() {
	if p.cfg.Resync != nil && p.inventory.AskRead(p.cfg.Now()) {
		p.cfg.Resync()
	}
}

// sideBySide calls work for 0 to n-1, each in a goroutine of its own.
func sideBySide(n int, work func(i int)) {
	all, _ := guard.NewGroup(context.Background())
	for i := range n {
		all.Go(func() error {
			work(i)
			return nil
		})
	}
	_ = all.Wait()
}

// Drained asks ZooKeeper itself (a synced read) how many resources each of the ordinals still owns:
// in its list or in flight from it. A closed ordinal that owns nothing has 0, and that stays so
// until it is opened again. An open ordinal is an error.
func (e *Engine) Drained(ctx context.Context, ordinals []int) (left map[int]int, err error) {
	read, err := e.readLeft(ctx, ordinals)
	if err != nil {
		return nil, err
	}
	for _, n := range ordinals {
		if slices.Contains(read.Head.Open, n) {
			return nil, fmt.Errorf("read remaining resources: instance %d still takes resources", n)
		}
	}
	return read.Count, nil
}

// Leads asks ZooKeeper itself (a synced read) whether this process holds the head; nil: it does.
func (e *Engine) Leads(ctx context.Context) error {
	_, err := e.readLeft(ctx, nil)
	return err
}

// Left asks ZooKeeper itself (a synced read) how many resources n still owns, in its list or in
// flight from it, and whether it may receive more. Any replica may ask.
func (e *Engine) Left(ctx context.Context, n int) (left int, open bool, err error) {
	read, err := e.store.ReadLeft(ctx, e.cfg.Kind, []int{n})
	if err != nil {
		return 0, false, fmt.Errorf("read remaining resources: %w", err)
	}
	return read.Count[n], slices.Contains(read.Head.Open, n), nil
}

// readLeft reads what the ordinals own while this process leads.
func (e *Engine) readLeft(ctx context.Context, ordinals []int) (protocol.Left, error) {
	holder, leading := e.leads()
	if !leading {
		return protocol.Left{}, orders.ErrNotLeading
	}
	read, err := e.store.ReadLeft(ctx, e.cfg.Kind, ordinals)
	switch {
	case err != nil:
		return protocol.Left{}, fmt.Errorf("read remaining resources: %w", err)
	case read.Head.Holder != holder:
		return protocol.Left{}, fmt.Errorf("read remaining resources: %w: another process leads (head): %s", orders.ErrNotLeading, read.Head.Holder)
	}
	return read, nil
}

// Alive returns when the loop that follows last went on, and the one that leads, zero while it
// does not run. Each step of a loop waits for ZooKeeper with a deadline of its own, so that only a
// loop that stands still falls far behind. It takes no lock: the loop may stand still because it
// waits for a goroutine that holds that lock.
func (e *Engine) Alive() (follow, lead time.Time) {
	follow = time.Unix(0, e.followed.Load())
	if at := e.led.Load(); at != 0 {
		lead = time.Unix(0, at)
	}
	return follow, lead
}
