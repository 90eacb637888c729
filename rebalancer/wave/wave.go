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
	cut, rest := moves.cut()
	w.Moves, w.Beyond = cut, w.Beyond+rest
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
	for _, m := range p.Moves {
		if m.From != plan.FromPool {
			moves.Add(w.Ordinal(m.From), w.ID(m), w.Ordinal(m.To))
		}
	}
	return moves
}

// Add adds a move.
func (m Moves) Add(from int, id string, to int) {
	d := m[from]
	m[from] = SourceMoves{from, append(d.IDs, id), append(d.To, to)}
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

// cut takes what one wave may hold, and returns how many moves are left over.
func (m Moves) cut() (moves []SourceMoves, beyond int) {
	room, left := maxMoves, maxBytes
	for _, from := range m.Sources() {
		d, n := m[from], 0
		left -= len(`{"from":,"ids":[],"to":[]},`) + len(strconv.Itoa(from))
		for n < len(d.IDs) && n < room {
			size := protocol.Cost(d.IDs[n]) + len(strconv.Itoa(d.To[n])) + len(",")
			if size > left {
				break
			}
			left -= size
			n++
		}
		if room -= n; n < len(d.IDs) {
			room = 0 // what follows would jump the queue
		}
		first, rest := d.split(n)
		if beyond += len(rest.IDs); n > 0 {
			moves = append(moves, first)
		}
	}
	return moves, beyond
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
