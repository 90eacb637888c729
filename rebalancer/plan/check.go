package plan

import (
	"fmt"
	"slices"
)

// Check proves a plan against its world the slow and plain way, sharing no code with the planner:
// none lost, none twice, capacity, bytes and pins after every move, budget, no worse balance,
// everything placed or refused with a reason, and the bound.
//
// With pins, the bound is checked against what any single resource could still do; that no chain of
// several could do better is proved by the tests on small worlds.
func Check(w *World, p *Plan, o Options) error {
	o, err := o.complete()
	if err != nil {
		return err
	}
	if err := w.Validate(); err != nil {
		return err
	}
	c := &checker{w: w, p: p, o: o}
	for _, step := range []func() error{c.ids, c.place, c.moves, c.refusals, c.targets, c.leftOut, c.even, c.bound} {
		if err := step(); err != nil {
			return fmt.Errorf("check plan: %w", err)
		}
	}
	return nil
}

type checker struct {
	w *World
	p *Plan
	o Options
	// Per instance, as the moves are played: count and weight include what waits for room.
	count, waiting, bytes []int
	weight                []int64
	moved, refused        map[Move]bool // keyed by From and Index; To is 0
	must, voluntary       int           // moves so far
	worse                 int           // change of Σ count² by voluntary moves
}

func key(from InstanceIndex, index int32) Move { return Move{From: from, Index: index} }

func (c *checker) list(from InstanceIndex) List {
	if from == FromPool {
		return c.w.Pool
	}
	return c.w.Instances[from].List
}

// ids: the world itself must hold each id once.
func (c *checker) ids() error {
	seen := map[string]bool{}
	for at := FromPool; at < len(c.w.Instances); at++ {
		for _, id := range c.list(InstanceIndex(at)).IDs {
			if seen[id] {
				return fmt.Errorf("id %q is in the world twice", id)
			}
			seen[id] = true
		}
	}
	return nil
}

// place sets everything as it is before the first move.
func (c *checker) place() error {
	n := len(c.w.Instances)
	c.count, c.waiting, c.bytes, c.weight = make([]int, n), make([]int, n), make([]int, n), make([]int64, n)
	c.moved, c.refused = map[Move]bool{}, map[Move]bool{}
	for i, in := range c.w.Instances {
		c.count[i] = len(in.IDs) + in.Arriving.Count
		c.bytes[i] = in.Bytes + in.Arriving.Bytes
		c.weight[i] = in.Arriving.Weight
		for j := range in.IDs {
			c.weight[i] += c.cost(in.List, j)
		}
	}
	return nil
}

func (c *checker) cost(l List, i int) int64 {
	if l.Weights == nil {
		return 1000
	}
	return int64(l.Weights[i])
}

func (c *checker) permits(l List, index int, at int) bool {
	if l.Pins == nil || l.Pins[index] == 0 {
		return true
	}
	return slices.Contains(c.w.Pins[l.Pins[index]-1].Ordinals, c.w.Instances[at].Ordinal)
}

// mustMove: nobody's, on a leaving instance, or where the pin forbids and it is not fixed.
func (c *checker) mustMove(from InstanceIndex, index int) bool {
	if from == FromPool || c.w.Instances[from].Leaving {
		return true
	}
	return !c.w.Instances[from].Fixed && !c.permits(c.list(from), index, int(from))
}

func (c *checker) moves() error {
	for i, m := range c.p.Moves {
		if err := c.move(m); err != nil {
			return fmt.Errorf("move %d of %d: %w", i, len(c.p.Moves), err)
		}
	}
	for i, n := range c.waiting {
		if n > 0 {
			return fmt.Errorf("instance %d: %d resources wait for room in the end", c.w.Instances[i].Ordinal, n)
		}
	}
	switch {
	case c.voluntary != c.p.Voluntary:
		return fmt.Errorf("voluntary: %d, said to be %d", c.voluntary, c.p.Voluntary)
	case c.o.Regime == Emergency && c.voluntary > 0:
		return fmt.Errorf("voluntary: %d, want none in an emergency", c.voluntary)
	case c.o.Budget > 0 && c.voluntary > c.o.Budget:
		return fmt.Errorf("voluntary: %d, over the budget of %d", c.voluntary, c.o.Budget)
	case c.worse > 0 && c.o.Balance == ByCount && !c.pressed():
		return fmt.Errorf("voluntary moves raise the sum of squared counts by %d", c.worse)
	}
	return nil
}

