package decide

import (
	"fmt"
	"slices"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

// drained says whether a person drains an ordinal.
func (in *Input) drained(ordinal int) bool { return in.Operator.Drain(ordinal) != nil }

// idle says whether an instance counts for nothing: a person drains it, and it owns nothing any
// more. Until then its load is a part of the whole, which the others are to take over.
func (in *Input) idle(inst *observed.Instance) bool {
	return in.drained(inst.Ordinal) && inst.Owned() == 0
}

// carrying is how many instances of the present size the load is on, where persons drain some that
// own something yet: those that work are to take it over. Else it is how many work. Instances that
// were made for that do not count until they own something, or each of them would ask for one more.
func (in *Input) carrying() int {
	work, loaded := in.working(in.Observed.Workload.Replicas), 0
	for i := range in.Observed.Instances {
		if inst := &in.Observed.Instances[i]; in.Observed.Workload.Has(inst.Ordinal) && inst.Owned() > 0 {
			loaded++
		}
	}
	return max(work, loaded)
}

// working is how many instances of a size no person drains.
func (in *Input) working(size int) int {
	return size - in.Operator.DrainedWithin(in.Observed.Workload.Start, size)
}

// sized is the size in which so many instances work: from, if that is one of them, else the least.
// It does not fall to be rid of a drained instance alone: that has its pod until the drain ends.
func (in *Input) sized(from, work int) int {
	if from > 0 && in.working(from) == work {
		return from
	}
	start, size := in.Observed.Workload.Start, work
	for _, d := range in.Operator.Drains { // ascending
		if d.Ordinal >= start && d.Ordinal < start+size {
			size++
		}
	}
	return size
}

// put takes the size that a person has set. Holds still stand against a scale down, and pods that
// find no node against a scale up.
func put(d *Decision, in *Input, current int) {
	text := fmt.Sprintf("a person set the size to %d%s", d.Set.Value, said(d.Set.Said))
	d.Limits = append(d.Limits, Limit{By: BySet, From: d.Desired, To: d.Set.Value, Text: text})
	d.Desired = d.Set.Value
	d.bound()
	if d.Desired < current && len(d.Holds) > 0 {
		d.step(current, d.Holds[0].By, "no scale down: %s", d.Holds[0].Text)
	}
	holdUp(d, in, current)
}

// most is the largest size there may be.
func most(d *Decision) int {
	if d.Set != nil {
		return min(max(d.Set.Value, d.Init), d.Max)
	}
	return d.Max
}

// drainedNow are the drained ordinals of the present size.
func drainedNow(d *Decision) (ns []int) {
	for _, n := range d.Drained {
		if n >= d.Start && n < d.Start+*d.Current {
			ns = append(ns, n)
		}
	}
	return ns
}

// settable says whether the size is ours to write, so that a person can set it here.
func settable(d *Decision) bool {
	return d.Owner == config.OwnerShardscaler && d.Mode != config.ModeRecommend
}

// said is who said something and until when, as the end of a sentence.
func said(s config.Said) (text string) {
	if s.By != "" {
		text = " (" + s.By + ")"
	}
	if s.Until.IsZero() {
		return text + " until that is ended"
	}
	return text + " until " + Stamp(s.Until)
}

// without are ascending ordinals less those of others.
func without(ordinals, others []int) []int {
	return slices.DeleteFunc(ordinals, func(n int) bool { return slices.Contains(others, n) })
}
