package release

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// fixed is why nothing is revoked from an instance, and since when without a break: with
// acknowledged hand-off nothing is moved out of an instance of which no proof of release is to be
// expected (protocol rule 6). Where it is, it runs; in flight it would not.
type fixed struct {
	why   string
	since time.Time
	// sure: what stands in place of a status shows that the instance does not acknowledge. absent:
	// this leader has seen the present pod acknowledge, and now its status is absent.
	sure, absent bool
}

// fixedBy is what the answers depend on.
type fixedBy struct {
	ordered   int
	read      time.Time
	instances int
}

// FindFixed finds out from which instances nothing is revoked, if anything has changed that this
// depends on: the orders, by their number, and what was read at that time.
func (r *Releases) FindFixed(v *View, ordered int, read time.Time) {
	by := fixedBy{ordered, read, len(v.State.Instances)}
	if r.by == by {
		return
	}
	before := r.fixed
	r.by, r.fixed = by, map[int]fixed{}
	if v.Orders.HandOff != config.HandOffAcknowledged {
		return
	}
	for n, in := range v.State.Instances {
		why := r.unreleasable(v, n, in)
		if why == "" {
			continue
		}
		k := fixed{why: why, since: v.Now, sure: in.StatusFault != ""}
		if was, fixed := before[n]; fixed {
			k.since = was.since
		}
		last := r.last[n]
		k.absent = in.Status == nil && !k.sure && last != nil && last.Pod != "" && last.Pod == v.Orders.Pods[n]
		r.fixed[n] = k
	}
}

// unreleasable says why no proof is to be expected that n releases what is revoked from it; "" when
// one is: it answers, it is gone, or it has released everything already.
func (r *Releases) unreleasable(v *View, n int, in *protocol.Instance) string {
	gone := slices.Contains(v.Orders.Gone, n) && !in.Live // a live status speaks against it
	if gone || AssumedDead(v.Orders, n) || in.Status == nil && r.unproven(v, n) == "" {
		return ""
	}
	return observed.NotAcknowledging(StatusOf(in), in.StatusFault, v.Orders.Pods[n])
}

// StatusOf is what the instance says of itself; nil: nothing that can be read.
func StatusOf(in *protocol.Instance) *observed.Status {
	if s := in.Status; s != nil {
		return &observed.Status{Times: s.Times, PodUID: s.Pod, Fences: s.Fences, SessionMs: s.SessionMs}
	}
	return nil
}

// Fixed says why nothing may be revoked from n; "" when it may.
func (r *Releases) Fixed(n int) string { return r.fixed[n].why }

// FixedOrdinals are those from which nothing may be revoked, ascending.
func (r *Releases) FixedOrdinals() []int { return slices.Sorted(maps.Keys(r.fixed)) }

// FixedForGood says that nothing may be revoked from n, and that no short absence is why.
func (r *Releases) FixedForGood(n int, now time.Time) bool {
	k, fixed := r.fixed[n]
	return fixed && (k.sure || now.Sub(k.since) >= observed.StatusLapse)
}

// Absent says that n acknowledged before, and that its status is absent now.
func (r *Releases) Absent(n int) bool { return r.fixed[n].absent }

// MayComeBack is Absent while n may still come back.
func (r *Releases) MayComeBack(n int, now time.Time) bool {
	return r.Absent(n) && !r.FixedForGood(n, now)
}

// Frozen is what Fixed, FixedOrdinals, FixedForGood, Absent and MayComeBack answer from now, and
// nothing else of r: it does not change, and any goroutine may ask it.
func (r *Releases) Frozen() *Releases { return &Releases{fixed: r.fixed} }

// WaysOut is what a person can do where nothing will prove what an instance has released.
func WaysOut(kind string, n int) string {
	return "it does not acknowledge, as handOff: acknowledged needs; ways out: handOff: immediate for the kind, a version of the instance that acknowledges, " +
		"the end of its pod for good (replicas lowered by hand), or, if it is dead for certain, " + orders.ReassignCommand(kind, n)
}

// Reassign takes out of the ordinals that stay those whose pod is assumed dead, and those that are
// to be reassigned if what is revoked from them will be released. From then on they are like any
// other ordinal that leaves: closed, drained, and no source of anything voluntary. When the scaler
// does not name them any more they are back, and what is still in flight from them returns.
// unproven is why the others stay.
//
// An instance that is to be reassigned may well run: revoking from it what it will never
// acknowledge would only stop that for good.
func (r *Releases) Reassign(v *View) (stay []int, unproven map[int]string) {
	if len(v.Orders.Reassign) == 0 && len(v.Orders.AssumedDead) == 0 {
		return v.Orders.Stay, nil
	}
	unproven = map[int]string{}
	stay = slices.DeleteFunc(slices.Clone(v.Orders.Stay), func(n int) bool {
		switch {
		case AssumedDead(v.Orders, n):
			return true
		case !slices.Contains(v.Orders.Reassign, n):
			return false
		}
		why := r.unproven(v, n)
		if why != "" {
			unproven[n] = why
		}
		return why == ""
	})
	return stay, unproven
}

// unproven says why it would never be known that n has released what is revoked from it; "" if it
// has released everything already, or its session lives and it will answer.
func (r *Releases) unproven(v *View, n int) string {
	in := v.State.Instances[n]
	if in == nil {
		return ""
	}
	if v.Orders.HandOff != config.HandOffAcknowledged {
		return fmt.Sprintf("a hand-off that is %s proves nothing of an instance that cannot be reached", v.Orders.HandOff)
	}
	pod := v.Orders.Pods[n]
	if in.Status != nil && pod != "" && in.Status.Pod == pod {
		return ""
	}
	next := &protocol.Flight{From: n, Times: v.State.NextTimes(n), Pod: cmp.Or(pod, v.Pod(n))}
	fate := fate(v, next, time.Time{})
	// An absence counts from the revoke. One that has lasted long enough already will do so again.
	absence := r.absence(v.State, n, time.Time{})
	if slices.Contains(v.Orders.Reassign, n) && fenced(in, absence.Last, pod) {
		return "" // it runs nothing: in flight nothing is lost by waiting for the proof
	}
	if ok, why := protocol.Released(next, in.Status, fate, absence); !ok {
		return why
	}
	return ""
}

// fenced says that the present pod of an instance declared that it fences itself, and that its
// session is over: if it stays away, that will prove what it has released, and if it comes back it
// will say so.
func fenced(in *protocol.Instance, last *protocol.Status, pod string) bool {
	return in.Status == nil && in.StatusFault == "" && !in.Live && !in.Hidden &&
		last != nil && last.Fenceable() && pod != "" && last.Pod == pod
}
