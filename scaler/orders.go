package scaler

import (
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// orders says what the assignment should be like. notLeading, when not empty, is why nothing may be ordered yet.
func (s *Scaler) orders(in *decide.Input, d *decide.Decision, notLeading string) rebalancer.Orders {
	c := &in.Config
	o := rebalancer.Orders{
		At: in.Now, Tick: s.period, PodsAt: in.Observed.Sources.Cluster.At,
		Capacity: c.Capacity, HandOff: c.HandOff, Settle: time.Duration(c.SettleSeconds) * time.Second,
		Limits: c.Rebalance, MaxDeleteShare: c.Catalogue.MaxDeleteShare,
		Balance: c.Balance, Pins: c.Pins, CatalogueMaxAge: c.Freshness.Catalogue.Std(),
	}
	switch {
	case d.Blind != "":
		o.Hold = d.Blind
	case notLeading != "":
		o.Hold = notLeading
	default:
		o.Hold = in.Paused()
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
	o.Passing = untimely(d, o.Stay)
	for _, i := range in.Observed.Instances {
		if i.Pod != nil {
			o.Pods[i.Ordinal] = i.Pod.UID
		} else if beyondSize(d, i.Ordinal) && !slices.Contains(o.Stay, i.Ordinal) {
			o.Gone = append(o.Gone, i.Ordinal)
		}
	}
	o.GonePods = s.pods.gone(in.Now)
	s.orderLost(in, d, &o)
	o.HoldVoluntary = s.holdVoluntary(in.Now, d, &o)
	for _, h := range d.Hot {
		if h.Relief == decide.ByRebalance && !slices.Contains(o.Hot, h.Ordinal) {
			o.Hot = append(o.Hot, h.Ordinal)
		}
	}
	slices.Sort(o.Hot)
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
func (s *Scaler) holdVoluntary(now time.Time, d *decide.Decision, o *rebalancer.Orders) string {
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

// podBook remembers the uids of the pods there were, to tell when Kubernetes no longer has one.
type podBook map[string]podSeen

type podSeen struct {
	// At is when the pod was there last.
	At time.Time `json:"at"`
	// Ended: its containers have terminated for good.
	Ended bool `json:"ended,omitempty"`
}

const (
	// goneAfter keeps a pod from counting as gone while a StatefulSet that was made anew adopts the pods of its predecessor.
	goneAfter = 10 * time.Second
	// bookKeeps is how long a pod is remembered after it was there last.
	bookKeeps = 24 * time.Hour
)

// see notes the pods there are; sure says that the picture is complete.
func (b podBook) see(now time.Time, k *observed.Kind, sure bool) {
	if !sure {
		return
	}
	for _, i := range k.Instances {
		if p := i.Pod; p != nil {
			b[p.UID] = podSeen{At: now, Ended: p.Phase == "Succeeded" || p.Phase == "Failed"}
		}
	}
	for uid, seen := range b {
		if now.Sub(seen.At) > bookKeeps {
			delete(b, uid)
		}
	}
}

// gone are the pods that Kubernetes no longer has, or whose containers have terminated.
func (b podBook) gone(now time.Time) map[string]bool {
	out := map[string]bool{}
	for uid, seen := range b {
		if seen.Ended || now.Sub(seen.At) >= goneAfter {
			out[uid] = true
		}
	}
	return out
}
