package protocol

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// Touched are the znodes that transactions have written, by path.
type Touched map[string]struct{}

// Note adds what m writes.
func (t Touched) Note(m Multi) {
	for _, op := range m.Ops {
		if op.Kind != OpCheck {
			t[op.Path] = struct{}{}
		}
	}
}

// Overlay returns fresh, which was read while our own transactions went on, with every znode that
// these touched as s has it: whether a read came before or after such a transaction does not
// matter. An instance's status is its own, and always fresh's. It costs what was touched, and a
// Clone.
func (s *State) Overlay(fresh *State, touched Touched) *State {
	next := fresh.Clone()
	next.plan.parts = maps.Clone(fresh.plan.parts)
	for path := range touched {
		if rest, ours := strings.CutPrefix(path, ownPath(s.Kind)+"/"); ours {
			s.overlayOwn(next, rest)
			continue
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(path, KindPath(s.Kind)+"/"), "/")
		if n, err := exact.Ordinal(name); err == nil {
			overlay(next.Instances, s.Instances, n)
			if in, read := next.Instances[n], fresh.Instances[n]; in != nil && read != nil && read != in {
				next.Instances[n] = in.withStatus(read)
			}
		}
	}
	return next
}

// overlayOwn puts in a znode of our own tree; rest is its path below that.
func (s *State) overlayOwn(next *State, rest string) {
	switch parent, name, below := strings.Cut(rest, "/"); {
	case rest == "head":
		next.Head, next.HeadVersion, next.head = s.Head, s.HeadVersion, s.head
	case rest == "plan": // what was read may be one plan's header with another one's parts
		path := PlanPath(s.Kind)
		next.Faults = slices.DeleteFunc(slices.Clone(next.Faults), func(fault string) bool { return strings.HasPrefix(fault, path+":") })
		next.Plan, next.plan = s.Plan, planZnode{s.plan.header, next.plan.parts, s.plan.known}
	case below && parent == "pool":
		overlay(next.Pool, s.Pool, name)
	case below && parent == "flight":
		overlay(next.Flight, s.Flight, name)
	case below && parent == "plan":
		if k, ok := parseNumber(name, math.MaxInt32); ok {
			overlay(next.plan.parts, s.plan.parts, int(k))
		}
	case !below:
		overlay(next.Kept, s.Kept, rest)
	}
}

// overlay puts in what is ours as it is, or is not, with us.
func overlay[K comparable, V any](next, own map[K]V, k K) {
	if v, ok := own[k]; ok {
		next[k] = v
	} else {
		delete(next, k)
	}
}

// withStatus is the instance with the status that another reading found.
func (in *Instance) withStatus(read *Instance) *Instance {
	next := *in
	next.Status, next.StatusFault, next.Live, next.LiveSince, next.Hidden = read.Status, read.StatusFault, read.Live, read.LiveSince, read.Hidden
	next.statusVersion, next.statusZxid = read.statusVersion, read.statusZxid
	return &next
}

// ForeignEdit names a place where two States that one leader has read differ, though that leader
// did not write between them; "" when there is none.
func ForeignEdit(old, fresh *State) string {
	if old.HeadVersion != fresh.HeadVersion {
		return "head"
	}
	for n, in := range fresh.Instances {
		was := old.Instances[n]
		if in.Begun || was != nil && was.Begun && in.IDs.Len() == 0 {
			// what others make of an ordinal that is not ours yet is no edit of the assignment
			continue
		}
		if was == nil || was.DataVersion != in.DataVersion || was.ListVersion != in.ListVersion || was.ReloadVersion != in.ReloadVersion {
			return fmt.Sprintf("instance %d", n)
		}
	}
	for name, p := range fresh.Pool {
		if was := old.Pool[name]; was == nil || was.Version != p.Version {
			return "pool piece " + name
		}
	}
	for name, f := range fresh.Flight {
		if was := old.Flight[name]; was == nil || was.Version != f.Version {
			return "flight " + name
		}
	}
	if len(fresh.Instances) < len(old.Instances) || len(fresh.Pool) < len(old.Pool) || len(fresh.Flight) < len(old.Flight) {
		return "a znode that is gone"
	}
	return ""
}
