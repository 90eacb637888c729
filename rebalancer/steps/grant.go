package steps

import (
	"maps"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/pack"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Grant ends flights that are released: deletes are forgotten, the rest goes to its destination if
// that is open and has room, and else to the pool, from where it is placed again.
type Grant struct {
	// Granted is told what an ordinal received, Pooled what has come back to the pool.
	Granted func(n int, parts []Part)
	Pooled  func(part Part)
	Move    *Move

	// due is what else is granted while the step is asked for more.
	due []grant
}

// Part is how many resources came out of a piece of the flight.
type Part struct {
	Flight string
	N      int
}

// partOf is what a take gets.
func partOf(st *protocol.State, take protocol.Take) Part {
	if take.IDs == nil {
		return Part{take.Name, st.Flight[take.Name].IDs.Len()}
	}
	return Part{take.Name, len(take.IDs)}
}

// grant is what of the flight an ordinal gets.
type grant struct {
	to    int
	takes []protocol.Take
}

// released is what is released, by what is to become of it.
type released struct {
	forget []protocol.Take
	pool   []protocol.Take
	grants map[int][]protocol.Take
	sizes  map[int]protocol.Size // of what is granted, by ordinal
	// later is when more will be released to an ordinal within a moment: its list waits, to be
	// written once. Of what instances are to acknowledge that is not known: it is waited for until
	// what is released has been in flight for long enough.
	later map[int]time.Time
	// awaited are ordinals to which something is in flight that was revoked a moment ago, and is to
	// be acknowledged; oldest is when the first of what is released to an ordinal was revoked.
	awaited map[int]bool
	oldest  map[int]time.Time
}

// Next implements Step.
func (s *Grant) Next(v *View) Proposal {
	if v.More {
		return s.give(v, Proposal{})
	}
	if v.Refusal != "" || len(v.State.Flight) == 0 {
		return Proposal{}
	}
	l, p := survey(v)
	for _, take := range l.forget {
		if !p.full() {
			m, err := protocol.Forget(v.State, take)
			p.add(Job{Multi: m, Pieces: []string{take.Name}}, err)
		}
	}
	for _, take := range l.pool {
		if !p.full() {
			m, err := protocol.ReleaseToPool(v.State, v.Piece+p.Pieces, take)
			p.Pieces++
			part := partOf(v.State, take)
			p.add(Job{Multi: m, Then: func(time.Time) { s.Pooled(part) }, Pieces: []string{take.Name}}, err)
		}
	}
	s.due = nil
	revoking := s.Move.revoking(v)
	for _, n := range slices.Sorted(maps.Keys(l.grants)) {
		at := v.writableAt(n)
		if more := l.later[n]; more.After(at) {
			at = more
		}
		if more := l.oldest[n].Add(v.Orders.ListInterval()); (revoking || l.awaited[n]) && more.After(at) {
			at = more
		}
		if more := s.Move.sharedUntil(v, n); more.After(at) {
			at = more
		}
		if v.Now.Before(at) {
			p.again(at)
			continue
		}
		s.due = append(s.due, grant{n, l.grants[n]})
	}
	return s.give(v, p)
}

// give adds to p the next of what is due. What needs a piece that is being changed is given later.
// Creates that are served in between give what is deleted another destination, and nothing else.
func (s *Grant) give(v *View, p Proposal) Proposal {
	busy := piecesOf(v.UnderWay, p.Jobs)
	p.More = true
	later := s.due[:0:0]
	for i, g := range s.due {
		if p.full() {
			later = append(later, s.due[i:]...)
			break
		}
		if slices.ContainsFunc(g.takes, func(take protocol.Take) bool { return busy[take.Name] }) {
			later = append(later, g)
			continue
		}
		takes := pack.Fitting(v.State, g.to, g.takes, func(piece string) protocol.IDs { return v.State.Flight[piece].IDs })
		m, err := protocol.Grant(v.State, protocol.Give{To: g.to, From: takes})
		var parts []Part
		j := Job{Multi: m, Then: func(time.Time) { s.Granted(g.to, parts) }, Lists: []int{g.to}}
		for _, take := range takes {
			parts = append(parts, partOf(v.State, take))
			j.Pieces, busy[take.Name] = append(j.Pieces, take.Name), true
		}
		p.add(j, err)
	}
	s.due = later
	p.More = len(later) > 0
	return p
}

// survey sorts what is released. p says what the first of the others waits for, and comes again
// when the next will be released if only time is lacking.
func survey(v *View) (l released, p Proposal) {
	l = released{
		grants: map[int][]protocol.Take{}, sizes: map[int]protocol.Size{}, later: map[int]time.Time{},
		awaited: map[int]bool{}, oldest: map[int]time.Time{},
	}
	for _, name := range v.State.FlightNames() {
		f := v.State.Flight[name]
		switch ok, why, at := v.Releases.Released(&v.View, f); {
		case ok:
			l.sort(v, f)
		case !at.IsZero():
			p.again(at)
			l.wait(f, at, v.Now.Add(v.Orders.ListInterval()))
		default:
			p.block(why)
			l.await(f, v.Releases.Since(name), v)
		}
	}
	return l, p
}

// await notes to which ordinals a piece goes whose instance will say in a moment that it has
// released it.
func (l *released) await(f *protocol.Flight, revoked time.Time, v *View) {
	if v.Now.Sub(revoked) >= v.Orders.ListInterval() {
		return // it takes its time
	}
	for _, to := range f.To {
		l.awaited[to] = true
	}
}

// wait notes for which ordinals a piece will be released before their list could be written a
// second time.
func (l *released) wait(f *protocol.Flight, at, horizon time.Time) {
	if at.After(horizon) {
		return
	}
	for _, to := range f.To {
		if l.later[to].Before(at) {
			l.later[to] = at
		}
	}
}

// sort splits a released piece by where its ids go.
func (l *released) sort(v *View, f *protocol.Flight) {
	if to, sole := f.Sole(); sole && to >= 0 {
		if whole := (protocol.Size{Count: f.IDs.Len(), Bytes: protocol.CostOf(f.IDs)}); v.receives(to, l.sizes[to], whole) {
			l.grant(v, to, protocol.Take{Name: f.Name}, whole)
			return
		}
	}
	deletes, pool, grants, sizes := 0, []string(nil), map[int][]string{}, map[int]protocol.Size{}
	for i, id := range f.IDs.All() {
		one := protocol.Size{Count: 1, Bytes: protocol.Cost(id)}
		switch to := f.Target(i); {
		case to == protocol.ToDelete:
			deletes++
		case v.receives(to, l.sizes[to].Plus(sizes[to]), one):
			sizes[to] = sizes[to].Plus(one)
			grants[to] = append(grants[to], id)
		default:
			pool = append(pool, id)
		}
	}
	if deletes > 0 {
		l.forget = append(l.forget, protocol.Take{Name: f.Name})
	}
	if len(pool) > 0 {
		l.pool = append(l.pool, protocol.Take{Name: f.Name, IDs: pool})
	}
	for _, to := range slices.Sorted(maps.Keys(grants)) {
		l.grant(v, to, protocol.Take{Name: f.Name, IDs: grants[to]}, sizes[to])
	}
}

// grant notes what an ordinal gets of a piece.
func (l *released) grant(v *View, to int, take protocol.Take, size protocol.Size) {
	revoked := v.Releases.Since(take.Name)
	if first, known := l.oldest[to]; !known || revoked.Before(first) {
		l.oldest[to] = revoked
	}
	l.grants[to] = append(l.grants[to], take)
	l.sizes[to] = l.sizes[to].Plus(size)
}

// receives says whether n is open, stays, and has room for more besides what is granted to it
// already.
func (v *View) receives(n int, granted, more protocol.Size) bool {
	in := v.State.Instances[n]
	return in != nil && v.Orders.Stays(n) && v.State.IsOpen(n) && in.IDs.Len()+granted.Count+more.Count <= v.Orders.Capacity &&
		in.Bytes+granted.Bytes+more.Bytes <= protocol.MaxListBytes
}
