package scaler

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/zk"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// replica is an engine over a real ZooKeeper and what it reports.
type replica struct {
	e     *rebalancer.Engine
	state *observed.State
}

func startReplica(t *testing.T, connect, namespace, name string, cfg config.Kind, leads bool) *replica {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	client, err := zk.Open(t.Context(), zk.Config{Servers: connect, SessionTimeout: 4 * time.Second}, log, prometheus.NewRegistry())
	require.NoError(t, err)
	r := &replica{
		e:     rebalancer.New(rebalancer.Config{Kind: cfg.Name, Holder: name}, client, log, prometheus.NewRegistry()),
		state: observed.New(namespace, []config.Kind{cfg}),
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = r.e.Run(ctx, r.state.Apply) })
	if leads {
		running.Go(func() { _ = r.e.Lead(ctx) })
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
		client.Close()
	})
	return r
}

// fleet is a StatefulSet that is played, save that its resources are in a real ZooKeeper: each of
// its pods uses CPU in proportion to what it owns.
type fleet struct {
	*world
	*replica
	s *Scaler
	// each is what one resource uses on an ordinal, in milli-CPU; 1 where nothing else is said.
	each map[int]float64
}

// look is one tick over what there is now.
func (f *fleet) look(t *testing.T) outcome.Report {
	now := time.Now()
	cluster := observed.Cluster{
		Kind: "Thing", At: now, Pods: map[int]observed.Pod{},
		Workload: &observed.Workload{UID: f.uid, Replicas: f.size, StatusReplicas: f.size, UpdatedReplicas: f.size, ReadyReplicas: f.size},
	}
	usage := observed.PodUsage{Kind: "Thing", At: now, Usage: map[int]observed.Usage{}}
	lists := map[int]int{}
	if st := f.e.State(); st != nil {
		for n, in := range st.Instances {
			lists[n] = in.IDs.Len()
		}
	}
	f.settlePods()
	for n, uid := range f.pods {
		old := now.Add(-time.Hour)
		cluster.Pods[n] = observed.Pod{
			Name: fmt.Sprintf("iota-dac-%d", n), UID: uid, Phase: "Running", Ready: true, Created: old, Started: old, ReadyChanged: old, CPURequest: 1000,
		}
		each, other := f.each[n]
		if !other {
			each = 1
		}
		usage.Usage[n] = observed.Usage{At: now, Window: time.Millisecond, CPU: int64(each * float64(lists[n]))}
	}
	f.state.Apply(cluster)
	f.state.Apply(usage)
	for _, source := range []observed.SourceName{observed.SourceCatalogue, observed.SourceNotify, observed.SourceMetrics} {
		f.state.Apply(observed.Read{Kind: "Thing", Source: source, At: now})
	}
	return look(t.Context(), t, f.s, now, f.cfg, *f.state.Snapshot(now).Kind("Thing"))
}

