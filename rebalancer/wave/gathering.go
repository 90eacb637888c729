package wave

import (
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/protocol/idlist"
)

// Gathering makes Moves of single ones, by source.
type Gathering map[int]*gathered

type gathered struct {
	ids *idlist.Builder
	to  []int
}

// Add adds a move.
func (g Gathering) Add(from int, id string, to int) {
	d := g.of(from, 0)
	d.ids.Add(id)
	d.to = append(d.to, to)
}

// of are the moves of a source, of which so many are expected.
func (g Gathering) of(from, n int) *gathered {
	d := g[from]
	if d == nil {
		d = &gathered{idlist.NewBuilder(n, 0), make([]int, 0, n)}
		g[from] = d
	}
	return d
}

// add adds the i-th of a list.
func (d *gathered) add(ids protocol.IDs, i, to int) {
	d.ids.AddOf(ids, i)
	d.to = append(d.to, to)
}

// Moves are what has been added. The Gathering is of no use afterwards.
func (g Gathering) Moves() Moves {
	moves := Moves{}
	for from, d := range g {
		moves[from] = SourceMoves{from, d.ids.List(), d.to}
	}
	return moves
}
