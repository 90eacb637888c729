package app

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/zk"
)

// leadingApp is as much of a replica as answers for one kind that it leads, with instance 0, over a
// real ZooKeeper.
func leadingApp(t *testing.T, connect string) (*App, *rebalancer.Engine) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	store, err := zk.Open(t.Context(), zk.Config{Servers: connect, SessionTimeout: 4 * time.Second}, log, prometheus.NewRegistry())
	require.NoError(t, err)
	e := rebalancer.New(rebalancer.Config{Kind: "Thing", Holder: "pod"}, store, log, prometheus.NewRegistry())
	kind := config.Default("Thing", "iota-dac")
	cfg := &config.Config{Kinds: []config.Kind{kind}}
	a := &App{
		state: observed.New("shardscaler", nil), leadership: newLeadership(), live: &live{cfg: cfg, kinds: byName(cfg)},
		runners: runners{by: map[string]*runner{"Thing": {kind: "Thing", engine: e, log: log}}},
	}
	a.runners.by["Thing"].app = a
	a.state.Configure([]config.Kind{kind})
	ctx, cancel := context.WithCancel(t.Context())
	a.leadership.Lead(ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = e.Run(ctx, a.state.Apply) })
	running.Go(func() { _ = e.Lead(ctx) })
	running.Go(func() {
		for ctx.Err() == nil {
			e.Order(orders.Orders{At: time.Now(), Capacity: 10, HandOff: config.HandOffImmediate, Stay: []int{0}, Ready: []int{0}})
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		store.Close()
	})
	eventually(t, "it leads and instance 0 is open", func() bool { return e.State() != nil && e.State().IsOpen(0) })
	return a, e
}

// eventually waits for a condition; nothing is timed by it.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 6000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("still not: " + what)
}

// detail is what /readyz says of one input.
func (a *App) detail(t *testing.T, name string) check {
	t.Helper()
	for _, c := range a.readiness() {
		if c.name == name {
			return c
		}
	}
	t.Fatal("no check " + name)
	return check{}
}

// A quota that stands against creates is told by the probe and by REST, and not by an error of the
// log alone; when it is raised, the create that waited is done.
func TestARefusalIsTold(t *testing.T) {
	z := servers.Require(t, servers.PartZooKeeper).NewZooKeeper(t, 1, servers.EnforceQuota)
	a, e := leadingApp(t, z.Connect+"/chroot")
	require.Equal(t, check{name: "thing-assignment"}, a.detail(t, "thing-assignment"))
	conn := z.Dial(t)
	servers.HardQuota(t, conn, "/chroot", 1, 1)

	done := make(chan error, 1)
	go func() { done <- e.Create(t.Context(), []observed.ResourceKnown{{ID: "a"}}) }()
	eventually(t, "it is told", func() bool { return a.detail(t, "thing-assignment").detail != "" })
	c := a.detail(t, "thing-assignment")
	require.False(t, c.failed, "what is known is served")
	require.Contains(t, c.detail, "zookeeper refuses what is to be written: create: commit create: refused by zookeeper: /iota/shardscaler/Thing/pool/")
	require.Contains(t, c.detail, "quota exceeded (-125)")
	v, ok := a.Kind("Thing")
	require.True(t, ok)
	require.Contains(t, v.Progress.Blocked, "quota exceeded (-125)")

	servers.HardQuota(t, conn, "/chroot", -1, -1)
	require.NoError(t, <-done)
	eventually(t, "it is told no more", func() bool { return a.detail(t, "thing-assignment").detail == "" })
}

// A kind that has stopped is told by the probe and by REST; so is that it goes on.
func TestAStoppedKindIsTold(t *testing.T) {
	z := servers.Require(t, servers.PartZooKeeper).ZooKeeper
	root := z.Path(t)
	a, e := leadingApp(t, z.Connect+root)
	require.NoError(t, e.Create(t.Context(), []observed.ResourceKnown{{ID: "a"}}))
	conn, list := z.Dial(t), root+"/iota/orchestration/Thing/0/resources"
	write := func(data string) {
		_, err := conn.Set(list, []byte(data), -1)
		require.NoError(t, err)
	}
	eventually(t, "it is placed", func() bool { return e.State().Assigned() == 1 })
	write("garbage")
	eventually(t, "it is told", func() bool { return a.detail(t, "thing-assignment").detail != "" })
	require.Contains(t, a.detail(t, "thing-assignment").detail, "the kind is stopped: /iota/orchestration/Thing/0/resources: is no list of ids")
	require.False(t, a.detail(t, "thing-assignment").failed, "what is known is served")
	write(`{"ids":["a"]}`)
	eventually(t, "it is told no more", func() bool { return a.detail(t, "thing-assignment").detail == "" })
}
