package virtual

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
)

// testDay is a day of 20,000 resources on 20 instances at most.
func testDay(t *testing.T, seed uint64) *Play {
	d, err := NewDay(seed, 20_000, 20)
	require.NoError(t, err)
	return d.Begin()
}

// play plays days side by side: each is one goroutine's. The judge is silent all the while.
func play(t *testing.T, until time.Duration, days ...*Play) {
	t.Helper()
	var all errgroup.Group
	for _, p := range days {
		all.Go(func() error { return p.To(t.Context(), until) })
	}
	require.NoError(t, all.Wait())
}

// A third of it is played twice: that has all in it that a day has.
func TestADayIsTheSameForTheSameSeed(t *testing.T) {
	day, again := testDay(t, 1), testDay(t, 1)
	play(t, dayLong/3, day, again)
	third := day.Report()
	require.Equal(t, third, again.Report(), "every byte of every transaction, and every decision")
	require.Equal(t, 2, third.Terms, "a leader ended, and another one took over")
	require.Positive(t, third.Deleted)

	begun := time.Now()
	play(t, dayLong, day)
	r := day.Report()
	t.Logf("two thirds of a day in %s: %+v", time.Since(begun).Round(time.Millisecond), r)
	require.NoError(t, day.World.Settled())
	require.Equal(t, 43_200, r.Ticks)
	require.Equal(t, 2, r.Terms)
	require.GreaterOrEqual(t, r.Resizes, 20)
	require.Zero(t, r.Restarts)
	require.Equal(t, 20_000+25_000, r.Created)
	require.Equal(t, 25_000, r.Deleted)
	require.Zero(t, r.Waiting, "every message was answered")
	require.Equal(t, 20_000, r.Resources)
	require.NotEqual(t, third.Digest, r.Digest)
}

func TestADayIsAnotherForAnotherSeed(t *testing.T) {
	one, two := testDay(t, 1), testDay(t, 2)
	play(t, time.Hour/2, one, two)
	require.NotEqual(t, one.Report().Digest, two.Report().Digest)
}

// A leader's process may end in the middle of anything that it does.
func TestALeaderMayEndAnywhere(t *testing.T) {
	for after := range 12 {
		for _, unanswered := range []bool{false, true} {
			d, err := NewDay(7, 3000, 5)
			require.NoError(t, err)
			// while all is being created
			d.kill, d.after, d.unanswered = d.Config.Start.Add(time.Minute), 1+after, unanswered
			p := d.Begin()
			play(t, 5*time.Minute, p)
			require.NoError(t, p.World.Settled(), "after %d, unanswered %t", d.after, unanswered)
			require.Equal(t, 2, p.World.terms)
			require.Equal(t, 3000, p.World.judge.there)
		}
	}
}

// Leaders end again and again while the size changes all the time and resources come and go: each
// one goes on from what it finds.
func TestLeadersThatEndAgainAndAgain(t *testing.T) {
	for seed := range uint64(4) {
		d, err := NewDay(seed, 600, 6)
		require.NoError(t, err)
		start, window, rng := d.Config.Start, config.Duration(30*time.Second), rand.New(rand.NewPCG(seed, 1))
		d.Config.TakeOver = 3 * time.Second
		d.Config.Kind.Behavior.ScaleDown.StabilizationWindow = &window
		d.Config.Load = func(at time.Time, _, runs int) (cpu, memory int64) {
			want := 6 - int64(at.Sub(start)/(4*time.Minute)%2)*3 // instances
			if at.Sub(start) > 50*time.Minute {
				want = 5
			}
			return want * 700 * int64(runs) / 600, 1 << 20
		}
		p := d.Begin()
		play(t, 10*time.Minute, p)
		alive := slices.Clone(d.asks[0].ids)
		for after := 10 * time.Minute; after < 50*time.Minute; after += time.Minute {
			gone := rng.IntN(len(alive) - 20)
			p.World.callers.Ask(resync.Deleted, alive[gone:gone+20])
			// some come back at once, some while they go
			p.World.callers.Ask(resync.Created, alive[gone:gone+5])
			play(t, after+2*time.Second, p)
			p.World.callers.Ask(resync.Created, alive[gone+5:gone+10])
			alive = slices.Delete(alive, gone+10, gone+20)
			play(t, after+time.Duration(1+rng.IntN(29))*2*time.Second, p)
			p.World.Kill(1+rng.IntN(15), rng.IntN(2) == 0)
			play(t, after+time.Minute, p)
		}
		play(t, time.Hour, p)
		r := p.Report()
		require.NoError(t, p.World.Settled(), "seed %d", seed)
		require.Greater(t, r.Terms, 30)
		require.Greater(t, r.Resizes, 8)
		require.Zero(t, r.Restarts)
	}
}

func TestADayEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d, err := NewDay(1, 100, 2)
	require.NoError(t, err)
	r, err := d.Run(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, r.Ticks)
}
