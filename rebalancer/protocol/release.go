package protocol

import (
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/internal/fault"
)

// Absence is what one leader has seen itself of a status that is gone.
type Absence struct {
	// Last is the status before it was absent; nil if this leader has not seen it.
	Last *Status
	// For is how long it has been absent since the revoke, by this leader's monotonic clock: an
	// absence from before the revoke proves nothing, since a process that came and read the old
	// list meanwhile may have gone unseen.
	For time.Duration
	// Fault is Instance.StatusFault: what is there in place of a status; "": nothing.
	Fault string
}

// Fate is what Kubernetes says of the pod that a flight was revoked from, by a pod list from after
// the revoke. An older one would miss a successor that has read the old list.
type Fate struct {
	// Gone: no pod of the namespace has that uid any more, or its containers have terminated for
	// good. Where none was recorded: the ordinal has no pod, and no status that lives.
	Gone bool
	// Successor is the uid of the pod that the ordinal has instead, "" if it has none. It is also
	// the present pod where none was recorded.
	Successor string
}

// fenceMargin is waited for beyond the session of an instance that fences itself.
const fenceMargin = 2 * time.Second

// Fenceable says whether the instance declares that it fences itself, so that its absence proves in
// time that it has released everything.
func (s *Status) Fenceable() bool { return s.Fences && s.SessionMs > 0 }

// FencedAfter is how long a Fenceable instance must be absent since a revoke.
func (s *Status) FencedAfter() time.Duration {
	return time.Duration(s.SessionMs)*time.Millisecond + fenceMargin
}

// Released says whether the instance has released what is in flight from it, by protocol rule 6,
// and by which part of it: "i" the instance's own status, "ii" the pod is gone and its successor,
// if it has one, knows of the revoke, "iii" a fencing instance lost its session long enough ago. If
// not, it says what is waited for. status is Instance.Status.
func Released(f *Flight, status *Status, pod Fate, absence Absence) (bool, string) {
	switch {
	case f.Pod == "" && pod.Successor == "" && !pod.Gone:
		return false, "no pod was recorded that could release it"
	case f.Pod != "" && status != nil && status.Pod == f.Pod && status.Times >= f.Times:
		return true, "i"
	case f.Pod == "" || pod.Gone:
		return succeeded(f, status, pod.Successor)
	}
	if status != nil && status.Pod == f.Pod {
		return false, fmt.Sprintf("the instance has applied change %d, not yet change %d", status.Times, f.Times)
	}
	if status != nil {
		return false, fmt.Sprintf("the status is of pod %q, what is in flight was revoked from pod %s", status.Pod, f.Pod)
	}
	last := absence.Last
	if last == nil || last.Pod != f.Pod || !last.Fenceable() {
		if absence.Fault != "" {
			return false, fmt.Sprintf("the status %s, which proves nothing", absence.Fault)
		}
		return fault.AbsentTakenAsFree.Made(), "the status is absent, and the instance does not fence itself: that proves nothing"
	}
	wait := last.FencedAfter()
	if absence.For >= wait {
		return true, "iii"
	}
	return false, fmt.Sprintf("the self-fencing instance is absent for %s, needed %s", absence.For, wait)
}

// succeeded is rule 6 ii. The revoke recorded the pod that its leader knew of. A successor may have
// read the list before the revoke, and then it runs what was taken; only its own word says that it
// does not, or not any more.
func succeeded(f *Flight, status *Status, successor string) (bool, string) {
	switch {
	case successor == "" || status != nil && status.Pod == successor && status.Times >= f.Times:
		return true, "ii"
	case status != nil && status.Pod == successor:
		return false, fmt.Sprintf("pod %q is gone; its successor has applied change %d, not yet change %d", f.Pod, status.Times, f.Times)
	}
	return false, fmt.Sprintf("pod %q is gone; its successor %s has not said yet what it has applied", f.Pod, successor)
}
