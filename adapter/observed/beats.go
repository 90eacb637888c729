package observed

import "time"

// beats are the newest beats of a kind's ordinals.
type beats struct {
	by map[int]Beat
	// strangers is how many of them are of ordinals that are not expected.
	strangers int
}

func newBeats() beats { return beats{by: map[int]Beat{}} }

// strangerBeats bounds the beats held for ordinals without a pod: so many from the StatefulSet's
// first ordinal on, which is more than it may have (config.MaxCeiling), and so many of any others.
// Garbage on the topic neither fills memory nor takes the place of a pod that is yet to be seen.
const strangerBeats = 1024

// take keeps a beat if it is the newest of its ordinal. A clock that runs ahead is cut at the
// arrival: the beat proves that the instance lived then, and nothing about later.
func (s *beats) take(b Beat, c *Cluster) (taken bool) {
	if b.Ordinal < 0 {
		return false
	}
	if b.At.After(b.Arrived) {
		b.At = b.Arrived
	}
	old, seen := s.by[b.Ordinal]
	if seen && !b.At.After(old.At) {
		return false
	}
	if !seen && !c.expects(b.Ordinal) {
		if s.strangers >= strangerBeats {
			return false
		}
		s.strangers++
	}
	s.by[b.Ordinal] = b
	return true
}

// expects says whether an ordinal has a pod, or may have one soon.
func (c *Cluster) expects(ordinal int) bool {
	if _, has := c.Pods[ordinal]; has {
		return true
	}
	start := 0
	if c.Workload != nil {
		start = c.Workload.Start
	}
	return ordinal >= start && ordinal < start+strangerBeats
}

// strangerAge is how long such a beat is kept: a pod may beat before the cluster source saw it.
const strangerAge = 10 * time.Minute

func (s *beats) forget(c *Cluster) {
	s.strangers = 0
	for ordinal, b := range s.by {
		_, has := c.Pods[ordinal]
		switch {
		case !has && c.At.Sub(b.Arrived) > strangerAge:
			delete(s.by, ordinal)
		case !c.expects(ordinal):
			s.strangers++
		}
	}
}

// last is the ordinal's newest beat if it is this pod's: one from before its start is its
// predecessor's. Both times are whole seconds, so the second of the start counts.
func (s *beats) last(ordinal int, pod *Pod) *time.Time {
	b, ok := s.by[ordinal]
	if !ok || pod.Started.IsZero() || b.At.Before(pod.Started.Truncate(time.Second)) {
		return nil
	}
	return &b.At
}
