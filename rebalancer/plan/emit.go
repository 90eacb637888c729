package plan

import "slices"

// emitter turns a layout into moves of single resources.
type emitter struct {
	*tally
	*picker
	moves     []Move
	voluntary int // how many of moves only spread or make room
	refused   []Refusal
}

// emit picks the resources of all bulk moves. If a znode might grow over its limit on the way it
// starts over, carefully, and the plan is no longer exact.
func emit(w *World, l layout) (e *emitter, straight bool) {
	e = &emitter{tally: newTally(w), picker: newPicker(w), moves: make([]Move, 0, l.moves())}
	straight = e.straight(l)
	if !straight {
		e = &emitter{tally: newTally(w), picker: newPicker(w), moves: e.moves[:0]}
		e.careful(l)
	}
	for _, left := range l.left {
		for range left.n {
			e.refused = append(e.refused, Refusal{From: left.at, Index: e.pick(left.at, left.class), Why: left.why})
		}
	}
	return e, straight
}

// straight does what the layout says. It fails as soon as what arrives somewhere, not counting what
// goes, exceeds a byte limit.
func (e *emitter) straight(l layout) bool {
	grown := slices.Clone(e.bytes)
	for _, p := range l.bulk {
		first := len(e.moves)
		e.moves = e.moves[:first+int(p.n)]
		e.fill(e.moves[first:], p)
		e.add(p.to, int(p.n), 0)
		if p.from != FromPool {
			e.add(p.from, -int(p.n), 0)
		}
		if p.voluntary {
			e.voluntary += int(p.n)
		}
		limit := e.w.Instances[p.to].MaxBytes
		if grown == nil || limit == 0 {
			continue
		}
		for _, m := range e.moves[first:] {
			grown[p.to] += e.size(m)
		}
		if grown[p.to] > limit {
			return false
		}
	}
	return true
}

// careful makes a move only where it fits at that moment. What must move and does not fit where the
// layout wants it goes to the emptiest instance that takes it; what only spreads stays.
func (e *emitter) careful(l layout) {
	var unplaced []Move
	for _, p := range l.bulk {
		if p.voluntary {
			unplaced = e.placeElsewhere(unplaced)
		}
		for range p.n {
			m := Move{From: p.from, To: p.to, Index: e.pick(p.from, p.class)}
			switch {
			case p.voluntary && e.helps(m) && e.try(m):
				e.voluntary++
			case !p.voluntary && !e.try(m):
				unplaced = append(unplaced, m)
			}
		}
	}
	for freed := true; freed; { // what finds a place makes room for another: two that change places
		moves := len(e.moves)
		unplaced = e.placeElsewhere(unplaced)
		freed = slices.ContainsFunc(e.moves[moves:], func(m Move) bool { return m.From != FromPool && e.w.Instances[m.From].Open })
	}
	for _, m := range unplaced {
		e.refused = append(e.refused, Refusal{From: m.From, Index: m.Index, Why: e.why(m)})
	}
}

// why is the reason for a resource that no instance takes.
func (e *emitter) why(m Move) Reason {
	w := e.w
	class, open := w.pinOf(m), false
	for i := range w.Instances {
		if !w.Instances[i].Open || !w.Allows(class, InstanceIndex(i)) {
			continue
		}
		if open = true; e.room(InstanceIndex(i)) > 0 {
			return BytesFull
		}
	}
	return reason(class, open)
}

// reason is why a resource of a class found no room, by count, on instances open to it.
func reason(class PinIndex, open bool) Reason {
	switch {
	case class == 0 && open:
		return Full
	case class == 0:
		return NoOpen
	case open:
		return PinFull
	}
	return PinClosed
}

// helps says whether a move makes the counts more even or relieves an instance above its capacity.
func (e *emitter) helps(m Move) bool {
	return e.load[m.From] > e.load[m.To]+1 || e.room(m.From) < 0
}

func (e *emitter) try(m Move) bool {
	if e.room(m.To) <= 0 || !e.fits(m.To, e.size(m)) {
		return false
	}
	e.apply(m)
	e.moves = append(e.moves, m)
	return true
}

// placeElsewhere gives each resource the emptiest instance that takes it, and returns the others.
func (e *emitter) placeElsewhere(unplaced []Move) (left []Move) {
	w := e.w
	for _, m := range unplaced {
		class, size, best := w.pinOf(m), e.size(m), InstanceIndex(-1)
		for i := range w.Instances {
			at := InstanceIndex(i)
			if e.room(at) > 0 && w.Allows(class, at) && e.fits(at, size) && (best < 0 || e.load[at] < e.load[best]) {
				best = at
			}
		}
		if m.To = best; best < 0 || !e.try(m) {
			left = append(left, m)
		}
	}
	return left
}

// cut leaves of a full plan what a budget allows: the longest prefix after which nothing waits in
// flight for room and the voluntary moves have not worsened the balance, unless the full plan must.
func (p *Plan) cut(budget int) {
	b, wait, waiting := newTally(p.world), make([]int, len(p.world.Instances)), 0
	b.bytes = nil
	type point struct{ n, voluntary, worse int }
	// even: the last good point; any: the same without looking at the balance
	var now, even, any point
	for i, m := range p.Moves {
		if p.world.voluntary(m) {
			now.voluntary++
			now.worse += 2 * (b.load[m.To] - b.load[m.From] + 1)
		}
		b.apply(m)
		if b.room(m.To) < 0 {
			wait[m.To]++
			waiting++
		}
		if m.From != FromPool {
			granted := wait[m.From] - min(wait[m.From], max(0, -b.room(m.From)))
			wait[m.From] -= granted
			waiting -= granted
		}
		now.n = i + 1
		if waiting > 0 || now.voluntary > budget {
			continue
		}
		any = now
		if now.worse <= 0 {
			even = now
		}
	}
	end := even
	if now.worse > 0 {
		end = any
	}
	p.Remaining = len(p.Moves) - end.n
	p.Moves, p.Voluntary = p.Moves[:end.n:end.n], end.voluntary
}
