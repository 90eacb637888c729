package rebalancer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// lost is a rig of three instances with 100 resources each, whose instance 2 cannot be reached.
func lost(t *testing.T, handOff config.HandOff, status *protocol.Status) (*rig, []string) {
	r := newRig(t, newDouble()).lead(0, 1, 2)
	ids := names("a", 300)
	r.create(ids...)
	r.wait(3 * time.Second)
	r.status(2, status)
	r.wait(3 * time.Second) // the leader has seen that
	r.order(func(o *orders.Orders) {
		o.HandOff, o.Pods = handOff, map[int]string{0: "p0", 1: "p1", 2: "p2"}
		o.Ready, o.Reassign = []int{0, 1}, []int{2}
	})
	return r, ids
}

// untouched requires that instance 2 keeps what it has, and that the reason is shown.
func (r *rig) untouched(ids []string, why string) {
	r.t.Helper()
	st := r.settled(ids)
	require.Len(r.t, st.Instances[2].IDs.Strings(), 100)
	require.Equal(r.t, []int{0, 1, 2}, st.Head.Open)
	require.Contains(r.t, r.e.Progress().Unproven[2], why)
}

func TestWhatALostInstanceOwnsStaysWithItWithoutProofOfRelease(t *testing.T) {
	for why, c := range map[string]struct {
		handOff config.HandOff
		status  *protocol.Status
	}{
		"immediate proves nothing": {config.HandOffImmediate, &protocol.Status{}},
		"the status is absent":     {config.HandOffAcknowledged, nil},
		"the status is of pod":     {config.HandOffAcknowledged, &protocol.Status{Pod: "p1", Times: 1}},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, ids := lost(t, c.handOff, c.status)
			r.wait(time.Minute)
			r.untouched(ids, why)
		})
	}
}

func TestALostInstanceThatStillAnswersIsEmptied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ids := lost(t, config.HandOffAcknowledged, &protocol.Status{Pod: "p2", Times: 1})
		r.wait(3 * time.Second)
		require.Equal(t, 100, r.d.snapshot().InFlight(), "taken from it, and not yet granted")
		require.Equal(t, []int{0, 1}, r.d.snapshot().Head.Open)
		require.Equal(t, map[int]int{2: 100}, r.e.Progress().Draining)
		r.status(2, &protocol.Status{Pod: "p2", Times: r.d.snapshot().Instances[2].Times})
		r.wait(3 * time.Second)
		st := r.settled(ids)
		require.Equal(t, map[int]int{0: 150, 1: 150, 2: 0}, counts(st))
		whys := map[string]int{}
		for n, in := range st.Instances {
			for _, id := range in.IDs.Strings() {
				way, known := r.e.MovesOf(id)
				require.True(t, known)
				require.Equal(t, n, way.Place)
				whys[way.Why]++
				if way.Why == "reassigned" {
					require.Equal(t, []inventory.Moved{{At: way.Since, From: 2, To: n, Why: "reassigned"}}, way.Moves)
				}
			}
		}
		require.Equal(t, map[string]int{"created": 200, "reassigned": 100}, whys)

		r.order(func(o *orders.Orders) { o.Reassign, o.Ready = nil, []int{0, 1, 2} })
		r.wait(5 * time.Second)
		require.Equal(t, []int{0, 1, 2}, r.d.snapshot().Head.Open, "its node is back")
	})
}

func TestALostInstanceThatFencesItselfIsEmptiedOnceItsSessionIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ids := lost(t, config.HandOffAcknowledged, &protocol.Status{Pod: "p2", Times: 1, Fences: true, SessionMs: 10_000})
		r.order(func(o *orders.Orders) { o.Reassign = nil })
		r.status(2, nil)
		r.wait(time.Second) // the leader has seen that
		r.order(func(o *orders.Orders) { o.Reassign = []int{2} })
		synctest.Wait()
		require.Equal(t, 100, r.d.snapshot().InFlight(), "it runs nothing: it is taken at once")
		r.wait(11_900 * time.Millisecond)
		require.Equal(t, 100, r.d.snapshot().InFlight(), "another process may have come and gone before: the time counts from the revoke")
		require.Contains(t, r.e.Progress().Blocked, "is absent for")
		r.wait(200 * time.Millisecond)
		require.Equal(t, map[int]int{0: 150, 1: 150, 2: 0}, counts(r.settled(ids)))
		require.Empty(t, r.e.Progress().Unproven)
	})
}

