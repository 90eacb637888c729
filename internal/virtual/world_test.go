package virtual

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/scaler"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

var _ scaler.Engine = (*leader)(nil)

// settled is a world of 1,000 resources that has nothing to do.
func settled(t *testing.T) (*World, *Day) {
	d, err := NewDay(3, 1000, 4)
	require.NoError(t, err)
	p := d.Begin()
	play(t, 10*time.Minute, p)
	require.NoError(t, p.World.Settled())
	return p.World, d
}

// What the loop knows of ZooKeeper, by its own writes and by reads that cost nothing, is what a
// whole read shows.
func TestTheLoopKnowsWhatZooKeeperHolds(t *testing.T) {
	d, err := NewDay(5, 2000, 6)
	require.NoError(t, err)
	p, ticks := d.Begin(), 0
	w := p.World
	for after := time.Duration(0); after < 3*time.Hour; after += 30 * time.Second {
		play(t, after, p)
		if w.leader == nil {
			continue
		}
		whole, _, err := protocol.Read(w.z, protocol.NewState(thing), w.clock.Now())
		require.NoError(t, err)
		known := w.leader.State()
		require.Equal(t, whole.Head, known.Head)
		require.Equal(t, whole.Ordinals(), known.Ordinals())
		require.Equal(t, whole.PoolNames(), known.PoolNames())
		require.Equal(t, whole.FlightNames(), known.FlightNames())
		for n, in := range whole.Instances {
			require.Equal(t, in.IDs.Strings(), known.Instances[n].IDs.Strings())
			require.Equal(t, in.Times, known.Instances[n].Times)
		}
		require.Equal(t, whole.Count(), w.judge.there)
		require.NoError(t, whole.Check())
		ticks++
	}
	require.Greater(t, ticks, 300)
	require.NotEmpty(t, w.cluster.Resized)
}

// What breaks rule 12 ends the world at that very transaction, also one of another client.
func TestAWorldEndsAtTheFirstFault(t *testing.T) {
	w, _ := settled(t)
	for path, n := range w.judge.Places() {
		if n == 0 {
			continue
		}
		stat, _ := w.z.Stat(path, false)
		require.NoError(t, w.z.Write(0, protocol.Op{Kind: protocol.OpSet, Path: path, Data: []byte(`{"ids":[]}`), Version: stat.Version}))
		break
	}
	err := w.Step(t.Context())
	require.ErrorContains(t, err, "is nowhere, and no delete of it was heard")
	require.Error(t, w.Settled())
}

// What is in flight stays there until its instance has let go. Where that says so and lies, the
// judge sees it at the transaction that gives it on.
func TestNothingIsGivenOnBeforeItsInstanceLetsGo(t *testing.T) {
	w, d := settled(t)
	for _, in := range w.instances {
		if in != nil {
			in.seen = &znode{} // it hears of no change
		}
	}
	w.callers.Ask(resync.Deleted, d.asks[0].ids[:5])
	for range 10 {
		require.NoError(t, w.Step(t.Context()))
	}
	require.Equal(t, 1000, w.judge.there)
	st, _, err := protocol.Read(w.z, protocol.NewState(thing), w.clock.Now())
	require.NoError(t, err)
	require.Equal(t, 5, st.InFlight())

	for _, f := range st.Flight {
		in := w.instances[f.From]
		lie := protocol.EncodeStatus(protocol.Status{Times: f.Times, Pod: in.pod})
		require.NoError(t, w.z.Write(in.session, protocol.Op{Kind: protocol.OpSet, Path: in.status, Data: lie, Version: in.said}))
	}
	require.ErrorContains(t, w.Step(t.Context()), "is given on before it is released: the process of pod")
}

// In every tick the scaler decides once, at the time of the tick.
func TestATickIsADecision(t *testing.T) {
	d, err := NewDay(3, 1000, 4)
	require.NoError(t, err)
	var at []time.Time
	p := d.Begin()
	p.World.cfg.Decided = func(by *decide.Decision, _ *outcome.Outcome) { at = append(at, by.At) }
	play(t, time.Minute, p)
	require.Len(t, at, 30)
	for i := range at {
		require.Equal(t, d.Config.Start.Add(time.Duration(i)*2*time.Second), at[i])
	}
	require.Equal(t, 30, p.World.ticks)
}
