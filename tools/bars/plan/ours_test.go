package plan

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// change is a world by its numbers: resources spread evenly on from instances, of which, or of
// more, to are open.
type change struct {
	resources, from, to int
	least               int // moves
}

var (
	oneMore  = change{500_000, 100, 101, 4_950}
	oneLess  = change{500_000, 100, 99, 5_000}
	tenTimes = change{500_000, 10, 100, 450_000}
)

func (c change) String() string { return fmt.Sprintf("%dk on %d→%d", c.resources/1000, c.from, c.to) }

var periodic = plan.Options{Regime: plan.Periodic}

// world gives out ids in runs, as lists that became longer in turn would not be, but as they are
// stored.
func (c change) world(ids []string) *plan.World {
	w := &plan.World{}
	for i := range max(c.from, c.to) {
		in := plan.Instance{Ordinal: i, Open: i < c.to, Leaving: i >= c.to, Capacity: plan.Unlimited}
		if i < c.from {
			in.IDs = protocol.NewIDs(ids[i*c.resources/c.from : (i+1)*c.resources/c.from])
		}
		w.Instances = append(w.Instances, in)
	}
	return w
}

// planner plans the world of ids; each plan must have the least number of moves, and say so.
func (c change) planner(tb testing.TB, ids []string) planner {
	p := ours(tb, c.world(ids), periodic, c.least)
	p.name, p.repeat = "shardscaler, "+c.String(), 400_000/c.least
	return p
}

// check has one plan judged by the planner's own rules.
func check(tb testing.TB, w *plan.World, o plan.Options) {
	p, err := plan.Make(w, o)
	require.NoError(tb, err)
	require.NoError(tb, plan.Check(w, p, o))
}

// ours plans a world. least is how many moves each plan must have, or -1.
func ours(tb testing.TB, w *plan.World, o plan.Options, least int) planner {
	return planner{name: "shardscaler", plan: func() answer {
		p, err := plan.Make(w, o)
		if err != nil || least >= 0 && (len(p.Moves) != least || p.Bound != least || !p.Exact || len(p.Refused) > 0) {
			tb.Fatalf("%d moves, bound %d, exact %v, %d refused; want %d; %v", len(p.Moves), p.Bound, p.Exact, len(p.Refused), least, err)
		}
		return func() (int, float64) { return len(p.Moves), spreadOf(w, p, o.Balance) }
	}}
}

// spreadOf is the difference between the fullest and the emptiest open instance after a plan; by
// weight, in parts of the mean.
func spreadOf(w *plan.World, p *plan.Plan, by plan.Balance) float64 {
	if by == plan.ByWeight {
		var loads []float64
		for _, in := range p.Describe().Instances {
			loads = append(loads, in.WeightAfter)
		}
		return relativeSpread(loads)
	}
	low, high := math.MaxInt, 0
	for i, t := range p.Targets {
		if w.Instances[i].Open {
			low, high = min(low, t), max(high, t)
		}
	}
	return float64(high - low)
}

func relativeSpread(loads []float64) float64 {
	sum := 0.0
	for _, l := range loads {
		sum += l
	}
	return (slices.Max(loads) - slices.Min(loads)) / (sum / float64(len(loads)))
}
