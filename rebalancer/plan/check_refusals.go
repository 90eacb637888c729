package plan

import (
	"fmt"
)

// pressed: something may have to make room, so that balance comes second.
func (c *checker) pressed() bool {
	for at := FromPool; at < len(c.w.Instances); at++ {
		if at != FromPool && !c.w.Instances[at].Fixed && len(c.w.Instances[at].IDs)+c.w.Instances[at].Arriving.Count > c.w.Instances[at].Capacity {
			return true
		}
		l := c.list(InstanceIndex(at))
		for i := range l.IDs {
			if c.mustMove(InstanceIndex(at), i) && c.pinned() {
				return true
			}
		}
	}
	return false
}

// refusals: each has a reason that is true in the end.
func (c *checker) refusals() error {
	for _, r := range c.p.Refused {
		l := c.list(r.From)
		if r.Index < 0 || int(r.Index) >= len(l.IDs) {
			return fmt.Errorf("refused index %d of %d", r.Index, len(l.IDs))
		}
		if k := key(r.From, r.Index); c.moved[k] || c.refused[k] {
			return fmt.Errorf("%q is refused and moved, or refused twice", l.IDs[r.Index])
		}
		c.refused[key(r.From, r.Index)] = true
		if err := c.refusal(r, l); err != nil {
			return fmt.Errorf("refused %q: %w", l.IDs[r.Index], err)
		}
	}
	return nil
}

func (c *checker) refusal(r Refusal, l List) error {
	open, room, limited := 0, 0, false
	for i, in := range c.w.Instances {
		if in.Open && c.permits(l, int(r.Index), i) {
			open++
			limited = limited || in.MaxBytes > 0
			if c.count[i] < in.Capacity {
				room++
			}
		}
	}
	isPinned := l.Pins != nil && l.Pins[r.Index] != 0
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
		ok = r.From != FromPool && !c.w.Instances[r.From].Fixed && c.count[r.From] > c.w.Instances[r.From].Capacity
	}
	if !ok {
		return fmt.Errorf("reason %q is not true: open to it %d, with room %d", r.Why, open, room)
	}
	return nil
}

// leftOut: what must move is moved or refused, unless the rest of a cut plan moves it.
func (c *checker) leftOut() error {
	left := 0
	for at := FromPool; at < len(c.w.Instances); at++ {
		l := c.list(InstanceIndex(at))
		for i, id := range l.IDs {
			if k := key(InstanceIndex(at), int32(i)); !c.mustMove(InstanceIndex(at), i) || c.moved[k] || c.refused[k] {
				continue
			}
			if left++; left > c.p.Remaining {
				return fmt.Errorf("%q is neither moved nor refused", id)
			}
		}
	}
	return nil
}
