package pack

import "github.com/shardscaler/shardscaler/rebalancer/protocol"

// perOperation is about what an operation of a transaction takes beside ids.
const perOperation = 200

// Fitting returns the first of the takes that fit into one transaction that changes the list of n;
// at least one. of has what is in the piece of a take.
func Fitting(st *protocol.State, n int, takes []protocol.Take, of func(piece string) protocol.IDs) []protocol.Take {
	list := st.Instances[n].Bytes
	size := list
	for i, take := range takes {
		ids := of(take.Name)
		cost := protocol.Costs(take.IDs)
		if take.IDs == nil {
			cost = protocol.CostOf(ids)
		}
		list += cost
		size += cost + rest(ids, take) + perOperation
		if i > 0 && (size > protocol.MaxMultiBytes || list > protocol.MaxListBytes) {
			return takes[:i]
		}
	}
	return takes
}

// rest is about what ids without those of take need in a znode, their destinations included.
func rest(ids protocol.IDs, take protocol.Take) int {
	if take.IDs == nil || len(take.IDs) == ids.Len() {
		return 0
	}
	const sample, destination = 20, 5
	n := min(ids.Len(), sample)
	return (ids.Len() - len(take.IDs)) * (protocol.CostOf(ids.Slice(0, n))/n + destination)
}
