package scaler

import (
	"context"
	"fmt"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/actuate"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// GroupActuator is what the scaler uses of *actuate.Groups.
type GroupActuator interface {
	SeedGroup(ctx context.Context, group actuate.Workload, generation int64, replicas int) error
	UpdateGroupStatus(ctx context.Context, group actuate.Workload, update func(*v1alpha1.InstanceGroupStatus)) (v1alpha1.InstanceGroupStatus, error)
}

func foreignWriter(d *decide.Decision) (e actuate.Event) {
	if d.Foreign != nil {
		e = actuate.ForeignWriter(d.Foreign.Text())
	}
	return e
}

func conflictingHPA(d *decide.Decision) (e actuate.Event) {
	if d.Conflict != nil {
		e = actuate.ConflictingHPA(d.Conflict.Text)
	}
	return e
}

// groupWritten is the status that was written last, and when.
type groupWritten struct {
	at     time.Time
	status v1alpha1.InstanceGroupStatus
}

// Counts change with every step of a drain, and sentences hold ages: they wait for a while. What an HPA or a script looks at is
// written at once.
const (
	countsEvery = 5 * time.Second
	wordsEvery  = 30 * time.Second
)

// tellGroups seeds a new InstanceGroup and keeps the status of all of the kind's current.
func (t *turn) tellGroups() {
	if t.cfg.DryRun || !t.mayTell() {
		return
	}
	known := map[string]bool{}
	for _, groups := range [][]observed.Group{t.in.Observed.Groups, t.in.Observed.Strangers} {
		for i := range groups {
			known[groups[i].UID] = true
			t.seed(&groups[i])
			t.tell(&groups[i])
			t.warnNotFollowed(&groups[i])
		}
	}
	maps.DeleteFunc(t.groups, func(uid string, _ groupWritten) bool { return !known[uid] })
	maps.DeleteFunc(t.unfollowed, func(uid string, _ unfollowed) bool { return !known[uid] })
}

// mayTell says whether this process leads, as far as it knows. Without a StatefulSet there is nothing to claim.
func (t *turn) mayTell() bool {
	head, read := t.engine.Head()
	return read && (t.claimed.holder == head.Holder || t.d.Reason == decide.NoWorkload)
}

// seed sets the wish of a new InstanceGroup to the size there is, once. Until then the wish is the API's default and not followed.
func (t *turn) seed(g *observed.Group) {
	if g != t.in.Group() || g.Seeded || t.d.Current == nil || t.orders.Suspended != "" {
		return
	}
	size := max(1, *t.d.Current)
	err := t.act.SeedGroup(t.ctx, t.groupRef(g), g.Generation, size)
	switch {
	case err == nil:
		t.act.Publish(t.groupRef(g), actuate.Seeded(size, t.w.Name))
	case t.isFault(err):
		t.act.Publish(t.groupRef(g), actuate.CannotWriteGroup(err))
	}
}

func (t *turn) groupRef(g *observed.Group) actuate.Workload {
	return actuate.Workload{Namespace: t.in.Observed.Namespace, Name: g.Name, UID: g.UID, Group: true}
}

// tell writes the status if it has changed.
func (t *turn) tell(g *observed.Group) {
	view := groupView{in: t.in, d: t.d, g: g, now: metav1.NewTime(t.now)}
	last, next := t.groups[g.UID], v1alpha1.InstanceGroupStatus{}
	last.status.DeepCopyInto(&next)
	view.fill(&next)
	if !last.at.IsZero() && t.now.Sub(last.at) < patienceFor(&last.status, &next) {
		return
	}
	written, err := t.act.UpdateGroupStatus(t.ctx, t.groupRef(g), view.fill)
	if err != nil {
		if t.isFault(err) {
			t.act.Publish(t.groupRef(g), actuate.CannotWriteGroup(err))
		}
		return
	}
	t.groups[g.UID] = groupWritten{at: t.now, status: written}
	t.eventsOf(g, &last.status, &written)
}

// patienceFor is how long a change may wait since the last one; one that is none waits for ever.
func patienceFor(old, next *v1alpha1.InstanceGroupStatus) time.Duration {
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
		return countsEvery
	case !equality.Semantic.DeepEqual(old, next):
		return wordsEvery
	}
	return never
}

// passing are the reasons not to follow a wish that are no news: somebody chose them, or they are told elsewhere.
var passing = map[string]bool{v1alpha1.ReasonBlind: true, v1alpha1.ReasonPaused: true, v1alpha1.ReasonNotSeeded: true}

// unfollowed is why an InstanceGroup counts for nothing, since when this leader sees that, and whether it was told.
type unfollowed struct {
	reason string
	since  time.Time
	told   bool
}

// setGrace is how long an InstanceGroup may be without its StatefulSet: one apply brings both, in any order, and they are
// watched apart.
const setGrace = 30 * time.Second

