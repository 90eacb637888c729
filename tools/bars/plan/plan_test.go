package plan

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

// BenchmarkChange is a scale up or down, ours and franz-go's, and where one instance joins the
// hashes' too.
func BenchmarkChange(b *testing.B) {
	ids := product.IDs(500_000, 1)
	for name, c := range map[string]change{"100_to_101": oneMore, "100_to_99": oneLess, "10_to_100": tenTimes} {
		b.Run(name, func(b *testing.B) {
			check(b, c.world(ids), periodic)
			planners := []planner{c.planner(b, ids), franzGo(b, c)}
			if c == oneMore {
				planners = append(planners, ring(c), rendezvousOf(c, ids))
			}
			results := takeTurns(b, planners...)
			ours, franz := results[0], results[1]
			b.ReportMetric(ours.ms(), "ms")
			b.ReportMetric(rounds.Ratio(franz.times, ours.times), "times_faster_than_franz_go")
			b.ReportMetric(ours.allocated/float64(c.least), "allocated_bytes_per_move")
			b.ReportMetric(float64(ours.moves)/float64(c.least), "moves_over_bound")
			b.ReportMetric(ours.spread, "spread")
		})
	}
}

// BenchmarkLarge is ten times as many resources on ten times as many instances, beside the smaller
// world. Each pair has rounds of its own: between those of another pair the memory that a plan
// needs would have gone back to the system.
func BenchmarkLarge(b *testing.B) {
	ids, worst := product.IDs(5_000_000, 1), 0.0
	for _, pair := range [][2]change{
		{oneMore, {5_000_000, 1000, 1001, 4_995}},
		{oneLess, {5_000_000, 1000, 999, 5_000}},
		{tenTimes, {5_000_000, 100, 1000, 4_500_000}},
	} {
		enough := func(round int) bool { return round < 31 }
		results := takeTurnsWhile(b, enough, pair[0].planner(b, ids), pair[1].planner(b, ids))
		worst = max(worst, rounds.Ratio(results[1].times, results[0].times))
	}
	b.ReportMetric(worst, "times")
}

// BenchmarkScale is a scale up or down of 4,400,000 resources, with the limits that the engine sets.
func BenchmarkScale(b *testing.B) {
	ids := product.IDs(4_400_000, 1)
	for name, c := range map[string]change{"999_to_1000": {4_400_000, 999, 1000, 4_400}, "1000_to_900": {4_400_000, 1000, 900, 440_000}} {
		b.Run(name, func(b *testing.B) {
			w := c.world(ids)
			for i := range w.Instances {
				in := &w.Instances[i]
				in.Capacity, in.MaxBytes, in.Bytes = 5000, protocol.MaxListBytes, protocol.Costs(in.IDs.Strings())
			}
			check(b, w, periodic)
			b.ReportMetric(takeTurns(b, ours(b, w, periodic, c.least))[0].ms(), "ms")
		})
	}
}

// BenchmarkText is the canonical text of the largest plan of 500,000 resources, and its hash.
func BenchmarkText(b *testing.B) {
	p, err := plan.Make(tenTimes.world(product.IDs(tenTimes.resources, 1)), periodic)
	require.NoError(b, err)
	results := takeTurns(b, planner{name: "id", plan: func() answer {
		id := p.ID()
		return func() (int, float64) { return len(id), 0 }
	}})
	b.ReportMetric(results[0].ms(), "ms")
}

// BenchmarkWeighted is 500,000 resources with lognormal weights on 100 instances, one of them hot,
// one of them cold.
func BenchmarkWeighted(b *testing.B) {
	w := hotAndCold(500_000, 100)
	o := plan.Options{Regime: plan.Periodic, Balance: plan.ByWeight, Leave: 1.01}
	check(b, w, o)
	results := takeTurns(b, ours(b, w, o, -1), greedy(w, o))
	ours, greedy := results[0], results[1]
	b.ReportMetric(ours.ms(), "ms")
	b.ReportMetric(float64(ours.moves), "moves")
	b.ReportMetric(ours.spread, "spread_over_mean")
	b.ReportMetric(rounds.Ratio(greedy.times, ours.times), "times_faster_than_greedy")
}

// hotAndCold gives the first instance twice as many, the last one half as many as the others.
func hotAndCold(resources, instances int) *plan.World {
	w := &plan.World{}
	var shares []int
	for i := range instances {
		w.Instances = append(w.Instances, plan.Instance{Ordinal: i, Open: true, Capacity: plan.Unlimited})
		n := 2
		switch i {
		case 0:
			n = 4
		case instances - 1:
			n = 1
		}
		for range n {
			shares = append(shares, i)
		}
	}
	random, ids := rand.New(rand.NewPCG(1, 2)), make([][]string, instances)
	for _, id := range product.IDs(resources, 1) {
		at := shares[random.IntN(len(shares))]
		in := &w.Instances[at]
		ids[at] = append(ids[at], id)
		in.Weights = append(in.Weights, plan.WeightOf(math.Exp(random.NormFloat64())))
	}
	for at := range ids {
		w.Instances[at].IDs = protocol.NewIDs(ids[at])
	}
	return w
}
