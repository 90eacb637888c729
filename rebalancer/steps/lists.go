package steps

import (
	"maps"
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/wave"
)

// attributed is the list of an instance with weights and pins, as the planner sees it. It is kept
// until its ids or the attributes change: a plan costs what changed, not a look-up a resource.
type attributed struct {
	of   *inventory.Attributes
	list plan.List
	// weight is the sum, in thousandths; misplaced counts those whose pin forbids where they are.
	weight    int64
	misplaced int
}

// listed is the list of an instance. Without attributes it costs nothing.
func (v *View) listed(n int, in *protocol.Instance) *attributed {
	if v.Attributes == nil {
		v.lists = nil
		return &attributed{list: plan.List{IDs: in.IDs}}
	}
	if l := v.lists[n]; l != nil && l.of == v.Attributes && l.list.IDs.Is(in.IDs) {
		return l
	}
	if v.lists == nil {
		v.lists = map[int]*attributed{}
	}
	maps.DeleteFunc(v.lists, func(n int, _ *attributed) bool { return v.State.Instances[n] == nil })
	l := &attributed{of: v.Attributes, list: plan.List{IDs: in.IDs}}
	w := plan.World{Pins: v.Attributes.Pins(), Instances: []plan.Instance{{Ordinal: n}}}
	for i, id := range in.IDs.Lent() {
		a, _, _ := v.attribute(id)
		l.add(i, a)
		l.weight += int64(a.Weight)
		if !w.Allows(a.Pin, 0) {
			l.misplaced++
		}
	}
	v.lists[n] = l
	return l
}

// add notes the attribute of the i-th id. What is alike for all of them takes no memory.
func (l *attributed) add(i int, a inventory.Attribute) {
	if l.list.Weights == nil && a.Weight != inventory.Unit {
		l.list.Weights = make([]plan.Weight, i, l.list.IDs.Len())
		for k := range i {
			l.list.Weights[k] = inventory.Unit
		}
	}
	if l.list.Weights != nil {
		l.list.Weights = append(l.list.Weights, a.Weight)
	}
	if l.list.Pins == nil && a.Pin != 0 {
		l.list.Pins = make([]plan.PinIndex, i, l.list.IDs.Len())
	}
	if l.list.Pins != nil {
		l.list.Pins = append(l.list.Pins, a.Pin)
	}
}

// attribute is what is known of an id; pending says that a row of it in the catalogue has not been
// read yet, unread that its row cannot be read. It then weighs the median. No pin forbids what is
// unread to be where it is.
func (v *View) attribute(id string) (a inventory.Attribute, pending, unread bool) {
	hash := v.Attributes.Hash(id)
	a, found := v.Attributes.Of(hash)
	if found {
		return a, false, false
	}
	pending, unread = v.Requests.NotYetRead(hash), v.Attributes.Unreadable(hash)
	if unread {
		a.Pin = 0
	}
	if (pending || unread) && v.Attributes.Weighed() {
		a.Weight = v.Attributes.Median
	}
	return a, pending, unread
}

// poolList is the pool. Where pins go by labels, what waits is that of which the catalogue has not
// told the labels yet, or in a way that cannot be read.
func poolList(v *View, pool []string) plan.List {
	l := attributed{list: plan.List{IDs: protocol.NewIDs(pool)}}
	if v.Attributes == nil {
		return l.list
	}
	waits := v.Attributes.Labelled()
	for i, id := range pool {
		a, pending, unread := v.attribute(id)
		switch {
		case waits && pending:
			a.Pin = v.unlabelled()
		case waits && unread:
			a.Pin = v.unlabelled() + 1
		}
		l.add(i, a)
	}
	return l.list
}

// unlabelled is the pin of what waits for its labels: one that no ordinal satisfies, after all
// others. The next one is that of what has labels that cannot be read.
func (v *View) unlabelled() plan.PinIndex { return plan.PinIndex(len(v.Attributes.Pins()) + 1) }

// The reasons of what waits for its labels, among the planner's own.
const (
	whyUnlabelled = "labels-unknown"
	whyUnreadable = "labels-unreadable"
)

// pins are those of the planner's world.
func pinsOf(v *View) []plan.Pin {
	if !v.Attributes.Pinned() {
		return nil
	}
	return append(slices.Clip(v.Attributes.Pins()), plan.Pin{Name: whyUnlabelled}, plan.Pin{Name: whyUnreadable})
}

// misplaced says whether anything sits where its pin forbids and may be revoked from there.
func (v *View) misplaced() bool {
	if !v.Attributes.Pinned() {
		return false
	}
	for n, in := range v.State.Instances {
		if v.listed(n, in).misplaced > 0 && v.Releases.Fixed(n) == "" {
			return true
		}
	}
	return false
}

// expels says whether all moves of a source are of resources that sit where their pins forbid: they
// leave although their source stays.
func (v *View) expels(d wave.SourceMoves) bool {
	in := v.State.Instances[d.From]
	if in == nil || !v.Attributes.Pinned() || v.listed(d.From, in).misplaced == 0 {
		return false
	}
	w := plan.World{Pins: v.Attributes.Pins(), Instances: []plan.Instance{{Ordinal: d.From}}}
	for _, id := range d.IDs.Lent() {
		if a, _, _ := v.attribute(id); w.Allows(a.Pin, 0) {
			return false
		}
	}
	return true
}

// weightOf is what ids weigh, in thousandths.
func (v *View) weightOf(ids protocol.IDs) (sum int64) {
	for _, id := range ids.Lent() {
		a, _, _ := v.attribute(id)
		sum += int64(a.Weight)
	}
	return sum
}

// reservedWeight is what is in flight to each ordinal, in thousandths; nil where a kind is balanced
// by count.
func reservedWeight(v *View) map[int]int64 {
	if !v.Attributes.Weighed() {
		return nil
	}
	reserved := map[int]int64{}
	for _, f := range v.State.Flight {
		for i, id := range f.IDs.Lent() {
			if to := f.Target(i); to >= 0 {
				a, _, _ := v.attribute(id)
				reserved[to] += int64(a.Weight)
			}
		}
	}
	return reserved
}
