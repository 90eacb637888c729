package plan

import (
	"fmt"
	"slices"
	"strings"
)

// Why a resource moves.
const (
	WhyUnassigned = "unassigned" // no instance owns it
	WhyLeaving    = "leaving"    // its instance must be drained
	WhyPin        = "pin"        // its pin forbids where it is
	WhySpread     = "spread"     // to even the load or to make room
)

// Description is a plan in words and numbers. Ordinal -1 is the pool.
type Description struct {
	ID      string  `json:"id"`
	Regime  Regime  `json:"regime"`
	Balance Balance `json:"balance"`
	// Summary is the plan in one sentence, Certificate compares its moves with the least possible.
	Summary     string `json:"summary"`
	Certificate string `json:"certificate"`
	Moves       int    `json:"moves"`
	Voluntary   int    `json:"voluntary"`
	Remaining   int    `json:"remaining"`
	Bound       int    `json:"bound"`
	Exact       bool   `json:"exact"`
	// Instances are ascending by ordinal.
	Instances []InstanceChange `json:"instances"`
	// Flows are the moves summed up, in order of their first move.
	Flows   []Flow         `json:"flows,omitempty"`
	Refused []RefusedGroup `json:"refused,omitempty"`
	// Notes are what an operator should know beyond the plan: missing room, missing headroom.
	Notes []string `json:"notes,omitempty"`
}

// InstanceChange is what a plan does to one instance. After is when the moves of this plan are
// done, Target when the full plan is.
type InstanceChange struct {
	Ordinal      int     `json:"ordinal"`
	State        string  `json:"state"` // open, fixed (open, and keeps what it has), leaving or kept
	Before       int     `json:"before"`
	In           int     `json:"in"`
	Out          int     `json:"out"`
	After        int     `json:"after"`
	Target       int     `json:"target"`
	WeightBefore float64 `json:"weightBefore,omitempty"`
	WeightAfter  float64 `json:"weightAfter,omitempty"`
}

// Flow is how many resources go from one place to another, and why.
type Flow struct {
	From  int    `json:"from"`
	To    int    `json:"to"`
	Why   string `json:"why"`
	Count int    `json:"count"`
}

// RefusedGroup is how many resources could not go where they should, and why.
type RefusedGroup struct {
	From     int      `json:"from"`
	Why      string   `json:"why"`
	Pin      string   `json:"pin,omitempty"`
	Meaning  string   `json:"meaning"`
	Count    int      `json:"count"`
	Examples []string `json:"examples"`
}

// NamedMove is a move by id and ordinals.
type NamedMove struct {
	ID   string `json:"id"`
	From int    `json:"from"`
	To   int    `json:"to"`
	Why  string `json:"why"`
}

// NamedRefusal is a refused resource by id and ordinal.
type NamedRefusal struct {
	ID   string `json:"id"`
	From int    `json:"from"`
	Why  string `json:"why"`
}

// Named are the moves with names, in plan order.
func (p *Plan) Named() []NamedMove {
	all := make([]NamedMove, len(p.Moves))
	for i, m := range p.Moves {
		all[i] = NamedMove{p.world.ID(m), p.world.Ordinal(m.From), p.world.Ordinal(m.To), p.why(m)}
	}
	return all
}

// NamedRefused are the refused resources with names.
func (p *Plan) NamedRefused() []NamedRefusal {
	all := make([]NamedRefusal, len(p.Refused))
	for i, r := range p.Refused {
		all[i] = NamedRefusal{p.world.list(r.From).IDs.At(int(r.Index)), p.world.Ordinal(r.From), r.Why.String()}
	}
	return all
}

func (p *Plan) why(m Move) string {
	switch {
	case m.From == FromPool:
		return WhyUnassigned
	case p.world.Instances[m.From].Leaving:
		return WhyLeaving
	case p.world.voluntary(m):
		return WhySpread
	}
	return WhyPin
}

// Describe says what moves from where to where, why, the bound, and what was refused and why.
func (p *Plan) Describe() *Description {
	changes := p.changes()
	return &Description{
		ID: p.ID(), Regime: p.Regime, Balance: p.Balance, Summary: p.summary(), Certificate: p.certificate(), Moves: len(p.Moves),
		Voluntary: p.Voluntary, Remaining: p.Remaining, Bound: p.Bound, Exact: p.Exact,
		Instances: changes, Flows: p.flows(), Refused: p.RefusedGroups(), Notes: p.notes(changes),
	}
}

