package rebalancer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/pins"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// What is pinned to a full instance leaves once others have made room for it. A wave that makes
// room also holds what leaves; it must not be dropped and stored again for ever.
func TestWhatLeavesWaitsForRoomThatOthersMake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble())
		pinned := names("p", 6)
		r.order(func(o *orders.Orders) {
			o.SpreadSuspended = "a roll-out"
			o.Pins = []pins.Rule{{Name: "two", IDs: pinned, Ordinals: []int{2}}}
		})
		r.lead(0, 1, 2)
		r.create(pinned...)
		r.wait(3 * time.Second)
		r.create(names("a", 18)...)
		r.wait(3 * time.Second)
		st := r.d.snapshot()
		gone := append([]string{}, st.Instances[1].IDs.Strings()[:4]...)
		for _, id := range st.Instances[2].IDs.Strings() {
			if id[0] == 'a' {
				gone = append(gone, id)
			}
		}
		require.NoError(t, r.e.Delete(t.Context(), gone))
		r.wait(3 * time.Second)
		require.Equal(t, map[int]int{0: 8, 1: 4, 2: 6}, counts(r.d.snapshot()))
		r.order(func(o *orders.Orders) {
			o.Capacity = 8
			o.Pins = []pins.Rule{{Name: "zero", IDs: pinned, Ordinals: []int{0}}}
			o.Stay, o.Ready = []int{0, 1}, []int{0, 1}
		})
		r.wait(5 * time.Second)
		steps := len(r.d.did())
		r.order(func(o *orders.Orders) { o.SpreadSuspended = "" })
		r.wait(30 * time.Second)
		require.Equal(t, map[int]int{0: 8, 1: 8, 2: 2}, counts(r.d.snapshot()), "as many as there is room for")
		require.LessOrEqual(t, occurrences(r.d.did()[steps:], "store-plan"), 3)
	})
}

// What several lists get from the same pieces of the pool is given by one plan.
func TestAPoolThatIsGivenByWeightIsPlannedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble())
		r.order(byWeight)
		r.order(func(o *orders.Orders) { o.Capacity = 10 })
		r.lead(0)
		r.read(rows(names("a", 2000), 1, 2, 3, 5, 8)...)
		r.wait(5 * time.Second)
		before := r.plans()
		r.order(func(o *orders.Orders) {
			o.Capacity = 5000
			for n := 1; n < 20; n++ {
				o.Stay, o.Ready = append(o.Stay[:n:n], n), append(o.Ready[:n:n], n)
			}
		})
		r.wait(time.Second)
		require.Zero(t, r.d.snapshot().Unassigned())
		require.LessOrEqual(t, r.plans()-before, 5)
	})
}

// plans is how many plans were made.
func (r *rig) plans() (n int) {
	families, err := r.metrics.Gather()
	require.NoError(r.t, err)
	for _, f := range families {
		if f.GetName() == "shardscaler_rebalancer_plan_seconds" {
			for _, m := range f.GetMetric() {
				n += int(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return n
}

// A drain whose revokes fail again and again is tried with pauses that grow, although its wave can
// be stored each time.
func TestARevokeThatFailsIsTriedWithPausesThatGrow(t *testing.T) {
	for name, refusal := range map[string]error{"refused": protocol.ErrRefused, "conflict": protocol.ErrConflict} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, newDouble()).lead(0, 1)
				r.create(names("a", 40)...)
				r.wait(10 * time.Second)
				r.refusing(refusal, "revoke")
				before := r.d.attempts("revoke")
				r.order(func(o *orders.Orders) { o.Stay = []int{0} })
				r.wait(10 * time.Minute)
				tried := r.d.attempts("revoke") - before
				require.Greater(t, tried, 10)
				require.Less(t, tried, 150)
			})
		})
	}
}

// A pause between the storing of a spread and its revokes must not leave moves that are carried out
// much later: what is stored is revoked by the same orders.
func TestASpreadIsRevokedByTheOrdersThatItWasPlannedBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		r := newRig(t, d).lead(0, 1)
		r.create(names("a", 40)...)
		r.wait(10 * time.Second)
		d.fail(func(d *double) {
			d.watch = func(_, _ *protocol.State, m protocol.Multi) {
				if m.Step == "store-plan" {
					go r.order(func(o *orders.Orders) { o.Limits.Paused = true })
				}
			}
		})
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1, 2}, []int{0, 1, 2} })
		r.wait(time.Minute)
		require.Equal(t, 1, occurrences(d.did(), "store-plan"))
		require.Positive(t, counts(d.snapshot())[2], "it was under way when the pause came")
		require.Empty(t, r.e.Progress().PlanID, "and nothing waits")
	})
}
