package rebalancer

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/stacks"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// These tests hold goroutines at the engine's locks and look where they wait: whether two of them
// wait for each other is then so or not, and no test waits for a time to pass.

// holding is an engine that has a State of these ids in the list of instance 0, and that runs
// nothing by itself.
func holding(t *testing.T, leading bool, ids ...string) *Engine {
	t.Helper()
	d := newDouble()
	d.adopted(map[int][]string{0: ids})
	e := New(Config{Kind: "Thing", Holder: "pod"}, d, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	e.publish(d.snapshot(), true)
	e.leading = leading
	return e
}

// call is a goroutine of a test.
type call struct {
	id   string
	done chan struct{}
}

func begin(f func()) *call {
	c, id := &call{done: make(chan struct{})}, make(chan string)
	go func() {
		defer close(c.done)
		id <- stacks.Mine().ID
		f()
	}()
	c.id = <-id
	return c
}

// where are the goroutines of calls, all at the same moment; those that have ended are left out.
func where(calls ...*call) (there []stacks.Goroutine) {
	for _, g := range stacks.All() {
		if slices.ContainsFunc(calls, func(c *call) bool { return c.id == g.ID }) {
			there = append(there, g)
		}
	}
	return there
}

// standing says whether all calls have ended or wait, be it for a lock or for what they asked for.
func standing(calls ...*call) bool {
	return !slices.ContainsFunc(where(calls...), func(g stacks.Goroutine) bool { return !g.AtLock() && g.State != "select" })
}

// await lets all the others run until something is so. It ends with the test's own deadline.
func await(so func() bool) {
	for !so() {
		runtime.Gosched()
	}
}

// No call may wait for the index while it holds the engine's lock: an index that is built takes its
// time, and its builder may need the engine's lock. The test holds the index as such a builder
// does.
func TestNoCallWaitsForTheIndexWithTheEnginesLock(t *testing.T) {
	ids := names("a", 40)
	for name, f := range map[string]func(ctx context.Context, e *Engine){
		"create":                  func(ctx context.Context, e *Engine) { _ = e.Create(ctx, known([]string{"b"})) },
		"delete":                  func(ctx context.Context, e *Engine) { _ = e.Delete(ctx, ids[:1]) },
		"begin a read":            func(_ context.Context, e *Engine) { e.BeginRead(time.Now()) },
		"shown":                   func(_ context.Context, e *Engine) { _ = e.Shown(ids) },
		"rows":                    func(_ context.Context, e *Engine) { e.Rows(known(ids)) },
		"end a read":              func(ctx context.Context, e *Engine) { _, _ = e.EndRead(ctx, known([]string{"c"})) },
		"end a read without rows": func(ctx context.Context, e *Engine) { _, _ = e.EndRead(ctx, nil) },
		"waiting":                 func(_ context.Context, e *Engine) { _ = e.Waiting() },
		"confirm":                 func(ctx context.Context, e *Engine) { _ = e.Confirm(ctx, 0, 40) },
		"look-up":                 func(_ context.Context, e *Engine) { _, _ = e.Lookup("a-00000") },
		"order":                   func(_ context.Context, e *Engine) { e.Order(orders.Orders{}) },
		"progress":                func(_ context.Context, e *Engine) { _ = e.Progress() },
		"publish":                 func(_ context.Context, e *Engine) { e.publish(e.State().Clone(), true) },
		"resign":                  func(_ context.Context, e *Engine) { e.resign() },
	} {
		t.Run(name, func(t *testing.T) {
			e := holding(t, true, ids...)
			_, found := e.Lookup(ids[0])
			require.True(t, found)
			for range 2 { // everything is missing twice, so that it waits for a person
				e.BeginRead(time.Now())
				_, err := e.EndRead(t.Context(), nil)
				require.NoError(t, err)
			}
			e.BeginRead(time.Now())
			e.Rows(known([]string{"new"}))
			e.publish(e.State().Clone(), true) // the index has something to catch up with

			ctx, cancel := context.WithCancel(t.Context())
			e.index.mu.Lock()
			c := begin(func() { f(ctx, e) })
			await(func() bool { return standing(c) })
			free := e.mu.TryLock()
			at := where(c)
			if free {
				e.mu.Unlock()
			}
			e.index.mu.Unlock()
			cancel()
			<-c.done
			require.True(t, free, "who waits holds the engine's lock:\n%v", at)
		})
	}
}

// One builds the index while another one, with the engine's lock, asks it: the first leadership of
// a process, or a look-up of its follower.
func TestBuildingTheIndexAndAskingItDoNotWaitForEachOther(t *testing.T) {
	for name, asks := range map[string]func(e *Engine){
		"rows of the catalogue": func(e *Engine) { e.Rows(known([]string{"a"})) },
		"a scrape":              func(e *Engine) { _ = e.Waiting() },
	} {
		t.Run(name, func(t *testing.T) {
			e := holding(t, false, "a")
			e.index.mu.RLock()
			builds := begin(func() { _, _ = e.Lookup("a") })
			await(func() bool { return standing(builds) })
			other := begin(func() { asks(e) })
			await(func() bool { return standing(other) })
			e.index.mu.RUnlock()
			await(func() bool { return standing(builds, other) })
			if there := where(builds, other); len(there) > 0 {
				t.Fatalf("they wait for each other:\n%v", there)
			}
		})
	}
}

// A message asks the index before it takes the engine's lock. Where the State changes in between, and a
// read of the catalogue begins that cannot see what the message speaks of, that is no suspect.
func TestAMessageOvertakenByTheBeginningOfAReadIsRemembered(t *testing.T) {
	e := holding(t, true, "a")
	_, _ = e.Lookup("a")
	ctx, cancel := context.WithCancel(t.Context())
	e.mu.Lock()
	message := begin(func() { _ = e.Create(ctx, known([]string{"b"})) })
	await(func() bool { return standing(message) })
	created := e.state.Clone()
	created.Pool["1-0"] = &protocol.Piece{IDs: []string{"b"}}
	e.state = created
	e.index.follow(created)
	e.compared.rec.Begin(time.Now(), all(created), count(created))
	e.mu.Unlock()
	await(func() bool { return standing(message) })
	again, err := e.EndRead(t.Context(), known([]string{"a"}))
	require.NoError(t, err)
	require.Zero(t, again, "a second read would confirm that it is missing")
	cancel()
	<-message.done
}

// A panic with the engine's lock does not keep it: others of the kind go on, and those of all
// kinds, who ask this one for its metrics.
func TestAPanicLetsGoOfTheEnginesLock(t *testing.T) {
	e := holding(t, true, "a")
	for name, f := range map[string]func(){
		"asked":    func() { _ = e.add(func(*queue) { panic("a fault") }) },
		"compared": func() { e.compare(func(*comparison) { panic("a fault") }) },
		"lent":     func() { _ = e.lend(t.Context(), func(*comparison) error { panic("a fault") }) },
	} {
		require.PanicsWithValue(t, "a fault", f, name)
		require.True(t, e.mu.TryLock(), name)
		e.mu.Unlock()
		require.Nil(t, e.compared.lent, name)
	}
}

// A panic half-way leaves an index that the next question builds from the start.
func TestAnIndexThatWasLeftHalfBuiltIsBuiltFromTheStart(t *testing.T) {
	e := holding(t, false, "a")
	_, known := e.Lookup("a")
	require.True(t, known)
	good := e.State()
	bad := good.Clone()
	bad.Instances[0] = nil
	e.index.follow(bad)
	require.Panics(t, func() { e.index.place("a") })
	require.True(t, e.index.mu.TryLock())
	e.index.mu.Unlock()
	e.publish(good, true)
	_, known = e.Lookup("a")
	require.True(t, known)
}
