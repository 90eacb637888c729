// Package previews keeps the plans that a leader has shown, so that one can be applied by its id.
//
// In: what each plan rests on, as a Basis; later an id, and a Basis taken anew. Out: whether that
// plan may be carried out, and what has changed if not. Invariant: pure; a plan is carried out
// once, by the leader that made it, within the time it is kept for, on the basis that it was made
// on.
package previews

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/spans"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
)

// Basis is all that a plan rests on. Two that are equal have the same id.
//
// New resources that are placed change nothing of it, and so do deletes from lists of which the
// plan takes only some: which of them go is chosen when the plan is carried out.
type Basis struct {
	Kind string `json:"kind"`
	// Epoch is the head's, Open what may receive.
	Epoch int64 `json:"epoch"`
	Open  []int `json:"open"`
	// Config is the version of the kind's configuration, Overrides that of what persons have put over
	// it.
	Config    string     `json:"config"`
	Overrides string     `json:"overrides"`
	Change    ops.Change `json:"change"`
	// Lists are those that the plan takes from, ascending.
	Lists []List `json:"lists"`
	// Place is where the resource is that the change is about.
	Place Place `json:"place,omitzero"`
}

// List is a list that a plan takes from, and how often it was changed.
type List struct {
	Ordinal int `json:"ordinal"`
	// All: everything that the instance owns goes. Only then Deleted counts; else it is 0.
	All bool `json:"all,omitempty"`
	orders.Changes
}

// Place is where a resource is: an ordinal, or -1: in the pool or in flight.
type Place struct {
	Resource string `json:"resource"`
	Known    bool   `json:"known"`
	Ordinal  int    `json:"ordinal"`
}

// Source is a list that a plan takes from, without its counts.
type Source struct {
	Ordinal int
	All     bool
}

// Sources are the lists that plans take from, ascending.
func Sources(plans ...*plan.Plan) (sources []Source) {
	all := map[int]bool{}
	for _, p := range plans {
		if p == nil {
			continue
		}
		w := p.World()
		for _, m := range p.Moves {
			if m.From != plan.FromPool {
				n := w.Ordinal(m.From)
				all[n] = all[n] || w.Instances[m.From].Leaving
			}
		}
	}
	for n, leaves := range all {
		sources = append(sources, Source{Ordinal: n, All: leaves})
	}
	slices.SortFunc(sources, func(a, b Source) int { return a.Ordinal - b.Ordinal })
	return sources
}

// Counted are the sources with their counts.
func Counted(sources []Source, changed map[int]orders.Changes) []List {
	lists := make([]List, len(sources))
	for i, s := range sources {
		c := changed[s.Ordinal]
		if !s.All {
			c.Deleted = 0
		}
		lists[i] = List{Ordinal: s.Ordinal, All: s.All, Changes: c}
	}
	return lists
}

// Sources are the lists of the basis, without their counts.
func (g *Basis) Sources() []Source {
	sources := make([]Source, len(g.Lists))
	for i, l := range g.Lists {
		sources[i] = Source{Ordinal: l.Ordinal, All: l.All}
	}
	return sources
}

// ID names a plan: the epoch, and a hash of all of the basis.
func (g *Basis) ID() string {
	all := *g
	all.Open, all.Lists = append([]int{}, g.Open...), append([]List{}, g.Lists...) // none is none
	data, _ := json.Marshal(all)                                                   // it can be encoded
	sum := sha256.Sum256(data)
	return fmt.Sprintf("%d-%s", g.Epoch, hex.EncodeToString(sum[:16]))
}

// Differs says in words what of a basis is not as it was; nil: it is the same.
func (g *Basis) Differs(was *Basis) (all []string) {
	say := func(differs bool, format string, args ...any) {
		if differs {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	say(g.Kind != was.Kind, "kind: %s, was %s", g.Kind, was.Kind)
	say(g.Epoch != was.Epoch, "epoch: %d, was %d: another leader, or this one anew", g.Epoch, was.Epoch)
	say(g.Config != was.Config, "configuration: the kind's part of the ConfigMap is another one")
	say(g.Overrides != was.Overrides, "overrides: what persons have put over the configuration is not what it was")
	say(!slices.Equal(g.Open, was.Open), "open set: %s, was %s", open(g.Open), open(was.Open))
	say(g.Place != was.Place, "resource %q: %s, was %s", was.Place.Resource, g.Place, was.Place)
	say(g.differs(was), "lists: resources were moved out of or into these, or deleted from those that are to be emptied: %s", g.changedLists(was))
	if len(all) == 0 && g.ID() != was.ID() {
		all = append(all, "what is asked for is not the same")
	}
	return all
}

func (g *Basis) differs(was *Basis) bool { return !slices.Equal(g.Lists, was.Lists) }

// changedLists names the instances whose lists changed.
func (g *Basis) changedLists(was *Basis) string {
	var ordinals []int
	for _, l := range slices.Concat(g.Lists, was.Lists) {
		if !(slices.Contains(g.Lists, l) && slices.Contains(was.Lists, l)) {
			ordinals = append(ordinals, l.Ordinal)
		}
	}
	slices.Sort(ordinals)
	return "instances " + spans.Text(slices.Compact(ordinals), "-")
}

func open(ordinals []int) string {
	if len(ordinals) == 0 {
		return "none"
	}
	return spans.Text(ordinals, "-")
}

// String is where it is, for people.
func (p Place) String() string {
	switch {
	case !p.Known:
		return "there is no such resource"
	case p.Ordinal < 0:
		return "in the pool or in flight"
	}
	return fmt.Sprintf("on instance %d", p.Ordinal)
}