func (c *checker) move(m Move) error {
	n := InstanceIndex(len(c.w.Instances))
	if m.From < FromPool || m.From >= n || m.To < 0 || m.To >= n || m.From == m.To {
		return fmt.Errorf("from %d to %d among %d instances", m.From, m.To, n)
	}
	l := c.list(m.From)
	if m.Index < 0 || int(m.Index) >= len(l.IDs) {
		return fmt.Errorf("index %d of %d", m.Index, len(l.IDs))
	}
	id, to := l.IDs[m.Index], c.w.Instances[m.To]
	switch {
	case c.moved[key(m.From, m.Index)]:
		return fmt.Errorf("%q moves twice", id)
	case m.From != FromPool && c.w.Instances[m.From].Fixed:
		return fmt.Errorf("%q is taken from instance %d, which is fixed", id, c.w.Instances[m.From].Ordinal)
	case !to.Open:
		return fmt.Errorf("%q goes to instance %d, which is not open", id, to.Ordinal)
	case !c.permits(l, int(m.Index), int(m.To)):
		return fmt.Errorf("%q goes to instance %d against its pin", id, to.Ordinal)
	}
	c.moved[key(m.From, m.Index)] = true
	if err := c.judge(m, l); err != nil {
		return err
	}
	c.arrive(m, l)
	if to.MaxBytes > 0 && c.bytes[m.To] > to.MaxBytes {
		return fmt.Errorf("%q: the list of instance %d grows to %d bytes, over its %d", id, to.Ordinal, c.bytes[m.To], to.MaxBytes)
	}
	return nil
}

// judge: a voluntary move has to be of use.
func (c *checker) judge(m Move, l List) error {
	if c.mustMove(m.From, int(m.Index)) {
		c.must++
		return nil
	}
	c.voluntary++
	before, after := c.count[m.From], c.count[m.To]
	c.worse += 2 * (after - before + 1)
	cost := c.cost(l, int(m.Index))
	switch {
	case !c.w.Instances[m.From].Open:
		return fmt.Errorf("%q leaves instance %d, which is not open, without need", l.IDs[m.Index], c.w.Instances[m.From].Ordinal)
	case c.o.Balance == ByWeight && c.weight[m.From] <= c.weight[m.To]+cost:
		return fmt.Errorf("%q does not lower the sum of squared weights: %d to %d with %d", l.IDs[m.Index], c.weight[m.From], c.weight[m.To], cost)
	case c.o.Balance == ByCount && !c.pinned() && before <= c.w.Instances[m.From].Capacity && before <= after+1:
		return fmt.Errorf("%q does not lower the sum of squared counts: %d to %d", l.IDs[m.Index], before, after)
	}
	return nil
}

// arrive books a move: who finds the target full waits until something leaves it.
func (c *checker) arrive(m Move, l List) {
	size := len(l.IDs[m.Index]) + 3
	c.count[m.To]++
	c.bytes[m.To] += size
	c.weight[m.To] += c.cost(l, int(m.Index))
	if c.count[m.To] > c.w.Instances[m.To].Capacity {
		c.waiting[m.To]++
	}
	if m.From == FromPool {
		return
	}
	c.count[m.From]--
	c.bytes[m.From] -= size
	c.weight[m.From] -= c.cost(l, int(m.Index))
	c.waiting[m.From] = min(c.waiting[m.From], max(0, c.count[m.From]-c.w.Instances[m.From].Capacity))
}

