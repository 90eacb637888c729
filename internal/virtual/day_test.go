package virtual

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
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
	require.Equal(t, 43_200, r.Looks)
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
		for _, unheard := range []bool{false, true} {
			d, err := NewDay(7, 3000, 5)
			require.NoError(t, err)
			d.kill, d.after, d.unheard = d.Config.Start.Add(time.Minute), 1+after, unheard // while all is being created
			p := d.Begin()
			play(t, 5*time.Minute, p)
			require.NoError(t, p.World.Settled(), "after %d, unheard %t", d.after, unheard)
			require.Equal(t, 2, p.World.Terms())
			require.Equal(t, 3000, p.World.Resources())
		}
	}
}

func TestADayEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d, err := NewDay(1, 100, 2)
	require.NoError(t, err)
	r, err := d.Run(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, r.Looks)
}
