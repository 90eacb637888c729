// Package plan decides which resources move where.
//
// In: a World (who holds what, who may receive, what limits that) and Options. Out: a Plan, a value
// that names every move, the least number of moves there can be, and what was refused and why.
// Invariant: a pure function; the same input gives the same plan, byte for byte. Nothing here is
// lost or doubled: a move names one entry of one list, at most once, and an entry without a move
// stays where it is. What runs where it may is never parked.
//
// Files: world.go (what comes in), plan.go (what comes out), targets.go (how many each instance
// shall hold), flow.go (the same under pins), route.go (targets to moves), weight.go (balance by
// weight), check.go (a slow, plain proof), describe.go (words).
package plan

import (
	"fmt"
	"hash/maphash"
	"iter"
	"math"
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Unlimited is a Capacity that never binds.
const Unlimited = math.MaxInt32

// InstanceIndex is a position in World.Instances, or FromPool.
type InstanceIndex int16

// FromPool is the From of a move that takes its resource from World.Pool.
const FromPool = -1

// Weight is what a resource costs, in thousandths.
type Weight uint32

// WeightOf turns a catalogue's number into a Weight. What is not positive counts as 1; the result
// is at least a thousandth.
func WeightOf(v float64) Weight {
	switch {
	case !(v > 0):
		return 1000
	case v >= math.MaxUint32/1000:
		return math.MaxUint32
	}
	return max(1, Weight(math.Round(v*1000)))
}

// PinIndex says which pin holds for a resource: 0 none, k World.Pins[k-1].
type PinIndex uint16

// World is one moment of a kind: what the planner looks at. It does not change: Plans refer to it.
type World struct {
	// Instances are ascending by ordinal.
	Instances []Instance
	// Pool are the resources that no instance owns, in the order in which they came.
	Pool List
	// Pins are the sets of ordinals that some resources are bound to.
	Pins []Pin
}

// List is some resources in their stored order. Weights and Pins are parallel to IDs, or nil.
type List struct {
	IDs protocol.IDs
	// Weights: nil means 1 each.
	Weights []Weight
	// Pins: nil means that none is pinned.
	Pins []PinIndex
}

// Instance is one ordinal. One neither Open nor Leaving keeps what it has and gets nothing.
type Instance struct {
	Ordinal int
	// Open: it may receive. Leaving: everything must go elsewhere. Never both.
	Open, Leaving bool
	// Fixed: nothing may be revoked from it, whatever its pins and its capacity say, since it would
	// never be released. Never with Leaving.
	Fixed bool
	// Capacity is the most resources it may hold, 1 or more. Holding more (a lowered capacity)
	// refuses new ones and parks none.
	Capacity int
	// MaxBytes limits its list's znode in bytes, 0: no limit. Bytes is its present length.
	MaxBytes, Bytes int
	// List is what it holds.
	List
	// Arriving is what is in flight to it: not in its list yet, but room must be kept.
	Arriving Arriving
}

// Arriving is a reservation.
type Arriving struct {
	Count, Bytes int
	Weight       int64 // thousandths
}

// Pin is a set of ordinals and why.
type Pin struct {
	// Name is shown in reasons: the rule or rules that pin.
	Name string
	// Ordinals are ascending. None at all cannot be satisfied (rules that contradict each other).
	Ordinals []int
}

// ID is the resource that a move takes, pinOf its pin, weightOf its weight.
func (w *World) ID(m Move) string { return w.list(m.From).IDs.At(int(m.Index)) }

func (w *World) pinOf(m Move) PinIndex { return w.list(m.From).pin(int(m.Index)) }

func (w *World) weightOf(m Move) int64 { return w.list(m.From).weight(int(m.Index)) }

// Ordinal is the ordinal of a From or To; -1 for the pool.
func (w *World) Ordinal(at InstanceIndex) int {
	if at == FromPool {
		return -1
	}
	return w.Instances[at].Ordinal
}

// Lists yields the pool, and then what each instance holds.
func (w *World) Lists() iter.Seq2[InstanceIndex, *List] {
	return func(yield func(InstanceIndex, *List) bool) {
		for at := InstanceIndex(FromPool); int(at) < len(w.Instances); at++ {
			if !yield(at, w.list(at)) {
				return
			}
		}
	}
}

// Doubled finds an id that is there twice. Hashes are compared first: five times as fast as a set.
func (w *World) Doubled() (id string, ok bool) {
	count := 0
	for _, l := range w.Lists() {
		count += l.IDs.Len()
	}
	seed, hashes := maphash.MakeSeed(), make([]uint64, 0, count)
	for _, l := range w.Lists() {
		for _, hash := range l.IDs.Hashes(seed) {
			hashes = append(hashes, hash)
		}
	}
	slices.Sort(hashes)
	if len(slices.Compact(hashes)) == count {
		return "", false
	}
	seen := make(map[string]bool, count)
	for _, l := range w.Lists() {
		for _, id := range l.IDs.All() {
			if seen[id] {
				return id, true
			}
			seen[id] = true
		}
	}
	return "", false
}

func (w *World) list(from InstanceIndex) *List {
	if from == FromPool {
		return &w.Pool
	}
	return &w.Instances[from].List
}

// pinned says whether anything is bound to ordinals.
func (w *World) pinned() bool {
	for _, l := range w.Lists() {
		if slices.ContainsFunc(l.Pins, func(p PinIndex) bool { return p != 0 }) {
			return true
		}
	}
	return false
}

// orphaned says whether anything must move.
func (w *World) orphaned() bool {
	for at, l := range w.Lists() {
		if l.Pins == nil && l.IDs.Len() > 0 && !w.mayStay(0, at) ||
			slices.ContainsFunc(l.Pins, func(p PinIndex) bool { return !w.mayStay(p, at) }) {
			return true
		}
	}
	return false
}

// Allows says whether a resource of that pin may be on that instance.
func (w *World) Allows(class PinIndex, at InstanceIndex) bool {
	if class == 0 {
		return true
	}
	_, ok := slices.BinarySearch(w.Pins[class-1].Ordinals, w.Instances[at].Ordinal)
	return ok
}

// mayStay says whether a resource of that pin may stay where it is.
func (w *World) mayStay(class PinIndex, at InstanceIndex) bool {
	if at == FromPool {
		return false
	}
	in := &w.Instances[at]
	return in.Fixed || !in.Leaving && w.Allows(class, at)
}

// voluntary says whether a move takes a resource from where it may stay.
func (w *World) voluntary(m Move) bool { return w.mayStay(w.pinOf(m), m.From) }

// owned is how many resources an instance holds, arriving included.
func (in *Instance) owned() int { return in.IDs.Len() + in.Arriving.Count }

func (l *List) weight(i int) int64 {
	if l.Weights == nil {
		return 1000
	}
	return int64(l.Weights[i])
}

func (l *List) pin(i int) PinIndex {
	if l.Pins == nil {
		return 0
	}
	return l.Pins[i]
}

// Validate refuses a world that means nothing. It does not look at the ids: Check does.
func (w *World) Validate() error {
	if len(w.Instances) > math.MaxInt16 {
		return fmt.Errorf("validate world: instances: %d, want at most %d", len(w.Instances), math.MaxInt16)
	}
	if len(w.Pins) >= math.MaxUint16 {
		return fmt.Errorf("validate world: pins: %d, want at most %d", len(w.Pins), math.MaxUint16-1)
	}
	if err := w.Pool.validate(len(w.Pins)); err != nil {
		return fmt.Errorf("validate world: pool: %w", err)
	}
	for i := range w.Instances {
		in := &w.Instances[i]
		if err := in.validate(len(w.Pins)); err != nil {
			return fmt.Errorf("validate world: instance %d: %w", in.Ordinal, err)
		}
		if i > 0 && in.Ordinal <= w.Instances[i-1].Ordinal {
			return fmt.Errorf("validate world: instance %d: comes after instance %d, want ascending ordinals", in.Ordinal, w.Instances[i-1].Ordinal)
		}
	}
	return nil
}

func (in *Instance) validate(pins int) error {
	switch {
	case in.Ordinal < 0:
		return fmt.Errorf("ordinal: %d, want 0 or more", in.Ordinal)
	case in.Open && in.Leaving:
		return fmt.Errorf("open and leaving: want at most one of them")
	case in.Fixed && in.Leaving:
		return fmt.Errorf("fixed and leaving: want at most one of them")
	case in.Capacity < 1:
		return fmt.Errorf("capacity: %d, want 1 or more", in.Capacity)
	case in.MaxBytes < 0 || in.Bytes < 0:
		return fmt.Errorf("bytes: %d of %d, want 0 or more", in.Bytes, in.MaxBytes)
	case in.Arriving.Count < 0 || in.Arriving.Bytes < 0 || in.Arriving.Weight < 0:
		return fmt.Errorf("arriving: %+v, want 0 or more", in.Arriving)
	}
	return in.List.validate(pins)
}

func (l *List) validate(pins int) error {
	switch n := l.IDs.Len(); {
	case l.Weights != nil && len(l.Weights) != n:
		return fmt.Errorf("weights: %d for %d ids, want one each", len(l.Weights), n)
	case l.Pins != nil && len(l.Pins) != n:
		return fmt.Errorf("pins: %d for %d ids, want one each", len(l.Pins), n)
	}
	for i, p := range l.Pins {
		if int(p) > pins {
			return fmt.Errorf("pin of %q: %d, want at most %d", l.IDs.At(i), p, pins)
		}
	}
	return nil
}
