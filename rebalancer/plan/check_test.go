package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// TestCheckFindsFaults: the checker refuses a plan that is wrong in any one way. Without this, a
// checker that accepts everything would make all other tests green.
func TestCheckFindsFaults(t *testing.T) {
	world := func() *plan.World {
		w := evenWorld(12, 2, 3)
		w.Instances[2].Capacity = 5
		w.Pool = plan.List{IDs: protocol.NewIDs([]string{"p", "q"}), Pins: []plan.PinIndex{0, 1}}
		w.Pins = []plan.Pin{{Name: "first", Ordinals: []int{0}}}
		w.Instances = append(w.Instances, plan.Instance{Ordinal: 3, Leaving: true, Capacity: 9, List: plan.List{IDs: protocol.NewIDs([]string{"l"})}})
		return w
	}
	o := plan.Options{Regime: plan.Periodic}
	for name, c := range map[string]struct {
		spoil func(*plan.World, *plan.Plan, *plan.Options)
		want  string
	}{
		"lost": {func(_ *plan.World, p *plan.Plan, _ *plan.Options) {
			p.Targets[p.Moves[0].To]--
			p.Moves = p.Moves[1:]
		}, "neither moved nor refused"},
		"twice":         {func(_ *plan.World, p *plan.Plan, _ *plan.Options) { p.Moves = append(p.Moves, p.Moves[0]) }, "moves twice"},
		"closed target": {func(_ *plan.World, p *plan.Plan, _ *plan.Options) { p.Moves[0].To = 3 }, "not open"},
		"nowhere":       {func(_ *plan.World, p *plan.Plan, _ *plan.Options) { p.Moves[0].To = 9 }, "among 4 instances"},
		"no such index": {func(_ *plan.World, p *plan.Plan, _ *plan.Options) { p.Moves[0].Index = 9 }, "index 9 of"},
		"against a pin": {func(w *plan.World, _ *plan.Plan, _ *plan.Options) { w.Pins[0].Ordinals = []int{1} }, "against its pin"},
		"capacity":      {func(w *plan.World, _ *plan.Plan, _ *plan.Options) { w.Instances[2].Capacity = 4 }, "wait for room"},
		"bytes":         {func(w *plan.World, _ *plan.Plan, _ *plan.Options) { w.Instances[2].MaxBytes = 20 }, "over its 20"},
		"doubled id":    {func(w *plan.World, _ *plan.Plan, _ *plan.Options) { w.Pool.IDs = protocol.NewIDs([]string{"l", "q"}) }, "in the world twice"},
		"over budget":   {func(_ *plan.World, _ *plan.Plan, o *plan.Options) { o.Budget = 1 }, "over the budget of 1"},
		"miscounted":    {func(_ *plan.World, p *plan.Plan, _ *plan.Options) { p.Voluntary++ }, "said to be"},
		"in emergency":  {func(_ *plan.World, _ *plan.Plan, o *plan.Options) { o.Regime = plan.Emergency }, "want none in an emergency"},
		"wrong target":  {func(_ *plan.World, p *plan.Plan, _ *plan.Options) { p.Targets[0]++ }, "target"},
		"wrong bound":   {func(_ *plan.World, p *plan.Plan, _ *plan.Options) { p.Bound-- }, "bound"},
		"uneven": {func(_ *plan.World, p *plan.Plan, _ *plan.Options) {
			last := p.Moves[len(p.Moves)-1]
			p.Moves = p.Moves[:len(p.Moves)-1]
			p.Voluntary--
			p.Targets[last.From]++
			p.Targets[last.To]--
		}, "could still go"},
		"refused though moved": {func(_ *plan.World, p *plan.Plan, _ *plan.Options) {
			p.Refused = append(p.Refused, plan.Refusal{From: p.Moves[0].From, Index: p.Moves[0].Index, Why: plan.Full})
		}, "refused and moved"},
		"untrue reason": {func(_ *plan.World, p *plan.Plan, _ *plan.Options) {
			p.Refused = append(p.Refused, plan.Refusal{From: p.Moves[0].From, Index: p.Moves[0].Index, Why: plan.NoOpen})
			p.Moves = p.Moves[1:]
		}, "is not true"},
	} {
		t.Run(name, func(t *testing.T) {
			w, o := world(), o
			p, err := plan.Make(w, o)
			if err != nil {
				t.Fatal(err)
			}
			if err := plan.Check(w, p, o); err != nil {
				t.Fatalf("before it is spoilt: %v", err)
			}
			p.Moves = slices.Clone(p.Moves)
			c.spoil(w, p, &o)
			if err := plan.Check(w, p, o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestUselessMoves: a voluntary move that does not help is a fault, also where the end is even.
func TestUselessMoves(t *testing.T) {
	w := evenWorld(4, 2, 2)
	p, err := plan.Make(w, plan.Options{Regime: plan.Periodic})
	if err != nil {
		t.Fatal(err)
	}
	p.Moves, p.Voluntary = []plan.Move{{From: 0, To: 1, Index: 0}, {From: 1, To: 0, Index: 0}}, 2
	for _, balance := range []plan.Balance{plan.ByCount, plan.ByWeight} {
		err := plan.Check(w, p, plan.Options{Regime: plan.Periodic, Balance: balance})
		if err == nil || !strings.Contains(err.Error(), "does not lower") {
			t.Errorf("by %s: %v", balance, err)
		}
	}
}

func TestMakeRefusesWhatMeansNothing(t *testing.T) {
	for want, spoil := range map[string]func(*plan.World, *plan.Options){
		"ascending ordinals":       func(w *plan.World, _ *plan.Options) { w.Instances[1].Ordinal = 0 },
		"ordinal: -1":              func(w *plan.World, _ *plan.Options) { w.Instances[0].Ordinal = -1 },
		"open and leaving":         func(w *plan.World, _ *plan.Options) { w.Instances[0].Leaving = true },
		"capacity: 0":              func(w *plan.World, _ *plan.Options) { w.Instances[0].Capacity = 0 },
		"bytes: -1":                func(w *plan.World, _ *plan.Options) { w.Instances[0].Bytes = -1 },
		"arriving":                 func(w *plan.World, _ *plan.Options) { w.Instances[0].Arriving.Count = -1 },
		"weights: 1 for 2 ids":     func(w *plan.World, _ *plan.Options) { w.Instances[0].Weights = []plan.Weight{1} },
		"pins: 1 for 2 ids":        func(w *plan.World, _ *plan.Options) { w.Instances[0].Pins = []plan.PinIndex{0} },
		"want at most 0":           func(w *plan.World, _ *plan.Options) { w.Instances[0].Pins = []plan.PinIndex{0, 1} },
		`regime: "never"`:          func(_ *plan.World, o *plan.Options) { o.Regime = "never" },
		`balance: "size"`:          func(_ *plan.World, o *plan.Options) { o.Balance = "size" },
		"budget: -1":               func(_ *plan.World, o *plan.Options) { o.Budget = -1 },
		"enter 1.15 and leave 1.2": func(_ *plan.World, o *plan.Options) { o.Leave = 1.2 },
	} {
		w, o := evenWorld(4, 2, 2), plan.Options{}
		spoil(w, &o)
		if _, err := plan.Make(w, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestWeightOf: what a catalogue says, in thousandths, never nothing.
func TestWeightOf(t *testing.T) {
	for v, want := range map[float64]plan.Weight{0: 1000, -3: 1000, 1: 1000, 2.5: 2500, 0.0001: 1, 1e30: 1<<32 - 1} {
		if got := plan.WeightOf(v); got != want {
			t.Errorf("%g: %d, want %d", v, got, want)
		}
	}
}
