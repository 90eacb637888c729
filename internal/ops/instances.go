package ops

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// What an instance is doing with resources: Instance.State.
const (
	StateOpen     = "open"
	StateClosed   = "closed"
	StateDraining = "draining"
	StateDrained  = "drained"
	StateLeaving  = "leaving"
	StateLost     = "lost"
	StateAbsent   = "absent"
)

// InstancesOf are a kind's instances in order of ordinal: those of the size, and those beyond it
// that have a pod or own something.
func InstancesOf(v *View) []Instance {
	health := healthOf(v)
	all := []Instance{}
	for _, inst := range present(v) {
		all = append(all, v.instance(inst, health))
	}
	return all
}

// InstanceOf is one instance; false: the kind has none of that ordinal.
func InstanceOf(v *View, ordinal int) (Instance, bool) {
	for _, inst := range present(v) {
		if inst.Ordinal == ordinal {
			return v.instance(inst, healthOf(v)), true
		}
	}
	return Instance{}, false
}

// present are the instances that were seen, and what is missing of the size, in order of ordinal.
func present(v *View) (all []*observed.Instance) {
	k, w := &v.Snapshot, v.Snapshot.Workload
	for i := range k.Instances {
		inst := &k.Instances[i]
		if inst.Occupant() != nil || inst.Owned() > 0 || inst.List != nil && inst.List.Error != "" || w != nil && w.Has(inst.Ordinal) {
			all = append(all, inst)
		}
	}
	if w == nil {
		return all
	}
	for n := w.Start; n < w.Start+w.Replicas; n++ {
		if k.Instance(n) == nil {
			all = append(all, &observed.Instance{Ordinal: n})
		}
	}
	slices.SortFunc(all, func(a, b *observed.Instance) int { return cmp.Compare(a.Ordinal, b.Ordinal) })
	return all
}

// healthOf are the verdicts by ordinal. The copy of a decision that followers read lacks those on
// healthy instances; they are given again, by what this replica sees.
func healthOf(v *View) map[int]decide.Verdict {
	all := map[int]decide.Verdict{}
	seen := decide.Assess(decide.Input{Now: v.Now, Config: v.Config, Observed: v.Snapshot, History: v.Input.History, Operator: v.Operator})
	for _, verdict := range seen.Verdicts {
		all[verdict.Ordinal] = verdict
	}
	if d := v.decided(); d != nil {
		for _, verdict := range d.Health.Verdicts {
			all[verdict.Ordinal] = verdict
		}
	}
	return all
}

func (v *View) instance(inst *observed.Instance, health map[int]decide.Verdict) Instance {
	out := Instance{
		Kind: v.Config.Name, Ordinal: inst.Ordinal, StatefulSet: v.Config.StatefulSet, State: v.stateOf(inst),
		Health:           Health{Condition: string(decide.Unknown), Text: "it has not been judged"},
		List:             v.listOf(inst),
		CPU:              v.cpuOf(inst),
		Memory:           v.memoryOf(inst),
		NotAcknowledging: inst.NotAcknowledging(),
		Unproven:         v.Progress.Unproven[inst.Ordinal],
	}
	if verdict, judged := health[inst.Ordinal]; judged {
		out.Health = Health{Condition: string(verdict.Condition), By: string(verdict.By), Text: verdict.Text}
	}
	if p := inst.Occupant(); p != nil {
		out.Pod, out.UID, out.Node, out.Started, out.Restarts = p.Name, p.UID, p.Node, p.Started, p.Restarts
	}
	if d := v.Operator.Drain(inst.Ordinal); d != nil {
		out.Drain, out.DrainWaits = &d.Said, v.drainWaits(inst.Ordinal)
	}
	if lag, err := observed.Lag(&v.Snapshot, v.Config, inst, v.Now); err == nil {
		out.Lag = config.Duration(lag).String()
	}
	if inst.LastBeat != nil {
		out.Beat = *inst.LastBeat
	}
	return out
}

// drainWaits is what the drain of an instance waits for; "": for nothing.
func (v *View) drainWaits(ordinal int) string {
	d := v.decided()
	if d == nil || d.DrainWait == nil || !slices.Contains(d.DrainWait.Ordinals, ordinal) {
		return ""
	}
	return d.DrainWait.String()
}

