package scaler

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// orders says what the assignment should be like. notLeading, when not empty, is why nothing may be ordered yet.
func (s *Scaler) orders(ctx context.Context, in *decide.Input, d *decide.Decision, notLeading string) orders.Orders {
	c := &in.Config
	o := orders.Orders{
		At: in.Now, Tick: s.period,
		Capacity: c.Capacity, HandOff: c.HandOff, Settle: time.Duration(c.SettleSeconds) * time.Second,
		Limits: c.Rebalance, Catalogue: c.Catalogue,
		Balance: c.Balance, Pins: c.Pins, CatalogueMaxAge: c.Freshness.Catalogue.Std(),
	}
	switch {
	case d.Blind != "":
		o.Suspended = d.Blind
	case notLeading != "":
		o.Suspended = notLeading
	default:
		o.Suspended = in.Paused()
	}
	if d.Blind != "" {
		return o
	}
	first, size := d.Start, staying(d)
	o.Pods = map[int]string{}
	for n := first; n < first+size; n++ {
		o.Stay = append(o.Stay, n)
		if i := in.Observed.Instance(n); i != nil && i.Pod != nil && i.Pod.Ready && !i.Pod.Terminating {
			o.Ready = append(o.Ready, n)
		}
	}
	o.MayLeave = untimely(d, o.Stay)
	for i := range in.Observed.Instances {
		if inst := &in.Observed.Instances[i]; inst.Occupant() != nil {
			o.Pods[inst.Ordinal] = inst.Occupant().UID
		}
	}
	if o.Suspended == "" {
		s.orderGone(ctx, in, d, &o)
	}
	s.orderLost(in, d, &o)
	o.SpreadSuspended = s.holdVoluntary(in.Now, d, &o)
	for _, h := range d.Hot {
		if h.Relief == decide.ByRebalance && !slices.Contains(o.Overloaded, h.Ordinal) {
			o.Overloaded = append(o.Overloaded, h.Ordinal)
		}
	}
	slices.Sort(o.Overloaded)
	return o
}

// staying is the number of ordinals that remain. An HPA has not made yet what it does not have: nothing waits for that. What is only
// recommended leaves all as it is.
func staying(d *decide.Decision) int {
	if d.Mode == config.ModeRecommend {
		return *d.Current
	}
	if d.Owner == config.OwnerHPA {
		return min(d.Desired, *d.Current)
	}
	return d.Desired
}

// untimely are the ordinals that only time still keeps: the signals ask for fewer, and a window or a rate stands against it. Whatever else
// holds the size up may do so for ever.
func untimely(d *decide.Decision, stay []int) []int {
	if d.Mode == config.ModeRecommend {
		return nil
	}
	for _, l := range d.Limits {
		if l.To > l.From && l.By != decide.ByWindow && l.By != decide.ByRate && l.By != decide.ByInit {
			return nil
		}
	}
	return stay[min(max(d.Wanted, 0), len(stay)):]
}

// beyondSize says whether the StatefulSet, at its present size, makes no pod of this ordinal.
func beyondSize(d *decide.Decision, ordinal int) bool {
	return ordinal < d.Start || ordinal >= d.Start+*d.Current
}

// startPatience is how long spreading waits for instances of which none became ready meanwhile. Without it every pod that becomes
// ready would start a plan of its own, and what was moved for the first would be moved again for the second.
const startPatience = time.Minute

// waiting notes since when the same instances are not ready.
type waiting struct {
	ready, stay int
	since       time.Time
}

// holdVoluntary says why nothing may be spread between instances that stay and are healthy.
func (s *Scaler) holdVoluntary(now time.Time, d *decide.Decision, o *orders.Orders) string {
	if s.waiting.ready != len(o.Ready) || s.waiting.stay != len(o.Stay) {
		s.waiting = waiting{ready: len(o.Ready), stay: len(o.Stay), since: now}
	}
	switch missing := len(o.Stay) - len(o.Ready); {
	case d.Rollout != "":
		return d.Rollout
	case d.Health.Breaker != "":
		return d.Health.Breaker
	case missing > 0 && now.Sub(s.waiting.since) < startPatience:
		return fmt.Sprintf("%d of %d instances are not ready yet", missing, len(o.Stay))
	}
	return ""
}
