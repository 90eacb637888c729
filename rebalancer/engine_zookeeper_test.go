package rebalancer

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	gozk "github.com/go-zookeeper/zk"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/zk"
)

// live is an engine over a real ZooKeeper, with a scaler that repeats its orders.
type live struct {
	t       *testing.T
	client  *zk.Client
	e       *Engine
	mu      sync.Mutex
	orders  orders.Orders
	failed  int
	stop    context.CancelFunc
	running sync.WaitGroup
}

func startLive(t *testing.T, connect string, capacity int, stay ...int) *live {
	return startLiveBy(t, connect, orders.Orders{Tick: time.Second, Capacity: capacity, HandOff: config.HandOffImmediate, Stay: stay, Ready: stay})
}

func startLiveBy(t *testing.T, connect string, wanted orders.Orders) *live {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	client, err := zk.Open(t.Context(), zk.Config{Servers: connect, SessionTimeout: 4 * time.Second}, log, prometheus.NewRegistry())
	require.NoError(t, err)
	l := &live{t: t, client: client, e: New(Config{Kind: "Thing", Holder: t.Name()}, client, log, prometheus.NewRegistry())}
	l.orders = wanted
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	l.running.Go(func() {
		_ = l.e.Run(ctx, func(s observed.Signal) {
			if _, ok := s.(observed.Failed); ok {
				l.mu.Lock()
				l.failed++
				l.mu.Unlock()
			}
		})
	})
	l.running.Go(func() { _ = l.e.Lead(ctx) })
	l.running.Go(func() {
		for ctx.Err() == nil {
			l.order(func(*orders.Orders) {})
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
	t.Cleanup(l.end)
	l.eventually("it leads", func() bool { _, leads := l.e.leads(); return leads })
	return l
}

func (l *live) end() {
	l.stop()
	l.running.Wait()
	l.client.Close()
}

func (l *live) order(change func(o *orders.Orders)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.orders)
	o := l.orders
	o.At = time.Now()
	o.PodsAt = o.At
	l.e.Order(o)
}

// eventually waits for a condition; nothing is timed by it.
func (l *live) eventually(what string, ok func() bool) {
	l.t.Helper()
	for range 6000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	l.t.Fatalf("still not: %s; %+v", what, l.e.Progress())
}

// placed waits until everything is in lists.
func (l *live) placed(n int) {
	l.t.Helper()
	l.eventually(fmt.Sprintf("%d placed", n), func() bool {
		st := l.e.State()
		return st != nil && st.Assigned() == n && st.InFlight()+st.Unassigned() == 0
	})
}

// reread is what a client of its own finds; it must be the ids, each once, and every `used` right.
func reread(t *testing.T, connect string, ids []string) *protocol.State {
	t.Helper()
	c, err := zk.Open(t.Context(), zk.Config{Servers: connect}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(t, err)
	defer c.Close()
	st, _, err := c.Read(t.Context(), "Thing", nil)
	require.NoError(t, err)
	require.NoError(t, st.Check())
	require.Equal(t, len(ids), st.Count())
	here := map[string]bool{}
	for id := range all(st) {
		here[id] = true
	}
	for _, id := range ids {
		require.True(t, here[id], "%s is lost", id)
	}
	for n, in := range st.Instances {
		require.Equal(t, in.IDs.Len(), in.Used, "instance %d", n)
	}
	return st
}

// uuids are ids of the usual length.
func uuids(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%08x-5b1c-4a0e-9f6d-%012x", i, i*7919)
	}
	return ids
}

// importAll creates ids by several callers at once, bulk and single.
func (l *live) importAll(ids []string) {
	var callers sync.WaitGroup
	slots := make(chan struct{}, 32)
	for i, chunk := range slices.Collect(slices.Chunk(ids, 100)) {
		slots <- struct{}{}
		callers.Go(func() {
			defer func() { <-slots }()
			size := 100
			if i%10 == 0 {
				size = 1
			}
			for part := range slices.Chunk(chunk, size) {
				if err := l.e.Create(l.t.Context(), known(part)); err != nil {
					l.t.Errorf("create: %v", err)
				}
			}
		})
	}
	callers.Wait()
}

func TestRealImportDrainAndTakeover(t *testing.T) {
	z := servers.Require(t, servers.PartZooKeeper).ZooKeeper
	connect := z.Connect + z.Path(t)
	ids := uuids(20_000)
	first := startLive(t, connect, 5000, 0, 1, 2, 3, 4, 5, 6, 7)
	begun := time.Now()
	first.importAll(ids)
	t.Logf("20,000 durable after %s", time.Since(begun))
	first.placed(len(ids))
	t.Logf("20,000 placed after %s", time.Since(begun))
	c := counts(reread(t, connect, ids))
	require.LessOrEqual(t, slices.Max(slices.Collect(maps.Values(c)))-slices.Min(slices.Collect(maps.Values(c))), 125, "5 %% of the mean: %v", c)

	first.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1, 2, 3, 4}, []int{0, 1, 2, 3, 4} })
	first.eventually("something is revoked", func() bool { return first.e.Progress().Moves > 0 })
	first.client.Close() // as if killed: whatever was under way is cut off
	second := startLive(t, connect, 5000, 0, 1, 2, 3, 4)
	second.eventually("5 to 7 own nothing", func() bool {
		left, err := second.e.Drained(t.Context(), []int{5, 6, 7})
		return err == nil && maps.Equal(left, map[int]int{5: 0, 6: 0, 7: 0})
	})
	second.placed(len(ids))
	st := reread(t, connect, ids)
	require.Equal(t, []int{0, 1, 2, 3, 4}, st.Head.Open)
	for n := range 5 {
		require.InDelta(t, 4000, st.Instances[n].IDs.Len(), 200, "instance %d", n)
	}

	gone, left2 := ids[:13_000], ids[13_000:]
	var callers sync.WaitGroup
	for part := range slices.Chunk(gone, 1000) {
		callers.Go(func() {
			if err := second.e.Delete(t.Context(), part); err != nil {
				t.Errorf("delete: %v", err)
			}
		})
	}
	callers.Wait()
	second.placed(len(left2))
	reread(t, connect, left2)
	second.order(func(o *orders.Orders) { o.Gone = []int{5, 6, 7} })
	second.eventually("the znodes of 5 to 7 are gone", func() bool { return len(second.e.State().Instances) == 5 })
}

