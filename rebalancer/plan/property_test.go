package plan_test

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
)

// optimum searches all assignments of a small world for the best: most in order, least Σ load²,
// fewest moves.
type optimum struct {
	w      *plan.World
	regime plan.Regime
	all    []resource
	to     []int // per resource: instance, or stay
	best   score
	found  bool
}

type resource struct {
	from, index int
}

const stay = -2

// score is the planner's objective; less is better.
type score struct{ disorder, kinds, squares, moves int }

func (s score) compare(o score) int {
	return cmp.Or(cmp.Compare(s.disorder, o.disorder), cmp.Compare(s.kinds, o.kinds), cmp.Compare(s.squares, o.squares), cmp.Compare(s.moves, o.moves))
}

func newOptimum(w *plan.World, regime plan.Regime) *optimum {
	o := &optimum{w: w, regime: regime}
	for at := plan.FromPool; at < len(w.Instances); at++ {
		for i := range o.list(at).IDs.Len() {
			o.all = append(o.all, resource{at, i})
			o.to = append(o.to, stay)
		}
	}
	return o
}

func (o *optimum) list(at int) plan.List {
	if at == plan.FromPool {
		return o.w.Pool
	}
	return o.w.Instances[at].List
}

func (o *optimum) permits(r resource, at int) bool {
	l := o.list(r.from)
	return l.Pins == nil || l.Pins[r.index] == 0 || slices.Contains(o.w.Pins[l.Pins[r.index]-1].Ordinals, o.w.Instances[at].Ordinal)
}

func (o *optimum) mayStay(r resource) bool {
	return r.from != plan.FromPool && (o.w.Instances[r.from].Fixed || !o.w.Instances[r.from].Leaving && o.permits(r, r.from))
}

func (o *optimum) search(i int) {
	if i == len(o.all) {
		if s, ok := o.score(); ok && (!o.found || s.compare(o.best) < 0) {
			o.best, o.found = s, true
		}
		return
	}
	o.to[i] = stay
	o.search(i + 1)
	r := o.all[i]
	if o.mayStay(r) && (o.regime == plan.Emergency || !o.w.Instances[r.from].Open || o.w.Instances[r.from].Fixed) {
		return
	}
	for at := range o.w.Instances {
		if at != r.from && o.w.Instances[at].Open && o.permits(r, at) {
			o.to[i] = at
			o.search(i + 1)
		}
	}
	o.to[i] = stay
}

// score judges o.to; false: not possible.
func (o *optimum) score() (s score, ok bool) {
	load, arrivals := make([]int, len(o.w.Instances)), make([]int, len(o.w.Instances))
	for i, r := range o.all {
		switch at := o.to[i]; {
		case at != stay:
			load[at]++
			arrivals[at]++
			s.moves++
		case r.from == plan.FromPool:
			s.disorder++
			s.kinds++
		default:
			load[r.from]++
			if !o.mayStay(r) {
				s.disorder++
				if !o.w.Instances[r.from].Open {
					s.kinds++
				}
			}
		}
	}
	for i, in := range o.w.Instances {
		if !in.Open {
			continue
		}
		load[i] += in.Arriving.Count
		if over := load[i] - in.Capacity; over > 0 {
			if arrivals[i] > 0 {
				return s, false
			}
			s.disorder += over
			s.kinds += 2 * over
		}
		s.squares += load[i] * load[i]
	}
	return s, true
}

func regimes(t *rapid.T) plan.Regime {
	return rapid.SampledFrom([]plan.Regime{plan.Emergency, plan.Periodic}).Draw(t, "regime")
}

func mustMake(t *rapid.T, w *plan.World, o plan.Options) *plan.Plan {
	t.Helper()
	p, err := plan.Make(w, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Check(w, p, o); err != nil {
		t.Fatalf("%v\nworld %+v\nmoves %v\nrefused %v", err, w, p.Moves, p.Refused)
	}
	return p
}

// TestOptimum: on small worlds the plan is as good as the best of all assignments.
func TestOptimum(t *testing.T) {
	for name, c := range map[string]traits{
		"free":   {resources: 7, instances: 4, arriving: true, overCapacity: true, fixed: true},
		"pinned": {resources: 6, instances: 4, pins: true, arriving: true, overCapacity: true, fixed: true},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				w, regime := drawWorld(t, c), regimes(t)
				p := mustMake(t, w, plan.Options{Regime: regime})
				best := newOptimum(w, regime)
				best.search(0)
				if got := best.of(p); got != best.best && p.Exact {
					t.Fatalf("plan %+v, optimum %+v\nworld %+v\nmoves %v", got, best.best, w, p.Moves)
				}
			})
		})
	}
}

// of is the score of a plan.
func (o *optimum) of(p *plan.Plan) score {
	for i, r := range o.all {
		o.to[i] = stay
		for _, m := range p.Moves {
			if int(m.From) == r.from && int(m.Index) == r.index {
				o.to[i] = int(m.To)
			}
		}
	}
	s, ok := o.score()
	if !ok {
		s.disorder = -1
	}
	return s
}

// TestEveryPlan: whatever the world, the checker accepts the plan, the same world gives the same
// plan, a budget gives a prefix of the full plan, and a world in which a full plan was carried out
// needs none.
func TestEveryPlan(t *testing.T) {
	for name, c := range map[string]traits{
		"free":     {resources: 60, instances: 8, arriving: true, overCapacity: true, fixed: true},
		"pinned":   {resources: 40, instances: 8, pins: true, arriving: true, overCapacity: true, fixed: true},
		"bytes":    {resources: 40, instances: 6, pins: true, bytes: true, arriving: true, overCapacity: true, fixed: true},
		"weighted": {resources: 60, instances: 8, pins: true, weights: true, bytes: true, arriving: true, overCapacity: true, fixed: true},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				w, o := drawWorld(t, c), plan.Options{Regime: regimes(t)}
				if c.weights {
					o.Balance = plan.ByWeight
				}
				full := mustMake(t, w, o)
				if again := mustMake(t, w, o); again.ID() != full.ID() {
					t.Fatalf("ids of two plans for one world: %s, %s", full.ID(), again.ID())
				}
				budgeted(t, w, o, full)
				settled(t, w, o, full)
			})
		})
	}
}

func budgeted(t *rapid.T, w *plan.World, o plan.Options, full *plan.Plan) {
	o.Budget = rapid.IntRange(1, 8).Draw(t, "budget")
	part := mustMake(t, w, o)
	if n := len(part.Moves); n > len(full.Moves) || !slices.Equal(part.Moves, full.Moves[:n]) || part.Remaining != len(full.Moves)-n {
		t.Fatalf("%d moves and %d remaining of %d under a budget: not a prefix", n, part.Remaining, len(full.Moves))
	}
}

// settled: nothing moves in a world that a full plan left. By weight, and where bytes bind, what
// arrived may move once more, but not for ever.
func settled(t *rapid.T, w *plan.World, o plan.Options, full *plan.Plan) {
	rounds := 1
	if !full.Exact {
		rounds = 10
	}
	for p := full; rounds > 0; rounds-- {
		w = apply(w, p)
		if p = mustMake(t, w, o); len(p.Moves) == 0 {
			return
		}
	}
	t.Fatalf("moves do not end in a world that does not change: %+v\nfirst plan %v", w, full.Moves)
}
