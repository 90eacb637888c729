package protocol

import (
	"fmt"
	"maps"
	"slices"
	"strings"
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

func (t Touched) any(paths ...string) bool {
	for _, path := range paths {
		if _, ok := t[path]; ok {
			return true
		}
	}
	return false
}

// Overlay returns fresh, which was read while our own transactions went on, with every znode that
// these touched as s has it. Whether a read came before or after such a transaction does not matter
// then. An instance's status is its own, and always fresh's.
func (s *State) Overlay(fresh *State, touched Touched) *State {
	next := fresh.Clone()
	if touched.any(HeadPath(s.Kind)) {
		next.Head, next.HeadVersion, next.head = s.Head, s.HeadVersion, s.head
	}
	overlay(next.Instances, s.Instances, func(n int) bool {
		return touched.any(InstancePath(s.Kind, n), ResourcesPath(s.Kind, n), ReloadPath(s.Kind, n), TmpPath(s.Kind, n))
	})
	for n, in := range next.Instances {
		if read := fresh.Instances[n]; read != nil && read != in {
			next.Instances[n] = in.withStatus(read)
		}
	}
	overlay(next.Pool, s.Pool, func(name string) bool { return touched.any(PiecePath(s.Kind, name)) })
	overlay(next.Flight, s.Flight, func(name string) bool { return touched.any(FlightPath(s.Kind, name)) })
	overlay(next.Kept, s.Kept, func(name string) bool { return touched.any(DocPath(s.Kind, name)) })
	if path := PlanPath(s.Kind); touched.any(path) { // what was read may be one plan's header with another one's parts
		next.Faults = slices.DeleteFunc(slices.Clone(next.Faults), func(fault string) bool { return strings.HasPrefix(fault, path+":") })
		next.Plan, next.plan = s.Plan, s.plan
	}
	next.plan.parts = maps.Clone(fresh.plan.parts)
	overlay(next.plan.parts, s.plan.parts, func(k int) bool { return touched.any(PlanPartPath(s.Kind, k)) })
	return next
}

// overlay puts in what is ours as it is, or is not, with us.
func overlay[K comparable, V any](next, own map[K]V, ours func(K) bool) {
	maps.DeleteFunc(next, func(k K, _ V) bool { return ours(k) })
	for k, v := range own {
		if ours(k) {
			next[k] = v
		}
	}
}

// withStatus is the instance with the status that another reading found.
func (in *Instance) withStatus(read *Instance) *Instance {
	next := *in
	next.Status, next.StatusFault, next.Live, next.LiveSince, next.Hidden = read.Status, read.StatusFault, read.Live, read.LiveSince, read.Hidden
	next.statusVersion, next.statusZxid = read.statusVersion, read.statusZxid
	return &next
}

// ForeignEdit names a place where two States that one leader has read differ, though that leader did
// not write between them; "" when there is none.
func ForeignEdit(old, fresh *State) string {
	if old.HeadVersion != fresh.HeadVersion {
		return "head"
	}
	for n, in := range fresh.Instances {
		was := old.Instances[n]
		if in.Begun || was != nil && was.Begun && in.IDs.Len() == 0 {
			continue // what others make of an ordinal that is not ours yet is no edit of the assignment
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