func TestRealZooKeeperStoppedAndBack(t *testing.T) {
	z := servers.Require(t, servers.PartZooKeeper).NewZooKeeper(t, 1)
	l := startLive(t, z.Connect, 5000, 0, 1, 2)
	ids := uuids(3000)
	l.importAll(ids)
	l.placed(len(ids))
	before := reread(t, z.Connect, ids)

	require.NoError(t, z.Stop())
	l.eventually("it says that it cannot read", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.failed > 0
	})
	read := l.e.State().ReadAt
	created := make(chan error, 1)
	go func() { created <- l.e.Create(t.Context(), known([]string{"late"})) }()
	time.Sleep(5 * time.Second)
	require.Equal(t, read, l.e.State().ReadAt)
	require.Empty(t, created, "a create is not acknowledged while ZooKeeper is away")

	require.NoError(t, z.Start(t.Context()))
	require.NoError(t, <-created)
	l.placed(len(ids) + 1)
	after := reread(t, z.Connect, append(ids, "late"))
	changed := 0
	for n, in := range after.Instances {
		changed += int(in.Times - before.Instances[n].Times)
	}
	require.Equal(t, 1, changed, "one list got the new one; nothing moved")
}

func TestRealAdoption(t *testing.T) {
	z := servers.Require(t, servers.PartZooKeeper).ZooKeeper
	root := z.Path(t)
	connect := z.Connect + root
	conn := z.Dial(t)
	put := func(path string, v any) {
		data, err := json.Marshal(v)
		require.NoError(t, err)
		if v == nil {
			data = nil
		}
		_, err = conn.Create(root+path, data, 0, gozk.WorldACL(gozk.PermAll))
		require.NoError(t, err)
	}
	ids := uuids(100)
	for _, path := range []string{"", "/iota", "/iota/orchestration", "/iota/orchestration/Thing"} {
		put(path, nil)
	}
	old := map[int][]string{0: ids[:40], 1: append(slices.Clone(ids[40:80]), ids[3]), 3: {}, 7: ids[80:]}
	for n, list := range old {
		base := fmt.Sprintf("/iota/orchestration/Thing/%d", n)
		put(base, map[string]int{"used": len(list), "count": 34})
		put(base+"/resources", map[string][]string{"ids": list})
		if n != 1 {
			put(base+"/tmp", nil)
			put(base+"/_reload", map[string]int{"times": 0})
		}
	}
	l := startLive(t, connect, 5000, 0, 1, 2, 3)
	l.order(func(o *orders.Orders) { o.Gone = []int{7} })
	l.placed(len(ids))
	l.eventually("7 is gone, 2 is there", func() bool {
		st := l.e.State()
		return st.Instances[7] == nil && st.Instances[2] != nil
	})
	st := reread(t, connect, ids)
	require.Equal(t, old[0], st.Instances[0].IDs.Strings())
	require.Zero(t, st.Instances[0].Times, "it sees no reload")
	require.Equal(t, ids[40:80], st.Instances[1].IDs.Strings())
	require.True(t, st.Instances[1].HasTmp)
	require.Equal(t, 5000, st.Instances[0].Capacity)
	require.Equal(t, []protocol.Duplicate{{ID: ids[3], Stayed: "0", Removed: "1"}}, l.e.Progress().Duplicates)
	require.Equal(t, map[int]int{0: 40, 1: 40, 2: 10, 3: 10}, counts(st))
}