func (p *Plan) summary() string {
	parts := []string{"nothing moves"}
	if must := len(p.Moves) - p.Voluntary; len(p.Moves) > 0 {
		parts[0] = fmt.Sprintf("%s: required: %d, to spread or to make room: %d", moves(len(p.Moves)), must, p.Voluntary)
	}
	if p.Remaining > 0 {
		parts = append(parts, fmt.Sprintf("%d more beyond the budget", p.Remaining))
	}
	if len(p.Refused) > 0 {
		parts = append(parts, fmt.Sprintf("%d refused", len(p.Refused)))
	}
	return strings.Join(parts, "; ")
}

func moves(n int) string     { return number(n, "1 move", "%d moves") }
func resources(n int) string { return number(n, "1 resource", "%d resources") }

func number(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return fmt.Sprintf(many, n)
}

func (p *Plan) certificate() string {
	full := moves(len(p.Moves) + p.Remaining)
	switch {
	case p.Exact:
		return fmt.Sprintf("%[2]s in full, the least number (bound %[1]d) that places as many and spreads as evenly", p.Bound, full)
	case p.Balance == ByWeight:
		return fmt.Sprintf("%[2]s in full, required: %[1]d (bound). By weight no least number is known; each move to spread lowers the sum of squared weights", p.Bound, full)
	}
	return fmt.Sprintf("%[2]s in full, at least %[1]d needed (bound). No least number is known where bytes bind or an instance keeps more than its capacity", p.Bound, full)
}

func (p *Plan) changes() []InstanceChange {
	w := p.world
	all := make([]InstanceChange, len(w.Instances))
	before := weights(w)
	after := slices.Clone(before)
	for _, m := range p.Moves {
		cost := w.weightOf(m)
		all[m.To].In++
		after[m.To] += cost
		if m.From != FromPool {
			all[m.From].Out++
			after[m.From] -= cost
		}
	}
	for i := range all {
		in, c := &w.Instances[i], &all[i]
		c.Ordinal, c.State, c.Target = in.Ordinal, "kept", p.Targets[i]
		switch {
		case in.Open && in.Fixed:
			c.State = "fixed"
		case in.Open:
			c.State = "open"
		case in.Leaving:
			c.State = "leaving"
		}
		c.Before = in.owned()
		c.After = c.Before + c.In - c.Out
		if p.Balance == ByWeight {
			c.WeightBefore, c.WeightAfter = float64(before[i])/1000, float64(after[i])/1000
		}
	}
	return all
}

func (p *Plan) flows() (flows []Flow) {
	known := map[Flow]int{}
	for _, m := range p.Moves {
		f := Flow{From: p.world.Ordinal(m.From), To: p.world.Ordinal(m.To), Why: p.why(m)}
		i, ok := known[f]
		if !ok {
			i = len(flows)
			known[f] = i
			flows = append(flows, f)
		}
		flows[i].Count++
	}
	return flows
}

// RefusedGroups sums up the refusals, in order of the first of each group.
func (p *Plan) RefusedGroups() (groups []RefusedGroup) {
	type group struct {
		from InstanceIndex
		why  Reason
		pin  PinIndex
	}
	known := map[group]int{}
	for _, r := range p.Refused {
		l := p.world.list(r.From)
		g := group{r.From, r.Why, l.pin(int(r.Index))}
		i, ok := known[g]
		if !ok {
			i = len(groups)
			known[g] = i
			groups = append(groups, RefusedGroup{From: p.world.Ordinal(r.From), Why: r.Why.String(), Meaning: reasons[r.Why].meaning})
			if g.pin > 0 {
				groups[i].Pin = p.world.Pins[g.pin-1].Name
			}
		}
		groups[i].Count++
		if len(groups[i].Examples) < 3 {
			groups[i].Examples = append(groups[i].Examples, l.IDs.At(int(r.Index)))
		}
	}
	return groups
}

// notes say what room is missing now, and what would be missing if one instance were lost.
func (p *Plan) notes(changes []InstanceChange) (notes []string) {
	largest := InstanceChange{Ordinal: -1}
	room, own, capacity := 0, 0, 0 // own is the part of room that the largest has
	for i, c := range changes {
		if in := &p.world.Instances[i]; in.Open {
			left := max(0, in.Capacity-c.After)
			room += left
			if largest.Ordinal < 0 || c.After > largest.After {
				largest, own = c, left
			}
			capacity = max(capacity, in.Capacity)
		}
	}
	short := 0
	for _, r := range p.Refused {
		if r.Why == Full || r.Why == OverCapacity {
			short++
		}
	}
	if short > 0 {
		notes = append(notes, fmt.Sprintf("no room for %s: scale up by %s of capacity %d",
			resources(short), number((short+capacity-1)/capacity, "1 instance", "%d instances"), capacity))
	}
	if others := room - own; short == 0 && largest.After > others {
		notes = append(notes, fmt.Sprintf("no headroom: losing instance %d would leave %s without a place; scale up to be safe",
			largest.Ordinal, resources(largest.After-others)))
	}
	return notes
}
