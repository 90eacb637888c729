package plan_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
)

// worlds is how many random worlds each property sees, unless -rapid.checks says otherwise.
const worlds = "25000"

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", worlds); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// traits say what a random world may contain.
type traits struct {
	resources, instances   int // at most
	pins, weights, bytes   bool
	arriving, overCapacity bool
	fixed                  bool
}

// drawWorld draws a world in which everything that a trait allows happens often.
func drawWorld(t *rapid.T, c traits) *plan.World {
	w := &plan.World{}
	n := rapid.IntRange(0, c.instances).Draw(t, "instances")
	ordinal := rapid.IntRange(0, 2).Draw(t, "start")
	for range n {
		in := plan.Instance{Ordinal: ordinal, Capacity: plan.Unlimited}
		switch rapid.IntRange(0, 7).Draw(t, "state") {
		case 0, 1:
			in.Leaving = true
		case 2: // neither
		default:
			in.Open = true
		}
		in.Fixed = c.fixed && !in.Leaving && rapid.IntRange(0, 2).Draw(t, "fixed") == 0
		if rapid.Bool().Draw(t, "limited") {
			in.Capacity = rapid.IntRange(1, max(2, 2*c.resources/max(n, 1))).Draw(t, "capacity")
		}
		w.Instances = append(w.Instances, in)
		ordinal += rapid.IntRange(1, 2).Draw(t, "gap")
	}
	if c.pins {
		for p := range rapid.IntRange(0, 3).Draw(t, "pins") {
			set := rapid.SliceOfNDistinct(rapid.IntRange(0, ordinal), 0, 3, rapid.ID[int]).Draw(t, "ordinals")
			slices.Sort(set)
			w.Pins = append(w.Pins, plan.Pin{Name: fmt.Sprintf("p%d", p), Ordinals: set})
		}
	}
	fillWorld(t, w, c)
	return w
}

// fillWorld draws the resources, most of them on a few instances.
func fillWorld(t *rapid.T, w *plan.World, c traits) {
	for r := range rapid.IntRange(0, c.resources).Draw(t, "resources") {
		l := &w.Pool
		at := rapid.IntRange(-1, len(w.Instances)-1).Draw(t, "at")
		if at >= 0 {
			in := &w.Instances[at]
			if in.IDs.Len() < in.Capacity || c.overCapacity {
				l = &in.List
				in.Bytes += len(fmt.Sprint("r", r)) + 3
			}
		}
		l.IDs = l.IDs.With(fmt.Sprint("r", r))
		if c.weights {
			l.Weights = append(l.Weights, plan.Weight(rapid.IntRange(1, 9000).Draw(t, "weight")))
		}
		if c.pins {
			l.Pins = append(l.Pins, plan.PinIndex(rapid.IntRange(0, len(w.Pins)).Draw(t, "pin")))
		}
	}
	for i := range w.Instances {
		in := &w.Instances[i]
		in.Bytes += 10
		if c.bytes && rapid.Bool().Draw(t, "tight") {
			in.MaxBytes = in.Bytes + rapid.IntRange(0, 20).Draw(t, "spare")
		}
		if room := in.Capacity - in.IDs.Len(); c.arriving && in.Open && room > 0 && rapid.IntRange(0, 3).Draw(t, "arriving") == 0 {
			in.Arriving.Count = rapid.IntRange(1, min(room, 3)).Draw(t, "count")
			in.Arriving.Weight = 1000 * int64(in.Arriving.Count)
		}
	}
}

// apply plays a plan: the world as it is when the plan is done.
func apply(w *plan.World, p *plan.Plan) *plan.World {
	next := &plan.World{Pins: w.Pins, Instances: slices.Clone(w.Instances)}
	type entry struct {
		from  plan.InstanceIndex
		index int32
	}
	gone := map[entry]bool{}
	for _, m := range p.Moves {
		gone[entry{m.From, m.Index}] = true
	}
	keep := func(from plan.InstanceIndex, l plan.List) (kept plan.List) {
		for i := range l.IDs.Len() {
			if !gone[entry{from, int32(i)}] {
				add(&kept, l, i)
			}
		}
		return kept
	}
	next.Pool = keep(plan.FromPool, w.Pool)
	for i := range next.Instances {
		next.Instances[i].List = keep(plan.InstanceIndex(i), w.Instances[i].List)
	}
	for _, m := range p.Moves {
		from := w.Pool
		if m.From != plan.FromPool {
			from = w.Instances[m.From].List
			next.Instances[m.From].Bytes -= len(w.ID(m)) + 3
		}
		add(&next.Instances[m.To].List, from, int(m.Index))
		next.Instances[m.To].Bytes += len(w.ID(m)) + 3
	}
	return next
}

func add(to *plan.List, from plan.List, i int) {
	to.IDs = to.IDs.With(from.IDs.At(i))
	if from.Weights != nil {
		to.Weights = append(to.Weights, from.Weights[i])
	}
	if from.Pins != nil {
		to.Pins = append(to.Pins, from.Pins[i])
	}
}
