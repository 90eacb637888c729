// Package groupstatus turns a decision and its outcome into the status of an InstanceGroup.
//
// In: a report, what it was made from, and one InstanceGroup. Out: status fields and conditions.
// Invariant: what is not known keeps its last value, and ScalingActive says so.
package groupstatus

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// View is what the status of one InstanceGroup follows from.
type View struct {
	In     *decide.Input
	Report *outcome.Report
	Group  *observed.Group
}

// Condition is one in the making.
type Condition struct {
	On           bool
	Reason, Text string
}

func condition(on bool, reason, format string, args ...any) Condition {
	return Condition{on, reason, fmt.Sprintf(format, args...)}
}

// Fill sets every field that is known now.
func (v View) Fill(st *v1alpha1.InstanceGroupStatus) {
	k, d, active := &v.In.Observed, v.Report, v.Active()
	if v.stranger() {
		*st = v1alpha1.InstanceGroupStatus{
			ObservedGeneration: v.Group.Generation, State: v1alpha1.NotFollowed, Message: active.Text, Conditions: st.Conditions,
		}
		v.set(st, v1alpha1.ConditionScalingActive, active)
		return
	}
	st.ObservedGeneration = v.Group.Generation
	if w := k.Workload; w != nil && d.Current != nil {
		st.Replicas, st.Selector = int32(w.StatusReplicas), w.Selector
	}
	if d.Blind == "" {
		st.Desired = int32(d.Desired)
		st.Assigned, st.InFlight, st.Unassigned = int64(k.Assigned), int64(k.InFlight), int64(k.Unassigned)
	}
	st.State, st.Message = v.state(active), d.Summary
	for _, c := range []struct {
		kind string
		Condition
	}{
		{v1alpha1.ConditionSeeded, v.seeded()},
		{v1alpha1.ConditionScalingActive, active},
		{v1alpha1.ConditionScalingLimited, v.limited(active.On)},
		{v1alpha1.ConditionDraining, v.draining()},
		{v1alpha1.ConditionForeignWriter, v.foreign()},
		{v1alpha1.ConditionConflictingHPA, v.conflict()},
	} {
		v.set(st, c.kind, c.Condition)
	}
}

func (v View) set(st *v1alpha1.InstanceGroupStatus, kind string, c Condition) {
	status := metav1.ConditionFalse
	if c.On {
		status = metav1.ConditionTrue
	}
	meta.SetStatusCondition(&st.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: c.Reason, Message: c.Text, ObservedGeneration: v.Group.Generation, LastTransitionTime: metav1.NewTime(v.In.Now),
	})
}

// stranger says whether the InstanceGroup is of a kind that is not configured.
func (v View) stranger() bool { return v.Group.Kind != v.In.Config.Name }

func (v View) seeded() Condition {
	if v.Group.Seeded {
		return Condition{true, v1alpha1.ReasonSeeded, "replicas were set to the size of the StatefulSet once"}
	}
	return Condition{false, v1alpha1.ReasonNotSeeded, "replicas have not been set to the size of the StatefulSet yet"}
}

// Active says whether the requested replicas are followed.
func (v View) Active() Condition {
	c, d := &v.In.Config, v.Report
	switch first := v.In.Observed.GroupFor(c.StatefulSet); {
	case v.stranger():
		return condition(false, v1alpha1.ReasonUnknownKind, "no kind %s is configured", v.Group.Kind)
	case v.Group.StatefulSet != c.StatefulSet:
		return condition(false, v1alpha1.ReasonStatefulSetDiffers, "spec.statefulSetName is %s, and kind %s is configured with %s", v.Group.StatefulSet, c.Name, c.StatefulSet)
	case first.UID != v.Group.UID:
		return condition(false, v1alpha1.ReasonDuplicate, "InstanceGroup %s of the same kind is older", first.Name)
	case c.Replicas.Owner != config.OwnerGroup:
		return condition(false, v1alpha1.ReasonOtherOwner, "replicas.owner of kind %s is %s, not %s", c.Name, c.Replicas.Owner, config.OwnerGroup)
	case d.Reason == decide.NoWorkload:
		return condition(false, v1alpha1.ReasonNoStatefulSet, "%s", d.Blind)
	case d.Blind != "":
		return condition(false, v1alpha1.ReasonBlind, "%s", d.Blind)
	case d.Owner == config.OwnerHPA:
		return condition(false, v1alpha1.ReasonOnStatefulSet, "%s", d.Conflict.Text)
	case d.Foreign.Text() != "":
		return condition(false, v1alpha1.ReasonContraryWrites, "%s", d.Foreign.Text())
	case v.In.Paused() != "":
		return condition(false, v1alpha1.ReasonPaused, "%s", v.In.Paused())
	case !v.Group.Seeded:
		return condition(false, v1alpha1.ReasonNotSeeded, "%s", v.seeded().Text)
	}
	return Condition{true, v1alpha1.ReasonFollowed, "the requested replicas are followed"}
}

