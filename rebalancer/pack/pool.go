package pack

import (
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Pool is the pool as the planner sees it: one list. It says which piece each id came from.
type Pool struct {
	IDs    []string
	pieces []part
	starts []int // of each piece in IDs; ascending
}

// part is a piece of the pool or some of it, and what that adds to a list's znode.
type part struct {
	protocol.Take
	cost int
}

// PoolOf is that of a State, oldest first.
func PoolOf(st *protocol.State) Pool {
	p := Pool{IDs: make([]string, 0, st.Unassigned())}
	for _, name := range st.PoolNames() {
		piece := st.Pool[name]
		ids := piece.IDs.Strings()
		p.starts = append(p.starts, len(p.IDs))
		p.pieces = append(p.pieces, part{protocol.Take{Name: name, IDs: ids}, piece.Cost()})
		p.IDs = append(p.IDs, ids...)
	}
	return p
}

// takes turns places in the list into takes of the pieces, in order.
func (p *Pool) takes(indices []int32) (takes []protocol.Take) {
	slices.Sort(indices)
	for _, i := range indices {
		k, exact := slices.BinarySearch(p.starts, int(i))
		if !exact {
			k--
		}
		name := p.pieces[k].Name
		if len(takes) == 0 || takes[len(takes)-1].Name != name {
			takes = append(takes, protocol.Take{Name: name})
		}
		last := &takes[len(takes)-1]
		last.IDs = append(last.IDs, p.IDs[i])
	}
	return takes
}
