package steps

import (
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/pack"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/release"
)

// Memory is what the steps of one leader remember, and on which it depends what they would do next.
// It does not change, and any goroutine may read it.
type Memory struct {
	spread   Spread
	releases *release.Releases
	// reassigned are ordinals that stay by the orders, and leave all the same.
	reassigned []int
}

// Remember takes the memory of the steps that look at v. stay is what the orders said before
// ordinals were taken out of it that are to be reassigned.
func Remember(v *View, s *Spread, stay []int) *Memory {
	m := &Memory{releases: v.Releases.Frozen(), spread: Spread{due: s.due, hot: s.hot, notBefore: s.notBefore, rolledBack: s.rolledBack}}
	if len(stay) > len(v.Orders.Stay) {
		for _, n := range stay {
			if !v.Orders.Stays(n) {
				m.reassigned = append(m.reassigned, n)
			}
		}
	}
	return m
}

// Preview is what the steps would do next if nothing else happened.
type Preview struct {
	// First is the plan that would be carried out first, and Then the one that spreads after it;
	// nil: no spread is due then.
	First, Then *plan.Plan
	// Refused is why the orders may not be acted upon, Waits what a plan would wait for; "": for
	// nothing.
	Refused, Waits string
}

// NewPreview makes the plans that the steps would make for v, by the same functions: what must move
// and what waits for a place first, then what evens the lists, if that is due then. Ordinals that
// the orders call ready are open. asked: a spread is due whatever the lists are like. It changes
// nothing of v, whose State is read only.
func NewPreview(v View, m *Memory, asked bool) (*Preview, error) {
	v.Releases, v.lists = m.releases, nil
	o := *v.Orders
	o.Stay = slices.DeleteFunc(slices.Clone(o.Stay), func(n int) bool { return slices.Contains(m.reassigned, n) })
	v.Orders, v.State = &o, v.State.Clone()
	p := &Preview{Refused: v.Refusal}
	if p.Refused != "" {
		return p, p.nothing(&v)
	}
	spread := m.spread
	spread.due = spread.due || asked
	if err := spread.open(&v); err != nil {
		return nil, err
	}
	var said Proposal
	if why := unlabelled(&v, &said); why != "" {
		p.Waits = why
		return p, p.nothing(&v)
	}
	var err error
	if p.First, err = plan.Make(world(&v, pack.PoolOf(v.State).IDs), options(&v, plan.Emergency, 0)); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	spread.Ordered(o.Overloaded)
	return p, p.even(&v, &spread)
}

// nothing makes the plan that moves nothing.
func (p *Preview) nothing(v *View) (err error) {
	w := world(v, nil)
	for i := range w.Instances {
		w.Instances[i].Leaving, w.Instances[i].Fixed = false, true
		w.Instances[i].Capacity = max(1, w.Instances[i].Capacity)
	}
	p.First, err = plan.Make(w, options(v, plan.Emergency, 0))
	return err
}

// open opens, in v's own State, what may receive by the orders.
func (s *Spread) open(v *View) error {
	step := Open{Opened: func(_, before, added []int) { s.Opened(v.State, before, added) }}
	for {
		p := step.Next(v)
		if len(p.Jobs) == 0 || p.Err != nil {
			return p.Err
		}
		for _, j := range p.Jobs {
			j.Multi.Apply(v.State, j.Multi.Results(protocol.Result{}))
			if j.Then != nil {
				j.Then(v.Now)
			}
		}
	}
}

// even adds the spread that is due once First is done. What has been created and waits for a place
// is no part of what is asked for: where nothing else must move, the spread comes first.
func (p *Preview) even(v *View, s *Spread) error {
	w := p.First.Done()
	if slices.ContainsFunc(w.Instances, func(in plan.Instance) bool { return in.Leaving && in.IDs.Len() > 0 }) {
		return nil // nothing is spread while anything drains
	}
	withhold(v, w)
	pool, o := w.Pool, options(v, plan.Periodic, 0)
	if !v.Attributes.Pinned() {
		w.Pool = plan.List{}
	}
	if due, _ := plan.ShouldRebalance(w, s.due, o); !due || len(v.State.Head.Open) < 2 {
		return nil
	}
	w.Pool = pool
	then, err := plan.Make(w, o)
	if err != nil {
		return fmt.Errorf("plan a spread: %w", err)
	}
	if then.Voluntary == 0 {
		return nil
	}
	if p.Waits = s.waits(v); slices.ContainsFunc(p.First.Moves, func(m plan.Move) bool { return m.From != plan.FromPool }) {
		p.Then = then
	} else {
		p.First = then
	}
	return nil
}

// waits is why a spread would not begin now; "" when it would.
func (s *Spread) waits(v *View) string {
	var said Proposal
	switch {
	case v.Orders.SpreadSuspended != "":
		return v.Orders.SpreadSuspended
	case v.Orders.Limits.Paused:
		return "paused"
	case v.Now.Before(s.notBefore):
		return "the tree was adopted a moment ago"
	}
	return unweighed(v, &said)
}

// Voluntary counts the moves that pause and the limits of voluntary moves hold up.
func (p *Preview) Voluntary() int {
	if p.Then != nil {
		return p.First.Voluntary + p.Then.Voluntary
	}
	return p.First.Voluntary
}

// Takes is how long the moves take at least by the limits of the orders, beside what instances take
// to release what is revoked.
func (p *Preview) Takes(o *orders.Orders) time.Duration {
	takes := lasts(p.First, o)
	if p.Then != nil {
		takes += lasts(p.Then, o)
	}
	return takes
}

// lasts is Takes of one plan. Each list changes once a round; a round lasts until what it revokes
// may be granted.
func lasts(p *plan.Plan, o *orders.Orders) time.Duration {
	w, moves, bytes := p.World(), 0, map[plan.InstanceIndex]int{}
	for _, m := range p.Moves {
		if m.From != plan.FromPool {
			moves++
			bytes[m.From] += protocol.Cost(w.ID(m))
		}
	}
	rounds := 0
	for _, n := range bytes {
		rounds = max(rounds, shares(n, RevokeBytes))
	}
	rounds = max(rounds, shares(moves, o.Limits.MaxInFlight), shares(p.Voluntary, o.Limits.MovesPerPlan))
	takes := time.Duration(rounds) * max(o.ListInterval(), o.Settle)
	if minutes := shares(p.Voluntary, o.Limits.MovesPerMinute) - 1; minutes > 0 {
		takes = max(takes, time.Duration(minutes)*time.Minute)
	}
	return takes
}

// shares is into how many parts of at most most n is divided; 0: there is no limit.
func shares(n, most int) int {
	if most <= 0 {
		return 0
	}
	return (n + most - 1) / most
}
