package plan_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
)

// held is what a resource is like, and where.
type held struct {
	at     int
	weight plan.Weight
	pin    plan.PinIndex
}

func everything(w *plan.World) map[string]held {
	all := map[string]held{}
	for at, l := range w.Lists() {
		for i, id := range l.IDs.All() {
			r := held{at: w.Ordinal(at), weight: 1000}
			if l.Weights != nil {
				r.weight = l.Weights[i]
			}
			if l.Pins != nil {
				r.pin = l.Pins[i]
			}
			all[id] = r
		}
	}
	return all
}

// TestDone: the world after a plan is the one that playing its moves gives, and the plan's own is
// as it was.
func TestDone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, traits{
			resources: 40, instances: 6, pins: rapid.Bool().Draw(t, "pinned"), weights: rapid.Bool().Draw(t, "weighted"),
			bytes: true, arriving: true, overCapacity: true, fixed: true,
		})
		p := mustMake(t, w, plan.Options{Regime: regimes(t)})
		before, want := everything(w), apply(w, p)
		done := p.Done()
		require.NoError(t, done.Validate())
		require.Equal(t, everything(want), everything(done))
		require.Equal(t, before, everything(w))
		for i := range done.Instances {
			if done.Instances[i].MaxBytes > 0 {
				require.Equal(t, want.Instances[i].Bytes, done.Instances[i].Bytes)
			}
		}
	})
}
