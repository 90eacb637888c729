// Package wave is the part of a plan that is stored before it is carried out, so that a successor
// finds what moves, why, and from where, and a person can take it back.
//
// In: the moves of a plan, by source. Out: a Wave as it is stored, and how far it is. Invariant:
// what fits into a Wave fits into the store.
package wave

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/spans"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Limits of one wave, by its text: what fits here fits into protocol.MaxPlanBytes even if packing
// does not make it smaller. Beside the moves there is little: the moves of the minute before, and a
// reason of about 1,000 bytes.
const (
	maxMoves = 50_000
	maxBytes = protocol.MaxPlanBytes - 1<<16

	maxReassigned = 1000
)

// What a wave is for.
const (
	Drain  = "drain"  // drains ordinals that leave
	Pin    = "pin"    // moves nothing but what sits where its pin forbids
	Spread = "spread" // evens the lists of those that stay
	Undo   = "undo"   // moves back what a wave has moved
)

// Wave is a part of a plan as it is stored.
type Wave struct {
	V int `json:"v"`
	// Plan is the id of the plan it was cut from; Beyond are that plan's other moves.
	Plan   string    `json:"plan"`
	Reason string    `json:"reason"`
	Why    string    `json:"why"`
	Begun  time.Time `json:"begun,omitzero"`
	Beyond int       `json:"beyond,omitempty"`
	// Window are the voluntary moves of the minute before.
	Window Window `json:"window,omitempty"`
	// Reassigned are sources that are emptied without their help, ascending: at most 1,000 are
	// named. Those who follow read them, and Reason, without the moves, which come last.
	Reassigned []int `json:"reassigned,omitempty"`
	// Moves are ascending by From, each once.
	Moves []SourceMoves `json:"moves"`
	// Shared are targets to which the plan gives more right after this wave. It is not stored: that
	// their lists are written once is worth no more than a moment's wait.
	Shared []int `json:"-"`
}

// SourceMoves are the moves from one ordinal; To has an ordinal or protocol.ToPool an id.
type SourceMoves struct {
	From int      `json:"from"`
	IDs  []string `json:"ids"`
	To   []int    `json:"to"`
}

const schema = 1

// Parse reads a stored wave.
func Parse(data []byte) (*Wave, error) {
	var w Wave
	if err := exact.JSON(data, &w); err != nil {
		return nil, fmt.Errorf("read stored wave: %w", err)
	}
	if w.V != schema {
		return nil, fmt.Errorf("read stored wave: v: schema %d, want %d", w.V, schema)
	}
	for _, d := range w.Moves {
		if len(d.IDs) != len(d.To) {
			return nil, fmt.Errorf("read stored wave: from %d: %d ids with %d destinations", d.From, len(d.IDs), len(d.To))
		}
	}
	return &w, nil
}

// New is a wave of what p takes from instances, without its moves.
func New(reason string, p *plan.Plan, beyond int) Wave {
	return Wave{Plan: p.ID(), Reason: reason, Why: why(reason, p), Beyond: beyond}
}

// Fill gives the wave the first of the moves, as many as it may hold, and the time it begins, and
// returns it as it is stored: with ids as protocol.Cost counts them.
func (w *Wave) Fill(moves Moves, window Window, now time.Time) ([]byte, error) {
	w.V, w.Begun, w.Window = schema, now.UTC(), window
	w.Reassigned = w.Reassigned[:min(len(w.Reassigned), maxReassigned)]
	cut, rest, shared := moves.cut()
	w.Moves, w.Beyond, w.Shared = cut, w.Beyond+rest, shared
	data, err := exact.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("encode wave: %w", err)
	}
	return data, nil
}

// Voluntary says whether the wave keeps to suspensions, pauses and the moves of a minute: all but
// what must leave does.
func (w *Wave) Voluntary() bool { return w.Reason != Drain && w.Reason != Pin }

// Moves are what is to be revoked, by source; a source without moves is not in it.
type Moves map[int]SourceMoves

// MovesOf are those that a plan makes from instances.
func MovesOf(p *plan.Plan) Moves {
	moves, w := Moves{}, p.World()
	for rest := p.Moves; len(rest) > 0; {
		from, n := rest[0].From, 1
		for n < len(rest) && rest[n].From == from {
			n++
		}
		if from != plan.FromPool {
			ordinal := w.Ordinal(from)
			d := moves[ordinal]
			d.From, d.IDs, d.To = ordinal, slices.Grow(d.IDs, n), slices.Grow(d.To, n)
			for _, m := range rest[:n] {
				d.IDs, d.To = append(d.IDs, w.ID(m)), append(d.To, w.Ordinal(m.To))
			}
			moves[ordinal] = d
		}
		rest = rest[n:]
	}
	return moves
}

