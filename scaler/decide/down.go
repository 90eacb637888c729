package decide

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

// works says what a verdict tells of an instance's work: that it goes on, that it does not, or,
// with known false, nothing.
func (v *Verdict) works() (works, known bool) {
	switch v.Condition {
	case Healthy, Stale:
		return true, true
	case Unknown:
		return false, false
	}
	return false, true
}

// unhealthy says that the instance does not work and is not about to: starting and terminating have
// an end of their own.
func (v *Verdict) unhealthy() bool {
	switch v.Condition {
	case Silent, NotReady, CrashLooping, Failed, ImagePull, Pending, Stuck, Absent:
		return true
	}
	return false
}

// downs are the instances of the size that do not work, since when they were first seen so: an
// outage goes on through the stations of a restart that does not succeed.
func downs(in Input, verdicts []Verdict) (out []Down) {
	for _, v := range verdicts {
		since := in.History.downSince(v.Ordinal)
		works, known := v.works()
		if in.Observed.Workload.Has(v.Ordinal) && !works && (known || !since.IsZero()) {
			out = append(out, Down{Ordinal: v.Ordinal, Since: cmp.Or(since, in.Now)})
		}
	}
	return out
}

// downSince is since when an instance does not work; zero: it worked when it was looked at last.
func (h *History) downSince(ordinal int) time.Time {
	for _, d := range h.Down {
		if d.Ordinal == ordinal {
			return d.Since
		}
	}
	return time.Time{}
}

// runsNothing says that nothing of the instance runs any more, as far as the snapshot shows: its pod
// is gone, and what was made in its place has no node, or has ended for good, or it has fenced
// itself. That is a reason to have it proven at once; the engine takes nothing without a proof.
func runsNothing(inst *observed.Instance) bool { return inst.Runner() == nil || inst.Fenced() }

// graceOf is how long an instance must not be working before what it owns is reassigned.
func graceOf(h *config.Health, inst *observed.Instance) time.Duration {
	if runsNothing(inst) {
		return h.After()
	}
	return max(h.After(), config.LeastUnproven)
}

// replacingPods is replacing by the revisions of the pods, where they are known: the controller
// reports a pod that terminates, or has ended, as if it were to be replaced, and a moment longer
// than there is such a pod.
func replacingPods(k *observed.Kind) bool {
	w := k.Workload
	if w.UpdateRevision == "" {
		return replacing(k)
	}
	return !available(k) && slices.ContainsFunc(k.Instances, func(inst observed.Instance) bool {
		return inst.Pod != nil && w.Has(inst.Ordinal) && inst.Pod.Labels[observed.RevisionLabel] != w.UpdateRevision
	})
}

// reassign marks the instances whose resources are to be reassigned: not working for the whole
// grace, with others that work. A rolling update that goes on moves nothing (the last pod of one
// may never become available), and when too many are unhealthy at once the fault is hardly theirs:
// that is an alarm.
func (h *Health) reassign(in *Input) {
	c := &in.Config
	if c.Health.Action != config.ActionReassign || replacingPods(&in.Observed) {
		return
	}
	var marked []*Verdict
	unhealthy, w := 0, in.Observed.Workload
	for i := range h.Verdicts {
		v := &h.Verdicts[i]
		inst := in.Observed.Instance(v.Ordinal)
		if !w.Has(v.Ordinal) || !v.unhealthy() && (inst.Owned() == 0 || !runsNothing(inst)) {
			continue
		}
		unhealthy++
		if inst == nil || inst.Owned() == 0 && !inst.Fenced() { // what is fenced takes nothing either
			continue
		}
		since := cmp.Or(in.History.downSince(v.Ordinal), in.Now)
		if down := in.Now.Sub(since); down >= graceOf(&c.Health, inst) {
			v.Text += fmt.Sprintf("; not working for %s", config.Duration(down))
			marked = append(marked, v)
		}
	}
	share := config.DefaultMaxStaleShare
	if c.Heartbeat != nil {
		share = c.Heartbeat.MaxStaleShare
	}
	size := max(1, w.Replicas)
	if unhealthy >= 2 && float64(unhealthy)/float64(size) > share {
		if len(marked) > 0 {
			h.Suspended = fmt.Sprintf("unhealthy instances: %d of %d (limit %g%%)", unhealthy, size, share*100)
		}
		return
	}
	if unhealthy == size {
		return // there are no others
	}
	for _, v := range marked {
		v.Reassign = true
	}
}