// stateOf is one word for what the instance does with resources.
func (v *View) stateOf(inst *observed.Instance) string {
	p, n := inst.Occupant(), inst.Ordinal
	d, w := v.decided(), v.Snapshot.Workload
	switch {
	case p == nil:
		return StateAbsent
	case !p.NodeLost.IsZero():
		return StateLost
	case w != nil && !w.Has(n), d != nil && d.Current != nil && slices.Contains(d.Leave(), n):
		return StateLeaving
	case v.Operator.Drain(n) != nil && inst.Owned() == 0 && !slices.Contains(v.Snapshot.Open, n):
		return StateDrained
	case v.Operator.Drain(n) != nil:
		return StateDraining
	case slices.Contains(v.Snapshot.Open, n):
		return StateOpen
	}
	return StateClosed
}

func (v *View) listOf(inst *observed.Instance) List {
	l := List{Capacity: v.Config.Capacity}
	if in := inst.List; in != nil {
		l.Count, l.InFlight, l.Weight, l.Changed, l.Error = in.Count, in.InFlight, in.Weight, in.Changed, in.Error
	}
	return l
}

// cpuOf is the use of CPU; nil: none was measured and the kind is not sized by it.
func (v *View) cpuOf(inst *observed.Instance) *Load {
	if inst.Usage == nil {
		return missing(v.Config.CPU, inst)
	}
	l := Load{Usage: inst.Usage.CPU, At: inst.Usage.At, Missing: inst.Usage.MissingCPU}
	if p := inst.Pod; p != nil {
		l.Request = p.CPURequest
	}
	return l.against(v.Config.CPU, (*resource.Quantity).MilliValue)
}

// memoryOf is the use of memory, as cpuOf.
func (v *View) memoryOf(inst *observed.Instance) *Load {
	if inst.Usage == nil {
		return missing(v.Config.Memory, inst)
	}
	l := Load{Usage: inst.Usage.Memory, At: inst.Usage.At, Missing: inst.Usage.MissingMemory}
	if p := inst.Pod; p != nil {
		l.Request = p.MemoryRequest
	}
	return l.against(v.Config.Memory, (*resource.Quantity).Value)
}

func missing(target *config.ResourceTarget, inst *observed.Instance) *Load {
	if target == nil || inst.Pod == nil {
		return nil
	}
	return &Load{Missing: "metrics.k8s.io has no sample of the pod"}
}

// against adds the ratio to the target, where there is one and it can be told.
func (l Load) against(target *config.ResourceTarget, amount func(*resource.Quantity) int64) *Load {
	var at float64
	switch {
	case target == nil || l.Missing != "":
	case target.TargetAverageValue != nil:
		at = float64(amount(target.TargetAverageValue))
	default:
		at = float64(l.Request) * float64(target.TargetUtilization) / 100
	}
	if at > 0 {
		ratio := float64(l.Usage) / at
		l.Ratio = &ratio
	}
	return &l
}

// NodeOf are the instances on a node, of all the kinds that views show, in their order.
func NodeOf(views []*View, node string) NodeInstances {
	on := NodeInstances{Node: node, Items: []Instance{}}
	for _, v := range views {
		for _, inst := range InstancesOf(v) {
			if inst.Node == node {
				on.Items = append(on.Items, inst)
			}
		}
	}
	return on
}

// Undated is the instance without what changes by time alone.
func (i Instance) Undated() Instance {
	if !i.Beat.IsZero() {
		i.Lag = ""
	}
	return i
}

// Undated is the page without what changes by time alone.
func (l InstanceList) Undated() InstanceList {
	l.Items = undated(l.Items)
	return l
}

// Undated is the answer without what changes by time alone.
func (n NodeInstances) Undated() NodeInstances {
	n.Items = undated(n.Items)
	return n
}

// Undated is the list without what changes by time alone.
func (l KindList) Undated() KindList {
	l.Items = undated(l.Items)
	return l
}

func undated[T interface{ Undated() T }](items []T) []T {
	out := make([]T, len(items))
	for i := range items {
		out[i] = items[i].Undated()
	}
	return out
}
