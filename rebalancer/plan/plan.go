package plan

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Regime is what a plan may do.
type Regime string

const (
	// Emergency places what has no owner, sits on a leaving instance or sits where its pin forbids.
	// It moves nothing else, may worsen the balance and has no budget.
	Emergency Regime = "emergency"
	// Periodic does that and spreads too: within a budget, and without worsening the balance.
	Periodic Regime = "periodic"
)

// Balance is what is to be even among the open instances.
type Balance string

const (
	// ByCount evens the number of resources.
	ByCount Balance = "count"
	// ByWeight evens the sum of weights; the number of resources is only limited by capacity.
	ByWeight Balance = "weight"
)

// Options say what is wanted. The zero value of each field is its default.
type Options struct {
	Regime  Regime  // default Emergency
	Balance Balance // default ByCount
	// Budget is the most moves that only spread (periodic regime); 0: no limit.
	Budget int
	// Enter and Leave are the hysteresis of balance by weight, as ratios of the mean (1.15: 15 %
	// above or below it): spreading is due when an instance is farther away than Enter, and a plan
	// spreads until all are within Leave. Defaults 1.15, 1.05.
	Enter, Leave float64
}

// Move takes one resource from one list to another. 8 bytes, since a plan may hold millions.
type Move struct {
	// From and To are positions in World.Instances; From may be FromPool.
	From, To InstanceIndex
	// Index is the resource's place in the list of From.
	Index int32
}

// Reason is why a resource could not go where it should: each a fault of another kind with another
// cure.
type Reason uint8

const (
	NoOpen Reason = iota + 1
	Full
	PinClosed
	PinFull
	BytesFull
	OverCapacity
)

// reasons are each as a word, in text and JSON, and as a sentence.
var reasons = [...]struct{ word, meaning string }{
	NoOpen:       {"no-open-instance", "no instance is open"},
	Full:         {"full", "all open instances are at their capacity"},
	PinClosed:    {"pin-closed", "none of the ordinals it is pinned to is open"},
	PinFull:      {"pin-full", "the open ordinals it is pinned to are at their capacity"},
	BytesFull:    {"bytes-full", "where there is room by count, the list would grow over its limit in bytes"},
	OverCapacity: {"over-capacity", "its instance holds more than its capacity and there is no room elsewhere: it stays"},
}

// String is the reason as a word.
func (r Reason) String() string { return reasons[r].word }

// Refusal is a resource that should have a move and has none: it stays where it is (pool or list).
type Refusal struct {
	From  InstanceIndex
	Index int32
	Why   Reason
}

// Plan is an ordered list of moves and its certificate.
//
// Moves are in order of execution: after each of them capacity, bytes and pins hold. The one
// exception: where full instances exchange resources, a resource waits in flight until a later move
// made room at its target; no plan ends with one waiting.
type Plan struct {
	Regime  Regime
	Balance Balance
	// Moves starts with what must move; what only spreads comes after it, unless it makes room.
	Moves []Move
	// Targets is how many resources each instance holds after the full plan, arriving included;
	// parallel to World.Instances.
	Targets []int
	// Bound is the least number of moves of any plan that places as many and spreads as evenly. The
	// full plan (Moves + Remaining) has exactly that many if Exact. There is no such certificate by
	// weight, where bytes bind, and for pins while an instance keeps more than its capacity.
	Bound int
	Exact bool
	// Voluntary counts those of Moves that only spread or make room: the budget counts these.
	Voluntary int
	// Remaining are the full plan's moves beyond the budget. Moves is a prefix of that.
	Remaining int
	// Refused are the resources that could not be placed, with reasons.
	Refused []Refusal

	world *World
}

// World is what the plan was made of.
func (p *Plan) World() *World { return p.world }

// Make plans. It fails on a world or options that mean nothing; the plan has what is refused.
func Make(w *World, o Options) (*Plan, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	if err := w.Validate(); err != nil {
		return nil, err
	}
	p := &Plan{Regime: o.Regime, Balance: o.Balance, world: w}
	if o.Balance == ByWeight {
		p.byWeight(o)
	} else {
		p.byCount(o)
	}
	return p, nil
}

