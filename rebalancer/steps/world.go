package steps

import (
	"fmt"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/release"
)

// planPause is the least time between two plans of one sort: what arrives meanwhile shares the next
// one.
const planPause = 20 * time.Millisecond

// tooSoon says whether that time has not passed yet since last; if it has, last is now.
func tooSoon(v *View, last *time.Time, p *Proposal) bool {
	if next := last.Add(planPause); v.Now.Before(next) {
		p.again(next)
		return true
	}
	*last = v.Now
	return false
}

// world is what the planner is shown. An instance that keeps what it has may receive: what goes
// there runs there.
func world(v *View, pool []string) *plan.World {
	reserved, weight := v.State.Reserved(), reservedWeight(v)
	w := &plan.World{Pool: poolList(v, pool), Pins: pinsOf(v)}
	for _, n := range v.State.Ordinals() {
		in, fixed := v.State.Instances[n], v.Releases.Fixed(n) != ""
		w.Instances = append(w.Instances, plan.Instance{
			Ordinal: n, Open: v.State.IsOpen(n) && v.Orders.Stays(n), Leaving: !v.Orders.Stays(n) && !fixed, Fixed: fixed,
			Capacity: v.Orders.Capacity,
			MaxBytes: protocol.MaxListBytes, Bytes: in.Bytes, List: v.listed(n, in).list,
			Arriving: plan.Arriving{Count: reserved[n].Count, Bytes: reserved[n].Bytes, Weight: weight[n]},
		})
	}
	return w
}

// options are how the planner balances this kind.
func options(v *View, r plan.Regime, budget int) plan.Options {
	o := plan.Options{Regime: r, Budget: budget}
	if v.Orders.Balance == config.BalanceWeight {
		o.Balance = plan.ByWeight
		if b := v.Orders.Limits.Band; b != nil {
			o.Enter, o.Leave = b.Enter, b.Leave
		}
	}
	return o
}

// shape is all that room depends on. A plan that found no place for anything would find none again
// while it is the same.
type shape struct {
	head            int32
	capacity, lists int
	times           int64
	flights         int
	// orders are the ordinals that stay, those that are gone and those that keep what they have,
	// and what a person assumes dead.
	orders     string
	attributes *inventory.Attributes
	// piece tells pools apart where some in it can be placed and others not.
	piece int64
}

// shapeOf is what room depends on now.
func shapeOf(v *View) shape {
	s := shape{
		head: v.State.HeadVersion, capacity: v.Orders.Capacity, lists: len(v.State.Instances),
		flights:    len(v.State.Flight),
		orders:     ordersOf(v),
		attributes: v.Attributes,
	}
	if v.Attributes.Pinned() {
		s.piece = v.Piece
	}
	for _, in := range v.State.Instances {
		s.times += in.Times
	}
	return s
}

// ordersOf is what room depends on of the orders, and of what may be revoked.
func ordersOf(v *View) string {
	text := fmt.Sprint(v.Orders.Stay, v.Orders.Gone, v.Releases.FixedOrdinals())
	if len(v.Orders.AssumedDead) > 0 {
		text += fmt.Sprint(v.Orders.AssumedDead, v.Orders.Pods)
	}
	return text
}

// unlabelled says why nothing at all may be placed; "" when it may. A pin is a promise: what may be
// bound goes nowhere by guess.
func unlabelled(v *View, p *Proposal) string {
	if needs := inventory.NeedsOf(v.Orders); needs.ByLabels() && !v.Attributes.Labelled() {
		p.Resync = true
		return "pins go by labels, and the catalogue's labels have not been read yet"
	}
	return ""
}

// unweighed says why nothing may be spread; "" when it may.
func unweighed(v *View, p *Proposal) string {
	if why := unlabelled(v, p); why != "" || v.Orders.Balance != config.BalanceWeight {
		return why
	}
	if !v.Attributes.Weighed() {
		p.Resync = true
		return "the catalogue's weights have not been read yet"
	}
	if age, limit := v.Now.Sub(v.Attributes.ReadAt), v.Orders.CatalogueMaxAge; limit > 0 && age > limit {
		return fmt.Sprintf("the catalogue's weights are %s old", config.Duration(age))
	}
	return ""
}

// namedFixed is how many instances that keep what they have are named at once.
const namedFixed = 3

// kept says why what should leave its instance stays there; "" when nothing is kept so.
func kept(v *View) string {
	var texts []string
	for _, n := range v.Releases.FixedOrdinals() {
		if text := keptBy(v, n); text != "" {
			texts = append(texts, text)
		}
	}
	if more := len(texts) - namedFixed; more > 0 {
		texts = append(texts[:namedFixed], fmt.Sprintf("and more that keep what they have: %d", more))
	}
	return strings.Join(texts, "; ")
}

// keptBy says what should leave n and does not, and why; "" when there is nothing.
func keptBy(v *View, n int) string {
	in := v.State.Instances[n]
	if in == nil {
		return ""
	}
	what, count := "instance %d is leaving (resources left: %d)", in.IDs.Len()
	if v.Orders.Stays(n) {
		what, count = "instance %d keeps what pins forbid there (resources: %d)", 0
		if v.Attributes.Pinned() {
			count = v.listed(n, in).misplaced
		}
	}
	if count == 0 {
		return ""
	}
	text := fmt.Sprintf(what, n, count) + ": " + v.Releases.Fixed(n)
	if v.Releases.MayComeBack(n, v.Now) {
		return text + ", and it acknowledged before: waiting for it to come back"
	}
	return text + ": " + release.WaysOut(v.State.Kind, n)
}
