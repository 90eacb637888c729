package rebalancer

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// shown tells of rows that an update has shown, and says how many reads that asked for.
func (r *rig) shown(ids ...string) int64 {
	r.t.Helper()
	before := r.resyncs.Load()
	require.NoError(r.t, r.e.Shown(ids))
	return r.resyncs.Load() - before
}

// TestARowThatIsShownAndNotKnownAsksForARead: it may have been restored without a message.
func TestARowThatIsShownAndNotKnownAsksForARead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble())
		require.ErrorIs(t, r.e.Shown([]string{"a"}), orders.ErrNotLeading, "the next leader must hear of it")
		r.lead(0)
		r.create("a", "b")
		r.wait(3 * time.Second)
		require.Zero(t, r.shown("a", "b"))
		require.Zero(t, r.shown("a", "", strings.Repeat("x", 257)), "what can be no resource is none")
		require.EqualValues(t, 1, r.shown("a", "restored", "another"))
		r.read(known([]string{"a", "b", "restored"})...)
		r.wait(3 * time.Second)
		r.settled([]string{"a", "b", "restored"})
		require.Zero(t, r.shown("restored"))

		require.NoError(t, r.e.Delete(t.Context(), []string{"a"}))
		r.wait(3 * time.Second)
		require.EqualValues(t, 1, r.shown("a"), "it was deleted, and exists")
	})
}

// TestARowThatIsShownWhileItIsBeingDeleted stays where it is: the read that is asked for turns the
// delete, for as long as that waits for its instance.
func TestARowThatIsShownWhileItIsBeingDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		r.order(func(o *orders.Orders) { o.HandOff, o.Pods = config.HandOffAcknowledged, map[int]string{0: "zero"} })
		ids := names("a", 20)
		r.create(ids...)
		r.wait(3 * time.Second)
		r.answering(0)
		require.NoError(t, r.e.Delete(t.Context(), ids[:1]))
		require.Equal(t, 1, r.d.snapshot().InFlight())
		require.Zero(t, r.shown(ids[1:]...))
		require.EqualValues(t, 1, r.shown(ids...))
		r.wait(time.Minute) // the delete is not so young that a read might be behind it
		r.read(known(ids)...)
		require.Zero(t, r.shown(ids...))
		r.status(0, &protocol.Status{Times: r.d.snapshot().Instances[0].Times, Pod: "zero"})
		r.wait(3 * time.Second)
		r.settled(ids)
	})
}
