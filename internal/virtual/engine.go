package virtual

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/loop"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// engine is one that leads, and whose loop is passed here and not by a goroutine.
type engine struct {
	*rebalancer.Engine
	clock *Clock
	loop  *loop.Loop
	// idle: the loop was passed since it was ordered anything. over is why it has ended.
	idle bool
	over error
}

// newEngine takes the head under a name.
func newEngine(ctx context.Context, w *World, client *Client, name string, reg prometheus.Registerer) (*engine, error) {
	e := &engine{clock: w.clock, Engine: rebalancer.New(rebalancer.Config{
		Kind: w.cfg.Kind.Name, Refresh: w.cfg.SyncPeriod, Now: w.clock.Now, Each: oneByOne,
	}, client, slog.New(slog.DiscardHandler), reg)}
	var err error
	e.loop, err = e.Begin(ctx, name, 1, func(work func()) { work() })
	return e, err
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
	e.Engine.Order(o)
	e.idle = false
}

// keepPasses is how often the loop is passed for a document before its caller gives up.
const keepPasses = 10

// Keep implements scaler.Engine: it passes the loop until the document is kept.
func (e *engine) Keep(ctx context.Context, name string, change orders.Update) error {
	k, err := e.loop.Calls.Keep(e.clock.Now(), name, change)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // a caller that gives up, as the Scaler does by a clock, ends no pass
	for range keepPasses {
		if err := e.pass(ctx); err != nil {
			return fmt.Errorf("%w: %w", orders.ErrOutcomeUnknown, err)
		}
		if k.Ended() {
			return k.Err()
		}
		e.clock.Reach(e.loop.Due())
	}
	e.loop.Calls.GiveUp(k.Request)
	return fmt.Errorf("%w: not kept in %d passes", orders.ErrOutcomeUnknown, keepPasses)
}
