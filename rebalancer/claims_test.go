package rebalancer

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

func (r *rig) claim(ids ...string) {
	r.t.Helper()
	require.NoError(r.t, r.e.Claim(r.t.Context(), ids))
}

// TestAClaimIsCarriedOutByAReadThatBeganAfterIt and by no other.
func TestAClaimIsCarriedOutByAReadThatBeganAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1)
		ids := names("a", 100)
		r.create(ids...)
		r.wait(3 * time.Second)
		asked := r.resyncs.Load()

		r.e.BeginRead(time.Now())
		r.claim("a-00003", "a-00004", "unknown")
		require.Equal(t, asked+1, r.resyncs.Load(), "a read is asked for")
		_, err := r.e.EndRead(t.Context(), known(without(ids, "a-00003", "a-00004")))
		require.NoError(t, err)
		r.wait(3 * time.Second)
		r.settled(ids)

		// a part of the condition was lost on its way: a-00004 is still there
		r.read(known(without(ids, "a-00003"))...)
		r.wait(3 * time.Second)
		r.settled(without(ids, "a-00003"))
		require.Equal(t, asked+1, r.resyncs.Load())
	})
}

// TestALargeClaimWaitsForNoPerson: a message has named what goes.
func TestALargeClaimWaitsForNoPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1)
		ids := names("a", 100)
		r.create(ids...)
		r.wait(3 * time.Second)
		r.claim(ids[:60]...)
		r.read(known(ids[60:])...)
		require.Nil(t, r.e.Waiting())
		r.wait(3 * time.Second)
		r.settled(ids[60:])
	})
}

// TestACreateAfterAClaimWins, whatever the read that runs has seen.
func TestACreateAfterAClaimWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		r.create("a", "b")
		r.wait(3 * time.Second)
		r.claim("a")
		r.e.BeginRead(time.Now())
		r.create("a")
		_, err := r.e.EndRead(t.Context(), known([]string{"b"}))
		require.NoError(t, err)
		r.wait(3 * time.Second)
		r.settled([]string{"a", "b"})
		require.Empty(t, claimsOf(t, r.d.snapshot()), "it is no longer claimed")
	})
}

// TestAClaimOnWhatIsJustBeingImported is not lost: the row was read before it.
func TestAClaimOnWhatIsJustBeingImported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		r.e.BeginRead(time.Now())
		r.e.Rows(known([]string{"a", "b"}))
		r.claim("a")
		_, err := r.e.EndRead(t.Context(), nil)
		require.NoError(t, err)
		r.wait(3 * time.Second)
		r.settled([]string{"a", "b"})
		r.read(known([]string{"b"})...)
		r.wait(3 * time.Second)
		r.settled([]string{"b"})
	})
}

// TestAClaimOutlivesItsLeader: the message was acknowledged, the broker sends it no more.
func TestAClaimOutlivesItsLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		first := newRig(t, d).lead(0)
		ids := names("a", 100)
		first.create(ids...)
		first.wait(3 * time.Second)
		first.claim(ids[:50]...)
		first.halt()
		second := newRig(t, d).lead(0)
		require.Equal(t, int64(1), second.resyncs.Load(), "a leader begins with a read")
		second.read(known(ids[50:])...)
		second.wait(3 * time.Second)
		second.settled(ids[50:])
		require.Empty(t, claimsOf(t, d.snapshot()))
	})
}

// TestAClaimIsOwedUntilItsDeleteIsDurable.
func TestAClaimIsOwedUntilItsDeleteIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		first := newRig(t, d).lead(0)
		first.create("a", "b", "c")
		first.wait(3 * time.Second)
		first.claim("a", "b")
		// the list may not change yet
		first.order(func(o *orders.Orders) { o.Limits.ListInterval = ptr(config.Duration(time.Minute)) })
		first.e.BeginRead(time.Now())
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := first.e.EndRead(ctx, known([]string{"c"}))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		first.halt()
		require.Equal(t, []string{"a", "b"}, claimsOf(t, d.snapshot()))
		second := newRig(t, d).lead(0)
		second.read(known([]string{"c"})...)
		second.wait(3 * time.Second)
		second.settled([]string{"c"})
		require.Empty(t, claimsOf(t, d.snapshot()))
	})
}

// TestClaimsOfAnySizeAreTaken: the document has a bound that they do not reach.
func TestClaimsOfAnySizeAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1, 2, 3, 4)
		ids := names(strings.Repeat("<", 250), 20_000)
		r.create(ids...)
		r.wait(10 * time.Second)
		r.claim(ids...)
		st := r.d.snapshot()
		require.LessOrEqual(t, len(st.Kept[inventory.KeptName].Data), protocol.MaxDocBytes*3/4+100)
		require.NotEmpty(t, claimsOf(t, st))
		r.read()
		r.wait(10 * time.Second)
		r.settled(nil)
		require.Empty(t, claimsOf(t, r.d.snapshot()))
	})
}

// claimsOf are the claims that ZooKeeper keeps.
func claimsOf(t *testing.T, st *protocol.State) []string {
	t.Helper()
	var kept inventory.Kept
	require.NoError(t, json.Unmarshal(st.Kept[inventory.KeptName].Data, &kept))
	return kept.Claims
}

func ptr[T any](v T) *T { return &v }

func without(ids []string, gone ...string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return slices.Contains(gone, id) })
}
