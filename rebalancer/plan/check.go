package plan

import (
	"fmt"
	"slices"
)

// Check proves a plan against its world the slow and plain way: none lost, none twice, capacity,
// bytes and pins after every move, budget, no worse balance, everything placed or refused with a
// reason, and the bound. It shares no code with the planner but how a World is read.
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
	if id, doubled := w.Doubled(); doubled {
		return fmt.Errorf("check plan: id %q is in the world twice", id)
	}
	c := &checker{w: w, p: p, o: o, pinned: w.pinned(), moved: map[Move]bool{}, refused: map[Move]bool{}}
	for i := range w.Instances {
		in := &w.Instances[i]
		c.at = append(c.at, played{
			Instance: in, count: in.owned(), bytes: in.Bytes + in.Arriving.Bytes, weight: in.Arriving.Weight,
		})
		for j := range in.IDs.Len() {
			c.at[i].weight += in.weight(j)
		}
	}
	for _, step := range []func() error{c.moves, c.refusals, c.targets, c.leftOut, c.even, c.bound} {
		if err := step(); err != nil {
			return fmt.Errorf("check plan: %w", err)
		}
	}
	return nil
}

type checker struct {
	w              *World
	p              *Plan
	o              Options
	pinned         bool
	at             []played      // parallel to World.Instances
	moved, refused map[Move]bool // keyed by From and Index; To is 0
	voluntary      int           // moves so far
	worse          int           // change of Σ count² by voluntary moves
}

// played is an instance as the moves are played: count and weight include what waits for room.
type played struct {
	*Instance
	count, waiting, bytes int
	weight                int64
}

func (in *played) add(n, bytes int, weight int64) {
	in.count += n
	in.bytes += bytes
	in.weight += weight
}

func key(from InstanceIndex, index int) Move { return Move{From: from, Index: int32(index)} }

func (c *checker) permits(l *List, index int, to *Instance) bool {
	pin := l.pin(index)
	return pin == 0 || slices.Contains(c.w.Pins[pin-1].Ordinals, to.Ordinal)
}

// mustMove: unassigned, on a leaving instance, or where the pin forbids and it is not fixed.
func (c *checker) mustMove(from InstanceIndex, index int) bool {
	if from == FromPool || c.at[from].Leaving {
		return true
	}
	in := c.at[from].Instance
	return !in.Fixed && !c.permits(&in.List, index, in)
}

