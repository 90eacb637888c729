package virtual

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/loop"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
)

// engine is what a Scaler uses, and what a loop runs in: rebalancer.Engine without goroutines.
type engine struct {
	kind, holder string
	clock        *Clock
	client       *Client
	inventory    *inventory.Inventory
	calls        steps.Calls
	loop         *loop.Loop
	// state is published: it is not changed any more. version moves when more than its age did.
	state    *protocol.State
	version  int
	orders   orders.Orders
	ordered  int
	progress orders.Progress
	// idle: the loop was passed since it was ordered anything. over is why it has ended.
	idle bool
	over error
}

// newEngine leads from st on, which holds the head.
func newEngine(w *World, client *Client, st *protocol.State, holder string, reg prometheus.Registerer) (*engine, error) {
	e := &engine{
		kind: w.cfg.Kind.Name, holder: holder, clock: w.clock, client: client, inventory: inventory.New(w.clock.Now(), oneByOne),
	}
	host{e}.Publish(st.Clone(), true)
	e.inventory.Indexed()
	if _, err := e.inventory.Lead(w.clock.Now(), st); err != nil {
		return nil, err
	}
	e.calls.Open()
	none := func() float64 { return 0 } // a world's catalogue is not read
	e.loop = loop.New(loop.Config{
		Holder: holder, Refresh: w.cfg.SyncPeriod, Now: w.clock.Now, Store: client, Host: host{e}, Calls: &e.calls,
		Inventory: e.inventory, Beside: func(work func()) { work() }, Log: w.cfg.Log,
		Metrics: loop.NewMetrics(reg, e.kind, none, none),
	}, st)
	return e, nil
}

// oneByOne calls work for 0 to n-1.
func oneByOne(n int, work func(i int)) {
	for i := range n {
		work(i)
	}
}

// pass passes the loop once.
func (e *engine) pass(ctx context.Context) error {
	if e.over == nil {
		e.over, e.idle = e.loop.Pass(ctx), true
	}
	return e.over
}

// work passes the loop until it has nothing to do before that time, and moves the clock to whatever
// it has to do until then.
func (e *engine) work(ctx context.Context, until time.Time) error {
	for !e.idle || e.over != nil || e.loop.Due().Before(until) {
		if e.idle {
			e.clock.Reach(e.loop.Due())
		}
		if err := e.pass(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Order implements scaler.Engine.
func (e *engine) Order(o orders.Orders) {
	o.Stay = slices.Sorted(slices.Values(o.Stay))
	e.orders, e.idle = o, false
	e.ordered++
	e.inventory.Need(inventory.NeedsOf(&o))
}

// keepPasses is how often the loop is passed for a document before its caller gives up.
const keepPasses = 10

// Keep implements scaler.Engine: it passes the loop until the document is kept.
func (e *engine) Keep(ctx context.Context, name string, change orders.Update) error {
	k, err := e.calls.Keep(e.clock.Now(), name, change)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // a caller that gives up, as the Scaler does by a clock, ends no pass
	for range keepPasses {
		if err := e.pass(ctx); err != nil {
			return fmt.Errorf("%w: %w", orders.ErrOutcomeUnknown, err)
		}
		select {
		case <-k.Done():
			return k.Err()
		default:
			e.clock.Reach(e.loop.Due())
		}
	}
	e.calls.GiveUp(k.Request)
	return fmt.Errorf("%w: not kept in %d passes", orders.ErrOutcomeUnknown, keepPasses)
}

// Kept implements scaler.Engine.
func (e *engine) Kept(name string) ([]byte, bool) {
	doc := e.state.Kept[name]
	if doc == nil {
		return nil, false
	}
	return slices.Clone(doc.Data), true
}

// Drained implements scaler.Engine.
func (e *engine) Drained(ctx context.Context, ordinals []int) (map[int]int, error) {
	left, err := e.left(ctx, ordinals)
	if err != nil {
		return nil, err
	}
	for _, n := range ordinals {
		if slices.Contains(left.Head.Open, n) {
			return nil, fmt.Errorf("read what is left: instance %d is open", n)
		}
	}
	return left.Count, nil
}

// Leads implements scaler.Engine.
func (e *engine) Leads(ctx context.Context) error {
	_, err := e.left(ctx, nil)
	return err
}

// left reads what the ordinals own while this process leads.
func (e *engine) left(ctx context.Context, ordinals []int) (protocol.Left, error) {
	left, err := e.client.ReadLeft(ctx, e.kind, ordinals)
	switch {
	case err != nil:
		return protocol.Left{}, fmt.Errorf("read what is left: %w", err)
	case left.Head.Holder != e.holder:
		return protocol.Left{}, fmt.Errorf("read what is left: %w: the head is held by %s", orders.ErrNotLeading, left.Head.Holder)
	}
	return left, nil
}

// Head implements scaler.Engine.
func (e *engine) Head() (orders.Head, bool) {
	return orders.Head{Holder: e.state.Head.Holder, Epoch: e.state.Head.Epoch}, true
}

// InFlight implements scaler.Engine.
func (e *engine) InFlight() (all []orders.Flight) {
	for _, name := range e.state.FlightNames() {
		f := e.state.Flight[name]
		all = append(all, orders.Flight{From: f.From, Pod: f.Pod})
	}
	return all
}

// Progress implements scaler.Engine.
func (e *engine) Progress() orders.Progress { return e.progress }
