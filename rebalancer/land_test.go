package rebalancer

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// halfDrained is a rig of two instances with 100 resources each, of which the second is drained in
// steps of 20 and has released none of the first step. Its scaler sends no orders any more.
func halfDrained(t *testing.T) (r *rig, ids []string) {
	r, ids = acknowledging(t, 2)
	r.order(func(o *orders.Orders) { o.Stay, o.Ready, o.Limits.MaxInFlight = []int{0}, []int{0}, 20 })
	r.wait(3 * time.Second)
	require.Equal(t, 20, r.d.snapshot().InFlight())
	r.mu.Lock()
	r.silent = true
	r.mu.Unlock()
	return r, ids
}

func TestLandingGrantsWhatIsInFlightAndTakesNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ids := halfDrained(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		landed := make(chan int)
		go func() { landed <- r.e.Land(ctx) }()
		r.wait(10 * time.Second)
		require.Equal(t, 20, r.d.snapshot().InFlight(), "it is not released, and nothing else was revoked")
		r.apply(1)
		require.Zero(t, <-landed)
		require.NoError(t, ctx.Err())
		st := r.settled(ids)
		require.Nil(t, st.Plan)
		require.Equal(t, map[int]int{0: 120, 1: 80}, counts(st))
		require.Equal(t, 1, occurrences(r.d.did(), "revoke"))
	})
}

func TestLandingEndsWithItsContextThoughSomethingIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := halfDrained(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		require.Equal(t, 20, r.e.Land(ctx))
		require.Equal(t, time.Minute, time.Since(begun))
		require.Equal(t, 20, r.d.snapshot().InFlight())
	})
}
