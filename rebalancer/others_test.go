package rebalancer

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// A status that may no longer be read is not absent: an instance that fences itself has released
// nothing by that, and what keeps its own resources in flight keeps no others.
func TestAHiddenStatusIsNoAbsence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1, 2)
		r.order(func(o *orders.Orders) {
			o.HandOff, o.Pods = config.HandOffAcknowledged, map[int]string{0: "zero", 1: "one", 2: "two"}
		})
		ids := names("a", 30)
		r.create(ids...)
		r.wait(3 * time.Second)
		r.answering(0, 2)
		r.status(1, &protocol.Status{Times: r.d.snapshot().Instances[1].Times, Pod: "one", Fences: true, SessionMs: 20_000})
		r.wait(3 * time.Second)
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0}, []int{0} })
		r.wait(3 * time.Second)
		hide := func(hidden bool) {
			r.d.edit(func(st *protocol.State) {
				in := *st.Instances[1]
				in.Status, in.Live, in.Hidden = nil, false, hidden
				st.Instances[1] = &in
			})
		}
		hide(true)
		r.status(2, &protocol.Status{Times: r.d.snapshot().Instances[2].Times, Pod: "two"})
		r.wait(5 * time.Minute)
		require.Equal(t, 10, r.d.snapshot().InFlight(), "of instance 1 alone")
		require.Contains(t, r.e.Progress().Blocked, "instance 1 has not released what was revoked (resources: 10): its status may not be read: READ is missing on /iota/orchestration/Thing/1/tmp/status")
		require.Empty(t, r.e.Progress().Alarm)
		hide(false)
		r.wait(30 * time.Second)
		r.settled(ids)
	})
}

// stranger begins to make an ordinal as another client does: its znodes have no data.
func (r *rig) stranger(n int) {
	r.d.edit(func(st *protocol.State) {
		st.Instances[n] = &protocol.Instance{Ordinal: n, Used: -1, Capacity: -1, Times: -1, ReloadVersion: -1, IDs: protocol.NewIDs([]string{}), Begun: true}
		r.d.versions[protocol.InstancePath("Thing", n)], r.d.versions[protocol.InstancePath("Thing", n)+"/resources"] = 0, 0
	})
}

// What another client has begun to make stops nothing: it is closed, which is said, and used as
// soon as its list is written.
func TestAnOrdinalThatAnotherClientHasBegunIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		ids := names("a", 40)
		r.create(ids[:10]...)
		for n := 1; n <= 5; n++ { // more than the foreign edits that are borne
			r.stranger(n)
			r.wait(time.Second)
		}
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1}, []int{0, 1} })
		r.create(ids[10:]...)
		r.wait(time.Minute)
		require.Empty(t, r.e.Progress().Alarm)
		require.Len(t, r.d.snapshot().Instances[0].IDs.Strings(), 40)
		require.Equal(t, []int{0}, r.d.snapshot().Head.Open)
		require.Contains(t, r.e.Progress().Blocked, "instance 1: another client has begun to make its znodes")

		for n := 1; n <= 5; n++ { // they are written
			r.d.edit(func(st *protocol.State) {
				in := *st.Instances[n]
				in.Begun, in.ListVersion, in.Bytes = false, 1, len(`{"ids":[]}`)
				st.Instances[n] = &in
				r.d.versions[protocol.InstancePath("Thing", n)+"/resources"] = 1
			})
			r.wait(time.Second)
		}
		r.wait(time.Minute)
		require.Empty(t, r.e.Progress().Alarm)
		require.Empty(t, r.e.Progress().Blocked)
		require.Len(t, r.settled(ids).Instances[1].IDs.Strings(), 20)
	})
}

// An ordinal that was left incomplete is completed, when nothing has come of it for long.
func TestAnOrdinalThatWasLeftHalfMadeIsMadeWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		ids := names("a", 40)
		r.create(ids...)
		r.wait(3 * time.Second)
		r.stranger(1)
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1}, []int{0, 1} })
		r.wait(9 * time.Minute)
		require.False(t, slices.Contains(r.d.did(), "repair"))
		r.wait(2 * time.Minute)
		require.Len(t, r.settled(ids).Instances[1].IDs.Strings(), 20)
	})
}

// A kind that has stopped is told as such by what every replica sees.
func TestTrouble(t *testing.T) {
	unreadable := &protocol.State{Instances: map[int]*protocol.Instance{3: {Fault: "READ is missing on /list"}}}
	require.Empty(t, orders.Trouble(nil, &orders.Progress{}))
	require.Empty(t, orders.Trouble(&protocol.State{}, &orders.Progress{Blocked: "instances are not ready"}))
	require.Equal(t, "the kind is stopped: READ is missing on /list", orders.Trouble(unreadable, &orders.Progress{}))
	require.Equal(t, "the kind is stopped: another client writes here", orders.Trouble(nil, &orders.Progress{Alarm: "another client writes here", Refused: "create"}))
	require.Equal(t, "zookeeper refuses what is to be written: create", orders.Trouble(nil, &orders.Progress{Refused: "create"}))
}
