package plan

import (
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/protocol/idlist"
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
			*list = make([]bool, w.list(m.From).IDs.Len())
		}
		(*list)[m.Index] = true
		come[m.To] = append(come[m.To], m)
	}
	next.Pool = w.after(w.Pool, taken[0], nil)
	for i := range next.Instances {
		in := &next.Instances[i]
		in.List = w.after(in.List, taken[i+1], come[i])
		in.Bytes += w.grown(InstanceIndex(i), taken[i+1], come[i])
	}
	return next
}

// after is a list without what is taken and with what comes.
func (w *World) after(l List, taken []bool, come []Move) List {
	if taken == nil && come == nil {
		return l
	}
	next := listBuilder{ids: idlist.NewBuilder(l.IDs.Len()+len(come), 0)}
	for i := range l.IDs.Len() {
		if taken == nil || !taken[i] {
			next.add(&l, i)
		}
	}
	for _, m := range come {
		next.add(w.list(m.From), int(m.Index))
	}
	return next.done()
}

// listBuilder makes a list of parts of others.
type listBuilder struct {
	List
	ids *idlist.Builder
}

// add appends the i-th of a list. What is alike for all of them takes no memory.
func (l *listBuilder) add(from *List, i int) {
	weight, pin := from.weight(i), from.pin(i)
	if l.Weights == nil && weight != unweighed {
		l.Weights = slices.Repeat([]Weight{unweighed}, l.ids.Len())
	}
	if l.Weights != nil {
		l.Weights = append(l.Weights, Weight(weight))
	}
	if l.Pins == nil && pin != 0 {
		l.Pins = make([]PinIndex, l.ids.Len())
	}
	if l.Pins != nil {
		l.Pins = append(l.Pins, pin)
	}
	l.ids.AddOf(from.IDs, i)
}

func (l *listBuilder) done() List {
	l.IDs = l.ids.List()
	return l.List
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
			bytes -= protocol.CostAt(in.IDs, i)
		}
	}
	for _, m := range come {
		bytes += protocol.CostAt(w.list(m.From).IDs, int(m.Index))
	}
	return bytes
}
