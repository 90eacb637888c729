package rebalancer

import (
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// flights is what one leader has seen itself, by its own clock, of what is in flight and of the instances' statuses.
type flights struct {
	// seen is since when a flight piece has been known, by name.
	seen map[string]time.Time
	// last is the status an instance had, absent since when it has none.
	last   map[int]*protocol.Status
	absent map[int]time.Time
	// observed is when all this was last looked at.
	observed time.Time
}

// blindness is the longest time between two looks at which an absence still counts as uninterrupted.
const blindness = 10 * time.Second

func newFlights() flights {
	return flights{seen: map[string]time.Time{}, last: map[int]*protocol.Status{}, absent: map[int]time.Time{}}
}

// observe notes what came and went, by a look at ZooKeeper that took so long: what is absent was so from its end on at the latest, and
// until its beginning at least.
func (f *flights) observe(st *protocol.State, begun, now time.Time) {
	if now.Sub(f.observed) > blindness {
		clear(f.absent)
	}
	f.observed = begun
	for n, in := range st.Instances {
		switch {
		case in.Status != nil:
			f.last[n] = in.Status
			delete(f.absent, n)
		case in.Live || in.Hidden: // unreadable, but there
			delete(f.absent, n)
		case f.last[n] != nil && f.absent[n].IsZero():
			f.absent[n] = now
		}
	}
	f.note(st, now)
}

// note notes which pieces there are. After a write of ours it is all that is new: the statuses are those of the last look.
func (f *flights) note(st *protocol.State, now time.Time) {
	for name := range st.Flight {
		f.since(name, now)
	}
	for name := range f.seen {
		if st.Flight[name] == nil {
			delete(f.seen, name)
		}
	}
}

// since is when the piece was first seen: its revoke was before.
func (f *flights) since(name string, now time.Time) time.Time {
	at, ok := f.seen[name]
	if !ok {
		at = now
		f.seen[name] = now
	}
	return at
}

// absence is how long the status of n was seen to be absent after that moment.
func (f *flights) absence(n int, after time.Time) protocol.Absence {
	a := protocol.Absence{Last: f.last[n]}
	at, absent := f.absent[n]
	if at.Before(after) {
		at = after
	}
	if absent && f.observed.After(at) {
		a.For = f.observed.Sub(at)
	}
	return a
}

// released says whether what is in flight may be given on. If not, why, and when it will be if only time is lacking.
func (t *term) released(f *protocol.Flight, now time.Time) (ok bool, why string, at time.Time) {
	if t.declaredDead(f) {
		return true, "", time.Time{}
	}
	since := t.flights.since(f.Name, now)
	fate := t.fate(f, since)
	switch t.orders.HandOff {
	case config.HandOffImmediate:
		at = since.Add(t.orders.Settle)
		return fate.Gone && fate.Successor == "" || !now.Before(at), "settling", at
	case config.HandOffAcknowledged:
		ok, why = protocol.Released(f, t.word(f.From), fate, t.absence(f.From, since))
		if ok {
			return true, "", time.Time{}
		}
		if in := t.st.Instances[f.From]; in != nil && in.Hidden {
			why = "its status may not be read: READ is missing on " + protocol.StatusPath(t.st.Kind, f.From)
		}
		if t.orders.PodsUnknown != "" {
			why += "; " + t.orders.PodsUnknown
		}
		return false, t.unreleased(f, why, now), time.Time{}
	}
	return false, fmt.Sprintf("hand-off %q is unknown", t.orders.HandOff), time.Time{}
}

// word is the status of instance n if it may prove something; nil: it may not, or there is none. One
// that is ahead of `_reload` tells of another one than there is.
func (t *term) word(n int) *protocol.Status {
	if in := t.st.Instances[n]; in != nil && !in.Ahead() {
		return in.Status
	}
	return nil
}

// fate is what the orders say of the pod that f was taken from. That it is gone they say only by a
// list of the pods from after the revoke. Where no pod was recorded, any that has the ordinal's
// name may be the one, and so may the process that a live status belongs to.
func (t *term) fate(f *protocol.Flight, since time.Time) (fate protocol.Fate) {
	o := &t.orders
	if pod := o.Pods[f.From]; pod != f.Pod && !o.GonePods[pod] {
		fate.Successor = pod
	}
	if !o.PodsAt.After(since) {
		return fate
	}
	if fate.Gone = o.GonePods[f.Pod]; f.Pod == "" {
		in := t.st.Instances[f.From]
		fate.Gone = slices.Contains(o.Gone, f.From) && (in == nil || !in.Live)
	}
	return fate
}
