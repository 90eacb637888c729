// Package store measures the product's own engine and store client, at work within the test's
// process on a ZooKeeper that is started for one benchmark alone. What they are compared with is
// the bare client on the same server. The least time between two changes of a list (`listInterval`)
// is the product's default of a second unless a benchmark says otherwise.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gozk "github.com/go-zookeeper/zk"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/zk"
)

const (
	kind     = "Thing"
	writers  = 8  // transactions that the store has under way at once: what it is compared with has as many
	readers  = 32 // the same of reads
	fullList = 5000
)

// server is a ZooKeeper of a benchmark's own, and a bare client.
type server struct {
	testing.TB
	env *servers.Env
	pid int
	raw *gozk.Conn
}

func start(tb testing.TB) *server {
	env, err := servers.Start(tb.Context(), servers.Options{Only: []servers.Part{servers.PartZooKeeper}, Progress: os.Stderr})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = env.Close() })
	raw, _, err := env.ZooKeeper.Open(10 * time.Second)
	require.NoError(tb, err)
	tb.Cleanup(raw.Close)
	return &server{TB: tb, env: env, pid: env.ZooKeeper.Servers[0].Pid(), raw: raw}
}

// dataDir is where the server keeps its transaction log.
func (s *server) dataDir() string { return filepath.Join(s.env.ZooKeeper.Servers[0].WorkDir, "data") }

func (s *server) client(chroot string) *zk.Client {
	client, err := zk.Open(s.Context(), zk.Config{Servers: s.env.ZooKeeper.Connect + chroot}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(s, err)
	return client
}

// makePath makes a znode and those above it.
func (s *server) makePath(path string) {
	at := ""
	for _, name := range strings.Split(path, "/")[1:] {
		at += "/" + name
		if _, err := s.raw.Create(at, nil, 0, gozk.WorldACL(gozk.PermAll)); !errors.Is(err, gozk.ErrNodeExists) {
			require.NoError(s, err)
		}
	}
}

// keeper is the product's engine at work in a chroot of its own, with a scaler that repeats its
// orders.
type keeper struct {
	*rebalancer.Engine
	testing.TB
	client *zk.Client
	ctx    context.Context // until it is closed
	stop   context.CancelFunc
	group  sync.WaitGroup

	mu     sync.Mutex
	orders orders.Orders
}

// keep starts an engine that leads instances 0 to n-1.
func (s *server) keep(chroot string, instances int) *keeper {
	k := s.follow(s.client(chroot))
	k.lead()
	k.size(instances, instances)
	return k
}

// follow starts an engine that only follows. It closes the client.
func (s *server) follow(client *zk.Client) *keeper {
	engine := rebalancer.New(rebalancer.Config{Kind: kind, Holder: "bars"}, client, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	k := &keeper{Engine: engine, TB: s, client: client}
	k.orders = orders.Orders{Capacity: fullList, HandOff: config.HandOffImmediate}
	k.ctx, k.stop = context.WithCancel(s.Context())
	k.group.Go(func() { _ = engine.Run(k.ctx, func(observed.Signal) {}) })
	k.group.Go(func() {
		for tick := time.NewTicker(time.Second); ; k.repeat() {
			select {
			case <-k.ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	})
	s.Cleanup(k.close)
	return k
}

// lead returns when writes are taken: a delete of an id that does not exist changes nothing.
func (k *keeper) lead() {
	k.group.Go(func() { _ = k.Lead(k.ctx) })
	k.await("it leads", func(*protocol.State) bool { return k.Delete(k.ctx, []string{"none"}) == nil })
}

func (k *keeper) close() {
	k.stop()
	k.group.Wait()
	k.client.Close()
}

// order changes the orders and sends them.
func (k *keeper) order(change func(*orders.Orders)) {
	k.mu.Lock()
	change(&k.orders)
	k.mu.Unlock()
	k.repeat()
}

// repeat sends the orders, if there are any.
func (k *keeper) repeat() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.orders.Stay == nil {
		return
	}
	o := k.orders
	o.At = time.Now()
	k.Order(o)
}

// size orders that many instances, of which the first are ready to receive.
func (k *keeper) size(instances, ready int) {
	k.order(func(o *orders.Orders) {
		o.Stay = make([]int, instances)
		for n := range o.Stay {
			o.Stay[n] = n
		}
		o.Ready = o.Stay[:ready]
	})
}

// await looks at what the engine knows, all the time; it is for conditions that are cheap to ask.
func (k *keeper) await(what string, ok func(*protocol.State) bool) {
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		if st := k.State(); st != nil && ok(st) {
			return
		}
		if time.Now().After(end) || k.ctx.Err() != nil {
			k.Fatalf("still not: %s; %+v", what, k.Progress())
		}
	}
}

// awaitAtRest returns when all of n are in lists.
func (k *keeper) awaitAtRest(n int) {
	k.await(fmt.Sprintf("%d in lists", n), func(st *protocol.State) bool {
		return len(st.Pool) == 0 && len(st.Flight) == 0 && st.Assigned() == n
	})
}

// create makes ids durable in bulk, as an import does.
func (k *keeper) create(ids []string) {
	for len(ids) > 0 {
		n := min(20_000, len(ids))
		require.NoError(k, k.Create(k.ctx, known(ids[:n])))
		ids = ids[n:]
	}
}

func known(ids []string) []observed.ResourceKnown {
	rs := make([]observed.ResourceKnown, len(ids))
	for i, id := range ids {
		rs[i].ID = id
	}
	return rs
}

// verify reads everything with a client of its own: the ids, each once.
func (s *server) verify(chroot string, ids []string) *protocol.State {
	client := s.client(chroot)
	defer client.Close()
	st, _, err := client.Read(s.Context(), kind, nil)
	require.NoError(s, err)
	require.NoError(s, st.Check())
	here := make(map[string]struct{}, len(ids))
	add := func(ids []string) {
		for _, id := range ids {
			here[id] = struct{}{}
		}
	}
	for _, in := range st.Instances {
		add(in.IDs.Strings())
	}
	for _, p := range st.Pool {
		add(p.IDs.Strings())
	}
	for _, f := range st.Flight {
		add(f.IDs.Strings())
	}
	require.Len(s, here, len(ids))
	for _, id := range ids {
		if _, ok := here[id]; !ok {
			s.Fatalf("%s is lost", id)
		}
	}
	return st
}
