package virtual

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// people are persons who ask for whatever comes to their mind.
type people struct {
	t     *testing.T
	rng   *rand.Rand
	p     *Play
	alive []string
	// done counts what was carried out, by what it was; refused and unknown what was not.
	done             map[string]int
	refused, unknown int
}

// ask asks for one change.
func (x *people) ask(what string, c ops.Change) {
	switch err := x.p.World.Change(x.t.Context(), c); {
	case err == nil:
		x.done[what]++
	case errors.Is(err, ErrNoLeader), errors.Is(err, orders.ErrNotLeading), errors.Is(err, orders.ErrOutcomeUnknown):
		x.unknown++
	default:
		x.refused++
	}
}

func (x *people) some() string { return x.alive[x.rng.IntN(len(x.alive))] }

// any asks for something.
func (x *people) any() {
	n, o := x.rng.IntN(6), config.Operator{}
	if now, ok := x.p.World.Operator(); ok {
		o = now
	}
	long := []string{"", "", "3m", "20s"}[x.rng.IntN(4)]
	switch x.rng.IntN(9) {
	case 0, 1:
		x.ask("drain", ops.Change{Drain: &n, For: long})
	case 2:
		if len(o.Drains) > 0 {
			n = o.Drains[x.rng.IntN(len(o.Drains))].Ordinal
		}
		x.ask("undrain", ops.Change{Undrain: &n})
	case 3, 4:
		x.ask("pin", ops.Change{Pin: &ops.PinRequest{Resource: x.some(), Instance: n}, For: long})
	case 5:
		x.ask("move", ops.Change{Move: &ops.PinRequest{Resource: x.some(), Instance: n}})
	case 6:
		if len(o.Pins) > 0 {
			x.ask("unpin", ops.Change{Unpin: o.Pins[x.rng.IntN(len(o.Pins))].Resource})
		}
	case 7:
		size := 2 + n
		x.ask("size", ops.Change{Size: &size, For: long})
	case 8:
		x.ask("end size", ops.Change{EndSize: true})
	}
}

// come and go are creates and deletes.
func (x *people) comeAndGo(id int) {
	gone := x.rng.IntN(len(x.alive) - 10)
	x.p.World.callers.Ask(resync.Deleted, slices.Clone(x.alive[gone:gone+10]))
	x.alive = slices.Delete(x.alive, gone, gone+10)
	var fresh []string
	for i := range 10 {
		fresh = append(fresh, fmt.Sprintf("fresh-%d-%d", id, i))
	}
	x.p.World.callers.Ask(resync.Created, fresh)
	x.alive = append(x.alive, fresh...)
}

// busy is a world of six instances at most, whose load changes.
func busy(t *testing.T, seed uint64, quiet time.Duration) *people {
	d, err := NewDay(seed, 600, 6)
	require.NoError(t, err)
	start, window := d.Config.Start, config.Duration(30*time.Second)
	d.Config.TakeOver = 3 * time.Second
	d.Config.Kind.Behavior.ScaleDown.StabilizationWindow = &window
	d.Config.Load = func(at time.Time, _, runs int) (cpu, memory int64) {
		want := 5 - int64(at.Sub(start)/(4*time.Minute)%2)*3 // instances
		if at.Sub(start) > quiet {
			want = 3
		}
		return want * 650 * int64(runs) / 600, 1 << 20
	}
	p := d.Begin()
	x := &people{t: t, rng: rand.New(rand.NewPCG(seed, 2)), p: p, alive: slices.Clone(d.asks[0].ids), done: map[string]int{}}
	for _, a := range d.asks[1:] {
		if a.at.Equal(d.asks[0].at) {
			x.alive = append(x.alive, a.ids...)
		}
	}
	play(t, 10*time.Minute, p)
	p.asks = nil // the day's own bursts
	return x
}

