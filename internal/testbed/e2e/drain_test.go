package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/utils/ptr"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// TestDrainUndoneAndLeaderKilledInEachPhase: load that returns in the middle of a drain undoes it,
// and a leader that is killed with -9 in any of its phases leaves a drain that its successor ends.
// (In mid-emptying: TestKilledDuringImportAndDrain.)
func TestDrainUndoneAndLeaderKilledInEachPhase(t *testing.T) {
	const small, large = 3, 5
	w := startBeside(t, func(_ *servers.Env, o *product.Options) {
		o.Replicas = 2
		o.Sizes = map[string]int{thingSet: large, ruleSet: ruleInit}
		slowMoves(o.Config)
		k := &o.Config.Kinds[0]
		// A list changes again after three seconds, and the size falls after one: what goes stays
		// closed and full for a while.
		k.Rebalance.ListInterval, k.Behavior.ScaleDown.StabilizationWindow = ptr.To(config.Duration(3*time.Second)), ptr.To(config.Duration(time.Second))
	})
	things := product.IDs(2_700, 1)
	grow := func() {
		w.change(thing, func(k *config.Kind) { k.TargetPerInstance = 540 })
		w.settled(thing, thingSet, large, len(things))
	}
	shrink := func() { w.change(thing, func(k *config.Kind) { k.TargetPerInstance = 900 }) }
	size := func() product.Size {
		got, err := w.Size(t.Context(), thingSet)
		require.NoError(t, err)
		return got
	}
	require.NoError(t, w.Platform.Import(t.Context(), thing, things, 1))
	grow()

	t.Run("undone", func(t *testing.T) {
		w.t = t
		before, err := w.ScaleWrites()
		require.NoError(t, err)
		var leader *product.Server
		for attempt := 0; ; attempt++ { // a drain may be over before the load is back
			shrink()
			leader = w.leader()
			w.until("the drain is half-way, or over", func(context.Context) error {
				if size().Spec == small {
					return nil
				}
				return w.drains(leader, "emptying")
			})
			grow()
			after, err := w.ScaleWrites()
			require.NoError(t, err)
			if len(after) == len(before) {
				break // no size was written, down or up
			}
			require.Less(t, attempt, 10, "no drain was undone: %+v", after[len(before):])
			before = after
		}
		w.until("an event says so", func(ctx context.Context) error { return w.event(ctx, "DrainUndone", "the instances stay") })
		w.until("there is no drain any more", func(context.Context) error { return w.drains(leader, "") })
	})

	leaves := func(a *product.Assignment) (open, owning bool) {
		for _, n := range a.Open {
			open = open || n >= small
		}
		for n := small; n < large; n++ {
			owning = owning || owned(a, n) > 0
		}
		return open, owning
	}
	for _, phase := range []struct {
		name string
		is   func(*product.Assignment) bool
	}{
		{"closed", func(a *product.Assignment) bool {
			open, owning := leaves(a)
			return !open && owning && a.InFlight() == 0
		}},
		{"drained", func(a *product.Assignment) bool {
			open, owning := leaves(a)
			return !open && !owning && size().Spec == large
		}},
		{"lowered", func(a *product.Assignment) bool {
			got := size()
			return got.Spec == small && got.Status > small
		}},
	} {
		if t.Failed() {
			return
		}
		t.Run("killed when "+phase.name, func(t *testing.T) {
			w.t = t
			var victim *product.Server
			for attempt := 0; victim == nil; attempt++ {
				// a phase may be over before the test reads it
				require.Less(t, attempt, 10, "never met")
				grow()
				shrink()
				victim = w.killLeaderUnless(phase.name, phase.is, func() bool { return size().Spec == small && size().Status == small })
			}
			require.NoError(t, victim.Start())
			w.holds(w.settled(thing, thingSet, small, len(things)), things)
			require.NoError(t, w.AwaitReady(t.Context(), victim))
		})
	}
	w.t = t
	w.runsWhatIsAssigned(thing)
	w.lostNothing(thing, nil)
	require.GreaterOrEqual(t, w.drainedFirst(thing, thingSet, large), 3)
}

// drains is an error unless the replica says that the Things' drain is in this phase; "": that
// there is none.
func (w *world) drains(v *product.Server, phase string) error {
	var d struct {
		Drain *struct{ Phase string }
	}
	if err := v.REST(w.t.Context(), http.MethodGet, "/v1/api/orchestrations/"+thing+"/decision", "", nil, &d); err != nil {
		return err
	}
	got := ""
	if d.Drain != nil {
		got = d.Drain.Phase
	}
	if got != phase {
		return fmt.Errorf("the drain is %q", got)
	}
	return nil
}
