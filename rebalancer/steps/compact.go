package steps

import "github.com/shardscaler/shardscaler/rebalancer/protocol"

// crowded is the number of pool pieces from which small ones are merged.
const crowded = protocol.MaxPool / 2

// Compact merges small pool pieces when there are many and they cannot be assigned.
type Compact struct{}

// Next implements Step.
func (Compact) Next(v *View) Proposal {
	if len(v.State.Pool) < crowded {
		return Proposal{}
	}
	return merge(v)
}

// merge merges small pool pieces, however many there are.
func merge(v *View) (p Proposal) {
	if m, ok := protocol.CompactPool(v.State, v.Piece); ok {
		p.Jobs, p.Pieces = []Job{{Multi: m}}, 1
	}
	return p
}
