package rebalancer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// applied is a rig of two instances that have applied all of their lists, ten resources each.
func applied(t *testing.T) (r *rig, times int64) {
	r = newRig(t, newDouble()).lead(0, 1)
	r.order(func(o *orders.Orders) {
		o.HandOff, o.Pods = config.HandOffAcknowledged, map[int]string{0: "zero", 1: "one"}
	})
	r.create(names("a", 20)...)
	r.wait(3 * time.Second)
	times = r.d.snapshot().Instances[1].Times
	require.Positive(t, times)
	r.status(0, &protocol.Status{Times: r.d.snapshot().Instances[0].Times, Pod: "zero"})
	r.status(1, &protocol.Status{Times: times, Pod: "one"})
	r.wait(3 * time.Second)
	return r, times
}

// reload sets `_reload` of instance 1 by another hand.
func (r *rig) reload(times int64) {
	r.d.edit(func(st *protocol.State) {
		in := *st.Instances[1]
		in.Times, in.ReloadVersion = times, in.ReloadVersion+1
		st.Instances[1] = &in
		r.d.versions["/iota/orchestration/Thing/1/_reload"] = in.ReloadVersion
	})
}

func TestAReloadThatWasSetBackReleasesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, times := applied(t)
		r.reload(0)
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0}, []int{0} })
		r.wait(time.Minute)
		st := r.d.snapshot()
		require.Equal(t, 10, st.InFlight(), "what it applied long ago is no word on this revoke")
		require.Greater(t, st.Instances[1].Times, times)
		for _, f := range st.Flight {
			require.Greater(t, f.Times, times)
		}
		r.status(1, &protocol.Status{Times: st.Instances[1].Times, Pod: "one"})
		r.wait(3 * time.Second)
		r.settled(names("a", 20))
	})
}

func TestAReloadSetBackBehindWhatIsInFlightIsMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := applied(t)
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0}, []int{0} })
		r.wait(3 * time.Second)
		revoked := r.d.snapshot().Instances[1].Times
		r.reload(0)
		r.wait(3 * time.Second)
		require.GreaterOrEqual(t, r.d.snapshot().Instances[1].Times, revoked, "else it could never acknowledge the revoke")
	})
}

// A leader that has not seen the former `_reload` finds its instance without a session, and
// revokes; then the instance is back, with what it applied before.
func TestAStatusThatIsAheadOfReloadProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := applied(t)
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0}, []int{0} })
		r.wait(3 * time.Second)
		revoked := r.d.snapshot().Instances[1].Times
		r.status(1, &protocol.Status{Times: revoked + 7, Pod: "one"})
		r.wait(time.Minute)
		require.Equal(t, 10, r.d.snapshot().InFlight())
		require.Contains(t, r.e.Progress().Blocked, "ahead of _reload")
		r.status(1, &protocol.Status{Times: revoked, Pod: "one"})
		r.wait(3 * time.Second)
		r.settled(names("a", 20))
	})
}
