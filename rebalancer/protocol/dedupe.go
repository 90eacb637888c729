package protocol

import (
	"fmt"
	"strconv"
)

// place is where ids were found: one of flight, instance and piece.
type place struct {
	flight   *Flight
	instance *Instance
	piece    *Piece
	name     string // of a piece
	ids      IDs
}

func (p *place) String() string {
	switch {
	case p.flight != nil:
		return "flight"
	case p.piece != nil:
		return "pool"
	}
	return strconv.Itoa(p.instance.Ordinal)
}

// places are all there are, in the order of rule 11: the first place keeps a duplicate.
func (s *State) places() (all []*place) {
	for _, name := range s.FlightNames() {
		f := s.Flight[name]
		all = append(all, &place{flight: f, name: name, ids: f.IDs})
	}
	ordinals := s.Ordinals()
	for _, live := range []bool{true, false} {
		for _, n := range ordinals {
			if in := s.Instances[n]; in.Live == live {
				all = append(all, &place{instance: in, ids: in.IDs})
			}
		}
	}
	for _, name := range s.PoolNames() {
		p := s.Pool[name]
		all = append(all, &place{piece: p, name: name, ids: p.IDs})
	}
	return all
}

// Count is how many ids there are, wherever they are.
func (s *State) Count() int { return s.Assigned() + s.InFlight() + s.Unassigned() }

// Check says which id is in two places, or not allowed. It costs an insert an id.
func (s *State) Check() error {
	seen := make(map[string]*place, s.Count())
	for _, p := range s.places() {
		for _, id := range p.ids.All() {
			if first := seen[id]; first != nil {
				return fmt.Errorf("id %q: is in %s %s and in %s %s", id, first, first.name, p, p.name)
			}
			seen[id] = p
			if err := CheckID(id); err != nil {
				return err
			}
		}
	}
	return nil
}

// Duplicate is an id that was found in more than one place.
type Duplicate struct {
	ID string `json:"id"`
	// Stayed is where the id is, Removed where it was too: an ordinal, "pool" or "flight".
	Stayed  string `json:"stayed"`
	Removed string `json:"removed"`
}

// Deduped is a transaction that takes duplicates out of one znode.
type Deduped struct {
	Multi Multi
	Found []Duplicate
}

// Dedupe leaves each id that is in several places where protocol rule 11 wants it: one transaction
// for each znode that loses something, none of which overlap.
func Dedupe(s *State) (all []Deduped, err error) {
	seen := make(map[string]*place, s.Count())
	for _, p := range s.places() {
		keep := make([]bool, p.ids.Len())
		var found []Duplicate
		for i, id := range p.ids.All() {
			first := seen[id]
			if keep[i] = first == nil; keep[i] {
				seen[id] = p
			} else {
				found = append(found, Duplicate{ID: id, Stayed: first.String(), Removed: p.String()})
			}
		}
		if len(found) == 0 {
			continue
		}
		m, err := p.strip(s, func(i int) bool { return keep[i] })
		if err != nil {
			return nil, err
		}
		all = append(all, Deduped{m, found})
	}
	return all, nil
}

// strip leaves those of the place's ids that keep says.
func (p *place) strip(s *State, keep func(i int) bool) (Multi, error) {
	return transact(s, "dedupe", func(b *builder) error {
		switch {
		case p.flight != nil:
			b.setFlight(p.flight.filter(keep))
		case p.piece != nil:
			b.setPiece(p.name, p.piece.Version, p.ids.Filter(keep))
		default:
			in, err := s.changeable(p.instance.Ordinal)
			if err != nil {
				return err
			}
			b.setList(in, p.ids.Filter(keep))
		}
		return nil
	})
}
