package protocol

import (
	"fmt"
	"strconv"
)

// place is where an id was found.
type location struct {
	// rank orders the places by which keeps a duplicate: flight, lists with a live status, others.
	rank    int
	ordinal int
	name    string
}

const (
	rankFlight = iota
	rankLive
	rankList
	rankPool
)

func (p location) String() string {
	switch p.rank {
	case rankFlight:
		return "flight"
	case rankPool:
		return "pool"
	}
	return strconv.Itoa(p.ordinal)
}

// walk visits every place in the order of rule 11: who comes first keeps a duplicate.
func (s *State) walk(visit func(p location, ids []string)) {
	for _, name := range s.FlightNames() {
		visit(location{rank: rankFlight, name: name}, s.Flight[name].IDs.Strings())
	}
	for _, rank := range []int{rankLive, rankList} {
		for _, n := range s.Ordinals() {
			if in := s.Instances[n]; in.Live == (rank == rankLive) {
				visit(location{rank: rank, ordinal: n}, in.IDs.Strings())
			}
		}
	}
	for _, name := range s.PoolNames() {
		visit(location{rank: rankPool, name: name}, s.Pool[name].IDs.Strings())
	}
}

// Count is how many ids there are, wherever they are.
func (s *State) Count() int { return s.Assigned() + s.InFlight() + s.Unassigned() }

// Check says which id is in two places, or not allowed. It costs an insert an id.
func (s *State) Check() error {
	seen := make(map[string]location, s.Count())
	var err error
	s.walk(func(p location, ids []string) {
		for _, id := range ids {
			if err != nil {
				return
			}
			first, twice := seen[id]
			if twice {
				err = fmt.Errorf("id %q: is in %s %s and in %s %s", id, first, first.name, p, p.name)
				return
			}
			seen[id] = p
			err = CheckID(id)
		}
	})
	return err
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
	seen := make(map[string]location, s.Count())
	s.walk(func(p location, ids []string) {
		keep := make([]bool, len(ids))
		var found []Duplicate
		for i, id := range ids {
			first, twice := seen[id]
			if keep[i] = !twice; twice {
				found = append(found, Duplicate{ID: id, Stayed: first.String(), Removed: p.String()})
				continue
			}
			seen[id] = p
		}
		if len(found) == 0 || err != nil {
			return
		}
		var m Multi
		m, err = strip(s, p, keep)
		all = append(all, Deduped{m, found})
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func strip(s *State, p location, keep []bool) (Multi, error) {
	marked := func(ids []string) (rest []string) {
		for i, id := range ids {
			if keep[i] {
				rest = append(rest, id)
			}
		}
		return rest
	}
	return transact(s, "dedupe", func(b *builder) error {
		switch p.rank {
		case rankPool:
			b.setPiece(s.Pool[p.name], marked(s.Pool[p.name].IDs.Strings()))
		case rankFlight:
			f := *s.Flight[p.name]
			f.IDs, f.To = NewIDs(marked(f.IDs.Strings())), nil
			for i, ok := range keep {
				if ok {
					f.To = append(f.To, s.Flight[p.name].Target(i))
				}
			}
			b.setFlight(f)
		default:
			in, err := s.changeable(p.ordinal)
			if err != nil {
				return err
			}
			b.setList(in, marked(in.IDs.Strings()))
		}
		return nil
	})
}
