package decide

import (
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
)

// drainPatience is how long a drain waits for instances that are starting: what it empties goes
// straight to them, and not to the others first. It is counted from what the person said, so that
// neither a new leader nor a pod that is ready now and then makes it longer.
const drainPatience = 2 * time.Minute

// DrainWait says which instances persons drain that keep what they own for now, and stay open.
type DrainWait struct {
	// Ordinals are these instances, For those that are starting; both ascending.
	Ordinals []int `json:"ordinals"`
	For      []int `json:"for"`
	// Until is when the last of them is drained at the latest.
	Until time.Time `json:"until,omitzero"`
}

// String is the wait as a sentence.
func (w *DrainWait) String() string {
	return fmt.Sprintf("the drain of %s waits until %s can take over, at most %s", Instances(w.Ordinals), Instances(w.For),
		config.Duration(drainPatience))
}

// Starting are the ordinals that stay, and whose pods are still to become ready for them to open;
// ascending. d is what was decided by in, and not blind.
func (in *Input) Starting(d *Decision) []int {
	return slices.DeleteFunc(undrained(d), func(n int) bool { return !in.starting(n) })
}

// starting says whether an instance of the desired size is to be made, or is closed and has no pod
// that is ready, nor an old one, of which that is hardly to be expected.
func (in *Input) starting(ordinal int) bool {
	i := in.Observed.Instance(ordinal)
	switch {
	case !in.Observed.Workload.Has(ordinal):
		return true
	case slices.Contains(in.Observed.Open, ordinal):
		return false
	case i == nil || i.Pod == nil:
		return true
	}
	return i.Pod.Terminating || !i.Pod.Ready && in.Now.Sub(i.Pod.Created) < drainPatience
}

// drainWait is nil when no drain waits. A drain that has begun goes on, and what may not be there
// for long, or does not work, is drained at once.
func (in *Input) drainWait(d *Decision) *DrainWait {
	if len(d.Drained) == 0 || d.Rollout != "" {
		return nil
	}
	w := DrainWait{For: in.Starting(d)}
	if len(w.For) == 0 {
		return nil
	}
	for _, drain := range in.Operator.Drains { // ascending
		n, until := drain.Ordinal, drain.At.Add(drainPatience)
		if in.Now.Sub(drain.At).Abs() < drainPatience && n < d.Start+d.Stays() && in.canWait(d, n) {
			w.Ordinals = append(w.Ordinals, n)
			if until.After(w.Until) {
				w.Until = until
			}
		}
	}
	if len(w.Ordinals) == 0 {
		return nil
	}
	return &w
}

// canWait says whether an instance that a person drains is open, works and owns something.
func (in *Input) canWait(d *Decision, ordinal int) bool {
	i := in.Observed.Instance(ordinal)
	return in.Observed.Workload.Has(ordinal) && slices.Contains(in.Observed.Open, ordinal) && i.Owned() > 0 &&
		i.Pod != nil && i.Pod.Ready && !i.Pod.Terminating &&
		!slices.ContainsFunc(d.Lost, func(l Lost) bool { return l.Ordinal == ordinal })
}