func (p *Plan) byCount(o Options) {
	var l layout
	exact := true
	if p.world.pinned() {
		l, exact = pinnedLayout(p.world, o)
	} else {
		l = freeLayout(p.world, o)
	}
	e, straight := emit(p.world, l)
	p.Bound, p.Exact = l.moves(), exact && straight
	p.Moves, p.Voluntary, p.Targets, p.Refused = e.moves, e.voluntary, e.load, e.refused
	if o.Budget > 0 && p.Voluntary > o.Budget {
		p.cut(o.Budget)
	}
}

// ShouldRebalance says whether a periodic plan is due, and why or why not. openChanged: the set of
// open ordinals is another one than when the last periodic plan was done, or that one is not done
// yet. Without that a kind that is balanced by count is left alone until max − min is large, else
// every delete would move something; by weight, until an instance is farther from the mean than
// Enter.
func ShouldRebalance(w *World, openChanged bool, o Options) (bool, string) {
	o, err := o.complete()
	if err != nil {
		return false, err.Error()
	}
	if openChanged {
		return true, "the set of open instances changed"
	}
	open, _, _ := survey(w)
	if len(open) < 2 {
		return false, "fewer than two instances are open"
	}
	for _, at := range open {
		if in := &w.Instances[at]; !in.Fixed && in.owned() > in.Capacity {
			return true, fmt.Sprintf("instance %d holds %d, more than its capacity of %d", in.Ordinal, in.owned(), in.Capacity)
		}
	}
	if n := waitsForRoom(w, open); n > 0 {
		return true, fmt.Sprintf("no room where their pins allow for %s, while there is room elsewhere", resources(n))
	}
	if o.Balance == ByWeight {
		return unevenWeights(w, open, o)
	}
	return unevenCounts(w, open)
}

// waitsForRoom counts what an emergency plan could place only if others made room.
func waitsForRoom(w *World, open []InstanceIndex) (n int) {
	if !w.pinned() || !w.orphaned() {
		return 0
	}
	p := &Plan{Regime: Emergency, Balance: ByCount, world: w}
	p.byCount(Options{Regime: Emergency})
	for _, r := range p.Refused {
		if r.Why == PinFull {
			n++
		}
	}
	if !slices.ContainsFunc(open, func(at InstanceIndex) bool { return p.Targets[at] < w.Instances[at].Capacity }) {
		return 0
	}
	return n
}

// Spreading by count is due when max − min exceeds both minSpread and that share of the mean.
const (
	minSpread      = 2.0
	minSpreadShare = 0.05
)

var bounds = map[bool]string{false: "within", true: "over"}

func unevenCounts(w *World, open []InstanceIndex) (bool, string) {
	low, high, sum := math.MaxInt, 0, 0
	for _, at := range open {
		n := w.Instances[at].owned()
		low, sum = min(low, n), sum+n
		if !w.Instances[at].Fixed {
			high = max(high, n)
		}
	}
	high = max(high, low) // where all are fixed
	limit := max(minSpread, minSpreadShare*float64(sum)/float64(len(open)))
	over := float64(high-low) > limit
	return over, fmt.Sprintf("the fullest instance holds %d more than the emptiest, %s the limit of %.4g", high-low, bounds[over], limit)
}

func unevenWeights(w *World, open []InstanceIndex, o Options) (bool, string) {
	weight := weights(w)
	_, worst := imbalance(evenable(w, open, weight), weight)
	over := worst > o.Enter
	return over, fmt.Sprintf("imbalance by weight %.3f, %s the enter ratio of %.4g", worst, bounds[over], o.Enter)
}

func (o Options) complete() (Options, error) {
	o.Regime, o.Balance = cmp.Or(o.Regime, Emergency), cmp.Or(o.Balance, ByCount)
	o.Enter, o.Leave = cmp.Or(o.Enter, 1.15), cmp.Or(o.Leave, 1.05)
	switch {
	case o.Regime != Emergency && o.Regime != Periodic:
		return o, fmt.Errorf("check options: regime: %q, want %s or %s", o.Regime, Emergency, Periodic)
	case o.Balance != ByCount && o.Balance != ByWeight:
		return o, fmt.Errorf("check options: balance: %q, want %s or %s", o.Balance, ByCount, ByWeight)
	case o.Budget < 0:
		return o, fmt.Errorf("check options: budget: %d, want 0 (no limit) or more", o.Budget)
	case !(o.Leave >= 1 && o.Enter >= o.Leave):
		return o, fmt.Errorf("check options: enter %g and leave %g: want 1 <= leave <= enter", o.Enter, o.Leave)
	}
	return o, nil
}
