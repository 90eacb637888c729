package ops

import (
	"fmt"
	"strconv"

	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// notWell are the conditions that deserve an alarm, in the order in which they are shown, and what
// to do. Starting and Terminating end by themselves; a lost node has an alarm of its own.
var notWell = []struct {
	condition decide.Condition
	severity  string
	means     string // a format of which instances
	cure      string
}{
	{decide.Absent, Critical, "%s should have a pod, or own resources without one", "kubectl describe statefulset: why its controller makes no pod"},
	{decide.CrashLooping, Critical, "%s crash again and again", "kubectl logs --previous of the pod; the kubelet restarts it, shardscaler does not"},
	{decide.Failed, Critical, "%s have ended", "kubectl describe pod; the StatefulSet makes it anew"},
	{decide.ImagePull, Critical, "%s cannot get their image", "correct the image or its pull secret"},
	{decide.Silent, Warning, "%s send no heartbeat", "it is restarted if nothing speaks against it; kubectl logs of the pod"},
	{decide.Stuck, Warning, "%s are terminating beyond their deadline", "look at the node and at finalizers of the pod"},
	{decide.Pending, Warning, "%s have no node, image or volume for long", "kubectl describe pod: its events"},
	{decide.NotReady, Warning, "%s are not ready", "kubectl describe pod: its readiness probe"},
	{decide.Stale, Info, "%s are late with their heartbeat", "none yet: a restart comes after restartAfter"},
}

// instances are about what is not well, one alarm a condition.
func (a *alarms) instances() {
	v := a.v
	if v.Snapshot.Workload == nil {
		return
	}
	by := map[decide.Condition][]decide.Verdict{}
	health := healthOf(v)
	for _, inst := range present(v) {
		if p := inst.Occupant(); p == nil || p.NodeLost.IsZero() {
			verdict := health[inst.Ordinal]
			by[verdict.Condition] = append(by[verdict.Condition], verdict)
		}
	}
	for _, c := range notWell {
		if verdicts := by[c.condition]; len(verdicts) > 0 {
			a.condition(c.severity, string(c.condition), c.means, c.cure, verdicts)
		}
	}
	if d := v.decided(); d != nil {
		a.add(Warning, "health-suspended", d.Health.Suspended, "no instance is restarted or reassigned until this ends: look at what they have in common", "why", d.Health.Suspended)
		a.lost(d.Lost)
	}
}

func (a *alarms) condition(severity, condition, means, cure string, verdicts []decide.Verdict) {
	var ordinals []int
	for _, v := range verdicts {
		ordinals = append(ordinals, v.Ordinal)
	}
	text := fmt.Sprintf("%s: %s", decide.Instances(ordinals), verdicts[0].Text)
	if len(verdicts) > 1 || verdicts[0].Text == "" {
		text = fmt.Sprintf(means, decide.Instances(ordinals))
	}
	alarm := a.add(severity, "instances", text, cure, "condition", condition, "count", strconv.Itoa(len(verdicts)))
	alarm.Ordinals = ordinals
}

// lost are the instances whose node is not Ready.
func (a *alarms) lost(all []decide.Lost) {
	for _, l := range all {
		cure := "bring the node back, or delete it from Kubernetes if it is gone"
		if l.Unproven != "" {
			cure += "; if nothing of the pod runs any more: " + orders.ReassignCommand(a.v.Config.Name, l.Ordinal)
		}
		alarm := a.add(pick(l.Owned > 0, Critical, Warning), "lost-node", l.Text, cure, "node", l.Node, "instance", strconv.Itoa(l.Ordinal), "pod", l.Pod, "owned", strconv.Itoa(l.Owned))
		alarm.Ordinals, alarm.Since = []int{l.Ordinal}, l.Since
	}
}