// warnNotFollowed raises an event when an InstanceGroup begins to count for nothing, or does so for another reason.
func (t *turn) warnNotFollowed(g *observed.Group) {
	active := groupView{in: t.in, d: t.d, g: g}.active()
	if active.on || passing[active.reason] {
		delete(t.unfollowed, g.UID)
		return
	}
	u := t.unfollowed[g.UID]
	if u.reason != active.reason {
		u = unfollowed{reason: active.reason, since: t.now}
	}
	if !u.told && (u.reason != v1alpha1.ReasonNoStatefulSet || t.now.Sub(u.since) >= setGrace) {
		u.told = true
		t.act.Publish(t.groupRef(g), actuate.NotFollowed(active.text))
	}
	t.unfollowed[g.UID] = u
}

// eventsOf raises an event for each condition that began to be news.
func (t *turn) eventsOf(g *observed.Group, old, next *v1alpha1.InstanceGroupStatus) {
	for _, c := range next.Conditions {
		if was := meta.FindStatusCondition(old.Conditions, c.Type); was != nil && was.Status == c.Status && was.Reason == c.Reason {
			continue
		}
		on := c.Status == metav1.ConditionTrue
		switch {
		case c.Type == v1alpha1.ConditionScalingLimited && on:
			t.act.Publish(t.groupRef(g), actuate.ScalingLimited(c.Reason, c.Message))
		case c.Type == v1alpha1.ConditionForeignWriter && on:
			t.act.Publish(t.groupRef(g), actuate.ForeignWriter(c.Message))
		case c.Type == v1alpha1.ConditionConflictingHPA && on:
			t.act.Publish(t.groupRef(g), actuate.ConflictingHPA(c.Message))
		}
	}
}

// groupView turns one decision into the status of one InstanceGroup of its kind. It is pure.
type groupView struct {
	in  *decide.Input
	d   *decide.Decision
	g   *observed.Group
	now metav1.Time
}

// verdict is a condition in the making.
type verdict struct {
	on           bool
	reason, text string
}

// fill sets every field that is known now. What is not known keeps its last value, and ScalingActive says that nothing is decided.
func (v groupView) fill(st *v1alpha1.InstanceGroupStatus) {
	k, d := &v.in.Observed, v.d
	st.ObservedGeneration = v.g.Generation
	if v.stranger() {
		v.fillStranger(st)
		return
	}
	if w := k.Workload; w != nil && d.Current != nil {
		st.Replicas, st.Selector = int32(w.StatusReplicas), w.Selector
	}
	if d.Blind == "" {
		st.Desired = int32(d.Desired)
		st.Assigned, st.InFlight, st.Unassigned = int64(k.Assigned), int64(k.InFlight), int64(k.Unassigned)
	}
	active := v.active()
	st.State, st.Message = v.state(active), d.Summary
	for _, c := range []struct {
		kind string
		verdict
	}{
		{v1alpha1.ConditionSeeded, v.seeded()},
		{v1alpha1.ConditionScalingActive, active},
		{v1alpha1.ConditionScalingLimited, v.limited(active.on)},
		{v1alpha1.ConditionDraining, v.draining()},
		{v1alpha1.ConditionForeignWriter, v.foreign()},
		{v1alpha1.ConditionConflictingHPA, v.conflict()},
	} {
		v.set(st, c.kind, c.verdict)
	}
}

func (v groupView) set(st *v1alpha1.InstanceGroupStatus, kind string, c verdict) {
	status := metav1.ConditionFalse
	if c.on {
		status = metav1.ConditionTrue
	}
	meta.SetStatusCondition(&st.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: c.reason, Message: c.text, ObservedGeneration: v.g.Generation, LastTransitionTime: v.now,
	})
}

// stranger says whether the InstanceGroup is of a kind that is not configured.
func (v groupView) stranger() bool { return v.g.Kind != v.in.Config.Name }

func (v groupView) fillStranger(st *v1alpha1.InstanceGroupStatus) {
	active := v.active()
	*st = v1alpha1.InstanceGroupStatus{ObservedGeneration: v.g.Generation, State: v1alpha1.NotFollowed, Message: active.text, Conditions: st.Conditions}
	v.set(st, v1alpha1.ConditionScalingActive, active)
}

func (v groupView) seeded() verdict {
	if v.g.Seeded {
		return verdict{true, v1alpha1.ReasonSeeded, "replicas were set to the size of the StatefulSet once"}
	}
	return verdict{false, v1alpha1.ReasonNotSeeded, "replicas have not been set to the size of the StatefulSet yet"}
}

