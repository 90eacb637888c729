package wave

import (
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Running is the stored wave and how far it is.
type Running struct {
	Wave
	Total int
	// Arrived counts moves that have arrived.
	Arrived int
	// Pending is what is not revoked from its source yet: it stays where it runs if it is taken
	// out.
	Pending Moves
	// flights are the pieces that hold what was revoked.
	flights map[string]bool
}

// Begin is a wave of which nothing is revoked yet.
func Begin(w *Wave) *Running {
	r := &Running{Wave: *w, Pending: Moves{}, flights: map[string]bool{}}
	for _, d := range w.Moves {
		r.Pending[d.From] = d
		r.Total += len(d.IDs)
	}
	return r
}

// Resume finds out how far a stored wave is. find says where an id is; what is neither where it was
// nor in flight has arrived, or is no business of the wave any more.
func Resume(w *Wave, st *protocol.State, find func(id string) (int32, bool)) *Running {
	r := &Running{Wave: *w, Pending: Moves{}, flights: map[string]bool{}}
	flying := map[string]struct{}{}
	for _, d := range w.Moves {
		r.Total += len(d.IDs)
		for i, id := range d.IDs {
			switch at, known := find(id); {
			case known && at == int32(d.From):
				r.Pending.Add(d.From, id, d.To[i])
			case known && at == inventory.InFlight:
				flying[id] = struct{}{}
			default:
				r.Arrived++
			}
		}
	}
	for name, f := range st.Flight {
		if len(f.IDs.Among(flying)) > 0 {
			r.flights[name] = true
		}
	}
	return r
}

// SkipGone passes over a source's pending moves whose id is not there any more.
func (r *Running) SkipGone(from int, here func(id string) bool) {
	d, rest := r.Pending[from], SourceMoves{From: from}
	for i, id := range d.IDs {
		if here(id) {
			rest.IDs, rest.To = append(rest.IDs, id), append(rest.To, d.To[i])
		}
	}
	r.Pending.set(from, rest)
}

// Next takes at most n moves (negative: any number) and so many bytes of a source's pending.
func (r *Running) Next(from, n, bytes int) (ids []string, to []int) {
	d := r.Pending[from]
	k := protocol.Fit(d.IDs, bytes)
	if n >= 0 {
		k = min(k, n)
	}
	first, rest := d.split(k)
	r.Pending.set(from, rest)
	return first.IDs, first.To
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