// Add adds a move.
func (m Moves) Add(from int, id string, to int) {
	d := m[from]
	m[from] = SourceMoves{from, append(d.IDs, id), append(d.To, to)}
}

// SortByTarget orders the moves of a source by where they go.
func (m Moves) SortByTarget(from int) {
	d := m[from]
	order := make([]int, len(d.To))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return d.To[a] - d.To[b] })
	sorted := SourceMoves{From: from, IDs: make([]string, len(order)), To: make([]int, len(order))}
	for i, k := range order {
		sorted.IDs[i], sorted.To[i] = d.IDs[k], d.To[k]
	}
	m.set(from, sorted)
}

// Sources are the ordinals that the moves are from, ascending.
func (m Moves) Sources() []int { return slices.Sorted(maps.Keys(m)) }

// Count is the number of moves.
func (m Moves) Count() (n int) {
	for _, d := range m {
		n += len(d.IDs)
	}
	return n
}

// Keep leaves the first k moves of a source, and returns how many it left out.
func (m Moves) Keep(from, k int) (out int) {
	first, rest := m[from].split(k)
	m.set(from, first)
	return len(rest.IDs)
}

// After are the moves that a wave, filled with the first of them, has left out.
func (m Moves) After(w *Wave) Moves {
	rest := maps.Clone(m)
	for _, d := range w.Moves {
		_, left := m[d.From].split(len(d.IDs))
		rest.set(d.From, left)
	}
	return rest
}

// set replaces the moves of a source.
func (m Moves) set(from int, d SourceMoves) {
	if m[from] = d; len(d.IDs) == 0 {
		delete(m, from)
	}
}

// split divides them into the first k and the rest.
func (d SourceMoves) split(k int) (first, rest SourceMoves) {
	return SourceMoves{d.From, d.IDs[:k:k], d.To[:k:k]}, SourceMoves{d.From, d.IDs[k:], d.To[k:]}
}

// cut takes what one wave may hold, and returns how many moves are left over. A source is divided
// only if it is the first: its list would be written twice, and the second time wait for its
// interval. shared are the targets of what was taken that the next source gives to as well.
func (m Moves) cut() (moves []SourceMoves, beyond int, shared []int) {
	room, left := maxMoves, maxBytes
	var next SourceMoves
	for _, from := range m.Sources() {
		d, n, size := m[from], 0, 0
		left -= len(`{"from":,"ids":[],"to":[]},`) + len(strconv.Itoa(from))
		for n < len(d.IDs) && n < room {
			cost := protocol.Cost(d.IDs[n]) + len(strconv.Itoa(d.To[n])) + len(",")
			if size+cost > left {
				break
			}
			size += cost
			n++
		}
		if n < len(d.IDs) {
			if len(moves) > 0 {
				n = 0
			}
			if room = 0; next.IDs == nil {
				_, next = d.split(n)
			}
		} else {
			room -= n
		}
		left -= size
		first, rest := d.split(n)
		if beyond += len(rest.IDs); n > 0 {
			moves = append(moves, first)
		}
	}
	if len(moves) > 0 {
		for _, to := range slices.Compact(slices.Clone(moves[len(moves)-1].To)) {
			if slices.Contains(next.To, to) {
				shared = append(shared, to)
			}
		}
	}
	return moves, beyond, shared
}

// why says in a sentence what a plan is for.
func why(reason string, p *plan.Plan) string {
	switch reason {
	case Drain:
		return fmt.Sprintf("instances leaving: %s", spans.Text(Leaving(p.World()), "-"))
	case Pin:
		return "pins forbid where resources run"
	case Spread:
		return fmt.Sprintf("the open instances are uneven; moves that make them even: %d", len(p.Moves)+p.Remaining)
	}
	return ""
}

// Leaving are the ordinals that are to be drained and are not empty.
func Leaving(w *plan.World) (ns []int) {
	for i := range w.Instances {
		if in := &w.Instances[i]; in.Leaving && in.IDs.Len() > 0 {
			ns = append(ns, in.Ordinal)
		}
	}
	return ns
}
