package wave

import (
	"strings"
	"time"

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
	// flights are the pieces that hold what was revoked, and since when; zero: not known.
	flights map[string]time.Time
}

// Begin is a wave of which nothing is revoked yet.
func Begin(w *Wave) *Running {
	r := &Running{Wave: *w, Pending: Moves{}, flights: map[string]time.Time{}}
	for _, d := range w.Moves {
		r.Pending[d.From] = d
		r.Total += len(d.To)
	}
	return r
}

// Resume finds out how far a stored wave is. find says where an id is; what is neither where it was
// nor in flight has arrived, or is no business of the wave any more.
func Resume(w *Wave, st *protocol.State, find func(id string) (int32, bool)) *Running {
	r := &Running{Wave: *w, Pending: Moves{}, flights: map[string]time.Time{}}
	flying := map[string]struct{}{}
	for _, d := range w.Moves {
		r.Total += len(d.To)
		r.Pending.set(d.From, d.filter(func(id string) bool {
			switch at, known := find(id); {
			case known && at == int32(d.From):
				return true
			case known && at == inventory.InFlight:
				flying[strings.Clone(id)] = struct{}{}
			default:
				r.Arrived++
			}
			return false
		}))
	}
	for name, f := range st.Flight {
		if len(f.IDs.Among(flying)) > 0 {
			r.flights[name] = time.Time{}
		}
	}
	return r
}

// SkipGone passes over a source's pending moves whose id is not there any more.
func (r *Running) SkipGone(from int, here func(id string) bool) {
	r.Pending.set(from, r.Pending[from].filter(here))
}

// filter are the moves of the ids that keep says, each of which is lent to it.
func (d SourceMoves) filter(keep func(id string) bool) SourceMoves {
	kept := make([]bool, len(d.To))
	for i, id := range d.IDs.Lent() {
		kept[i] = keep(id)
	}
	some := SourceMoves{From: d.From, IDs: d.IDs.Filter(func(i int) bool { return kept[i] })}
	for i, to := range d.To {
		if kept[i] {
			some.To = append(some.To, to)
		}
	}
	return some
}

// Next takes at most n moves (negative: any number) and so many bytes of a source's pending.
func (r *Running) Next(from, n, bytes int) (ids protocol.IDs, to []int) {
	d := r.Pending[from]
	k := protocol.FitOf(d.IDs, bytes)
	if n >= 0 {
		k = min(k, n)
	}
	first, rest := d.split(k)
	r.Pending.set(from, rest)
	return first.IDs, first.To
}

// Revoked notes the flight piece that holds what was revoked, and when that was sent.
func (r *Running) Revoked(flight string, at time.Time) { r.flights[flight] = at }

// RevokedAt is when what a flight piece of the wave holds was revoked; zero: that is not known.
func (r *Running) RevokedAt(flight string) time.Time { return r.flights[flight] }

// Owns says whether a flight piece is the wave's.
func (r *Running) Owns(flight string) bool {
	if r == nil {
		return false
	}
	_, owns := r.flights[flight]
	return owns
}

// InFlight are its flight pieces that there still are.
func (r *Running) InFlight(st *protocol.State) (all []*protocol.Flight) {
	for name := range r.flights {
		if f := st.Flight[name]; f != nil {
			all = append(all, f)
		}
	}
	return all
}