func (c *checker) pinned() bool {
	for at := FromPool; at < len(c.w.Instances); at++ {
		for _, p := range c.list(InstanceIndex(at)).Pins {
			if p != 0 {
				return true
			}
		}
	}
	return false
}

// targets: what the full plan says it leads to.
func (c *checker) targets() error {
	if len(c.p.Targets) != len(c.w.Instances) {
		return fmt.Errorf("targets: %d for %d instances", len(c.p.Targets), len(c.w.Instances))
	}
	for i, t := range c.p.Targets {
		if c.p.Remaining == 0 && t != c.count[i] {
			return fmt.Errorf("instance %d: target %d, has %d in the end", c.w.Instances[i].Ordinal, t, c.count[i])
		}
	}
	return nil
}

// even: no single resource could still be moved to good effect.
func (c *checker) even() error {
	if c.o.Balance == ByWeight || c.o.Regime == Emergency || c.p.Remaining > 0 || !c.p.Exact {
		return nil
	}
	for i, a := range c.w.Instances {
		for j, b := range c.w.Instances {
			if a.Open && b.Open && c.count[i] > c.count[j]+1 && c.count[j] < b.Capacity {
				if id, ok := c.could(i, j); ok {
					return fmt.Errorf("%q could still go from instance %d with %d to %d with %d", id, a.Ordinal, c.count[i], b.Ordinal, c.count[j])
				}
			}
		}
	}
	return nil
}

// could finds a resource that is on i in the end and may be on j.
func (c *checker) could(i, j int) (string, bool) {
	l := c.w.Instances[i].List
	for x, id := range l.IDs {
		if !c.w.Instances[i].Fixed && !c.moved[key(InstanceIndex(i), int32(x))] && c.permits(l, x, j) {
			return id, true
		}
	}
	for _, m := range c.p.Moves {
		if l := c.list(m.From); int(m.To) == i && c.permits(l, int(m.Index), j) {
			return l.IDs[m.Index], true
		}
	}
	return "", false
}

// bound: the moves are as many as said, and without pins no fewer could do.
func (c *checker) bound() error {
	full := len(c.p.Moves) + c.p.Remaining
	if c.p.Exact && full != c.p.Bound {
		return fmt.Errorf("%d moves in full, bound %d", full, c.p.Bound)
	}
	if c.o.Balance == ByWeight || c.pinned() {
		return nil
	}
	if want := c.least(); want != c.p.Bound {
		return fmt.Errorf("bound: %d, said to be %d", want, c.p.Bound)
	}
	return nil
}

// least is the least number of moves without pins: raise a level under everyone, one step at a
// time, while there is enough; the rest stays, where it can, with who holds more.
func (c *checker) least() int {
	var open []Instance
	total := len(c.w.Pool.IDs)
	for _, in := range c.w.Instances {
		switch {
		case in.Open:
			open = append(open, in)
			total += len(in.IDs) + in.Arriving.Count
		case in.Leaving:
			total += len(in.IDs)
		}
	}
	held := func(in Instance) int { return len(in.IDs) + in.Arriving.Count }
	at := func(in Instance, level int) int {
		floor := in.Arriving.Count
		if c.o.Regime == Emergency || in.Fixed {
			floor = held(in)
		}
		return min(max(level, floor), max(in.Capacity, floor))
	}
	poured := func(level int) (sum int) {
		for _, in := range open {
			sum += at(in, level)
		}
		return sum
	}
	level, sum := 0, poured(0)
	for sum < total {
		next := poured(level + 1)
		if next == sum && next == poured(1<<40) || next > total {
			break
		}
		level, sum = level+1, next
	}
	kept, extra := 0, 0
	for _, in := range open {
		kept += min(held(in), at(in, level))
		if at(in, level+1) > at(in, level) && held(in) > at(in, level) {
			extra++
		}
	}
	rest := 0
	if sum < total && poured(1<<40) > sum {
		rest = total - sum
	}
	return sum + rest - kept - min(rest, extra)
}