// limited says whether, and why, another size is desired than the requested one.
func (v View) limited(active bool) Condition {
	d, requested := v.Report, v.Group.Requested
	switch {
	case !active || d.Desired == requested:
		return Condition{false, v1alpha1.ReasonWithinLimits, "the requested replicas are the desired ones"}
	case d.Desired < requested && requested > d.Max:
		return condition(true, v1alpha1.ReasonTooManyReplicas, "requested %d, maximum (max) is %d", requested, d.Max)
	case d.Desired < requested:
		return condition(true, v1alpha1.ReasonGrowthHeld, "requested %d, desired %d: %s", requested, d.Desired, d.Summary)
	case d.Floor > requested && d.Floor >= d.Init:
		return condition(true, v1alpha1.ReasonResourceFloor, "requested %d, needed %d for %d resources at %d per instance", requested, d.Floor, d.Resources, d.TargetPerInstance)
	case d.Init > requested:
		return condition(true, v1alpha1.ReasonTooFewReplicas, "requested %d, minimum (init) is %d", requested, d.Init)
	case d.Needed > requested:
		return condition(true, v1alpha1.ReasonOtherSignal, "requested %d, another signal asks for more: %s", requested, d.Summary)
	case d.Reason == decide.ByForeignRaise:
		return condition(true, v1alpha1.ReasonForeignRaise, "requested %d: %s", requested, d.Summary)
	}
	return condition(true, v1alpha1.ReasonShrinkHeld, "requested %d, no scale down yet: %s", requested, d.Summary)
}

func (v View) draining() Condition {
	switch dr := v.Report.Drain; {
	case dr == nil || dr.Phase == outcome.Ending:
		return Condition{false, v1alpha1.ReasonDrained, "no drain"}
	case dr.BlockedFor(v.In.Now, outcome.ShownAfter):
		return Condition{true, v1alpha1.ReasonBlocked, dr.String()}
	default:
		return Condition{true, v1alpha1.ReasonEmptying, dr.String()}
	}
}

func (v View) foreign() Condition {
	if text := v.Report.Foreign.Text(); text != "" {
		return Condition{true, v1alpha1.ReasonContraryWrites, text}
	}
	return Condition{false, v1alpha1.ReasonNoContraryWrites, "no other writer sets another size of the StatefulSet"}
}

func (v View) conflict() Condition {
	switch c := v.Report.Conflict; {
	case c == nil:
		return Condition{false, v1alpha1.ReasonNone, "no HPA conflicts with the configuration"}
	case c.Ambiguous:
		return Condition{true, v1alpha1.ReasonAmbiguousSelector, c.Text}
	default:
		return Condition{true, v1alpha1.ReasonOnStatefulSet, c.Text}
	}
}

func (v View) state(active Condition) v1alpha1.State {
	d := v.Report
	switch {
	case d.Blind != "" && d.Reason != decide.NoWorkload:
		return v1alpha1.Blind
	case active.Reason == v1alpha1.ReasonPaused:
		return v1alpha1.Paused
	case active.Reason == v1alpha1.ReasonContraryWrites || active.Reason == v1alpha1.ReasonOnStatefulSet:
		return v1alpha1.Stopped
	case !active.On && active.Reason != v1alpha1.ReasonNotSeeded:
		return v1alpha1.NotFollowed
	case d.Verb == decide.ScaleDown && d.Drain.BlockedFor(v.In.Now, outcome.ShownAfter):
		return v1alpha1.DrainBlocked
	case d.Verb == decide.ScaleDown:
		return v1alpha1.Draining
	case d.Verb == decide.ScaleUp:
		return v1alpha1.Growing
	}
	return v1alpha1.Steady
}

// Counts, which a drain changes all the time, and sentences, which hold ages, wait for a while.
const (
	CountsEvery = 5 * time.Second
	wordsEvery  = 30 * time.Second
)

// Patience is how long a change may wait since the last one; one that is none waits for ever.
func Patience(old, next *v1alpha1.InstanceGroupStatus) time.Duration {
	const never = time.Duration(1<<63 - 1)
	words, counts := old.DeepCopy(), next.DeepCopy()
	for _, s := range []*v1alpha1.InstanceGroupStatus{words, counts} {
		s.Message, s.Assigned, s.InFlight, s.Unassigned = "", 0, 0, 0
		for i := range s.Conditions {
			s.Conditions[i].Message = ""
		}
	}
	switch {
	case !equality.Semantic.DeepEqual(words, counts):
		return 0
	case old.Assigned != next.Assigned || old.InFlight != next.InFlight || old.Unassigned != next.Unassigned:
		return CountsEvery
	case !equality.Semantic.DeepEqual(old, next):
		return wordsEvery
	}
	return never
}
