package rebalancer

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/pins"
	"github.com/shardscaler/shardscaler/internal/testbed/stacks"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// These tests hold goroutines at the engine's locks and look where they wait: whether two of them
// wait for each other is then so or not, and no test waits for a time to pass.

// waits says whether a call has ended or waits, be it for a lock or for what it asked for.
func waits(c *stacks.Call) bool { return stacks.Waiting([]string{"select", "chan receive"}, c) }

// No call may wait for the index while it holds one of the engine's locks: an index that is built
// takes its time, and its builder may need the engine's lock.
func TestNoCallWaitsForTheIndexWithTheEnginesLock(t *testing.T) {
	ids := names("a", 40)
	for name, f := range map[string]func(ctx context.Context, e *Engine){
		"create":       func(ctx context.Context, e *Engine) { _ = e.Create(ctx, known([]string{"b"})) },
		"delete":       func(ctx context.Context, e *Engine) { _ = e.Delete(ctx, ids[:1]) },
		"begin a read": func(_ context.Context, e *Engine) { e.BeginRead(time.Now()) },
		"shown":        func(_ context.Context, e *Engine) { _ = e.Shown(ids) },
		"rows":         func(_ context.Context, e *Engine) { e.Rows(known(ids)) },
		"end a read":   func(ctx context.Context, e *Engine) { _, _ = e.EndRead(ctx, known([]string{"c"})) },
		"waiting":      func(_ context.Context, e *Engine) { _ = e.Waiting() },
		"confirm":      func(ctx context.Context, e *Engine) { _ = e.Confirm(ctx, 0, 40) },
		"look-up":      func(_ context.Context, e *Engine) { _, _ = e.Lookup("a-00000") },
		"order":        func(_ context.Context, e *Engine) { e.Order(orders.Orders{}) },
		"progress":     func(_ context.Context, e *Engine) { _ = e.Progress() },
		"publish":      func(_ context.Context, e *Engine) { e.publish(e.State().Clone(), true) },
		"resign":       func(_ context.Context, e *Engine) { e.resign() },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDouble()
			d.adopted(map[int][]string{0: ids})
			e := New(Config{Kind: "Thing", Holder: "pod"}, d, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			building, built := make(chan struct{}, 1), make(chan struct{})
			e.inventory = inventory.New(time.Now(), func(n int, work func(i int)) {
				building <- struct{}{}
				<-built
				for i := range n {
					work(i)
				}
			})
			e.publish(d.snapshot(), true)
			e.begin(e.State(), "pod/1")
			builder := stacks.Begin(func() { _, _ = e.Lookup(ids[0]) })
			<-building
			ctx, cancel := context.WithCancel(t.Context())
			c := stacks.Begin(func() { f(ctx, e) })
			stacks.Await(func() bool { return waits(c) })
			at := stacks.Where(c)
			free := isFree(&e.leadership.mu) && isFree(&e.published.mu)
			close(built)
			cancel()
			<-c.Done
			<-builder.Done
			require.True(t, free, "who waits holds one of the engine's locks:\n%v", at)
		})
	}
}

func isFree(mu *sync.Mutex) bool {
	free := mu.TryLock()
	if free {
		mu.Unlock()
	}
	return free
}

// A panic with the engine's lock does not keep it: others of the kind go on, and those of all
// kinds, who ask this one for its metrics.
func TestAPanicLetsGoOfTheEnginesLock(t *testing.T) {
	e := New(Config{Kind: "Thing", Holder: "pod"}, newDouble(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	const fault = "runtime error: invalid memory address or nil pointer dereference"
	require.PanicsWithError(t, fault, func() { host{e}.Show(nil, time.Time{}) })
	require.True(t, isFree(&e.leadership.mu))
	host{e}.Show(&orders.Progress{Blocked: "shown"}, time.Time{})
	require.Equal(t, "shown", e.Progress().Blocked)
}

// A pass sees orders together with the weights and pins that are in force under them: else what new
// pins bind could be placed by the former ones.
func TestOrdersAndWhatTheyNeedChangeTogether(t *testing.T) {
	e := New(Config{Kind: "Thing", Holder: "pod"}, newDouble(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20_000 {
			e.Order(orders.Orders{Pins: []pins.Rule{{Name: "p", IDs: []string{"a"}, Ordinals: []int{1}}}})
			e.Order(orders.Orders{})
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		now := host{e}.Ordered()
		require.Equal(t, len(now.Orders.Pins) > 0, now.Attributes.Pinned())
	}
}
