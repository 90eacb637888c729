package rebalancer

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/pins/pinstest"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
)

// world of weights and pins, as the engine should make it.
type catalogueOf map[string]observed.ResourceKnown

func (c catalogueOf) rows() []observed.ResourceKnown {
	all := make([]observed.ResourceKnown, 0, len(c))
	for _, id := range slices.Sorted(maps.Keys(c)) {
		all = append(all, c[id])
	}
	return all
}

// TestRandomCataloguesLeaveEverythingWhereItMayBe plays random rows, pins, balances, orders and
// takeovers, and demands at rest that no resource is lost, that each is where it may be if
// there is room for it there, that the weights are even as far as moving one resource goes, and
// that nothing moves any more.
func TestRandomCataloguesLeaveEverythingWhereItMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) {
			d, c := newDouble(), catalogueOf{}
			r := newRig(t, d)
			r.order(func(o *orders.Orders) { o.Capacity = 200 })
			r.lead(0, 1)
			defer func() { r.halt() }()
			var last orders.Orders
			change := func(f func(o *orders.Orders)) {
				synctest.Wait()
				r.order(f)
				last = r.orders
			}
			rt.Repeat(map[string]func(*rapid.T){
				"message": func(rt *rapid.T) {
					id := fmt.Sprintf("id-%02d", rapid.IntRange(0, 40).Draw(rt, "id"))
					if _, there := c[id]; !there {
						c[id] = pinstest.DrawRow(rt, id)
						require.NoError(rt, r.e.Create(t.Context(), []observed.ResourceKnown{pinstest.Row(id, 0, "")}))
					}
				},
				"rows": func(rt *rapid.T) {
					for range rapid.IntRange(1, 10).Draw(rt, "n") {
						id := fmt.Sprintf("id-%02d", rapid.IntRange(0, 40).Draw(rt, "id"))
						c[id] = pinstest.DrawRow(rt, id)
					}
				},
				"read": func(*rapid.T) { r.read(c.rows()...) },
				"orders": func(rt *rapid.T) {
					stay := rapid.SampledFrom([][]int{{0}, {0, 1}, {0, 1, 2}, {1, 3}}).Draw(rt, "stay")
					change(func(o *orders.Orders) { o.Stay, o.Ready = stay, stay })
				},
				"pins": func(rt *rapid.T) {
					pins := pinstest.DrawPins(rt, 3)
					change(func(o *orders.Orders) { o.Pins = pins })
				},
				"balance": func(rt *rapid.T) {
					by := rapid.SampledFrom([]config.Balance{config.BalanceCount, config.BalanceWeight}).Draw(rt, "by")
					change(func(o *orders.Orders) { o.Balance = by })
				},
				"takeover": func(*rapid.T) {
					before := r.orders
					r.halt()
					r = newRig(t, d)
					r.order(func(o *orders.Orders) { *o = before })
					r.lead(before.Stay...)
				},
				"wait": func(rt *rapid.T) { r.wait(time.Duration(rapid.IntRange(1, 3000).Draw(rt, "ms")) * time.Millisecond) },
				"":     func(rt *rapid.T) { require.NoError(rt, d.violation()) },
			})
			last = r.orders
			r.wait(time.Second)
			r.read(c.rows()...)
			r.wait(2 * time.Minute)
			atRest(rt, r, c, &last)
			was := times(d.snapshot())
			r.read(c.rows()...)
			r.wait(5 * time.Minute)
			require.Equal(rt, was, times(d.snapshot()), "a constant state makes no move")
		})
	})
}

func atRest(rt *rapid.T, r *rig, c catalogueOf, o *orders.Orders) {
	st := r.d.snapshot()
	require.NoError(rt, r.d.violation())
	require.Equal(rt, slices.Sorted(maps.Keys(c)), everything(st))
	require.Zero(rt, st.InFlight(), "%+v", r.e.Progress())
	load := map[int]float64{}
	for n, in := range st.Instances {
		for _, id := range in.IDs.All() {
			load[n] += max(c[id].Weight, map[bool]float64{true: 1}[c[id].Weight == 0])
			may := pinstest.Permitted(o.Pins, c[id])
			require.True(rt, may(n) || !slices.ContainsFunc(o.Stay, may), "%s is on %d; pins %+v", id, n, o.Pins)
			require.True(rt, slices.Contains(o.Stay, n) || !slices.ContainsFunc(o.Stay, may), "%s is left on %d", id, n)
		}
	}
	for _, p := range st.Pool {
		for _, id := range p.IDs.All() {
			require.False(rt, slices.ContainsFunc(o.Stay, pinstest.Permitted(o.Pins, c[id])), "%s waits; pins %+v", id, o.Pins)
		}
	}
	if o.Balance != config.BalanceWeight {
		return
	}
	mean, worst := 0.0, 0.0
	for _, n := range o.Stay {
		mean += load[n] / float64(len(o.Stay))
	}
	for _, n := range o.Stay {
		worst = max(worst, math.Abs(load[n]-mean)/max(mean, 1e-9))
	}
	if worst <= 0.15 {
		return
	}
	for _, from := range o.Stay {
		for _, to := range o.Stay {
			for _, id := range st.Instances[from].IDs.All() {
				weight := float64(plan.WeightOf(c[id].Weight)) / 1000
				helps := load[from] > mean+1e-9 && load[to]+weight < load[from]-1e-9 && pinstest.Permitted(o.Pins, c[id])(to)
				require.False(rt, helps, "%s of weight %g could go from %d (%g) to %d (%g); %+v", id, weight, from, load[from], to, load[to], r.e.Progress())
			}
		}
	}
}
