package steps

import (
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Remove deletes the znodes of ordinals that own nothing and will not come back.
type Remove struct {
	// Removed is told of each.
	Removed func(n int)
}

// Next implements Step.
func (s *Remove) Next(v *View) (p Proposal) {
	if v.Refusal != "" {
		return p
	}
	busy := map[int]bool{}
	for _, f := range v.State.Flight {
		busy[f.From] = true
		for _, to := range f.To {
			busy[to] = true
		}
	}
	for _, n := range v.Orders.Gone {
		in := v.State.Instances[n]
		if p.full() || in == nil || v.Orders.Stays(n) || slices.Contains(v.Orders.Reassign, n) || v.State.IsOpen(n) || in.IDs.Len() > 0 || in.Live || in.Hidden || busy[n] {
			continue
		}
		m, err := protocol.RemoveOrdinal(v.State, n)
		p.add(Job{Multi: m, Then: func(time.Time) { s.Removed(n) }}, err)
	}
	return p
}
