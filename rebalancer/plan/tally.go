package plan

import (
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// tally is the instances' state as moves are laid out, in slices parallel to World.Instances.
type tally struct {
	w *World
	// load is how many resources an instance holds, arriving included.
	load []int
	// bytes is the length of each list's znode, arriving included; nil: no open one has a limit.
	bytes []int
}

func newTally(w *World) *tally {
	b := &tally{w: w, load: make([]int, len(w.Instances))}
	if slices.ContainsFunc(w.Instances, func(in Instance) bool { return in.Open && in.MaxBytes > 0 }) {
		b.bytes = make([]int, len(w.Instances))
	}
	for i := range w.Instances {
		in := &w.Instances[i]
		b.add(InstanceIndex(i), in.owned(), in.Bytes+in.Arriving.Bytes)
	}
	return b
}

// room is how many more resources an instance may hold.
func (b *tally) room(at InstanceIndex) int {
	if in := &b.w.Instances[at]; in.Open {
		return in.Capacity - b.load[at]
	}
	return 0
}

// fits says whether so many more bytes fit.
func (b *tally) fits(at InstanceIndex, size int) bool {
	limit := b.w.Instances[at].MaxBytes
	return b.bytes == nil || limit == 0 || b.bytes[at]+size <= limit
}

// size is what a move weighs in bytes, 0 when bytes are not counted.
func (b *tally) size(m Move) int {
	if b.bytes == nil {
		return 0
	}
	return protocol.CostAt(b.w.list(m.From).IDs, int(m.Index))
}

func (b *tally) apply(m Move) {
	size := b.size(m)
	b.add(m.To, 1, size)
	if m.From != FromPool {
		b.add(m.From, -1, -size)
	}
}

func (b *tally) add(at InstanceIndex, n, size int) {
	b.load[at] += n
	if b.bytes != nil {
		b.bytes[at] += size
	}
}

// picker takes resources of a class out of a list, each once: from an open instance the newest
// first, so that a list keeps its head; from what must go, in stored order.
type picker struct {
	world *World
	// next is the next place to look at, from the end for open instances; by list and class.
	next []int32
}

func newPicker(w *World) *picker {
	return &picker{world: w, next: make([]int32, (len(w.Instances)+1)*(len(w.Pins)+1))}
}

// look is where to look next for a class in a list, and the way from there.
func (k *picker) look(at InstanceIndex, class PinIndex) (next *int32, first, step int32) {
	next = &k.next[int(at+1)*(len(k.world.Pins)+1)+int(class)]
	if at != FromPool && k.world.Instances[at].Open {
		return next, int32(k.world.Instances[at].IDs.Len()) - 1 - *next, -1
	}
	return next, *next, 1
}

func (k *picker) pick(at InstanceIndex, class PinIndex) int32 {
	list := k.world.list(at)
	next, i, step := k.look(at, class)
	for list.pin(int(i)) != class {
		i += step
		*next++
	}
	*next++
	return i
}

func (k *picker) fill(moves []Move, p bulkMove) {
	next, index, step := k.look(p.from, p.class)
	if k.world.list(p.from).Pins == nil { // the indexes are consecutive
		for i := range moves {
			moves[i] = Move{From: p.from, To: p.to, Index: index}
			index += step
		}
		*next += p.n
		return
	}
	for i := range moves {
		moves[i] = Move{From: p.from, To: p.to, Index: k.pick(p.from, p.class)}
	}
}
