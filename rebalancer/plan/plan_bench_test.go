package plan_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// evenWorld has resources spread evenly on the first from instances, of which the first to (or all,
// if to > from) are open.
func evenWorld(resources, from, to int) *plan.World {
	w := &plan.World{}
	for i := range max(from, to) {
		in := plan.Instance{Ordinal: i, Open: i < to, Leaving: i >= to, Capacity: plan.Unlimited}
		if i < from {
			n := resources / from
			if i < resources%from {
				n++
			}
			ids := make([]string, n)
			for j := range ids {
				ids[j] = fmt.Sprintf("%08x-1d5b-4f3a-9c11-%012x", i*2654435761, j)
			}
			in.IDs = protocol.NewIDs(ids)
		}
		w.Instances = append(w.Instances, in)
	}
	return w
}

func BenchmarkPlan(b *testing.B) {
	for _, c := range []struct{ resources, from, to, bound int }{
		{500_000, 100, 101, 4_950},
		{500_000, 100, 99, 5_000},
		{500_000, 10, 100, 450_000},
		{5_000_000, 1000, 1001, 4_995},
		{5_000_000, 1000, 999, 5_000},
	} {
		b.Run(fmt.Sprintf("resources=%dk/instances=%d→%d", c.resources/1000, c.from, c.to), func(b *testing.B) {
			w := evenWorld(c.resources, c.from, c.to)
			b.ReportAllocs()
			for b.Loop() {
				p, err := plan.Make(w, plan.Options{Regime: plan.Periodic})
				if err != nil {
					b.Fatal(err)
				}
				if len(p.Moves) != c.bound || p.Bound != c.bound || !p.Exact {
					b.Fatalf("%d moves, bound %d, exact %v; want %d", len(p.Moves), p.Bound, p.Exact, c.bound)
				}
			}
		})
	}
}

// BenchmarkPlanPinned: ten classes, each pinned to ten of the instances that overlap with the next
// class's, and as many free.
func BenchmarkPlanPinned(b *testing.B) {
	for _, c := range []struct{ resources, from, to int }{{500_000, 100, 101}, {500_000, 100, 99}, {500_000, 10, 100}} {
		b.Run(fmt.Sprintf("resources=%dk/instances=%d→%d/classes=10", c.resources/1000, c.from, c.to), func(b *testing.B) {
			w, o := evenWorld(c.resources, c.from, c.to), plan.Options{Regime: plan.Periodic}
			for k := range 10 {
				var ordinals []int
				for i := range 15 {
					ordinals = append(ordinals, k*10+i)
				}
				w.Pins = append(w.Pins, plan.Pin{Name: fmt.Sprint(k), Ordinals: ordinals})
			}
			for i := range w.Instances {
				l := &w.Instances[i].List
				l.Pins = make([]plan.PinIndex, l.IDs.Len())
				for j := range l.Pins {
					l.Pins[j] = plan.PinIndex(j * (j % 2) % 11)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				p, err := plan.Make(w, o)
				if err != nil {
					b.Fatal(err)
				}
				if !p.Exact || len(p.Moves) != p.Bound {
					b.Fatalf("%d moves, bound %d, exact %v", len(p.Moves), p.Bound, p.Exact)
				}
			}
		})
	}
}

// hotWorld has lognormal weights; a tenth of the instances hold five times as many as the others.
func hotWorld(resources, instances int) *plan.World {
	w := evenWorld(0, instances, instances)
	random, ids := rand.New(rand.NewPCG(1, 2)), make([][]string, instances)
	for r := range resources {
		at := random.IntN(instances + instances/10*4)
		if at >= instances {
			at = (at - instances) / 4
		}
		l := &w.Instances[at].List
		ids[at] = append(ids[at], fmt.Sprintf("%08x-1d5b-4f3a-9c11-%012x", r*2654435761, r))
		l.Weights = append(l.Weights, plan.WeightOf(math.Exp(random.NormFloat64())))
	}
	for at := range ids {
		w.Instances[at].IDs = protocol.NewIDs(ids[at])
	}
	return w
}

func BenchmarkPlanWeighted(b *testing.B) {
	b.Run("resources=500k/instances=100→100/hot=10", func(b *testing.B) {
		w, o := hotWorld(500_000, 100), plan.Options{Regime: plan.Periodic, Balance: plan.ByWeight, Leave: 1.01}
		b.ReportAllocs()
		for b.Loop() {
			p, err := plan.Make(w, o)
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			d := p.Describe()
			b.StartTimer()
			for _, in := range d.Instances {
				if mean := d.Instances[0].WeightAfter; in.WeightAfter > mean*1.021 || in.WeightAfter < mean/1.021 {
					b.Fatalf("instance %d: %g beside %g", in.Ordinal, in.WeightAfter, mean)
				}
			}
			b.ReportMetric(float64(len(p.Moves)), "moves")
		}
	})
}

// BenchmarkPlanID is the canonical text and its hash.
func BenchmarkPlanID(b *testing.B) {
	p, err := plan.Make(evenWorld(500_000, 10, 100), plan.Options{Regime: plan.Periodic})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("moves=450k", func(b *testing.B) {
		for b.Loop() {
			if p.ID() == "" {
				b.Fatal("no id")
			}
		}
	})
}
