package inventory

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
)

// bound is x, which may be nil, with single resources bound to ordinals beside what its rules say
// of them: such a resource may be where both allow it, which may be nowhere. It needs no read of
// the catalogue.
func (x *Attributes) bound(own map[string]int, seed maphash.Seed) *Attributes {
	if len(own) == 0 {
		return x
	}
	if x == nil {
		x = newCatalogueRead(Needs{}, seed, time.Time{}).done()
	}
	y := *x
	y.needs.own, y.pins = own, slices.Clone(x.pins)
	known := map[string]plan.PinIndex{}
	rows := make(map[uint64]Attribute, len(own))
	for _, id := range slices.Sorted(maps.Keys(own)) {
		a, _ := x.Of(x.Hash(id))
		pin := x.meet(a.Pin, own[id])
		key := fmt.Sprint(pin.Name, pin.Ordinals)
		if known[key] == 0 {
			y.pins = append(y.pins, pin)
			known[key] = plan.PinIndex(len(y.pins))
		}
		hash := x.Hash(id)
		rows[hash] = Attribute{hash: hash, Weight: a.Weight, Pin: known[key]}
	}
	y.rows = merged(x.rows, slices.SortedFunc(maps.Values(rows), byHash))
	y.index()
	return &y
}

func byHash(a, b Attribute) int { return cmp.Compare(a.hash, b.hash) }

// merged is rows with others in place of those of the same hash. Both are ascending by hash.
func merged(rows, others []Attribute) []Attribute {
	all := make([]Attribute, 0, len(rows)+len(others))
	for _, r := range rows {
		for len(others) > 0 && others[0].hash < r.hash {
			all, others = append(all, others[0]), others[1:]
		}
		if len(others) > 0 && others[0].hash == r.hash {
			r, others = others[0], others[1:]
		}
		all = append(all, r)
	}
	return append(all, others...)
}

// meet is the pin of a resource that is bound to an ordinal beside a pin of the rules.
func (x *Attributes) meet(of plan.PinIndex, ordinal int) plan.Pin {
	own := plan.Pin{Name: fmt.Sprintf("a person's pin to %d", ordinal), Ordinals: []int{ordinal}}
	if of == 0 {
		return own
	}
	rule := x.pins[of-1]
	own.Name = rule.Name + " and " + own.Name
	if !slices.Contains(rule.Ordinals, ordinal) {
		own.Ordinals = nil
	}
	return own
}

// AttributesBy are those that would be in force if these resources were bound to ordinals. What
// that costs delays no other caller.
func (s Writer) AttributesBy(own map[string]int) *Attributes {
	known := s.known()
	if maps.Equal(own, known.wanted.own) {
		return known.now
	}
	return known.plain.bound(own, known.seed)
}

// known is what is known now. Its attributes do not change.
func (s *shared) known() attributeStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	return attributeStore{seed: s.attributes.seed, wanted: s.attributes.wanted, plain: s.attributes.plain, now: s.attributes.now}
}

// Binds says which rules bind a resource, and to which ordinals; "": none does, or nothing is known
// of it yet. What persons have bound by itself is no rule.
func (s *shared) Binds(id string) (rules string, ordinals []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.attributes.plain
	if x == nil {
		return "", nil
	}
	a, _ := x.Of(x.Hash(id))
	if a.Pin == 0 {
		return "", nil
	}
	pin := x.pins[a.Pin-1]
	return pin.Name, slices.Clone(pin.Ordinals)
}