// Whatever persons ask for, and whenever leaders end: nothing is lost and nothing is twice (the
// judge sees to that), what is drained ends empty and closed, what is pinned gets to where it is
// pinned, and when all of that has ended everything is as if nothing had been.
func TestPersonsDrainPinMoveAndSizeWhileLeadersEnd(t *testing.T) {
	done := map[string]int{}
	for seed := range uint64(5) {
		const quiet = 50 * time.Minute
		x := busy(t, seed, quiet)
		for after := 10 * time.Minute; after < quiet; after += time.Minute {
			for range 3 {
				x.any()
				play(t, after+time.Duration(1+x.rng.IntN(9))*2*time.Second, x.p)
			}
			x.comeAndGo(int(after))
			if x.rng.IntN(2) == 0 {
				x.p.World.Kill(1+x.rng.IntN(15), x.rng.IntN(2) == 0)
			}
			play(t, after+time.Minute, x.p)
		}
		x.free()
		play(t, quiet+15*time.Minute, x.p)
		x.settled("seed %d", seed)

		o, _ := x.p.World.Operator()
		for _, c := range ending(o) {
			require.NoError(t, x.p.World.Change(t.Context(), c))
		}
		play(t, quiet+35*time.Minute, x.p)
		o, _ = x.p.World.Operator()
		require.Zero(t, o)
		x.settled("seed %d", seed)
		require.Len(t, x.p.World.judge.head.Open, x.p.World.cluster.replicas, "all are open again")
		require.Equal(t, len(x.alive), x.p.World.judge.there)
		require.Greater(t, x.p.Report().Terms, 10)
		require.Zero(t, x.p.Report().Restarts)
		for what, n := range x.done {
			done[what] += n
		}
	}
	t.Logf("carried out: %v", done)
	for _, what := range []string{"drain", "undrain", "pin", "move", "unpin", "size", "end size"} {
		require.Greater(t, done[what], 5, "%s of %v", what, done)
	}
}

// free ends the pins to instances that are not open: they keep what is pinned to them, and a size
// from falling.
func (x *people) free() {
	o, ok := x.p.World.Operator()
	for after := 51 * time.Minute; !ok; after += time.Minute {
		play(x.t, after, x.p)
		o, ok = x.p.World.Operator()
	}
	for _, p := range o.Pins {
		if p.Ordinal >= 2 {
			x.ask("unpin", ops.Change{Unpin: p.Resource})
		}
	}
}

// settled requires that everything is where it is to be.
func (x *people) settled(text string, args ...any) {
	w := x.p.World
	require.NoError(x.t, w.Settled(), fmt.Sprintf(text, args...))
	o, ok := w.Operator()
	require.True(x.t, ok)
	for _, d := range o.Drains {
		require.NotContains(x.t, w.judge.head.Open, d.Ordinal, text, args)
		require.Zero(x.t, w.judge.Places()[fmt.Sprintf("/iota/Thing/%d/resources", d.Ordinal)])
	}
	for _, p := range o.Pins {
		n, known := w.leader.Lookup(p.Resource)
		require.False(x.t, p.Move, "a move has ended: %v is at %d", p, n)
		require.True(x.t, !known || n == p.Ordinal, "%v is at %d", p, n)
	}
}

// ending are the changes that end all that persons have put over the kind.
func ending(o config.Operator) (all []ops.Change) {
	for _, d := range o.Drains {
		all = append(all, ops.Change{Undrain: &d.Ordinal})
	}
	for _, p := range o.Pins {
		all = append(all, ops.Change{Unpin: p.Resource})
	}
	if o.Size != nil {
		all = append(all, ops.Change{EndSize: true})
	}
	return all
}

// What is to count for a time ends by itself, by the clock alone.
func TestADrainEndsByItself(t *testing.T) {
	x := busy(t, 1, 0)
	n := 1
	require.NoError(t, x.p.World.Change(t.Context(), ops.Change{Drain: &n, For: "5m"}))
	play(t, 13*time.Minute, x.p)
	require.NotContains(t, x.p.World.judge.head.Open, 1)
	require.Contains(t, x.p.World.cluster.Resized, 4, "3 of 4 work")
	x.settled("drained")
	play(t, 15*time.Minute+4*time.Second, x.p)
	require.Contains(t, x.p.World.judge.head.Open, 1, "5 minutes are over")
}
