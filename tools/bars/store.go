package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	gozk "github.com/go-zookeeper/zk"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/zk"
)

// The figures of the store are made by the product's own engine and store client within this program, on a ZooKeeper started for one
// group alone; what they are compared with is the bare client on the same server. The least time between two changes of a list
// (`listInterval`) is the product's default of a second unless a group says otherwise.
func storeGroups() []group {
	return []group{storePlaceGroup, storeSpreadGroup, storeLoadGroup, storeCreateGroup, storeStormGroup, storeLogGroup, storeHeapGroup}
}

const (
	storeWriters = 8  // transactions that the store has under way at once: what it is compared with has as many
	storeReaders = 32 // the same of reads
	fullList     = 5000
)

// store is a ZooKeeper of a group's own, and a bare client.
type store struct {
	b   *bench
	env *servers.Env
	raw *gozk.Conn
}

func (b *bench) startStore(ctx context.Context) (*store, error) {
	env, err := servers.Start(ctx, servers.Options{Only: []servers.Part{servers.PartZooKeeper}, Progress: b.progress})
	if err != nil {
		return nil, err
	}
	s := &store{b: b, env: env}
	if s.raw, _, err = gozk.Connect(env.ZooKeeper.Addrs(), 10*time.Second, gozk.WithLogger(quiet{}), gozk.WithMaxConnBufferSize(1<<20)); err != nil {
		return nil, errors.Join(err, env.Close())
	}
	return s, nil
}

func (s *store) close() {
	s.raw.Close()
	s.b.ended("end the server", s.env.Close())
}

// dataDir is where the server keeps its transaction log.
func (s *store) dataDir() string { return filepath.Join(s.env.ZooKeeper.Servers[0].WorkDir, "data") }

func (s *store) client(ctx context.Context, chroot string) (*zk.Client, error) {
	connect := s.env.ZooKeeper.Connect + chroot
	return zk.Open(ctx, zk.Config{Servers: connect}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
}

// makePath makes a znode and those above it.
func (s *store) makePath(path string) error {
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		if _, err := s.raw.Create(path[:i], nil, 0, gozk.WorldACL(gozk.PermAll)); err != nil && !errors.Is(err, gozk.ErrNodeExists) {
			return fmt.Errorf("create %s: %w", path[:i], err)
		}
	}
	return nil
}

// keeper is the product's engine at work in a chroot of its own, with a scaler that repeats its orders.
type keeper struct {
	*rebalancer.Engine
	client *zk.Client
	ctx    context.Context // until it is closed
	stop   context.CancelFunc
	group  sync.WaitGroup

	mu     sync.Mutex
	orders orders.Orders
}

// keep starts an engine that leads instances 0 to n-1.
func (s *store) keep(ctx context.Context, chroot string, instances int) (*keeper, error) {
	client, err := s.client(ctx, chroot)
	if err != nil {
		return nil, err
	}
	k := s.follow(ctx, client)
	if err := k.lead(ctx); err != nil {
		k.close()
		return nil, err
	}
	k.size(instances, instances)
	return k, nil
}

// follow starts an engine that only follows. It closes the client.
func (s *store) follow(ctx context.Context, client *zk.Client) *keeper {
	engine := rebalancer.New(rebalancer.Config{Kind: thing, Holder: "bars"}, client, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	k := &keeper{Engine: engine, client: client}
	k.orders = orders.Orders{Capacity: fullList, HandOff: config.HandOffImmediate}
	k.ctx, k.stop = context.WithCancel(ctx)
	k.group.Go(func() { _ = engine.Run(k.ctx, func(observed.Signal) {}) })
	k.group.Go(func() {
		for pause(k.ctx, time.Second) == nil {
			k.repeat()
		}
	})
	return k
}

// lead returns when writes are taken: a delete of what nobody has is one that changes nothing.
func (k *keeper) lead(ctx context.Context) error {
	k.group.Go(func() { _ = k.Lead(k.ctx) })
	return k.await(ctx, "it leads", func(*protocol.State) bool { return k.Delete(ctx, []string{"nobody"}) == nil })
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
func (k *keeper) await(ctx context.Context, what string, ok func(*protocol.State) bool) error {
	for end := time.Now().Add(2 * time.Minute); ; {
		st := k.State()
		if st != nil && ok(st) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("still not: %s; %+v", what, k.Progress())
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}

// awaitAtRest returns when all of n are in lists.
func (k *keeper) awaitAtRest(ctx context.Context, n int) error {
	return k.await(ctx, fmt.Sprintf("%d in lists", n), func(st *protocol.State) bool {
		return len(st.Pool) == 0 && len(st.Flight) == 0 && st.Assigned() == n
	})
}

// create makes ids durable in bulk, as an import does.
func (k *keeper) create(ctx context.Context, ids []string) error {
	for len(ids) > 0 {
		part := ids[:min(20_000, len(ids))]
		ids = ids[len(part):]
		if err := k.Create(ctx, known(part)); err != nil {
			return err
		}
	}
	return nil
}

func known(ids []string) []observed.ResourceKnown {
	rs := make([]observed.ResourceKnown, len(ids))
	for i, id := range ids {
		rs[i].ID = id
	}
	return rs
}

// verify reads everything with a client of its own: the ids, each once.
func (s *store) verify(ctx context.Context, chroot string, ids []string) (*protocol.State, error) {
	client, err := s.client(ctx, chroot)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	st, _, err := client.Read(ctx, thing, nil)
	if err != nil {
		return nil, err
	}
	if err := st.Check(); err != nil {
		return nil, err
	}
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
	for _, id := range ids {
		if _, ok := here[id]; !ok {
			return nil, fmt.Errorf("%s is lost", id)
		}
	}
	if len(here) != len(ids) {
		return nil, fmt.Errorf("%d ids, want %d", len(here), len(ids))
	}
	return st, nil
}