// until looks again and again until ok; nothing is timed by it.
func (f *fleet) until(t *testing.T, what string, ok func(*outcome.Report) bool) outcome.Report {
	t.Helper()
	var d outcome.Report
	for range 3000 {
		if d = f.look(t); ok(&d) {
			return d
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("still not: %s; lists %v; %s", what, f.owned(), d)
	return d
}

func (f *fleet) owned() map[int]int {
	counts := map[int]int{}
	for n, in := range f.e.State().Instances {
		counts[n] = in.IDs.Len()
	}
	return counts
}

// atRest says whether everything is in these lists and nothing under way.
func (f *fleet) atRest(counts ...int) bool {
	st := f.e.State()
	for n, want := range counts {
		if in := st.Instances[n]; in == nil || in.IDs.Len() != want {
			return false
		}
	}
	return st.InFlight()+st.Unassigned() == 0
}

// TestAnOverloadedInstanceIsRelievedByMovesFirst: from the decision by way of the orders to the
// lists in ZooKeeper, and back by the use that falls. What moving can help brings no growth; what
// it cannot brings one.
func TestAnOverloadedInstanceIsRelievedByMovesFirst(t *testing.T) {
	z := servers.Require(t, servers.PartZooKeeper).ZooKeeper
	connect := z.Connect + z.Path(t)
	f := &fleet{world: newWorld(t, 2)}
	none, limit, interval := 0.0, resource.MustParse("495m"), config.Duration(200*time.Millisecond)
	f.cfg.Init, f.cfg.Max, f.cfg.Capacity, f.cfg.TargetPerInstance = 2, 5, 1000, 1000
	f.cfg.Tolerance.Up, f.cfg.Rebalance.ListInterval = &none, &interval
	f.replica = startReplica(t, connect, "iot", "one", f.cfg, true)
	follower := startReplica(t, connect, "iot", "two", f.cfg, false)
	f.s = New(Config{Kind: "Thing"}, f.e, f.world, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ids := make([]observed.ResourceKnown, 1000)
	for i := range ids {
		ids[i].ID = fmt.Sprintf("thing-%04d", i)
	}
	f.until(t, "the scaler leads", func(d *outcome.Report) bool { return f.s.claimed.holder != "" })
	require.NoError(t, f.e.Create(t.Context(), ids))
	f.until(t, "all are placed", func(*outcome.Report) bool { return f.atRest(500, 500) })
	require.NoError(t, f.e.Delete(t.Context(), f.e.State().Instances[0].IDs.Strings()[:12]))
	f.until(t, "some are deleted", func(*outcome.Report) bool { return f.atRest(488, 500) })
	for range 20 {
		f.look(t)
		time.Sleep(20 * time.Millisecond)
	}
	require.True(t, f.atRest(488, 500), "so little unevenness moves nothing: %v", f.owned())

	f.cfg.CPU = &config.ResourceTarget{TargetAverageValue: &limit, Hottest: &config.HottestTarget{TargetValue: &limit, Patience: config.Duration(time.Hour)}}
	d := f.look(t)
	require.Len(t, d.Hot, 1, d)
	require.Equal(t, []any{1, decide.ByRebalance, 2}, []any{d.Hot[0].Ordinal, d.Hot[0].Relief, d.Desired})
	d = f.until(t, "what it has too much of has moved", func(d *outcome.Report) bool { return f.atRest(494, 494) })
	d = f.until(t, "no instance is overloaded", func(d *outcome.Report) bool { return len(d.Hot) == 0 })
	require.Equal(t, 2, f.size, d)

	// Its resources are heavier than others': now it owns no more than its share, and growth alone
	// helps.
	f.each = map[int]float64{0: 0.75, 1: 1.2}
	d = f.until(t, "it grows", func(d *outcome.Report) bool { return d.Acted().Done == outcome.Scaled })
	require.Equal(t, decide.ByHottestCPU, d.Reason, d)
	f.until(t, "the new instance has its part", func(d *outcome.Report) bool {
		st := f.e.State().Instances[2]
		return st != nil && st.IDs.Len() > 300 && f.e.State().InFlight() == 0
	})
	d = f.until(t, "no instance is overloaded", func(d *outcome.Report) bool { return len(d.Hot) == 0 })
	require.Equal(t, 3, f.size, d)

	// What was decided is in ZooKeeper, for every replica to serve.
	var kept *outcome.Report
	f.until(t, "the other replica has it", func(d *outcome.Report) bool {
		doc := follower.e.KeptDocument(KeptName)
		if doc == nil {
			return false
		}
		var err error
		kept, err = ParseKept(doc.Data)
		require.NoError(t, err)
		return kept.Decision.Desired == 3 && len(kept.Decision.Hot) == 0
	})
	require.NoError(t, kept.TooOld(kept.At.Add(KeptMaxAge(2*time.Second)), KeptMaxAge(2*time.Second)))
	require.Error(t, kept.TooOld(kept.At.Add(KeptMaxAge(2*time.Second)+1), KeptMaxAge(2*time.Second)))
}
