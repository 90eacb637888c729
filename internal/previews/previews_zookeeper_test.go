package previews_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/previews"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/zk"
	"github.com/shardscaler/shardscaler/scaler"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

const instances = 5

// process is one that leads over a real ZooKeeper, with a scaler that orders what persons ask for:
// it is a previews.Leader.
type process struct {
	*rebalancer.Engine
	t       *testing.T
	base    config.Kind
	maker   *previews.Maker
	stop    context.CancelFunc
	running sync.WaitGroup
}

func lead(t *testing.T, connect string, open int) *process {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	client, err := zk.Open(t.Context(), zk.Config{Servers: connect, SessionTimeout: 4 * time.Second}, log, prometheus.NewRegistry())
	require.NoError(t, err)
	cfg, err := config.Parse([]byte("kinds:\n- {name: Thing, statefulSet: iota-dac, capacity: 5000, init: 2, max: 9, rebalance: {listInterval: 100ms}}\n"))
	require.NoError(t, err)
	p := &process{
		t: t, base: cfg.Kinds[0], maker: previews.NewMaker(),
		Engine: rebalancer.New(rebalancer.Config{Kind: "Thing", Holder: t.Name()}, client, log, prometheus.NewRegistry()),
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = func() {
		cancel()
		p.running.Wait()
		client.Close()
	}
	t.Cleanup(func() { p.stop() })
	p.running.Go(func() { _ = p.Run(ctx, func(observed.Signal) {}) })
	p.running.Go(func() { _ = p.Lead(ctx) })
	p.running.Go(func() {
		for ctx.Err() == nil {
			if _, over, err := p.Standing(); err == nil && p.State() != nil {
				_, o, _ := p.Orders(p.base, over.Operator)
				p.Order(o)
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	p.until("it leads", func() bool { return p.Leads(t.Context()) == nil && len(p.State().Head.Open) == open })
	return p
}

// until polls; nothing is timed by it.
func (p *process) until(what string, so func() bool) {
	p.t.Helper()
	require.Eventually(p.t, so, time.Minute, 5*time.Millisecond, what)
}

func (p *process) Standing() (config.Kind, ops.Over, error) {
	kept, _ := p.Kept(scaler.OperatorName)
	o, err := scaler.ParseOperator(kept)
	return p.base, ops.Over{Operator: o}, err
}

func (p *process) Orders(k config.Kind, operator config.Operator) (decide.Decision, orders.Orders, error) {
	now := time.Now()
	o := orders.Orders{
		At: now, PodsAt: now, Tick: time.Second, Capacity: k.Capacity, HandOff: config.HandOffImmediate, Limits: k.Rebalance,
		Own: operator.Pinned(),
	}
	for n := range instances {
		if operator.Drain(n) == nil {
			o.Stay = append(o.Stay, n)
		}
	}
	o.Ready = o.Stay
	size := instances
	return decide.Decision{Desired: size, Current: &size}, o, nil
}

func (p *process) put(c ops.Change, by string) func(ops.Over) (ops.Over, error) {
	return func(was ops.Over) (ops.Over, error) {
		head, _ := p.Head()
		return c.Put(was, &ops.Ground{Base: p.base, Ceiling: 100, At: p.Lookup, Binds: p.Binds, Observed: &observed.Kind{
			Workload: &observed.Workload{Replicas: instances}, Open: head.Open, Assigned: p.State().Count(),
		}}, by, time.Now())
	}
}

func (p *process) preview(c ops.Change) ops.Plan {
	p.t.Helper()
	leave, err := p.maker.Enter(p.t.Context())
	require.NoError(p.t, err)
	defer leave()
	doc, err := p.maker.Preview(p, c, p.put(c, ""), time.Now())
	require.NoError(p.t, err)
	return doc
}

// apply is what a caller gets. did counts what was written.
func (p *process) apply(id string, did *atomic.Int64) (ops.Applied, error) {
	head, _ := p.Head()
	return p.maker.Apply(p.t.Context(), id, "ann", head.Epoch, time.Now, func(plan previews.Plan) (ops.Applied, error) {
		put := p.put(plan.Basis.Change, "ann")
		if err := plan.Unchanged(p); err != nil {
			return ops.Applied{}, err
		}
		if err := previews.Refused(p, &plan, put, time.Now()); err != nil {
			return ops.Applied{}, err
		}
		err := p.Keep(p.t.Context(), scaler.OperatorName, previews.Guarded(p, &plan, func(old []byte) ([]byte, error) {
			was, err := scaler.ParseOperator(old)
			if err != nil {
				return nil, err
			}
			is, err := put(ops.Over{Operator: was})
			if err != nil {
				return nil, err
			}
			return json.Marshal(is.Operator)
		}))
		if err == nil {
			did.Add(1)
		}
		return ops.Applied{ID: plan.ID}, err
	})
}

// quiet waits until what was applied is done and nothing is left to move: a wave is not under way,
// and none would begin.
func (p *process) quiet() {
	p.t.Helper()
	p.until("nothing is moved", func() bool {
		_, over, err := p.Standing()
		if err != nil || len(p.State().Head.Open) != instances-len(over.Operator.Drains) {
			return false
		}
		_, o, _ := p.Orders(p.base, over.Operator)
		would, err := p.Preview(o, false)
		return err == nil && len(previews.Sources(would.First, would.Then)) == 0 && p.Hindrance() == ""
	})
}

func known(prefix string, n int) []observed.ResourceKnown {
	rs := make([]observed.ResourceKnown, n)
	for i := range rs {
		rs[i].ID = fmt.Sprintf("%s-%05d", prefix, i)
	}
	return rs
}

func ptr[T any](v T) *T { return &v }

// TestAppliedAtTheFirstTry: while 500 resources are created a second, each of 20 previews is
// applied by the first call, a moment after it was shown. Of two callers at once one does it.
func TestAppliedAtTheFirstTry(t *testing.T) {
	env := servers.Require(t, servers.PartZooKeeper)
	p := lead(t, env.ZooKeeper.Connect+env.ZooKeeper.Path(t), instances)
	require.NoError(t, p.Create(t.Context(), known("a", 2000)))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var created atomic.Int64
	var creating sync.WaitGroup
	creating.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			creating.Go(func() {
				if p.Create(ctx, known(fmt.Sprint("b", i), 10)) == nil {
					created.Add(10)
				}
			})
			<-tick.C
		}
	})
	for i := range 20 {
		p.quiet()
		c := ops.Change{Unpin: "a-00007"}
		switch {
		case i%10 == 0:
			c = ops.Change{Drain: ptr(1)}
		case i%5 == 0:
			c = ops.Change{Undrain: ptr(1)}
		case i%5%2 == 1:
			c = ops.Change{Pin: &ops.PinRequest{Resource: "a-00007", Instance: 4}}
		}
		doc := p.preview(c)
		require.Empty(t, doc.Refused)
		assigned := p.State().Assigned()
		p.until("resources are placed meanwhile", func() bool { return p.State().Assigned() > assigned+50 })
		var did atomic.Int64
		var all sync.WaitGroup
		answers := make([]error, 2)
		for k := range answers {
			all.Go(func() { _, answers[k] = p.apply(doc.ID, &did) })
		}
		all.Wait()
		require.EqualValues(t, 1, did.Load(), "preview %d, %+v: %v", i, c, answers)
		for _, err := range answers { // who comes when it is done is told so
			require.True(t, err == nil || strings.Contains(err.Error(), "was applied by ann"), "%v", err)
		}
	}
	cancel()
	creating.Wait()
	t.Logf("created meanwhile: %d", created.Load())
}

// TestWhatVoidsAPlan: deletes from what is to be emptied, what moves, another override; and a
// leader that begins anew.
func TestWhatVoidsAPlan(t *testing.T) {
	env := servers.Require(t, servers.PartZooKeeper)
	connect := env.ZooKeeper.Connect + env.ZooKeeper.Path(t)
	p := lead(t, connect, instances)
	require.NoError(t, p.Create(t.Context(), known("a", 500)))
	p.until("all are placed", func() bool { return p.State().Assigned() == 500 })
	var did atomic.Int64
	owned := func(n int) []string { return p.State().Instances[n].IDs.Strings() }

	drain := p.preview(ops.Change{Drain: ptr(1)})
	require.NoError(t, p.Delete(t.Context(), owned(2)[:1]))
	again := p.preview(ops.Change{Drain: ptr(1)})
	require.Equal(t, drain.ID, again.ID, "a delete from another list changes nothing")
	require.NoError(t, p.Delete(t.Context(), owned(1)[:1]))
	_, err := p.apply(drain.ID, &did)
	require.ErrorIs(t, err, previews.ErrChanged)
	require.ErrorContains(t, err, "lists: ")
	require.ErrorContains(t, err, "instances 1")

	drain, pin := p.preview(ops.Change{Drain: ptr(1)}), p.preview(ops.Change{Pin: &ops.PinRequest{Resource: owned(0)[0], Instance: 2}})
	_, err = p.apply(drain.ID, &did)
	require.NoError(t, err)
	p.quiet()
	_, err = p.apply(pin.ID, &did)
	require.ErrorContains(t, err, "overrides: ")
	require.ErrorContains(t, err, "open set: 0, 2-4, was 0-4")

	pin = p.preview(pin.Change)
	was := p.State().Head.Epoch
	p.stop()
	p.stop = func() {}
	next := lead(t, connect, instances-1)
	next.maker = p.maker // even if it had been kept
	_, err = next.apply(pin.ID, &did)
	require.ErrorContains(t, err, fmt.Sprintf("epoch: %d, was %d", was+1, was))
	next.maker = previews.NewMaker()
	_, err = next.apply(pin.ID, &did)
	require.ErrorIs(t, err, previews.ErrGone)
	require.EqualValues(t, 1, did.Load())
	require.Empty(t, slices.Collect(maps.Keys(next.Changed())))
}
