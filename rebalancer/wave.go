package rebalancer

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Limits of one wave, by its text: what fits here fits into protocol.MaxPlanBytes even if packing does not make it smaller. Beside the moves
// there is little: maxRecent moves of the minute before, and a reason of maxSpans bytes.
const (
	maxWaveMoves = 50_000
	maxWaveBytes = protocol.MaxPlanBytes - 1<<16
)

// What a wave is for.
const (
	reasonDrain  = "drain"  // empties ordinals that leave
	reasonPin    = "pin"    // moves nothing but what sits where its pin forbids
	reasonSpread = "spread" // evens the lists of those that stay
	reasonUndo   = "undo"   // takes back what a wave has moved
)

// wave is a part of a plan, stored before its first revoke: whoever leads finds there what moves, why, and whence it came.
type wave struct {
	V int `json:"v"`
	// Plan is the id of the plan it was cut from; Beyond are that plan's moves that it does not hold.
	Plan   string    `json:"plan"`
	Reason string    `json:"reason"`
	Why    string    `json:"why"`
	Begun  time.Time `json:"begun,omitzero"`
	Beyond int       `json:"beyond,omitempty"`
	// Window are the voluntary moves of the minute before.
	Window []moved `json:"window,omitempty"`
	// Moves are ascending by From, each once.
	Moves []donation `json:"moves"`
}

// donation is what one ordinal gives: To has one entry an id, an ordinal or protocol.ToPool.
type donation struct {
	From int      `json:"from"`
	IDs  []string `json:"ids"`
	To   []int    `json:"to"`
}

const waveSchema = 1

func parseWave(data []byte) (*wave, error) {
	var w wave
	if err := exact.JSON(data, &w); err != nil {
		return nil, fmt.Errorf("read stored wave: %w", err)
	}
	if w.V != waveSchema {
		return nil, fmt.Errorf("read stored wave: v: schema %d, want %d", w.V, waveSchema)
	}
	for _, d := range w.Moves {
		if len(d.IDs) != len(d.To) {
			return nil, fmt.Errorf("read stored wave: from %d: %d ids with %d destinations", d.From, len(d.IDs), len(d.To))
		}
	}
	return &w, nil
}

// encode writes ids as protocol.Cost counts them.
func (w *wave) encode() ([]byte, error) {
	data, err := exact.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("encode wave: %w", err)
	}
	return data, nil
}

// cut takes from r what one wave may hold, and returns how many moves are left over.
func cut(r revocations) (moves []donation, beyond int) {
	room, left := maxWaveMoves, maxWaveBytes
	for _, from := range ordinals(r.ids) {
		ids, n := r.ids[from], 0
		left -= len(`{"from":,"ids":[],"to":[]},`) + len(strconv.Itoa(from))
		for n < len(ids) && n < room {
			size := protocol.Cost(ids[n]) + len(strconv.Itoa(r.to[from][n])) + len(",")
			if size > left {
				break
			}
			left -= size
			n++
		}
		if room -= n; n < len(ids) {
			room = 0 // what follows would jump the queue
		}
		if beyond += len(ids) - n; n > 0 {
			moves = append(moves, donation{from, ids[:n:n], r.to[from][:n:n]})
		}
	}
	return moves, beyond
}

// voluntary says whether the wave keeps to holds, pauses and the moves of a minute: all but what must leave does.
func (w *wave) voluntary() bool { return w.Reason != reasonDrain && w.Reason != reasonPin }

// count is the number of moves.
func (w *wave) count() (n int) {
	for _, d := range w.Moves {
		n += len(d.IDs)
	}
	return n
}

// running is the stored wave and how far it is.
type running struct {
	wave
	total int
	// pending is what is not taken from its donor yet, by donor; flights are the pieces that hold what was taken.
	pending map[int]donation
	flights map[string]bool
	// landed counts moves that have arrived.
	landed int
}

// resume finds out how far a stored wave is. place says where an id is; what is neither where it was nor in flight has arrived, or is no
// business of the wave any more.
func resume(w *wave, st *protocol.State, place func(id string) (int32, bool)) *running {
	r := &running{wave: *w, total: w.count(), pending: map[int]donation{}, flights: map[string]bool{}}
	flying := map[string]struct{}{}
	for _, d := range w.Moves {
		rest := donation{From: d.From}
		for i, id := range d.IDs {
			switch at, known := place(id); {
			case known && at == int32(d.From):
				rest.IDs, rest.To = append(rest.IDs, id), append(rest.To, d.To[i])
			case known && at == inventory.InFlight:
				flying[id] = struct{}{}
			default:
				r.landed++
			}
		}
		if len(rest.IDs) > 0 {
			r.pending[d.From] = rest
		}
	}
	for name, f := range st.Flight {
		if slices.ContainsFunc(f.IDs, func(id string) bool { _, mine := flying[id]; return mine }) {
			r.flights[name] = true
		}
	}
	return r
}

// left is the number of moves that are not taken yet.
func (r *running) left() (n int) {
	for _, d := range r.pending {
		n += len(d.IDs)
	}
	return n
}

// drop forgets pending moves of which bad says so: what is not taken stays where it runs.
func (r *running) drop(bad func(d donation) bool) {
	maps.DeleteFunc(r.pending, func(_ int, d donation) bool { return bad(d) })
}

// pass passes over a donor's pending moves whose id has gone meanwhile.
func (r *running) pass(from int, here func(id string) bool) {
	d := r.pending[from]
	rest := donation{From: from}
	for i, id := range d.IDs {
		if here(id) {
			rest.IDs, rest.To = append(rest.IDs, id), append(rest.To, d.To[i])
		}
	}
	r.leave(from, rest)
}

// next cuts at most n moves from a donor's pending ones.
func (r *running) next(from, n, bytes int) (ids []string, to []int) {
	d := r.pending[from]
	k := protocol.Fit(d.IDs, bytes)
	if n >= 0 {
		k = min(k, n)
	}
	r.leave(from, donation{from, d.IDs[k:], d.To[k:]})
	return d.IDs[:k:k], d.To[:k:k]
}

// leave is what is pending of a donor from now on.
func (r *running) leave(from int, rest donation) {
	if r.pending[from] = rest; len(rest.IDs) == 0 {
		delete(r.pending, from)
	}
}

// why says in a sentence what a plan is for.
func why(reason string, p *plan.Plan) string {
	switch reason {
	case reasonDrain:
		return fmt.Sprintf("instances %s are to leave", spans(leaving(p.World())))
	case reasonPin:
		return "pins forbid where resources run"
	case reasonSpread:
		return fmt.Sprintf("the open instances are uneven: %d moves make them even", len(p.Moves)+p.Remaining)
	}
	return ""
}

// leaving are the ordinals that are to be emptied and are not empty.
func leaving(w *plan.World) (ns []int) {
	for i := range w.Instances {
		if in := &w.Instances[i]; in.Leaving && len(in.IDs) > 0 {
			ns = append(ns, in.Ordinal)
		}
	}
	return ns
}

// maxSpans is about the most bytes of spans.
const maxSpans = 1000

// spans writes ordinals as 3-5, 9.
func spans(ns []int) string {
	text := ""
	for i := 0; i < len(ns); {
		if len(text) > maxSpans {
			return fmt.Sprintf("%s and %d more", text, len(ns)-i)
		}
		k := i
		for k+1 < len(ns) && ns[k+1] == ns[k]+1 {
			k++
		}
		if text != "" {
			text += ", "
		}
		text += fmt.Sprint(ns[i])
		if k > i {
			text += fmt.Sprintf("-%d", ns[k])
		}
		i = k + 1
	}
	return text
}
