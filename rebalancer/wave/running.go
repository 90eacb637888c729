package wave

import (
	"maps"
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Running is the stored wave and how far it is.
type Running struct {
	Wave
	Total int
	// Arrived counts moves that have arrived.
	Arrived int
	// pending is what is not revoked from its source yet, by source; flights are the pieces that
	// hold what was revoked.
	pending map[int]SourceMoves
	flights map[string]bool
}

// Begin is a wave of which nothing is revoked yet.
func Begin(w *Wave) *Running {
	r := &Running{Wave: *w, Total: w.Count(), pending: map[int]SourceMoves{}, flights: map[string]bool{}}
	for _, d := range w.Moves {
		r.pending[d.From] = d
	}
	return r
}

// Resume finds out how far a stored wave is. find says where an id is; what is neither where it was
// nor in flight has arrived, or is no business of the wave any more.
func Resume(w *Wave, st *protocol.State, find func(id string) (int32, bool)) *Running {
	r := &Running{Wave: *w, Total: w.Count(), pending: map[int]SourceMoves{}, flights: map[string]bool{}}
	flying := map[string]struct{}{}
	for _, d := range w.Moves {
		rest := SourceMoves{From: d.From}
		for i, id := range d.IDs {
			switch at, known := find(id); {
			case known && at == int32(d.From):
				rest.IDs, rest.To = append(rest.IDs, id), append(rest.To, d.To[i])
			case known && at == inventory.InFlight:
				flying[id] = struct{}{}
			default:
				r.Arrived++
			}
		}
		r.leave(d.From, rest)
	}
	for name, f := range st.Flight {
		if slices.ContainsFunc(f.IDs.Strings(), func(id string) bool { _, mine := flying[id]; return mine }) {
			r.flights[name] = true
		}
	}
	return r
}

// Pending says whether the wave has something to revoke yet.
func (r *Running) Pending() bool { return len(r.pending) > 0 }

// Sources are the ordinals from which it has, ascending.
func (r *Running) Sources() []int { return slices.Sorted(maps.Keys(r.pending)) }

// Left is the number of moves that are not revoked yet.
func (r *Running) Left() (n int) {
	for _, d := range r.pending {
		n += len(d.IDs)
	}
	return n
}

// Drop forgets pending moves of which bad says so: what is not revoked stays where it runs.
func (r *Running) Drop(bad func(d SourceMoves) bool) {
	maps.DeleteFunc(r.pending, func(_ int, d SourceMoves) bool { return bad(d) })
}

// DropAll forgets all pending moves.
func (r *Running) DropAll() { clear(r.pending) }

// Any says whether some of the pending moves are as is says.
func (r *Running) Any(is func(d SourceMoves) bool) bool {
	for _, d := range r.pending {
		if is(d) {
			return true
		}
	}
	return false
}

// SkipGone passes over a source's pending moves whose id is not there any more.
func (r *Running) SkipGone(from int, here func(id string) bool) {
	d := r.pending[from]
	rest := SourceMoves{From: from}
	for i, id := range d.IDs {
		if here(id) {
			rest.IDs, rest.To = append(rest.IDs, id), append(rest.To, d.To[i])
		}
	}
	r.leave(from, rest)
}

// Next takes at most n moves (negative: any number) and so many bytes of a source's pending.
func (r *Running) Next(from, n, bytes int) (ids []string, to []int) {
	d := r.pending[from]
	k := protocol.Fit(d.IDs, bytes)
	if n >= 0 {
		k = min(k, n)
	}
	r.leave(from, SourceMoves{from, d.IDs[k:], d.To[k:]})
	return d.IDs[:k:k], d.To[:k:k]
}

// leave is what is pending of a source from now on.
func (r *Running) leave(from int, rest SourceMoves) {
	if r.pending[from] = rest; len(rest.IDs) == 0 {
		delete(r.pending, from)
	}
}

// Revoked notes the flight piece that holds what was revoked.
func (r *Running) Revoked(flight string) { r.flights[flight] = true }

// Owns says whether a flight piece is the wave's.
func (r *Running) Owns(flight string) bool { return r != nil && r.flights[flight] }

// InFlight are its flight pieces that there still are.
func (r *Running) InFlight(st *protocol.State) (all []*protocol.Flight) {
	for name := range r.flights {
		if f := st.Flight[name]; f != nil {
			all = append(all, f)
		}
	}
	return all
}
