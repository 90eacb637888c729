package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/shardscaler/shardscaler/internal/pins"
)

// checkRule says what makes no sense in any world.
func checkRule(r *pins.Rule) error {
	if r.Selector == nil && len(r.IDs) == 0 {
		return fmt.Errorf("selector: missing, want a selector or ids")
	}
	if len(r.Ordinals) == 0 {
		return fmt.Errorf("ordinals: none, want at least one")
	}
	for _, o := range r.Ordinals {
		if o < 0 {
			return fmt.Errorf("ordinals: %d, want 0 or more", o)
		}
	}
	if r.Selector == nil {
		return nil
	}
	for _, e := range r.Selector.MatchExpressions {
		listed := e.Operator == pins.In || e.Operator == pins.NotIn
		switch {
		case e.Key == "":
			return fmt.Errorf("selector.matchExpressions: key is missing")
		case !listed && e.Operator != pins.Exists && e.Operator != pins.DoesNotExist:
			return fmt.Errorf("selector.matchExpressions: operator %q of %q, want In, NotIn, Exists or DoesNotExist", e.Operator, e.Key)
		case listed != (len(e.Values) > 0):
			return fmt.Errorf("selector.matchExpressions: %d values for operator %s of %q, want some for In and NotIn only", len(e.Values), e.Operator, e.Key)
		}
	}
	return nil
}

// Pinner turns rules and labels into the pins of a World. A resource that several rules match must
// satisfy all of them: it may be where all their ordinals meet, which may be nowhere.
type Pinner struct {
	rules []pins.Rule
	named map[string][]int // id → rules that name it
	pins  []Pin
	known map[string]PinIndex // set of rules and own ordinals → pin
}

// NewPinner checks the rules.
func NewPinner(rules []pins.Rule) (*Pinner, error) {
	p := &Pinner{rules: rules, named: map[string][]int{}, known: map[string]PinIndex{}}
	for i := range rules {
		if err := checkRule(&rules[i]); err != nil {
			return nil, fmt.Errorf("read pin %q: %w", cmp.Or(rules[i].Name, fmt.Sprintf("#%d", i+1)), err)
		}
		for _, id := range rules[i].IDs {
			if known := p.named[id]; !slices.Contains(known, i) {
				p.named[id] = append(known, i)
			}
		}
	}
	return p, nil
}

// Pin is the pin of one resource. own are ordinals it is bound to by itself; none: it is not.
func (p *Pinner) Pin(id string, labels map[string]string, own []int) PinIndex {
	var matched []int
	for i := range p.rules {
		if s := p.rules[i].Selector; s != nil && s.Matches(labels) || len(p.named) > 0 && slices.Contains(p.named[id], i) {
			matched = append(matched, i)
		}
	}
	if len(matched) == 0 && len(own) == 0 {
		return 0
	}
	key := fmt.Sprint(matched, own)
	if index, ok := p.known[key]; ok {
		return index
	}
	p.pins = append(p.pins, p.meet(matched, own))
	p.known[key] = PinIndex(len(p.pins))
	return p.known[key]
}

// Keep is the index of a pin that another Pinner of the same rules has given out.
func (p *Pinner) Keep(pin Pin) PinIndex {
	same := func(known Pin) bool { return known.Name == pin.Name && slices.Equal(known.Ordinals, pin.Ordinals) }
	if i := slices.IndexFunc(p.pins, same); i >= 0 {
		return PinIndex(i + 1)
	}
	p.pins = append(p.pins, pin)
	return PinIndex(len(p.pins))
}

// Pins are what the indexes given out so far refer to: World.Pins.
func (p *Pinner) Pins() []Pin { return p.pins }

func (p *Pinner) meet(matched, own []int) Pin {
	var names []string
	var sets [][]int
	for _, i := range matched {
		names = append(names, cmp.Or(p.rules[i].Name, fmt.Sprintf("#%d", i+1)))
		sets = append(sets, p.rules[i].Ordinals)
	}
	if len(own) > 0 {
		names = append(names, "its own pin")
		sets = append(sets, own)
	}
	common := slices.Compact(slices.Sorted(slices.Values(sets[0])))
	common = slices.DeleteFunc(common, func(o int) bool {
		return slices.ContainsFunc(sets, func(set []int) bool { return !slices.Contains(set, o) })
	})
	return Pin{Name: strings.Join(names, " and "), Ordinals: common}
}
