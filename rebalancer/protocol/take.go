package protocol

import (
	"fmt"
	"slices"
)

// place takes from pieces and gives to lists, in one transaction.
func (b *builder) place(grants []Give, take func([]Take) ([]IDs, error)) error {
	if len(grants) == 0 || len(grants) > maxGrants {
		return fmt.Errorf("%d lists, want 1 to %d", len(grants), maxGrants)
	}
	if len(grants) == 2 && grants[0].To == grants[1].To {
		return fmt.Errorf("ordinal %d: is given twice", grants[0].To)
	}
	var from []Take
	for _, g := range grants {
		from = append(from, g.From...)
	}
	taken, err := take(from)
	if err != nil {
		return err
	}
	for _, g := range grants {
		if len(g.From) == 0 {
			return fmt.Errorf("ordinal %d: no ids", g.To)
		}
		if err := b.grow(g.To, taken[:len(g.From)]...); err != nil {
			return err
		}
		taken = taken[len(g.From):]
	}
	return nil
}

// takePooled takes ids out of pool pieces; the result has one entry a Take.
func (b *builder) takePooled(from []Take) ([]IDs, error) {
	taken := make([]IDs, len(from))
	err := byName(from, func(name string, which []int) error {
		p := b.s.Pool[name]
		if p == nil {
			return fmt.Errorf("piece %s: does not exist", name)
		}
		if whole(from, which) {
			taken[which[0]] = p.IDs
			b.setPiece(name, p.Version, IDs{})
			return nil
		}
		gone, err := choose(p.IDs, from, which, taken)
		if err != nil {
			return fmt.Errorf("piece %s: %w", name, err)
		}
		b.setPiece(name, p.Version, p.IDs.Filter(func(i int) bool { return !gone[i] }))
		return nil
	})
	return taken, err
}

// takeFlying takes ids out of flight pieces: only deletes, or none of them.
func (b *builder) takeFlying(from []Take, deletes bool) ([]IDs, error) {
	taken := make([]IDs, len(from))
	err := byName(from, func(name string, which []int) error {
		f := b.s.Flight[name]
		if f == nil {
			return fmt.Errorf("flight %s: does not exist", name)
		}
		if to, sole := f.Sole(); sole && (to == ToDelete) == deletes && whole(from, which) {
			taken[which[0]] = f.IDs
			b.setFlight(Flight{Name: name, known: f.known})
			return nil
		}
		isEligible := func(i int) bool { return (f.Target(i) == ToDelete) == deletes }
		eligible := f.filter(isEligible).IDs
		if eligible.Len() < f.IDs.Len() && !deletes && slices.ContainsFunc(which, func(i int) bool { return from[i].IDs == nil }) {
			return fmt.Errorf("flight %s: some of it are deletes: name the ids", name)
		}
		gone, err := choose(eligible, from, which, taken)
		if err != nil {
			return fmt.Errorf("flight %s: %w", name, err)
		}
		next := 0 // of those eligible
		b.setFlight(f.filter(func(i int) bool {
			if !isEligible(i) {
				return true
			}
			next++
			return !gone[next-1]
		}))
		return nil
	})
	return taken, err
}

// whole says that all of a piece is taken, by one Take.
func whole(from []Take, which []int) bool { return len(which) == 1 && from[which[0]].IDs == nil }

// byName calls visit for each name, in order of first appearance, with its Takes' indices.
func byName(from []Take, visit func(name string, which []int) error) error {
	which := make(map[string][]int, len(from))
	for i, t := range from {
		which[t.Name] = append(which[t.Name], i)
	}
	for i, t := range from {
		if which[t.Name][0] != i {
			continue
		}
		if err := visit(t.Name, which[t.Name]); err != nil {
			return err
		}
	}
	return nil
}

// choose fills in what each Take of one piece gets, and says of each of the ids whether it is
// taken. Nothing may be taken twice, nor what is not there.
func choose(ids IDs, from []Take, which []int, taken []IDs) (gone []bool, err error) {
	gone = make([]bool, ids.Len())
	take := func(at int) error {
		if gone[at] {
			return fmt.Errorf("id %q: is taken twice", ids.At(at))
		}
		gone[at] = true
		return nil
	}
	var here *named // made only if ids are named
	for _, i := range which {
		if taken[i] = ids; from[i].IDs != nil {
			taken[i] = NewIDs(from[i].IDs)
		}
		if taken[i].Len() == 0 {
			return nil, fmt.Errorf("nothing to take")
		}
		if from[i].IDs == nil {
			for at := range gone {
				if err := take(at); err != nil {
					return nil, err
				}
			}
			continue
		}
		if here == nil {
			here = &named{texts: ids.Strings()}
		}
		if err := here.each(from[i].IDs, take); err != nil {
			return nil, err
		}
	}
	return gone, nil
}

// named finds ids of a piece by their names.
type named struct {
	texts  []string
	places map[string]int // made only if ids are named that do not stand side by side
}

// each calls do with the place of each id of some.
func (n *named) each(some []string, do func(at int) error) error {
	first := findRun(n.texts, some)
	if first < 0 && n.places == nil {
		n.places = make(map[string]int, len(n.texts))
		for at, id := range n.texts {
			n.places[id] = at
		}
	}
	for k, id := range some {
		at, here := first+k, true
		if first < 0 {
			at, here = n.places[id]
		}
		if !here {
			return fmt.Errorf("id %q: is not there, or not of that destination", id)
		}
		if err := do(at); err != nil {
			return err
		}
	}
	return nil
}

// findRun is where the run stands in ids, or -1.
func findRun(ids, run []string) int {
	first := slices.Index(ids, run[0])
	if first < 0 || len(ids)-first < len(run) || !slices.Equal(ids[first:first+len(run)], run) {
		return -1
	}
	return first
}

// filter is the flight with the ids at the places that keep says. It asks once of each, in order.
func (f *Flight) filter(keep func(i int) bool) Flight {
	kept := *f
	kept.To = make([]int, 0, f.IDs.Len())
	kept.IDs = f.IDs.Filter(func(i int) bool {
		if !keep(i) {
			return false
		}
		kept.To = append(kept.To, f.Target(i))
		return true
	})
	return kept
}

func setOf(ids []string) map[string]struct{} {
	set := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		set[id] = struct{}{}
	}
	return set
}

// without returns ids less gone, each of which must be there once.
func without(ids, gone IDs) (IDs, error) {
	rest, missing := ids.Without(gone)
	if missing < 0 {
		return rest, nil
	}
	if id := gone.At(missing); ids.Index(id) < 0 {
		return IDs{}, fmt.Errorf("id %q: is not there", id)
	}
	return IDs{}, fmt.Errorf("an id is given twice")
}
