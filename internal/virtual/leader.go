package virtual

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/loop"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/seen"
	"github.com/shardscaler/shardscaler/scaler"
)

// leader is one process while it leads: nothing of it outlives it but what is in ZooKeeper. The
// loop of its engine is passed here and not by a goroutine.
type leader struct {
	*rebalancer.Engine
	w      *World
	client *Client
	loop   *loop.Loop
	scaler *scaler.Scaler
	// passed: the loop was passed since it was ordered anything. over is why it has ended.
	passed bool
	over   error
	// told is the State that the fold was told of, who are those who spoke by it.
	told *protocol.State
	who  seen.Speakers
}

// elect has the next process take the head.
func (w *World) elect(ctx context.Context) (err error) {
	w.terms++
	kind, log, reg := w.cfg.Kind.Name, slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	l := &leader{w: w, client: w.z.NewClient()}
	l.Engine = rebalancer.New(rebalancer.Config{
		Kind: kind, ReadEvery: w.cfg.SyncPeriod, Now: w.clock.Now, Each: oneByOne,
	}, l.client, log, reg)
	l.loop, err = l.Begin(ctx, fmt.Sprintf("pod-%d/%d", w.terms, w.terms), 1, func(work func()) { work() })
	if err != nil {
		return err
	}
	l.scaler = scaler.New(scaler.Config{Kind: kind, Now: w.clock.Now}, l, w.cluster, log, reg)
	l.scaler.Every(w.cfg.SyncPeriod)
	w.leader = l
	return nil
}

// oneByOne calls work for 0 to n-1.
func oneByOne(n int, work func(i int)) {
	for i := range n {
		work(i)
	}
}

// tick is one of the scaler, and the passes that follow until the next one.
func (l *leader) tick(ctx context.Context) error {
	w := l.w
	if err := w.callers.speak(w.clock, l.loop.Inventory); err != nil {
		return err
	}
	l.tell()
	kind := w.state.Snapshot(w.clock.Now()).Kind(w.cfg.Kind.Name)
	l.scaler.Put(l.operator())
	d, out := l.scaler.Tick(ctx, w.clock.Now(), w.cfg.Kind, *kind)
	w.cfg.Decided(&d, &out)
	return l.work(ctx, w.next)
}

// tell tells the fold what ZooKeeper holds.
func (l *leader) tell() {
	st := l.State()
	if l.told != nil && seen.Same(l.told, st) {
		l.w.state.Apply(observed.Read{Kind: st.Kind, Source: observed.SourceStore, At: st.ReadAt})
	} else {
		l.who = l.who.Follow(st)
		l.w.state.Apply(seen.Assignment(st, l.who))
	}
	l.told = st
}

// pass passes the loop once.
func (l *leader) pass(ctx context.Context) error {
	if l.over == nil {
		l.over, l.passed = l.loop.Pass(ctx), true
	}
	return l.over
}

// work passes the loop until it has nothing to do before that time, and moves the clock to whatever
// it has to do until then.
func (l *leader) work(ctx context.Context, until time.Time) error {
	for !l.passed || l.over != nil || l.loop.Due().Before(until) {
		if l.passed {
			l.w.clock.Reach(l.loop.Due())
		}
		if err := l.pass(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Order implements scaler.Engine.
func (l *leader) Order(o orders.Orders) {
	l.Engine.Order(o)
	l.passed = false
}

// keepPasses is how often the loop is passed for a document before its caller gives up.
const keepPasses = 10

// Keep implements scaler.Engine: it passes the loop until the document is kept.
func (l *leader) Keep(ctx context.Context, name string, change orders.Update) error {
	k, err := l.loop.Calls.Keep(l.w.clock.Now(), name, change)
	if err != nil {
		return err
	}
	// a caller that gives up, as the Scaler does by a clock, ends no pass
	ctx = context.WithoutCancel(ctx)
	for range keepPasses {
		if err := l.pass(ctx); err != nil {
			return fmt.Errorf("%w: %w", orders.ErrOutcomeUnknown, err)
		}
		if k.Ended() {
			return k.Err()
		}
		l.w.clock.Reach(l.loop.Due())
	}
	l.loop.Calls.GiveUp(k.Request)
	return fmt.Errorf("%w: not kept in %d passes", orders.ErrOutcomeUnknown, keepPasses)
}
