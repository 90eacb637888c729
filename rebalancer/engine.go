package rebalancer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/internal/guard"
	"github.com/shardscaler/shardscaler/internal/wake"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/loop"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
)

// ErrBadID says that some ids can never be resources. What was asked for the others is done.
var ErrBadID = errors.New("bad id")

// Config is what an Engine needs to know once; everything that operators tune comes with the
// Orders.
type Config struct {
	// Kind is the kind of resources this engine keeps.
	Kind string
	// Holder names this process in the head, for people: the pod's name. A nonce is added.
	Holder string
	// Refresh is the time between two looks at ZooKeeper when nothing changes. Default 2s.
	Refresh time.Duration
	// AdoptionHold is how long after the adoption of a tree that another orchestrator wrote nothing
	// is spread. Default 5m.
	AdoptionHold time.Duration
	// Reread asks for a complete read of the catalogue soon. It must not block; nil: nobody can be
	// asked.
	Reread func()
	// Now is the clock. Default time.Now.
	Now func() time.Time
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
//	follower:  Run ── Refresh ──► state, index, signals
//	leader:    Lead ─ one goroutine owns the State: requests and Orders in, transactions out; Run only passes signals on
type Engine struct {
	cfg   Config
	store Store
	log   *slog.Logger
	m     *loop.Metrics
	// inventory and calls have their own locks, which may be taken under mu.
	inventory *inventory.Inventory
	calls     steps.Calls
	// turn holds a token while nobody refreshes the state: Run takes it for each look, Lead for as
	// long as it leads.
	turn chan struct{}
	// looks are the pauses after looks that failed, known to Run alone.
	looks loop.Pauses
	// wake tells the leader, news tells Run that there is something to look at.
	wake, news wake.Signal
	// over is closed when nothing runs any more that could answer a call.
	over chan struct{}

	mu       sync.Mutex
	state    *protocol.State // published: nobody changes it
	version  int             // of state; moves when more than its age changed
	failure  error           // why the latest look failed; nil when it succeeded
	failedAt time.Time
	changed  bool // ZooKeeper said that a status changed, and the leader has not looked yet
	orders   orders.Orders
	ordered  int // counts the orders
	leading  bool
	holder   string
	// later asks for a read of the catalogue that the last one needs; nil: it needs none.
	later    *time.Timer
	progress orders.Progress

	// rounds are when the loops last went round, for a liveness probe that must not wait for a
	// lock.
	rounds rounds
}

// New returns an engine that does nothing until Run.
func New(cfg Config, store Store, log *slog.Logger, reg prometheus.Registerer) *Engine {
	if cfg.Refresh <= 0 {
		cfg.Refresh = 2 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.AdoptionHold <= 0 {
		cfg.AdoptionHold = 5 * time.Minute
	}
	e := &Engine{
		cfg: cfg, store: store, log: log.With("kind", cfg.Kind), inventory: inventory.New(cfg.Now(), sideBySide),
		turn: make(chan struct{}, 1), wake: wake.New(), news: wake.New(), over: make(chan struct{}),
	}
	e.rounds.follow.Store(cfg.Now().UnixNano())
	e.m = loop.NewMetrics(reg, cfg.Kind,
		func() float64 { return float64(e.inventory.Catalogue.WaitingCount()) },
		func() float64 { return float64(e.inventory.Catalogue.Claimed()) })
	e.turn <- struct{}{}
	return e
}

// Order replaces the orders.
func (e *Engine) Order(o orders.Orders) {
	o.Stay = slices.Sorted(slices.Values(o.Stay))
	if e.accept(o) {
		e.reread()
	}
	e.wake.Wake()
}

// accept takes the orders, and what they need of the catalogue with them. lacks: a read is needed.
func (e *Engine) accept(o orders.Orders) (lacks bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.orders = o
	e.ordered++
	return e.inventory.Need(inventory.NeedsOf(&o))
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

// Create makes resources durable; nil means every one is in the pool, in a list or in flight.
// Repeating it does no harm.
func (e *Engine) Create(ctx context.Context, rs []observed.ResourceKnown) error {
	fault.Point("create.received")
	ids := make([]string, len(rs))
	for i := range rs {
		ids[i] = rs[i].ID
	}
	return e.ask(ctx, resync.Created, ids)
}

// Delete removes resources; nil means the deletes are committed. Unknown ids are no error.
func (e *Engine) Delete(ctx context.Context, ids []string) error {
	fault.Point("delete.received")
	return e.ask(ctx, resync.Deleted, ids)
}

// ask queues what a message said of ids and waits until it is durable. A caller that gives up
// waiting takes nothing back: what a message says is so, and comes again.
func (e *Engine) ask(ctx context.Context, op resync.Op, ids []string) error {
	good, bad := checked(ids)
	r, err := e.inventory.Callers.Hear(e.cfg.Now(), op, good)
	if err != nil {
		return err
	}
	e.wake.Wake()
	if err := e.wait(ctx, r); err != nil {
		return err
	}
	return bad
}

// checked splits off the ids that can never be resources; bad names the first of them.
func checked(ids []string) (good []string, bad error) {
	good = make([]string, 0, len(ids))
	for _, id := range ids {
		err := protocol.CheckID(id)
		switch {
		case err == nil:
			good = append(good, id)
		case bad == nil:
			bad = fmt.Errorf("%w: %w", ErrBadID, err)
		}
	}
	return good, bad
}

func (e *Engine) wait(ctx context.Context, r *inventory.Request) error {
	select {
	case <-r.Done():
		return r.Err()
	case <-e.over:
		return orders.ErrNotLeading
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Abandon answers the calls that wait for an engine whose loops a panic has ended. The engine is
// not used again.
func (e *Engine) Abandon() { close(e.over) }

// Kept returns the document of that name as last read from ZooKeeper.
func (e *Engine) Kept(name string) ([]byte, bool) {
	st := e.State()
	if st == nil || st.Kept[name] == nil {
		return nil, false
	}
	return slices.Clone(st.Kept[name].Data), true
}

// KeptDocument is the document that Kept copies; nil: there is none. Nobody may write into it, and
// the same pointer is the same document, so that whoever reads it often need not decode it often.
func (e *Engine) KeptDocument(name string) *protocol.Doc {
	if st := e.State(); st != nil {
		return st.Kept[name]
	}
	return nil
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
			return nil, fmt.Errorf("read what is left: instance %d is open", n)
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
		return 0, false, fmt.Errorf("read what is left: %w", err)
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
		return protocol.Left{}, fmt.Errorf("read what is left: %w", err)
	case read.Head.Holder != holder:
		return protocol.Left{}, fmt.Errorf("read what is left: %w: the head is held by %s", orders.ErrNotLeading, read.Head.Holder)
	}
	return read, nil
}

// Head is the head as last read from ZooKeeper; false before the first read.
func (e *Engine) Head() (orders.Head, bool) {
	st := e.State()
	if st == nil {
		return orders.Head{}, false
	}
	return orders.Head{Holder: st.Head.Holder, Epoch: st.Head.Epoch}, true
}

// InFlight lists what is in flight, in no order.
func (e *Engine) InFlight() (all []orders.Flight) {
	if st := e.State(); st != nil {
		for _, f := range st.Flight {
			all = append(all, orders.Flight{From: f.From, Pod: f.Pod})
		}
	}
	return all
}

// State is the latest known state, nil before the first read. It is shared: nobody may change it.
func (e *Engine) State() *protocol.State {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state
}

// leads says whether this process writes, and under which holder of the head.
func (e *Engine) leads() (holder string, leading bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.holder, e.leading
}

// Lookup returns the ordinal whose list holds the id; -1 with ok when the id is known but owned by
// nobody (pool, flight). The first call builds an index, which is then kept up.
func (e *Engine) Lookup(id string) (ordinal int, ok bool) {
	if !e.inventory.Indexed() {
		return 0, false
	}
	at, ok := e.inventory.Index.Find(id)
	if ok && at < 0 {
		return -1, true
	}
	return int(at), ok
}

// Progress says what the engine is doing.
func (e *Engine) Progress() orders.Progress {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.progress
}
