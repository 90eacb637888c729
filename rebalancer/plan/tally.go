package plan

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
	limited := false
	for i := range w.Instances {
		in := &w.Instances[i]
		b.load[i] = in.held()
		limited = limited || in.Open && in.MaxBytes > 0
	}
	if !limited {
		return b
	}
	b.bytes = make([]int, len(w.Instances))
	for i := range w.Instances {
		b.bytes[i] = w.Instances[i].Bytes + w.Instances[i].Arriving.Bytes
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

// size is what a move weighs in bytes, 0 when nobody counts.
func (b *tally) size(m Move) int {
	if b.bytes == nil {
		return 0
	}
	return IDBytes(b.w.ID(m))
}

func (b *tally) apply(m Move) {
	size := b.size(m)
	b.load[m.To]++
	if b.bytes != nil {
		b.bytes[m.To] += size
	}
	if m.From == FromPool {
		return
	}
	b.load[m.From]--
	if b.bytes != nil {
		b.bytes[m.From] -= size
	}
}

// picker takes resources of a class out of a list, each once: from an open instance the newest
// first, so that a list keeps its head; from what must go, in stored order.
type picker struct {
	w       *World
	classes int
	// next is the next place to look at, from the end for open instances; by list and class.
	next []int32
}

func newPicker(w *World, pinned bool) *picker {
	k := &picker{w: w, classes: 1}
	if pinned {
		k.classes = len(w.Pins) + 1
	}
	k.next = make([]int32, (len(w.Instances)+1)*k.classes)
	return k
}

func (k *picker) pick(at InstanceIndex, class PinIndex) int32 {
	list := k.w.list(at)
	next := &k.next[int(at+1)*k.classes+int(class)]
	backward := k.backward(at)
	for {
		i := *next
		*next++
		if backward {
			i = int32(len(list.IDs)) - 1 - i
		}
		if list.Pins == nil || list.Pins[i] == class {
			return i
		}
	}
}

func (k *picker) backward(at InstanceIndex) bool { return at != FromPool && k.w.Instances[at].Open }

func (k *picker) fill(moves []Move, p bulkMove) {
	if k.classes > 1 {
		for i := range moves {
			moves[i] = Move{From: p.from, To: p.to, Index: k.pick(p.from, p.class)}
		}
		return
	}
	// One class: the indexes are consecutive.
	next := &k.next[p.from+1]
	index, step := *next, int32(1)
	if k.backward(p.from) {
		index, step = int32(len(k.w.list(p.from).IDs))-1-*next, -1
	}
	for i := range moves {
		moves[i] = Move{From: p.from, To: p.to, Index: index}
		index += step
	}
	*next += p.n
}