// The leader is woken by the word itself: what is in flight has no owner.
func TestWhatIsAcknowledgedIsGrantedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ids := lost(t, config.HandOffAcknowledged, &protocol.Status{Pod: "p2", Times: 1})
		r.order(func(o *orders.Orders) { o.Limits.ListInterval = ptr(config.Duration(10 * time.Millisecond)) })
		r.wait(3 * time.Second)
		require.Equal(t, 100, r.d.snapshot().InFlight())
		require.Equal(t, map[string]float64{"": 100}, r.metric("in_flight_resources"))
		r.status(0, &protocol.Status{Pod: "p0"}) // the engine has just looked
		r.wait(5 * time.Millisecond)
		r.status(2, &protocol.Status{Pod: "p2", Times: r.d.snapshot().Instances[2].Times})
		r.wait(50 * time.Millisecond)
		require.Equal(t, map[int]int{0: 150, 1: 150, 2: 0}, counts(r.settled(ids)))
		require.Equal(t, map[string]float64{"": 0}, r.metric("in_flight_resources"))
	})
}

func TestAPersonsWordReleasesWhatADeadPodRan(t *testing.T) {
	for _, handOff := range []config.HandOff{config.HandOffImmediate, config.HandOffAcknowledged} {
		synctest.Test(t, func(t *testing.T) {
			r, ids := lost(t, handOff, nil)
			r.wait(5 * time.Second)
			r.untouched(ids, "")
			r.order(func(o *orders.Orders) { o.AssumedDead = map[string]bool{"p2": true} })
			r.wait(5 * time.Second)
			require.Equal(t, map[int]int{0: 150, 1: 150, 2: 0}, counts(r.settled(ids)), handOff)

			// The word was about that pod: its successor is an instance like any other.
			r.order(func(o *orders.Orders) { o.Reassign, o.Pods[2], o.Ready = nil, "p2'", []int{0, 1, 2} })
			r.wait(5 * time.Second)
			require.Equal(t, []int{0, 1, 2}, r.d.snapshot().Head.Open)
		})
	}
}

func TestWhatADeadPodRanWaitsInThePoolWhereThereIsNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ids := lost(t, config.HandOffAcknowledged, nil)
		r.order(func(o *orders.Orders) { o.Capacity, o.AssumedDead = 120, map[string]bool{"p2": true} })
		r.wait(10 * time.Second)
		st := r.settled(ids)
		require.Equal(t, map[int]int{0: 120, 1: 120, 2: 0}, counts(st))
		require.Equal(t, 60, st.Unassigned(), "counted as what it is, not as run by a dead pod")
		require.NotEmpty(t, st.Pool)
		require.Equal(t, map[string]float64{"": float64(len(st.Pool))}, r.metric("pool_pieces"))
	})
}

func TestAnyReplicaSaysWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		r := newRig(t, d).lead(0, 1)
		r.create(names("a", 100)...)
		r.wait(3 * time.Second)
		follower := newRigOver(t, d, d)
		r.wait(time.Second)
		left, open, err := follower.e.Left(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, 50, left)
		require.True(t, open)
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0}, []int{0} })
		r.wait(3 * time.Second)
		left, open, err = follower.e.Left(t.Context(), 1)
		require.NoError(t, err)
		require.Zero(t, left)
		require.False(t, open)
		d.fail(func(d *double) { d.away = true })
		_, _, err = follower.e.Left(t.Context(), 1)
		require.ErrorIs(t, err, protocol.ErrUnavailable)
	})
}
