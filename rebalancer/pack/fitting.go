package pack

import "github.com/shardscaler/shardscaler/rebalancer/protocol"

// Rest is about what ids without those of take need in a znode, their destinations included.
func Rest(ids protocol.IDs, take protocol.Take) int {
	if len(take.IDs) == ids.Len() {
		return 0
	}
	const sample, destination = 20, 5
	n := min(ids.Len(), sample)
	return (ids.Len() - len(take.IDs)) * (ids.Slice(0, n).Cost()/max(n, 1) + destination)
}

// restOf is Rest of the pieces of a State; 0 of one that there is not.
func restOf(st *protocol.State) func(protocol.Take) int {
	return func(take protocol.Take) int {
		if p := st.Pool[take.Name]; p != nil {
			return Rest(p.IDs, take)
		}
		return 0
	}
}

// perOperation is about what an operation of a transaction takes beside ids.
const perOperation = 200

// Fitting returns the first of the takes that fit into one transaction that changes the list of n;
// at least one. rest says what stays of the piece of a take.
func Fitting(st *protocol.State, n int, takes []protocol.Take, rest func(protocol.Take) int) []protocol.Take {
	list := st.Instances[n].Bytes
	size := list
	for i, take := range takes {
		for _, id := range take.IDs {
			list += protocol.Cost(id)
			size += protocol.Cost(id)
		}
		size += rest(take) + perOperation
		if i > 0 && (size > protocol.MaxMultiBytes || list > protocol.MaxListBytes) {
			return takes[:i]
		}
	}
	return takes
}
