package plan

import (
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Done is the world as it is once all Moves are done and nothing else has happened. What is refused
// is where it was. Lists that the plan does not touch are shared with the plan's own world.
func (p *Plan) Done() *World {
	w := p.world
	next := &World{Instances: slices.Clone(w.Instances), Pool: w.Pool, Pins: w.Pins}
	taken := make([][]bool, len(w.Instances)+1) // by list, the pool first; nil: nothing leaves it
	come := make([][]Move, len(w.Instances))
	for _, m := range p.Moves {
		list := &taken[m.From+1]
		if *list == nil {
			*list = make([]bool, len(w.list(m.From).IDs))
		}
		(*list)[m.Index] = true
		come[m.To] = append(come[m.To], m)
	}
	next.Pool = w.Pool.without(taken[0])
	for i := range next.Instances {
		if taken[i+1] == nil && come[i] == nil {
			continue
		}
		in := &next.Instances[i]
		in.List = in.without(taken[i+1])
		for _, m := range come[i] {
			in.add(w.list(m.From), int(m.Index))
		}
		in.Bytes += w.grown(InstanceIndex(i), taken[i+1], come[i])
	}
	return next
}

// without is a copy of the list without what is taken.
func (l *List) without(taken []bool) List {
	if taken == nil {
		return List{IDs: slices.Clone(l.IDs), Weights: slices.Clone(l.Weights), Pins: slices.Clone(l.Pins)}
	}
	var rest List
	for i := range l.IDs {
		if !taken[i] {
			rest.add(l, i)
		}
	}
	return rest
}

// add appends the i-th of another list. What is alike for all of them takes no memory.
func (l *List) add(from *List, i int) {
	weight, pin := from.weight(i), from.pin(i)
	if l.Weights == nil && weight != unweighed {
		l.Weights = slices.Repeat([]Weight{unweighed}, len(l.IDs))
	}
	if l.Weights != nil {
		l.Weights = append(l.Weights, Weight(weight))
	}
	if l.Pins == nil && pin != 0 {
		l.Pins = make([]PinIndex, len(l.IDs))
	}
	if l.Pins != nil {
		l.Pins = append(l.Pins, pin)
	}
	l.IDs = append(l.IDs, from.IDs[i])
}

// unweighed is what a resource costs without weights.
const unweighed = 1000

// grown is how many bytes a list gains by what comes and what is taken; 0 where they are not
// limited.
func (w *World) grown(at InstanceIndex, taken []bool, come []Move) (bytes int) {
	in := &w.Instances[at]
	if in.MaxBytes == 0 {
		return 0
	}
	for i, gone := range taken {
		if gone {
			bytes -= protocol.Cost(in.IDs[i])
		}
	}
	for _, m := range come {
		bytes += protocol.Cost(w.ID(m))
	}
	return bytes
}
