package scaler

import (
	"context"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
	"github.com/shardscaler/shardscaler/scaler/actuate"
	"github.com/shardscaler/shardscaler/scaler/groupstatus"
)

// groups tells the kind's InstanceGroups what becomes of their requests.
type groups struct {
	act  Actuator
	told map[string]*told // by uid
}

// told is the status of an InstanceGroup as it was written last, and when.
type told struct {
	at     time.Time
	status v1alpha1.InstanceGroupStatus
	// reason is why it counts for nothing, since is since when this leader sees that; warned: an
	// event said so.
	reason string
	since  time.Time
	warned bool
}

// tell seeds a new InstanceGroup and keeps the status of all of the kind's current.
func (gs *groups) tell(ctx context.Context, t *tick) {
	known := map[string]bool{}
	for _, groups := range [][]observed.Group{t.in.Observed.Groups, t.in.Observed.Strangers} {
		for i := range groups {
			g := &groups[i]
			if known[g.UID] = true; gs.told[g.UID] == nil {
				gs.told[g.UID] = &told{}
			}
			gs.seed(ctx, t, g)
			gs.write(ctx, t, g)
			gs.warnNotFollowed(t, g)
		}
	}
	maps.DeleteFunc(gs.told, func(uid string, _ *told) bool { return !known[uid] })
}

// seed sets the replicas of a new InstanceGroup to the size there is, once. Until then they are the
// API's default and not followed.
func (gs *groups) seed(ctx context.Context, t *tick, g *observed.Group) {
	if g != t.in.Group() || g.Seeded || t.d.Current == nil || t.suspended != "" {
		return
	}
	size := max(1, *t.d.Current)
	if err := gs.act.SeedGroup(ctx, groupRef(t, g), g.Generation, size); err == nil {
		gs.act.Publish(groupRef(t, g), actuate.Seeded(size, t.set.Name))
	} else {
		gs.failed(ctx, t, g, err)
	}
}

func (gs *groups) failed(ctx context.Context, t *tick, g *observed.Group, err error) {
	if isFault(ctx, err) {
		gs.act.Publish(groupRef(t, g), actuate.CannotWriteGroup(err.Error()))
	}
}

func groupRef(t *tick, g *observed.Group) actuate.Workload {
	return actuate.Workload{Namespace: t.in.Observed.Namespace, Name: g.Name, UID: g.UID, Group: true}
}

func (gs *groups) write(ctx context.Context, t *tick, g *observed.Group) {
	view := groupstatus.View{In: t.in, Report: t.d, Group: g}
	last, next := gs.told[g.UID], v1alpha1.InstanceGroupStatus{}
	last.status.DeepCopyInto(&next)
	view.Fill(&next)
	if !last.at.IsZero() && t.in.Now.Sub(last.at) < groupstatus.Patience(&last.status, &next) {
		return
	}
	written, err := gs.act.UpdateGroupStatus(ctx, groupRef(t, g), view.Fill)
	if err != nil {
		gs.failed(ctx, t, g, err)
		return
	}
	gs.publish(groupRef(t, g), &last.status, &written)
	last.at, last.status = t.in.Now, written
}

// passing are the reasons not to follow a request that are no news: a person chose them, or they
// are told elsewhere.
var passing = map[string]bool{v1alpha1.ReasonBlind: true, v1alpha1.ReasonPaused: true, v1alpha1.ReasonNotSeeded: true}

// setGrace is how long an InstanceGroup may lack its StatefulSet: one apply brings both.
const setGrace = 30 * time.Second

// warnNotFollowed raises an event when an InstanceGroup begins to count for nothing, or does so for
// another reason.
func (gs *groups) warnNotFollowed(t *tick, g *observed.Group) {
	u, active := gs.told[g.UID], groupstatus.View{In: t.in, Report: t.d, Group: g}.Active()
	if active.On || passing[active.Reason] {
		u.reason, u.warned = "", false
		return
	}
	if u.reason != active.Reason {
		u.reason, u.since, u.warned = active.Reason, t.in.Now, false
	}
	if !u.warned && (u.reason != v1alpha1.ReasonNoStatefulSet || t.in.Now.Sub(u.since) >= setGrace) {
		u.warned = true
		gs.act.Publish(groupRef(t, g), actuate.NotFollowed(active.Text))
	}
}

func (gs *groups) publish(group actuate.Workload, old, next *v1alpha1.InstanceGroupStatus) {
	for _, c := range next.Conditions {
		if was := meta.FindStatusCondition(old.Conditions, c.Type); was != nil && was.Status == c.Status && was.Reason == c.Reason {
			continue
		}
		on := c.Status == metav1.ConditionTrue
		switch {
		case c.Type == v1alpha1.ConditionScalingLimited && on:
			gs.act.Publish(group, actuate.ScalingLimited(c.Reason, c.Message))
		case c.Type == v1alpha1.ConditionForeignWriter && on:
			gs.act.Publish(group, actuate.ForeignWriter(c.Message))
		case c.Type == v1alpha1.ConditionConflictingHPA && on:
			gs.act.Publish(group, actuate.ConflictingHPA(c.Message))
		}
	}
}