// active says whether the wish is followed.
func (v groupView) active() verdict {
	c, d := &v.in.Config, v.d
	no := func(reason, format string, args ...any) verdict {
		return verdict{false, reason, fmt.Sprintf(format, args...)}
	}
	switch first := v.in.Observed.GroupFor(c.StatefulSet); {
	case v.stranger():
		return no(v1alpha1.ReasonUnknownKind, "no kind %s is configured", v.g.Kind)
	case v.g.StatefulSet != c.StatefulSet:
		return no(v1alpha1.ReasonStatefulSetDiffers, "spec.statefulSetName is %s, and kind %s is configured with %s", v.g.StatefulSet, c.Name, c.StatefulSet)
	case first.UID != v.g.UID:
		return no(v1alpha1.ReasonDuplicate, "InstanceGroup %s of the same kind is older", first.Name)
	case c.Replicas.Owner != config.OwnerGroup:
		return no(v1alpha1.ReasonOtherOwner, "replicas.owner of kind %s is %s, not %s", c.Name, c.Replicas.Owner, config.OwnerGroup)
	case d.Reason == decide.NoWorkload:
		return no(v1alpha1.ReasonNoStatefulSet, "%s", d.Blind)
	case d.Blind != "":
		return no(v1alpha1.ReasonBlind, "%s", d.Blind)
	case d.Owner == config.OwnerHPA:
		return no(v1alpha1.ReasonOnStatefulSet, "%s", d.Conflict.Text)
	case d.Foreign != nil && d.Foreign.Stopped:
		return no(v1alpha1.ReasonContraryWrites, "%s", d.Foreign.Text())
	case v.in.Paused() != "":
		return no(v1alpha1.ReasonPaused, "%s", v.in.Paused())
	case !v.g.Seeded:
		return no(v1alpha1.ReasonNotSeeded, "%s", v.seeded().text)
	}
	return verdict{true, v1alpha1.ReasonFollowed, "the wish is followed"}
}

// limited says whether, and why, another size is brought about than the one wished for.
func (v groupView) limited(active bool) verdict {
	d, wish := v.d, v.g.Wish
	if !active || d.Desired == wish {
		return verdict{false, v1alpha1.ReasonWithinLimits, "the size wished for is the one brought about"}
	}
	yes := func(reason, format string, args ...any) verdict {
		return verdict{true, reason, fmt.Sprintf(format, args...)}
	}
	if d.Desired < wish {
		if wish > d.Max {
			return yes(v1alpha1.ReasonTooManyReplicas, "the wish is %d and max is %d", wish, d.Max)
		}
		return yes(v1alpha1.ReasonGrowthHeld, "the wish is %d, and %d is brought about: %s", wish, d.Desired, d.Summary)
	}
	switch {
	case d.Floor > wish && d.Floor >= d.Init:
		return yes(v1alpha1.ReasonResourceFloor, "the wish is %d, and %d resources need %d instances of %d", wish, d.Resources, d.Floor, d.TargetPerInstance)
	case d.Init > wish:
		return yes(v1alpha1.ReasonTooFewReplicas, "the wish is %d and init is %d", wish, d.Init)
	case d.Wanted > wish:
		return yes(v1alpha1.ReasonOtherSignal, "the wish is %d, and another signal asks for more: %s", wish, d.Summary)
	case d.Reason == decide.ByForeignRaise:
		return yes(v1alpha1.ReasonForeignRaise, "the wish is %d: %s", wish, d.Summary)
	}
	return yes(v1alpha1.ReasonShrinkHeld, "the wish is %d, and nothing shrinks yet: %s", wish, d.Summary)
}

func (v groupView) draining() verdict {
	switch dr := v.d.Drain; {
	case dr == nil || dr.Phase == decide.Ending:
		return verdict{false, v1alpha1.ReasonDrained, "nothing is being emptied"}
	case dr.Waits(v.now.Time, decide.ShownAfter):
		return verdict{true, v1alpha1.ReasonBlocked, dr.String()}
	default:
		return verdict{true, v1alpha1.ReasonEmptying, dr.String()}
	}
}

func (v groupView) foreign() verdict {
	if f := v.d.Foreign; f != nil && f.Stopped {
		return verdict{true, v1alpha1.ReasonContraryWrites, f.Text()}
	}
	return verdict{false, v1alpha1.ReasonNoContraryWrites, "nobody insists on another size of the StatefulSet"}
}

func (v groupView) conflict() verdict {
	switch c := v.d.Conflict; {
	case c == nil:
		return verdict{false, v1alpha1.ReasonNone, "no HPA is at odds with the configuration"}
	case c.Ambiguous:
		return verdict{true, v1alpha1.ReasonAmbiguousSelector, c.Text}
	default:
		return verdict{true, v1alpha1.ReasonOnStatefulSet, c.Text}
	}
}

// state is the InstanceGroup in one word.
func (v groupView) state(active verdict) v1alpha1.State {
	d := v.d
	switch {
	case d.Blind != "" && d.Reason != decide.NoWorkload:
		return v1alpha1.Blind
	case active.reason == v1alpha1.ReasonPaused:
		return v1alpha1.Paused
	case active.reason == v1alpha1.ReasonContraryWrites || active.reason == v1alpha1.ReasonOnStatefulSet:
		return v1alpha1.Stopped
	case !active.on && active.reason != v1alpha1.ReasonNotSeeded:
		return v1alpha1.NotFollowed
	case d.Verb == decide.Shrink && d.Drain.Waits(v.now.Time, decide.ShownAfter):
		return v1alpha1.DrainBlocked
	case d.Verb == decide.Shrink:
		return v1alpha1.Draining
	case d.Verb == decide.Grow:
		return v1alpha1.Growing
	}
	return v1alpha1.Steady
}
