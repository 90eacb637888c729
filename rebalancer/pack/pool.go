package pack

import (
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Pool is the pool as the planner sees it: one list. It says which piece each id came from.
type Pool struct {
	IDs    []string
	names  []string
	starts []int // of each piece in IDs; ascending
}

// PoolOf is that of a State.
func PoolOf(st *protocol.State) Pool {
	p := Pool{names: st.PoolNames(), IDs: make([]string, 0, st.Unassigned())}
	for _, name := range p.names {
		p.starts = append(p.starts, len(p.IDs))
		p.IDs = append(p.IDs, st.Pool[name].IDs.Strings()...)
	}
	return p
}

// pieces are all of it, each whole, oldest first.
func (p *Pool) pieces() []protocol.Take {
	takes := make([]protocol.Take, len(p.names))
	ends := append(slices.Clone(p.starts), len(p.IDs))[1:]
	for i, name := range p.names {
		takes[i] = protocol.Take{Name: name, IDs: p.IDs[p.starts[i]:ends[i]:ends[i]]}
	}
	return takes
}

// takes turns places in the list into takes of the pieces, in order.
func (p *Pool) takes(indices []int32) (takes []protocol.Take) {
	slices.Sort(indices)
	for _, i := range indices {
		k, exact := slices.BinarySearch(p.starts, int(i))
		if !exact {
			k--
		}
		name := p.names[k]
		if len(takes) == 0 || takes[len(takes)-1].Name != name {
			takes = append(takes, protocol.Take{Name: name})
		}
		last := &takes[len(takes)-1]
		last.IDs = append(last.IDs, p.IDs[i])
	}
	return takes
}
