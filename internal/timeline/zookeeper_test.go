package timeline

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/history"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/zk"
)

// machine is a replica over a real ZooKeeper.
type machine struct {
	*Keeper
	t        *testing.T
	client   *zk.Client
	engine   *rebalancer.Engine
	stop     context.CancelFunc
	resign   context.CancelFunc
	all, led sync.WaitGroup
}

func start(t *testing.T, connect, pod string) *machine {
	log := slog.New(slog.NewTextHandler(t.Output(), nil)).With("pod", pod)
	client, err := zk.Open(context.Background(), zk.Config{Servers: connect, SessionTimeout: 4 * time.Second}, log, prometheus.NewRegistry())
	require.NoError(t, err)
	m := &machine{t: t, client: client, resign: func() {}}
	m.engine = rebalancer.New(rebalancer.Config{Kind: "Thing", Holder: pod, ReadEvery: 200 * time.Millisecond}, client, log, prometheus.NewRegistry())
	m.Keeper = New("Thing", m.engine, client, log)
	ctx, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	m.all.Go(func() { _ = m.engine.Run(ctx, func(observed.Signal) {}) })
	m.all.Go(func() { m.Run(ctx) })
	t.Cleanup(m.kill)
	return m
}

// lead leads and records until kill, or until the returned function is called, which stores the
// rest.
func (m *machine) lead() (end func()) {
	leading, resign := context.WithCancel(context.Background())
	recording, stop := context.WithCancel(context.Background())
	var recorded sync.WaitGroup
	m.led.Go(func() { _ = m.engine.Lead(leading) })
	recorded.Go(func() { m.Record(recording) })
	m.eventually("it records", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.rec != nil
	})
	m.resign = func() {
		resign()
		m.led.Wait() // from here on nothing is written
		stop()
		recorded.Wait()
	}
	return func() {
		stop()
		recorded.Wait()
		resign()
		m.led.Wait()
	}
}

// kill ends it as a death does: what it had not stored is lost.
func (m *machine) kill() {
	m.resign()
	m.stop()
	m.all.Wait()
	m.client.Close()
}

func (m *machine) eventually(what string, ok func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		require.True(m.t, time.Now().Before(deadline), "still not: %s", what)
	}
}

func (m *machine) entries(types ...string) []ops.Entry {
	return m.List(history.Query{Types: types, Limit: history.MaxLimit}).Items
}

// did has a person do something, and waits until it is stored.
func (m *machine) did(what string) {
	m.t.Helper()
	m.Changed(ops.ChangeEntry{By: "ada", What: what})
	m.eventually(what+" is stored", func() bool {
		all := m.entries(history.TypeChange)
		return len(all) > 0 && all[0].Change.What == what
	})
}

// Two replicas over one ZooKeeper: the second shows what the first stores, by the same ids. The
// first one dies, the second goes on after a gap, and a third that comes later shows all of it. A
// piece that is damaged there is a gap for each of them.
func TestTheHistoryOutlivesItsLeader(t *testing.T) {
	z := servers.Require(t, servers.PartZooKeeper).ZooKeeper
	root := z.Path(t)
	raw := z.Dial(t)
	first, second := start(t, z.Connect+root, "first"), start(t, z.Connect+root, "second")
	first.lead()
	for i := range 3 {
		first.Tick(tick(time.Now(), i))
	}
	first.Moved("plan", "drain", 7)
	first.did("pause")
	second.eventually("it follows", func() bool { return len(second.entries(history.TypeChange)) == 1 })
	require.Equal(t, first.entries(), second.entries())
	before := second.entries()
	require.Len(t, second.entries(history.TypeDecision), 3)
	require.Equal(t, 7, second.entries(history.TypeMoves)[0].Moves.Count)
	for _, e := range second.entries(history.TypeDecision) {
		d, kept := second.Decided(e.ID)
		require.True(t, kept)
		require.Equal(t, e.Decision.Summary, d.Report.Summary)
	}

	first.Changed(ops.ChangeEntry{By: "ada", What: "lost"})
	first.kill()
	end := second.lead()
	second.did("resume")
	gaps := second.entries(history.TypeGap)
	require.Len(t, gaps, 1)
	require.Equal(t, history.GapLeaderEnded, gaps[0].Gap.Reason)
	all := second.entries()
	require.Equal(t, before, all[len(all)-len(before):], "what was stored is as it was")
	for _, e := range second.entries(history.TypeChange) {
		require.NotEqual(t, "lost", e.Change.What)
	}
	end()

	name := second.contents.Pieces[0].Name
	path := root + protocol.DocPartPath("Thing", history.DocName, name)
	data, stat, err := raw.Get(path)
	require.NoError(t, err)
	require.LessOrEqual(t, len(data), history.MaxPiece)
	_, err = raw.Set(path, append(data[:len(data)/2:len(data)/2], "damage"...), stat.Version)
	require.NoError(t, err)
	third := start(t, z.Connect+root, "third")
	third.eventually("it has read the piece", func() bool {
		all := third.entries()
		return len(all) > 0 && all[0].Gap != nil && all[0].Gap.Reason == history.GapDamaged
	})
	lost := third.entries()[0].Gap.Lost
	require.Equal(t, len(all), lost, "all of it was one piece")
	end = third.lead()
	third.did("confirm")
	end()
	require.Len(t, third.entries(history.TypeChange), 1)
	second.eventually("it follows", func() bool { return len(second.entries(history.TypeChange)) >= 1 })
	require.Equal(t, third.entries()[:1], second.entries()[:1])

	// the kind's own znodes are as ever: what others read there is no edit, and no fault
	st := third.engine.State()
	require.Empty(t, st.Fault())
	require.Empty(t, fmt.Sprint(st.Faults)[2:])
	require.Len(t, st.Kept, 1)
}
