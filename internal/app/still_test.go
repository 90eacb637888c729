package app

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// quiet is a ZooKeeper that holds nothing and takes everything. at, if set, is called where a call
// begins, by its name.
type quiet struct {
	at func(call, kind string)

	mu    sync.Mutex
	heads map[string]protocol.Head // by kind
}

func (q *quiet) begins(call, kind string) {
	if q.at != nil {
		q.at(call, kind)
	}
}

func (q *quiet) state(kind string) *protocol.State {
	q.mu.Lock()
	defer q.mu.Unlock()
	st := protocol.NewState(kind)
	st.ReadAt = time.Now()
	if h, led := q.heads[kind]; led {
		st.Head, st.HeadVersion = h, 0
	}
	return st
}

func (q *quiet) Connected() (bool, error)                       { return true, nil }
func (q *quiet) Changes(string) (all, statuses <-chan struct{}) { return nil, nil }
func (q *quiet) Close()                                         {}
func (q *quiet) ReadPart(context.Context, string, string, string) (*protocol.Znode, error) {
	return nil, nil
}

func (q *quiet) Read(_ context.Context, kind string, _ *protocol.State) (*protocol.State, bool, error) {
	q.begins("refresh", kind)
	return q.state(kind), true, nil
}

func (q *quiet) ReadOnce(_ context.Context, s *protocol.State) (*protocol.State, bool, error) {
	q.begins("glance", s.Kind)
	return q.state(s.Kind), false, nil
}

func (q *quiet) CommitAll(_ context.Context, s *protocol.State, ms []protocol.Multi) []error {
	q.begins("commit", s.Kind)
	for _, m := range ms {
		m.Apply(s, make([]protocol.Result, len(m.Ops)))
		q.mu.Lock()
		q.heads[s.Kind] = s.Head
		q.mu.Unlock()
	}
	return make([]error, len(ms))
}

func (q *quiet) Begin(ctx context.Context, s *protocol.State, ms []protocol.Multi) func() []error {
	return func() []error { return q.CommitAll(ctx, s, ms) }
}

func (q *quiet) ReadLeft(_ context.Context, kind string, _ []int) (protocol.Left, error) {
	return protocol.Left{Head: q.state(kind).Head}, nil
}

// A kind stands still where a call of it never returns: there is no deadline that ends it, as there
// is none for a lock.
func TestLivezNoticesAKindThatStandsStillAlsoOfAFollower(t *testing.T) {
	for name, c := range map[string]struct {
		leads       bool
		call, fault string
	}{
		"a follower":                 {false, "refresh", "the loop of kind Thing that follows ZooKeeper last ran 2m"},
		"a leader that writes":       {true, "commit", "the loop of kind Thing that writes to ZooKeeper last ran 2m"},
		"a follower that goes round": {false, "", ""},
		"a leader that goes round":   {true, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun, end := make(chan struct{}), make(chan struct{})
				var held atomic.Bool
				store := &quiet{heads: map[string]protocol.Head{}, at: func(call, _ string) {
					select {
					case <-begun:
						if call == c.call && held.CompareAndSwap(false, true) { // the others go on
							<-end
						}
					default:
					}
				}}
				log := slog.New(slog.DiscardHandler)
				a := &App{log: log, runners: runners{by: map[string]*runner{}}}
				a.runners.by["Thing"] = &runner{
					app: a, kind: "Thing",
					engine: rebalancer.New(rebalancer.Config{Kind: "Thing", Holder: "pod"}, store, log, prometheus.NewRegistry()),
				}
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { _ = a.runners.by["Thing"].engine.Run(ctx, func(observed.Signal) {}) })
				if c.leads {
					running.Go(func() { _ = a.runners.by["Thing"].engine.Lead(ctx) })
				}
				defer func() {
					cancel()
					close(end)
					running.Wait()
				}()
				synctest.Wait()
				close(begun)
				if c.call == "commit" {
					running.Go(func() { _ = a.runners.by["Thing"].engine.Keep(ctx, "doc", orders.Replace(nil)) })
				}
				time.Sleep(stuckAfter + 10*time.Second)
				loops := a.liveness()[1]
				require.Equal(t, c.fault != "", loops.failed, loops.detail)
				require.Contains(t, loops.detail, c.fault)
				a.runners.take(func(*runner) bool { return true })
				require.Equal(t, loops, a.liveness()[1], "also of a kind that is being stopped")
			})
		})
	}
}

// A panic in what works for one kind ends that kind alone, and it begins again.
func TestAPanicInOneKindLeavesTheOthersAndTheKindBeginsAgain(t *testing.T) {
	for _, call := range []string{"refresh", "glance", "commit"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel() // each waits for the pause
			var panicked atomic.Bool
			store := &quiet{heads: map[string]protocol.Head{}, at: func(at, kind string) {
				if at == call && kind == "Thing" && panicked.CompareAndSwap(false, true) {
					panic("a fault of one kind")
				}
			}}
			var log bytes.Buffer
			a, err := newApp(t.Context(), offline(t), slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
			require.NoError(t, err)
			defer a.kube.close()
			defer a.listener.Close()
			a.store.Close()
			a.store = store
			a.live.offer(offered{text: []byte("kinds:\n- {name: Thing, statefulSet: a, capacity: 10, init: 1, max: 5}\n- {name: Rule, statefulSet: b, capacity: 10, init: 1, max: 5}\n")})
			ctx, cancel := context.WithCancel(t.Context())
			a.leadership.Lead(ctx)
			var running sync.WaitGroup
			running.Go(func() { _ = a.keepRunners(ctx) })
			leads := func(kind string) bool {
				r := a.runner(kind)
				if r == nil {
					return false
				}
				_, lead := r.engine.Alive()
				return !lead.IsZero() && r.engine.Keep(ctx, "doc", orders.Replace(nil)) == nil
			}
			require.Eventually(t, func() bool { return leads("Rule") }, observedtest.Patience, time.Millisecond)
			rule := a.runner("Rule")
			restarts := func() float64 { return testutil.ToFloat64(a.metrics.restarts.WithLabelValues("Thing")) }
			require.Eventually(t, func() bool { return restarts() > 0 && leads("Thing") }, observedtest.Patience, time.Millisecond)
			require.InDelta(t, 1, restarts(), 0)
			require.Same(t, rule, a.runner("Rule"))
			require.False(t, rule.over())
			cancel()
			running.Wait()
			require.Contains(t, log.String(), "a fault of one kind")
			require.Contains(t, log.String(), "still_test.go", "the log has the stack")
		})
	}
}
