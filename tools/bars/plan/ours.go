package main

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
)

// change is a world by its numbers: resources spread evenly on from instances, of which, or of more, to are open.
type change struct {
	resources, from, to int
	least               int // moves
}

var changes = []change{
	{500_000, 100, 101, 4_950},
	{500_000, 100, 99, 5_000},
	{500_000, 10, 100, 450_000},
}

func (c change) String() string { return fmt.Sprintf("%dk on %d→%d", c.resources/1000, c.from, c.to) }

func (c change) name() string { return fmt.Sprintf("plan_%d_to_%d", c.from, c.to) }

// ids are UUID-like.
func ids(n int) []string {
	all := make([]string, n)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range all {
		a, b := random.Uint64(), random.Uint64()
		all[i] = fmt.Sprintf("%08x-%04x-4%03x-9%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>52, b&0xffffffffffff)
	}
	return all
}

// world deals out ids in runs, as lists that grew in turn would not be, but as they are stored.
func (c change) world(ids []string) *plan.World {
	w := &plan.World{}
	for i := range max(c.from, c.to) {
		in := plan.Instance{Ordinal: i, Open: i < c.to, Leaving: i >= c.to, Capacity: plan.Unlimited}
		if i < c.from {
			in.IDs = ids[i*c.resources/c.from : (i+1)*c.resources/c.from : (i+1)*c.resources/c.from]
		}
		w.Instances = append(w.Instances, in)
	}
	return w
}

// ours plans a world; each plan must have exactly that many moves, and that bound.
func ours(w *plan.World, o plan.Options, least, repeat int) planner {
	return planner{name: "shardscaler", repeat: repeat, plan: func() (answer, error) {
		p, err := plan.Make(w, o)
		if err != nil {
			return nil, err
		}
		if least >= 0 && (len(p.Moves) != least || p.Bound != least || !p.Exact || len(p.Refused) > 0) {
			return nil, fmt.Errorf("%d moves, bound %d, exact %v, %d refused; want %d", len(p.Moves), p.Bound, p.Exact, len(p.Refused), least)
		}
		return func() (int, float64, error) { return len(p.Moves), spreadOf(w, p, o.Balance), nil }, nil
	}}
}

// spreadOf is the difference between the fullest and the emptiest open instance after a plan; by weight, in parts of the mean.
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

// growthAndShrink is the comparison with franz-go, and at 100→101 with the hashes too.
func growthAndShrink(r *report) error {
	if !slices.ContainsFunc(changes, func(c change) bool { return r.wants(c.name()) }) {
		return nil
	}
	all := ids(500_000)
	var failed error
	for _, c := range changes {
		if r.wants(c.name()) {
			failed = errors.Join(failed, compare(r, c, all))
		}
	}
	return failed
}

func compare(r *report, c change, all []string) error {
	fmt.Fprintf(os.Stderr, "plan: %s\n", c)
	w, o := c.world(all), plan.Options{Regime: plan.Periodic}
	p, err := plan.Make(w, o)
	if err == nil {
		err = plan.Check(w, p, o)
	}
	if err != nil {
		return err
	}
	franz, err := newFranz(c)
	if err != nil {
		return err
	}
	results, err := takeTurns(9, ours(w, o, c.least, max(1, 400_000/c.least)), franz.planner())
	if err != nil {
		return err
	}
	mine, others := results[0], results[1:]
	names := []string{"franz-go sticky"}
	if c.to == c.from+1 {
		hashed, err := takeTurns(3, ring(c), rendezvousOf(c, all))
		if err != nil {
			return err
		}
		others, names = append(others, hashed...), append(names, "buraksezer/consistent 1.05", "rendezvous")
	}
	r.rows = append(r.rows, rowOf(c.String(), "shardscaler", mine, 1, c.least))
	for i, other := range others {
		r.rows = append(r.rows, rowOf(c.String(), names[i], other, other.ms/mine.ms, c.least))
	}
	r.figure(c.name()+"_ms", mine.ms, "", 0)
	r.figure(c.name()+"_times_faster_than_franz_go", timesOf(others[0], mine), ">=", 8)
	r.figure(c.name()+"_allocated_bytes_per_move", mine.allocated/float64(c.least), "<=", 16)
	r.figure(c.name()+"_moves_over_bound", float64(mine.moves)/float64(c.least), "<=", 1)
	r.figure(c.name()+"_spread", mine.spread, "<=", 1)
	return nil
}

func rowOf(world, name string, v result, times float64, bound int) row {
	return row{
		world: world, planner: name, ms: v.ms, times: times, moves: v.moves, bound: bound,
		spread: fmt.Sprintf("%.4g", v.spread), allocatedPerMove: v.allocated / float64(max(1, v.moves)),
	}
}

// large is ten times as many resources on ten times as many instances.
func large(r *report) error {
	const name = "plan_5m_over_500k_times"
	if !r.wants(name) {
		return nil
	}
	all := ids(5_000_000)
	o, worst := plan.Options{Regime: plan.Periodic}, 0.0
	for _, c := range []struct{ small, large change }{
		{changes[0], change{5_000_000, 1000, 1001, 4_995}},
		{changes[1], change{5_000_000, 1000, 999, 5_000}},
		{changes[2], change{5_000_000, 100, 1000, 4_500_000}},
	} {
		fmt.Fprintf(os.Stderr, "plan: %s beside %s\n", c.large, c.small)
		results, err := takeTurns(9,
			ours(c.small.world(all), o, c.small.least, max(1, 400_000/c.small.least)),
			ours(c.large.world(all), o, c.large.least, max(1, 400_000/c.large.least)))
		if err != nil {
			return err
		}
		times := timesOf(results[1], results[0])
		worst = max(worst, times)
		r.rows = append(r.rows, rowOf(c.large.String(), "shardscaler", results[1], times, c.large.least))
	}
	r.figure(name, worst, "<=", 20)
	return nil
}

// text is the canonical text of the largest plan of 500,000 resources, and its hash.
func text(r *report) error {
	const name = "plan_text_and_id_of_450k_moves_ms"
	if !r.wants(name) {
		return nil
	}
	c := changes[2]
	p, err := plan.Make(c.world(ids(c.resources)), plan.Options{Regime: plan.Periodic})
	if err != nil {
		return err
	}
	results, err := takeTurns(9, planner{name: "id", plan: func() (answer, error) {
		id := p.ID()
		return func() (int, float64, error) { return len(id), 0, nil }, nil
	}})
	if err != nil {
		return err
	}
	r.figure(name, results[0].ms, "<=", 100)
	return nil
}
