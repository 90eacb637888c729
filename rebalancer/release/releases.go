// Package release says when what was revoked from an instance may be given on (protocol rule 6).
//
// In: States, orders, and the moments at which one leader has read them. Out: whether a flight is
// released, and if not, why; from which instances nothing is revoked. Invariant: nothing is
// released that its instance may still run, by what this leader has seen itself.
package release

import (
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// View is what is looked at.
type View struct {
	State  *protocol.State
	Orders *orders.Orders
	Now    time.Time
}

// Pod is the uid of the pod that runs n's list now; "" if it is not known.
func (v *View) Pod(n int) string {
	if in := v.State.Instances[n]; in != nil && in.Status != nil {
		return in.Status.Pod
	}
	return v.Orders.Pods[n]
}

// Releases is what one leader has seen itself, by its own clock, of what is in flight and of the
// instances' statuses; and what follows from it: what is released, and from which instances nothing
// is revoked, because no proof of a release is to be expected.
type Releases struct {
	// seen is since when a flight piece has been known, by name.
	seen map[string]time.Time
	// last is the status an instance had, absent since when it has none.
	last   map[int]*protocol.Status
	absent map[int]time.Time
	// observed is when all this was last looked at.
	observed time.Time

	// fixed are the instances from which nothing is revoked, by what they were found out from.
	fixed map[int]fixed
	by    fixedBy
}

// blindness is the longest time between two reads at which an absence still counts as
// uninterrupted.
const blindness = 10 * time.Second

// New has seen nothing.
func New() *Releases {
	return &Releases{seen: map[string]time.Time{}, last: map[int]*protocol.Status{}, absent: map[int]time.Time{}}
}

// Observe notes what came and went, by a read of ZooKeeper that took so long: what is absent was so
// from its end on at the latest, and until its beginning at least.
func (r *Releases) Observe(st *protocol.State, begun, now time.Time) {
	if now.Sub(r.observed) > blindness {
		clear(r.absent)
	}
	r.observed = begun
	for n, in := range st.Instances {
		switch {
		case in.Status != nil:
			r.last[n] = in.Status
			delete(r.absent, n)
		case in.Live || in.Hidden: // unreadable, but there
			delete(r.absent, n)
		case r.last[n] != nil && r.absent[n].IsZero():
			r.absent[n] = now
		}
	}
	r.Note(st, now)
}

// Note notes which pieces there are. After a write of ours it is all that is new: the statuses are
// those of the last read.
func (r *Releases) Note(st *protocol.State, now time.Time) {
	for name := range st.Flight {
		r.since(name, now)
	}
	for name := range r.seen {
		if st.Flight[name] == nil {
			delete(r.seen, name)
		}
	}
}

// since is when the piece was first seen: its revoke was before.
func (r *Releases) since(name string, now time.Time) time.Time {
	at, ok := r.seen[name]
	if !ok {
		at = now
		r.seen[name] = now
	}
	return at
}

// Since is when this leader first saw a piece: its revoke was before. Zero: it has not seen it.
func (r *Releases) Since(name string) time.Time { return r.seen[name] }

// Released says whether what is in flight may be given on. If not, why, and when it will be if only
// time is lacking.
func (r *Releases) Released(v *View, f *protocol.Flight) (ok bool, why string, at time.Time) {
	if revokedFromAssumedDead(v.Orders, f) || fault.GrantedEarly.Made() && v.Orders.HandOff == config.HandOffAcknowledged {
		return true, "", time.Time{}
	}
	since := r.since(f.Name, v.Now)
	fate := fate(v, f, since)
	switch v.Orders.HandOff {
	case config.HandOffImmediate:
		at = since.Add(v.Orders.Settle)
		return fate.Gone && fate.Successor == "" || !v.Now.Before(at), "settling", at
	case config.HandOffAcknowledged:
		ok, why = protocol.Released(f, proving(v.State, f.From), fate, r.absence(v.State, f.From, since))
		if ok {
			return true, "", time.Time{}
		}
		if in := v.State.Instances[f.From]; in != nil && in.Hidden {
			why = "its status may not be read: READ is missing on " + protocol.StatusPath(v.State.Kind, f.From)
		}
		if v.Orders.PodsUnknown != "" {
			why += "; " + v.Orders.PodsUnknown
		}
		return false, r.unreleased(v, f, why), time.Time{}
	}
	return false, fmt.Sprintf("hand-off %q is unknown", v.Orders.HandOff), time.Time{}
}

// unreleased says what a flight waits for. What was revoked is counted with the pieces whose numbers
// follow: they were revoked with it or later.
func (r *Releases) unreleased(v *View, f *protocol.Flight, why string) string {
	n, times := 0, f.Times
	for piece := f; piece != nil; piece = v.State.Flight[protocol.FlightName(f.From, times)] {
		n += piece.IDs.Len()
		times++
	}
	text := fmt.Sprintf("instance %d has not released what was revoked (resources: %d): %s", f.From, n, why)
	if r.Fixed(f.From) != "" && !r.MayComeBack(f.From, v.Now) {
		text += ": " + WaysOut(v.State.Kind, f.From)
	}
	return text
}

// proving is the status of instance n if it may prove something; nil: it may not, or there is none.
// One that is ahead of `_reload` tells of another one than there is.
func proving(st *protocol.State, n int) *protocol.Status {
	if in := st.Instances[n]; in != nil && !in.Ahead() {
		return in.Status
	}
	return nil
}

// fate is what the orders say of the pod that f was revoked from. That it is gone they say only by
// a list of the pods from after the revoke. Where no pod was recorded, any that has the ordinal's
// name may be the one, and so may the process that a live status belongs to.
func fate(v *View, f *protocol.Flight, since time.Time) (fate protocol.Fate) {
	o := v.Orders
	if pod := o.Pods[f.From]; pod != f.Pod && !o.GonePods[pod] {
		fate.Successor = pod
	}
	fate.Gone = o.PodsAt.After(since) && isGone(v, f)
	return fate
}

// isGone says that the pod that f was revoked from is gone by the last list of the pods.
func isGone(v *View, f *protocol.Flight) bool {
	if f.Pod != "" {
		return v.Orders.GonePods[f.Pod]
	}
	in := v.State.Instances[f.From]
	return slices.Contains(v.Orders.Gone, f.From) && (in == nil || !in.Live)
}

// Awaited is when an absence will have lasted long enough for something in flight to be released by
// it, if ZooKeeper is read then or later; zero: nothing in flight waits for that. What waits longest
// comes first.
func (r *Releases) Awaited(v *View) (at time.Time) {
	if v.Orders.HandOff != config.HandOffAcknowledged {
		return at
	}
	for name, f := range v.State.Flight {
		gone, absent := r.absent[f.From]
		last := r.last[f.From]
		if !absent || last == nil || last.Pod != f.Pod || !last.Fenceable() {
			continue
		}
		if since := r.seen[name]; since.After(gone) {
			gone = since
		}
		if over := gone.Add(last.FencedAfter()); over.After(r.observed) && (at.IsZero() || over.Before(at)) {
			at = over
		}
	}
	return at
}

// absence is what this leader has seen of n's status being absent after that moment, and what
// stands in its place.
func (r *Releases) absence(st *protocol.State, n int, after time.Time) protocol.Absence {
	a := protocol.Absence{Last: r.last[n]}
	at, absent := r.absent[n]
	if at.Before(after) {
		at = after
	}
	if absent && r.observed.After(at) {
		a.For = r.observed.Sub(at)
	}
	if in := st.Instances[n]; in != nil {
		if a.Fault = in.StatusFault; in.Ahead() {
			a.Fault = fmt.Sprintf("tells that the instance has applied change %d, which is ahead of _reload, %d", in.Status.Times, in.Times)
		}
	}
	return a
}

// AssumedDead says whether a person has said of the pod of n that it runs nothing any more.
func AssumedDead(o *orders.Orders, n int) bool {
	uid := o.Pods[n]
	return uid != "" && o.AssumedDead[uid]
}

// revokedFromAssumedDead says whether the pod that f was revoked from is assumed dead; of a piece
// that names no pod, the one that n has now.
func revokedFromAssumedDead(o *orders.Orders, f *protocol.Flight) bool {
	if f.Pod == "" {
		return AssumedDead(o, f.From)
	}
	return o.AssumedDead[f.Pod]
}
