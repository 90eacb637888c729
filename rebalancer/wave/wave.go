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
	// Moves are ascending by From, each once. They are stored as `moves`.
	Moves []SourceMoves `json:"-"`
	// Shared are targets to which the plan gives more right after this wave. It is not stored: that
	// their lists are written once is worth no more than a moment's wait.
	Shared []int `json:"-"`
}

// SourceMoves are the moves from one ordinal; To has an ordinal or protocol.ToPool an id.
type SourceMoves struct {
	From int
	IDs  protocol.IDs
	To   []int
}

const schema = 1

// Parse reads a stored wave.
func Parse(data []byte) (*Wave, error) {
	var stored struct {
		Wave
		Moves []struct {
			From int      `json:"from"`
			IDs  []string `json:"ids"`
			To   []int    `json:"to"`
		} `json:"moves"`
	}
	if err := exact.JSON(data, &stored); err != nil {
		return nil, fmt.Errorf("read stored wave: %w", err)
	}
	w := stored.Wave
	if w.V != schema {
		return nil, fmt.Errorf("read stored wave: v: schema %d, want %d", w.V, schema)
	}
	for _, d := range stored.Moves {
		if len(d.IDs) != len(d.To) {
			return nil, fmt.Errorf("read stored wave: from %d: %d ids with %d destinations", d.From, len(d.IDs), len(d.To))
		}
		w.Moves = append(w.Moves, SourceMoves{d.From, protocol.NewIDs(d.IDs), d.To})
	}
	return &w, nil
}

// encode writes a wave as it is stored: JSON of which the moves come last. Their ids stand as in a
// list, in the bytes that protocol.Cost says; there are many, and no move begins before them.
func (w *Wave) encode() ([]byte, error) {
	head, err := exact.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("encode wave: %w", err)
	}
	size := len(head)
	for _, d := range w.Moves {
		size += len(perSource) + 2*digits + protocol.CostOf(d.IDs) + (digits+1)*len(d.To)
	}
	data := append(make([]byte, 0, size), head[:len(head)-len("}")]...)
	data = append(data, `,"moves":[`...)
	for i, d := range w.Moves {
		if i > 0 {
			data = append(data, ',')
		}
		data = append(strconv.AppendInt(append(data, `{"from":`...), int64(d.From), 10), `,"ids":[`...)
		data = append(protocol.AppendIDs(data, d.IDs), `],"to":[`...)
		for k, to := range d.To {
			if k > 0 {
				data = append(data, ',')
			}
			data = strconv.AppendInt(data, int64(to), 10)
		}
		data = append(data, `]}`...)
	}
	return append(data, `]}`...), nil
}

// perSource is what the moves of a source take beside ids and numbers, digits what a number seldom
// exceeds.
const (
	perSource = `{"from":,"ids":[],"to":[]},`
	digits    = 4
)

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
	return w.encode()
}

// Voluntary says whether the wave keeps to suspensions, pauses and the moves of a minute: all but
// what must leave does.
func (w *Wave) Voluntary() bool { return w.Reason != Drain && w.Reason != Pin }

// Moves are what is to be revoked, by source; a source without moves is not in it.
type Moves map[int]SourceMoves

// MovesOf are those that a plan makes from instances.
func MovesOf(p *plan.Plan) Moves {
	w := p.World()
	counts := make([]int, len(w.Instances))
	for _, m := range p.Moves {
		if m.From != plan.FromPool {
			counts[m.From]++
		}
	}
	g := Gathering{}
	for _, m := range p.Moves {
		if m.From != plan.FromPool {
			in := &w.Instances[m.From]
			g.of(in.Ordinal, counts[m.From]).add(in.IDs, int(m.Index), w.Ordinal(m.To))
		}
	}
	return g.Moves()
}

// SortByTarget orders the moves of a source by where they go. Those of one target mostly stand side
// by side, and move together.
func (m Moves) SortByTarget(from int) {
	d := m[from]
	var runs []SourceMoves
	for rest := d; len(rest.To) > 0; {
		n := 1
		for n < len(rest.To) && rest.To[n] == rest.To[0] {
			n++
		}
		first, later := rest.split(n)
		runs, rest = append(runs, first), later
	}
	slices.SortStableFunc(runs, func(a, b SourceMoves) int { return a.To[0] - b.To[0] })
	ids, to := make([]protocol.IDs, len(runs)), make([]int, 0, len(d.To))
	for i, run := range runs {
		ids[i], to = run.IDs, append(to, run.To...)
	}
	m.set(from, SourceMoves{from, protocol.IDs{}.Concat(ids...), to})
}

// Join adds other moves.
func (m Moves) Join(others Moves) {
	for from, o := range others {
		d := m[from]
		m.set(from, SourceMoves{from, d.IDs.Concat(o.IDs), slices.Concat(d.To, o.To)})
	}
}

// Sources are the ordinals that the moves are from, ascending.
func (m Moves) Sources() []int { return slices.Sorted(maps.Keys(m)) }

// Count is the number of moves.
func (m Moves) Count() (n int) {
	for _, d := range m {
		n += len(d.To)
	}
	return n
}

// Keep leaves the first k moves of a source, and returns how many it left out.
func (m Moves) Keep(from, k int) (out int) {
	first, rest := m[from].split(k)
	m.set(from, first)
	return len(rest.To)
}

// After are the moves that a wave, filled with the first of them, has left out.
func (m Moves) After(w *Wave) Moves {
	rest := maps.Clone(m)
	for _, d := range w.Moves {
		_, left := m[d.From].split(len(d.To))
		rest.set(d.From, left)
	}
	return rest
}

// set replaces the moves of a source.
func (m Moves) set(from int, d SourceMoves) {
	if m[from] = d; len(d.To) == 0 {
		delete(m, from)
	}
}

// split divides them into the first k and the rest.
func (d SourceMoves) split(k int) (first, rest SourceMoves) {
	return SourceMoves{d.From, d.IDs.Slice(0, k), d.To[:k:k]}, SourceMoves{d.From, d.IDs.Slice(k, len(d.To)), d.To[k:]}
}

// cut takes what one wave may hold, and returns how many moves are left over. A source is divided
// only if it is the first: its list would be written twice, and the second time wait for its
// interval. shared are the targets of what was taken that the next source gives to as well.
func (m Moves) cut() (moves []SourceMoves, beyond int, shared []int) {
	room, left := maxMoves, maxBytes
	var next SourceMoves
	var number [20]byte
	for _, from := range m.Sources() {
		d, n, size := m[from], 0, 0
		left -= len(perSource) + len(strconv.Itoa(from))
		for n < len(d.To) && n < room {
			cost := protocol.CostAt(d.IDs, n) + len(strconv.AppendInt(number[:0], int64(d.To[n]), 10)) + len(",")
			if size+cost > left {
				break
			}
			size += cost
			n++
		}
		if n < len(d.To) {
			if len(moves) > 0 {
				n = 0
			}
			if room = 0; next.To == nil {
				_, next = d.split(n)
			}
		} else {
			room -= n
		}
		left -= size
		first, rest := d.split(n)
		if beyond += len(rest.To); n > 0 {
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