func (c *checker) moves() error {
	for i, m := range c.p.Moves {
		if err := c.move(m); err != nil {
			return fmt.Errorf("move %d of %d: %w", i, len(c.p.Moves), err)
		}
	}
	for _, in := range c.at {
		if in.waiting > 0 {
			return fmt.Errorf("instance %d: %d resources wait for room in the end", in.Ordinal, in.waiting)
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
	n := InstanceIndex(len(c.at))
	if m.From < FromPool || m.From >= n || m.To < 0 || m.To >= n || m.From == m.To {
		return fmt.Errorf("from %d to %d among %d instances", m.From, m.To, n)
	}
	l, index := c.w.list(m.From), int(m.Index)
	if index < 0 || index >= l.IDs.Len() {
		return fmt.Errorf("index %d of %d", index, l.IDs.Len())
	}
	id, to := l.IDs.At(index), c.at[m.To]
	switch {
	case c.moved[key(m.From, index)]:
		return fmt.Errorf("%q moves twice", id)
	case m.From != FromPool && c.at[m.From].Fixed:
		return fmt.Errorf("%q is taken from instance %d, which is fixed", id, c.at[m.From].Ordinal)
	case !to.Open:
		return fmt.Errorf("%q goes to instance %d, which is not open", id, to.Ordinal)
	case !c.permits(l, index, to.Instance):
		return fmt.Errorf("%q goes to instance %d against its pin", id, to.Ordinal)
	}
	c.moved[key(m.From, index)] = true
	if !c.mustMove(m.From, index) {
		if err := c.judge(id, l.weight(index), &c.at[m.From], &to); err != nil {
			return err
		}
	}
	c.play(m, len(id)+3, l.weight(index))
	if bytes := c.at[m.To].bytes; to.MaxBytes > 0 && bytes > to.MaxBytes {
		return fmt.Errorf("%q: the list of instance %d grows to %d bytes, over its %d", id, to.Ordinal, bytes, to.MaxBytes)
	}
	return nil
}

// judge: a voluntary move has to be of use.
func (c *checker) judge(id string, weight int64, from, to *played) error {
	c.voluntary++
	c.worse += 2 * (to.count - from.count + 1)
	switch {
	case !from.Open:
		return fmt.Errorf("%q leaves instance %d, which is not open, without need", id, from.Ordinal)
	case c.o.Balance == ByWeight && from.weight <= to.weight+weight:
		return fmt.Errorf("%q does not lower the sum of squared weights: %d to %d with %d", id, from.weight, to.weight, weight)
	case c.o.Balance == ByCount && !c.pinned && from.count <= from.Capacity && from.count <= to.count+1:
		return fmt.Errorf("%q does not lower the sum of squared counts: %d to %d", id, from.count, to.count)
	}
	return nil
}

// play makes a move: what finds the target full waits until something leaves it.
func (c *checker) play(m Move, bytes int, weight int64) {
	to := &c.at[m.To]
	to.add(1, bytes, weight)
	if to.count > to.Capacity {
		to.waiting++
	}
	if m.From != FromPool {
		from := &c.at[m.From]
		from.add(-1, -bytes, -weight)
		from.waiting = min(from.waiting, max(0, from.count-from.Capacity))
	}
}

// pressed: something may have to make room, so that balance comes second.
func (c *checker) pressed() bool {
	for at, l := range c.w.Lists() {
		if at != FromPool && !c.at[at].Fixed && c.at[at].owned() > c.at[at].Capacity {
			return true
		}
		for i := range l.IDs.Len() {
			if c.pinned && c.mustMove(at, i) {
				return true
			}
		}
	}
	return false
}

// refusals: each has a reason that is true in the end.
func (c *checker) refusals() error {
	for _, r := range c.p.Refused {
		l, index := c.w.list(r.From), int(r.Index)
		if index < 0 || index >= l.IDs.Len() {
			return fmt.Errorf("refused index %d of %d", index, l.IDs.Len())
		}
		k := key(r.From, index)
		if c.moved[k] || c.refused[k] {
			return fmt.Errorf("%q is refused and moved, or refused twice", l.IDs.At(index))
		}
		c.refused[k] = true
		if err := c.refusal(r, l); err != nil {
			return fmt.Errorf("refused %q: %w", l.IDs.At(index), err)
		}
	}
	return nil
}

func (c *checker) refusal(r Refusal, l *List) error {
	open, room, limited := 0, 0, false
	for _, in := range c.at {
		if in.Open && c.permits(l, int(r.Index), in.Instance) {
			open++
			limited = limited || in.MaxBytes > 0
			if in.count < in.Capacity {
				room++
			}
		}
	}
	isPinned := l.pin(int(r.Index)) != 0
	ok := false
	switch r.Why {
	case NoOpen:
		ok = open == 0 && !isPinned
	case PinClosed:
		ok = open == 0 && isPinned
	case Full, PinFull:
		ok = open > 0 && (room == 0 || c.p.Remaining > 0 || !c.p.Exact) && isPinned == (r.Why == PinFull)
	case BytesFull:
		ok = limited && !c.p.Exact
	case OverCapacity:
		ok = r.From != FromPool && !c.at[r.From].Fixed && c.at[r.From].count > c.at[r.From].Capacity
	}
	if !ok {
		return fmt.Errorf("reason %q is not true: open to it %d, with room %d", r.Why, open, room)
	}
	return nil
}

// leftOut: what must move is moved or refused, unless the rest of a cut plan moves it.
func (c *checker) leftOut() error {
	left := 0
	for at, l := range c.w.Lists() {
		for i, id := range l.IDs.All() {
			if k := key(at, i); !c.mustMove(at, i) || c.moved[k] || c.refused[k] {
				continue
			}
			if left++; left > c.p.Remaining {
				return fmt.Errorf("%q is neither moved nor refused", id)
			}
		}
	}
	return nil
}

// targets: what the full plan says it leads to.
func (c *checker) targets() error {
	if len(c.p.Targets) != len(c.at) {
		return fmt.Errorf("targets: %d for %d instances", len(c.p.Targets), len(c.at))
	}
	for i, t := range c.p.Targets {
		if c.p.Remaining == 0 && t != c.at[i].count {
			return fmt.Errorf("instance %d: target %d, has %d in the end", c.at[i].Ordinal, t, c.at[i].count)
		}
	}
	return nil
}

// even: no single resource could still be moved to good effect.
func (c *checker) even() error {
	if c.o.Balance == ByWeight || c.o.Regime == Emergency || c.p.Remaining > 0 || !c.p.Exact {
		return nil
	}
	for i, a := range c.at {
		for _, b := range c.at {
			if a.Open && b.Open && a.count > b.count+1 && b.count < b.Capacity {
				if id, ok := c.could(InstanceIndex(i), b.Instance); ok {
					return fmt.Errorf("%q could still go from instance %d with %d to %d with %d", id, a.Ordinal, a.count, b.Ordinal, b.count)
				}
			}
		}
	}
	return nil
}

// could finds a resource that is on an instance in the end and may be on another.
func (c *checker) could(from InstanceIndex, to *Instance) (id string, ok bool) {
	in := c.at[from]
	for i, id := range in.IDs.All() {
		if !in.Fixed && !c.moved[key(from, i)] && c.permits(&in.List, i, to) {
			return id, true
		}
	}
	for _, m := range c.p.Moves {
		if m.To == from && c.permits(c.w.list(m.From), int(m.Index), to) {
			return c.w.ID(m), true
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
	if c.o.Balance == ByWeight || c.pinned {
		return nil
	}
	if want := c.least(); want != c.p.Bound {
		return fmt.Errorf("bound: %d, said to be %d", want, c.p.Bound)
	}
	return nil
}

// least is the least number of moves without pins: all is taken from where it need not stay, and a
// level raised one step at a time under those that have room for more. What is given to one that
// holds more than the level is no move, so that these get it first.
func (c *checker) least() (moves int) {
	type open struct{ owned, floor, limit int }
	var all []open
	left := c.w.Pool.IDs.Len()
	for _, in := range c.w.Instances {
		switch {
		case in.Open:
			floor := in.Arriving.Count
			if c.o.Regime == Emergency || in.Fixed {
				floor = in.owned()
			}
			left += in.owned() - floor
			all = append(all, open{in.owned(), floor, max(in.Capacity, floor)})
		case in.Leaving:
			left += in.IDs.Len()
		}
	}
	for level, room := 0, true; room && left > 0; level++ {
		rising, kept := 0, 0
		room = false
		for _, in := range all {
			room = room || level < in.limit
			if in.floor <= level && level < in.limit {
				rising++
				if in.owned > level {
					kept++
				}
			}
		}
		rising = min(rising, left)
		left -= rising
		moves += max(0, rising-kept)
	}
	return moves
}
