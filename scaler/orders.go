package scaler

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// answers are what the orders rest on beside the snapshot and the decision: what the engine and the
// API server said when they were asked, and what this leader saw before.
type answers struct {
	tick time.Duration
	// suspended is why nothing may be moved or written now.
	suspended string
	unseen    unseen
	pods      podList
	// dead are the pods that are assumed dead, by uid; unproven is why what an instance owns stays.
	dead     map[string]AssumedDead
	unproven map[int]string
	// readySince is since when as many instances are ready as now.
	readySince time.Time
}

func (s *Scaler) ask(ctx context.Context, in *decide.Input, d *decide.Decision, notLeading string) *answers {
	a := &answers{tick: s.period, suspended: cmp.Or(d.Blind, notLeading, in.Paused())}
	if d.Blind != "" {
		return a
	}
	if a.suspended == "" {
		a.unseen = unseenPods(in, d, s.engine.InFlight())
		if s.listDue(in.Now, &a.unseen) {
			s.listPods(ctx, in)
		}
		if !a.unseen.none() {
			a.pods = s.pods
		}
	}
	a.dead, a.unproven = s.assumedDead(&in.Observed), s.engine.Progress().Unproven
	stay := d.Stay()
	if n := len(ready(in, stay)); s.waiting.ready != n || s.waiting.stay != len(stay) {
		s.waiting = waiting{ready: n, stay: len(stay), since: in.Now}
	}
	a.readySince = s.waiting.since
	return a
}

// order is what the assignment should be like, and what is to be said of single instances by that.
func order(in *decide.Input, d *decide.Decision, a *answers) (o orders.Orders, notes outcome.Notes) {
	c := &in.Config
	o = orders.Orders{
		At: in.Now, Tick: a.tick, Suspended: a.suspended,
		Capacity: c.Capacity, HandOff: c.HandOff, Settle: time.Duration(c.SettleSeconds) * time.Second,
		Limits: c.Rebalance, Catalogue: c.Catalogue,
		Balance: c.Balance, Pins: c.Pins, Own: in.Operator.Pinned(), CatalogueMaxAge: c.Freshness.Catalogue.Std(),
	}
	if d.Blind != "" {
		return o, notes
	}
	o.Stay = d.Stay()
	o.Ready, o.MayLeave = ready(in, o.Stay), untimely(d, o.Stay)
	if d.DrainWait != nil {
		o.MayLeave = slices.Concat(o.MayLeave, d.DrainWait.Ordinals)
	}
	o.Pods = map[int]string{}
	for _, inst := range in.Observed.Instances {
		if pod := inst.Occupant(); pod != nil && (pod.Ended() || inst.Runner() != nil) {
			o.Pods[inst.Ordinal] = pod.UID
		}
	}
	if o.Suspended == "" {
		orderGone(in, a, &o)
	}
	notes = orderLost(d, a, &o)
	o.SpreadSuspended = spreadSuspended(d, &o, in.Now.Sub(a.readySince))
	for _, h := range d.Hot {
		if h.Relief == decide.ByRebalance && !slices.Contains(o.Overloaded, h.Ordinal) {
			o.Overloaded = append(o.Overloaded, h.Ordinal)
		}
	}
	slices.Sort(o.Overloaded)
	return o, notes
}

// ready are those that may be opened. A pod beyond the size that is will be deleted, however ready it
// still seems: its ordinal waits until the scale up is written and seen.
func ready(in *decide.Input, ordinals []int) (all []int) {
	for _, n := range ordinals {
		i := in.Observed.Instance(n)
		if in.Observed.Workload.Has(n) && i != nil && i.Pod != nil && i.Pod.Ready && !i.Pod.Terminating {
			all = append(all, n)
		}
	}
	return all
}

// untimely are the ordinals that only time still keeps: the signals ask for fewer, and a window or
// a rate stands against it. Whatever else holds the size up may do so for ever.
func untimely(d *decide.Decision, stay []int) []int {
	if d.Mode == config.ModeRecommend {
		return nil
	}
	for _, l := range d.Limits {
		if l.To > l.From && l.By != decide.ByWindow && l.By != decide.ByRate && l.By != decide.ByInit {
			return nil
		}
	}
	first, _ := slices.BinarySearch(stay, d.Start+d.Needed)
	return stay[first:]
}

// startPatience is how long spreading waits for instances of which none became ready meanwhile.
// Without it every pod that becomes ready would start a plan of its own, and what was moved for the
// first would be moved again for the second.
const startPatience = time.Minute

// waiting notes since when the same instances are not ready.
type waiting struct {
	ready, stay int
	since       time.Time
}

// spreadSuspended says why nothing may be spread; unchanged: for how long as many are ready as now.
func spreadSuspended(d *decide.Decision, o *orders.Orders, unchanged time.Duration) string {
	switch missing := len(o.Stay) - len(o.Ready); {
	case d.Rollout != "":
		return d.Rollout
	case d.Health.Suspended != "":
		return d.Health.Suspended
	case missing > 0 && unchanged < startPatience:
		return fmt.Sprintf("%d of %d instances are not ready yet", missing, len(o.Stay))
	}
	return ""
}
