package decide

import (
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide/hpa"
)

// Input is everything a decision is made from. It can be saved as JSON or YAML and decided again.
type Input struct {
	Now time.Time `json:"now,omitzero"`
	// Config is one that left config.Parse: complete and valid.
	Config   config.Kind   `json:"config"`
	Observed observed.Kind `json:"observed"`
	// History is what earlier decisions left behind.
	History History `json:"history"`
}

// Decide computes the size. It changes nothing that in refers to.
func Decide(in Input) Decision {
	c := &in.Config
	d := Decision{
		Kind: c.Name, StatefulSet: c.StatefulSet, At: in.Now, Mode: c.Replicas.Mode, Verb: Still,
		TargetPerInstance: c.TargetPerInstance, Capacity: c.Capacity, Init: c.Init, Max: c.Max,
	}
	d.Owner, d.Conflict = in.owner()
	d.Foreign = in.History.Foreign
	if d.Reason, d.Blind = blind(&in); d.Blind == "" || d.Reason == BlindStore {
		if w := in.Observed.Workload; w != nil {
			d.Current, d.Start = &w.Replicas, w.Start
			d.Foreign = in.foreign(d.Owner)
		}
	}
	d.Health = Assess(in)
	if d.Current != nil {
		d.Lost = lost(&in)
	}
	if d.Blind == "" {
		d.observe(&in)
		d.recommend(&in)
		if d.Owner == config.OwnerHPA {
			d.layOut(&in)
		} else {
			d.size(&in)
		}
		d.conclude()
	}
	d.Summary = d.sentence()
	return d
}

// blind says why nothing can be computed at all: what ZooKeeper or Kubernetes holds is unknown, old or incomplete. One failed
// read is enough; whoever acts on the answer before it does more harm than waiting.
func blind(in *Input) (Reason, string) {
	k := &in.Observed
	if e := k.Sources.Cluster.Error; e != "" {
		return BlindCluster, "Kubernetes cannot be read: " + e
	}
	if !k.Sources.Cluster.Known() {
		return BlindCluster, "the StatefulSet and its pods have not been read yet"
	}
	if !k.Sources.Cluster.Fresh(in.Now, observed.ClusterMaxAge) {
		return BlindCluster, "the StatefulSet and its pods were last read " + ago(k.Sources.Cluster, in.Now)
	}
	if e := k.Sources.Store.Error; e != "" {
		return BlindStore, "ZooKeeper cannot be read: " + e
	}
	if _, err := observed.Resources(k, in.Now); err != nil {
		return BlindStore, err.Error()
	}
	if k.Workload == nil {
		return NoWorkload, fmt.Sprintf("there is no StatefulSet %s", in.Config.StatefulSet)
	}
	return "", ""
}

func ago(s observed.Source, now time.Time) string {
	return s.Age(now).Round(time.Second).String() + " ago"
}

// observe notes what the size is computed from: counts, signals, and why the size may not fall.
func (d *Decision) observe(in *Input) {
	d.Resources = in.Observed.Resources()
	d.Excess = max(0, d.Resources-d.Max*d.Capacity)
	d.Mute = muted(in)
	d.observeSignals(in)
	d.Floor = d.Signals[0].Proposed
	d.Rollout = rollout(in)
	gaps := gaps(in)
	d.Complete = len(gaps) == 0
	d.Holds = slices.Concat(gaps, d.holds(in))
}

// holds are the reasons not to shrink other than incomplete sources.
func (d *Decision) holds(in *Input) (hs []Hold) {
	for _, s := range d.Signals {
		if s.Missing != "" {
			hs = append(hs, Hold{ByMissingSignal, fmt.Sprintf("%s: %s", s.Name, s.Missing)})
		} else if s.unsure != "" {
			hs = append(hs, Hold{ByMissingSignal, fmt.Sprintf("%s: %s", s.Name, s.unsure)})
		}
	}
	if watched, window := in.History.watched(in.Now), downWindow(&in.Config); d.Complete && watched < window {
		hs = append(hs, Hold{ByAdoption, fmt.Sprintf("every source was complete for %s, and must be for one window of %s",
			watched.Round(time.Second), window)})
	}
	if d.Rollout != "" {
		hs = append(hs, Hold{ByRollout, d.Rollout})
	}
	if text := unadopted(in); text != "" {
		hs = append(hs, Hold{ByUnadopted, text})
	} else if d.Health.Breaker != "" {
		hs = append(hs, Hold{BySilence, d.Health.Breaker})
	}
	if text := d.Health.unheard(); text != "" {
		hs = append(hs, Hold{ByIncomplete, text})
	}
	if p := in.Paused(); p != "" {
		hs = append(hs, Hold{ByPause, p})
	}
	return hs
}

// gaps are the sources that are not complete now. The resources of a kind may be more than ZooKeeper holds until the catalogue was
// read, and its instances may be dead without the bus: no shrink then.
func gaps(in *Input) (hs []Hold) {
	sources := in.Observed.Sources
	check := func(name observed.SourceName, s observed.Source, limit time.Duration) {
		switch {
		case !s.Known() && s.Error != "":
			hs = append(hs, Hold{ByMissingSignal, fmt.Sprintf("%s has not been read yet: %s", name, s.Error)})
		case !s.Known():
			hs = append(hs, Hold{ByMissingSignal, fmt.Sprintf("%s has not been read yet", name)})
		case limit > 0 && !s.Fresh(in.Now, limit):
			hs = append(hs, Hold{ByMissingSignal, fmt.Sprintf("%s was last read %s, more than %s", name, ago(s, in.Now), limit)})
		case limit == 0 && s.Error != "":
			hs = append(hs, Hold{ByMissingSignal, fmt.Sprintf("%s is not connected: %s", name, s.Error)})
		}
	}
	check(observed.SourceCatalogue, sources.Catalogue, in.Config.Freshness.Catalogue.Std())
	check(observed.SourceNotify, sources.Notify, 0) // a stream: connected or not
	if in.Config.CPU != nil || in.Config.Memory != nil {
		check(observed.SourceMetrics, sources.Metrics, in.Config.Freshness.Metrics.Std())
	}
	if in.Config.Heartbeat != nil && sources.Bus != nil {
		check(observed.SourceBus, *sources.Bus, observed.BusMaxAge)
	}
	return hs
}

// rollout says why a rolling update holds up what can wait: its pods are being replaced, or all of
// them are and not all are available yet.
func rollout(in *Input) string {
	switch k, w := &in.Observed, in.Observed.Workload; {
	case replacing(k):
		return fmt.Sprintf("a rolling update has replaced %d of %d pods", w.UpdatedReplicas, w.StatusReplicas)
	case in.History.Rollout && !available(k):
		return fmt.Sprintf("a rolling update has replaced all pods, and not all %d are available yet", w.Replicas)
	}
	return ""
}

// replacing says whether the StatefulSet's controller is replacing pods. A controller that waits with
// all pods available, for a person or by a partition, may do so for weeks: that holds nothing up.
func replacing(k *observed.Kind) bool { return outdated(k.Workload) && !available(k) }

// outdated says whether some pods are of a former revision.
func outdated(w *observed.Workload) bool { return w.UpdatedReplicas < w.StatusReplicas }

// available says whether all pods of the size exist, stay, and are available: ready pods may still
// have to wait for minReadySeconds.
func available(k *observed.Kind) bool {
	w := k.Workload
	n := w.ReadyReplicas
	if w.AvailableReplicas != nil {
		n = *w.AvailableReplicas
	}
	return n >= w.StatusReplicas && staying(k) >= w.Replicas
}

// staying counts the pods of the size that exist and are not ending. The controller counts a pod
// that ends as ready until it is gone, and then none until it has made the next one.
func staying(k *observed.Kind) (n int) {
	for i := range k.Instances {
		inst := &k.Instances[i]
		if p := inst.Pod; p != nil && !p.Terminating && inst.Ordinal >= k.Workload.Start && inst.Ordinal < k.Workload.Start+k.Workload.Replicas {
			n++
		}
	}
	return n
}

// size leads from what the signals ask for to the size to bring about.
func (d *Decision) size(in *Input) {
	current, windows := *d.Current, windows(&in.Config)
	d.asked = d.ask(func(s Signal) int {
		if s.Name == ByWish {
			return 0
		}
		return s.Proposed
	})
	stable := hpa.Stabilize(current, d.asked, in.History.spans(func(r Recommendation) int { return r.Size }), windows, in.Now)
	d.Desired = max(d.asked, d.wished())
	d.bound()
	d.Wanted = d.Desired
	if d.stopped(current) {
		return
	}
	stable = max(stable, d.Floor, d.wished()) // the count is no noise, and the wish has had its windows: neither waits for ours
	d.step(min(max(stable, d.Init), d.Max), ByWindow, "recommendations of the last %s (for a shrink) and %s (for growth) stand against it",
		windows.Down, windows.Up)
	d.keepRaise(in, current)
	d.step(d.rate(in, current, d.Desired), ByRate, "the behavior's policies allow no faster change")
	d.coolDown(in, current)
	d.bound() // at once, whatever the rate
	d.hold(in, current)
}

// layOut is size for a StatefulSet whose replicas an HPA writes: the size for which the assignment is laid out.
func (d *Decision) layOut(in *Input) {
	d.Desired = d.askedOwn
	d.asked = d.askedOwn
	d.bound()
	d.Wanted = d.Desired
	d.step(d.Own, ByWindow, "recommendations of the last %s stand against it, or a hold does", downWindow(&in.Config))
	if !d.adopted {
		d.step(max(d.Desired, *d.Current), ByAdoption, "nothing is emptied yet: every source must be complete for one window of %s", downWindow(&in.Config))
	}
	d.keepRaise(in, *d.Current)
}

// step changes the size and notes why.
func (d *Decision) step(to int, by Reason, format string, args ...any) {
	if to == d.Desired {
		return
	}
	d.Limits = append(d.Limits, Limit{By: by, From: d.Desired, To: to, Text: fmt.Sprintf(format, args...)})
	d.Desired = to
}

func (d *Decision) bound() {
	d.step(max(d.Desired, d.Init), ByInit, "init is %d", d.Init)
	d.step(min(d.Desired, d.Max), ByMax, "max is %d", d.Max)
}

// keepRaise lets a growth by another writer stand for one window, within the size there is now.
func (d *Decision) keepRaise(in *Input, current int) {
	r, window := in.raised(d.Own), downWindow(&in.Config)
	if r == nil || in.Now.Sub(r.At) >= window {
		return
	}
	d.step(max(d.Desired, min(r.To, current)), ByForeignRaise, "another writer raised replicas to %d %s ago; that stands for one window of %s",
		r.To, in.Now.Sub(r.At).Round(time.Second), window)
}

// coolDown keeps the size for a while after any change of it. Resources that wait for a place do not wait for that.
func (d *Decision) coolDown(in *Input, current int) {
	rules, least := &in.Config.Behavior.ScaleDown, current
	if d.Desired > current {
		rules, least = &in.Config.Behavior.ScaleUp, max(current, min(d.Desired, d.Floor))
	}
	if d.Desired == current || rules.CoolDown == 0 {
		return
	}
	if at := in.lastChange(); !at.IsZero() && in.Now.Sub(at) < rules.CoolDown.Std() {
		d.step(least, ByCoolDown, "the size changed %s ago, and cools down for %s", in.Now.Sub(at).Round(time.Second), rules.CoolDown.Std())
	}
}

// hold keeps a shrink from happening that must not, and a growth that would be in vain.
func (d *Decision) hold(in *Input, current int) {
	if d.Desired < current && len(d.Holds) > 0 {
		d.step(current, d.Holds[0].By, "no shrink: %s", d.Holds[0].Text)
	}
	if d.Desired < current {
		least, by := d.predicted(in)
		d.step(max(d.Desired, min(least, current, max(d.Max, d.Desired))), ByPrediction, "on fewer instances %s would ask for growth again", by)
	}
	if pods := unschedulable(in); d.Desired > current && pods != "" {
		d.step(current, ByUnschedulable, "the cluster is full: %s; a larger size would only add Pending pods", pods)
	}
}

// recommend computes what our own signals ask for, whoever owns the size: the same steps as size, relative to the last such
// recommendation where size is relative to the current replicas.
func (d *Decision) recommend(in *Input) {
	h := &in.History
	d.askedOwn = d.ask(func(s Signal) int { return s.own })
	least := d.askedOwn
	if len(d.Holds) > 0 {
		least = max(least, h.Own)
	}
	from := h.Own
	if from == 0 {
		from = least
	}
	own := hpa.Stabilize(from, least, h.spans(func(r Recommendation) int { return r.Own }), windows(&in.Config), in.Now)
	d.Own = min(max(own, d.Floor, d.Init), max(d.Max, d.heldOwn(in)))
	d.adopted = h.Adopted || d.Complete && h.watched(in.Now) >= downWindow(&in.Config)

	recommended := max(d.Own, occupied(&in.Observed))
	if !d.adopted && recommended < *d.Current {
		d.RecommendedUnknown = "the sources were not complete for one whole window yet, and the signals ask for less than there is"
		return
	}
	d.Recommended = &recommended
}

// heldOwn is the recommendation that a hold keeps from falling, even to a max that was lowered.
func (d *Decision) heldOwn(in *Input) int {
	if len(d.Holds) > 0 {
		return in.History.Own
	}
	return 0
}

// occupied is the least size that keeps every instance of the present size that is open or owns anything.
func occupied(k *observed.Kind) (size int) {
	start, end := k.Workload.Start, k.Workload.Start+k.Workload.Replicas
	note := func(ordinal int) {
		if ordinal >= start && ordinal < end {
			size = max(size, ordinal-start+1)
		}
	}
	for _, n := range k.Open {
		note(n)
	}
	for _, i := range k.Instances {
		if l := i.List; l != nil && (l.Count > 0 || l.InFlight > 0 || l.Error != "") {
			note(i.Ordinal)
		}
	}
	return size
}

// ask is the largest proposal.
func (d *Decision) ask(of func(Signal) int) (size int) {
	for _, s := range d.Signals {
		size = max(size, of(s))
	}
	return size
}

// rate limits a change by the behavior's policies.
func (d *Decision) rate(in *Input, current, size int) int {
	changes := in.changes()
	if size > current {
		return min(size, hpa.UpLimit(current, changes, rules(in.Config.Behavior.ScaleUp), in.Now))
	}
	return max(size, hpa.DownLimit(current, changes, rules(in.Config.Behavior.ScaleDown), in.Now))
}

func rules(r config.ScalingRules) (out hpa.Rules) {
	switch r.SelectPolicy {
	case config.SelectMin:
		out.Select = hpa.SelectMin
	case config.SelectDisabled:
		out.Select = hpa.SelectDisabled
	}
	for _, p := range r.Policies {
		out.Policies = append(out.Policies, hpa.Policy{Percent: p.Type == config.PolicyPercent, Value: int(p.Value), Period: p.Period.Std()})
	}
	return out
}

func windows(c *config.Kind) hpa.Windows {
	return hpa.Windows{Up: c.Behavior.ScaleUp.StabilizationWindow.Std(), Down: c.Behavior.ScaleDown.StabilizationWindow.Std()}
}

func downWindow(c *config.Kind) time.Duration { return windows(c).Down }

// predicted is the least size on which no usage signal would leave its tolerance upwards. Instances that are not ready and hold
// resources will bring their load back; the HPA forgets them, and then growth and shrink chase each other.
func (d *Decision) predicted(in *Input) (least int, by Reason) {
	for _, s := range d.Signals {
		if n := hpa.Ceil(s.total / (1 + *in.Config.Tolerance.Up)); n > least {
			least, by = n, s.Name
		}
	}
	return least, by
}

// unschedulablePatience is how long a pod may look for a node before a growth is called vain.
const unschedulablePatience = time.Minute

// unschedulable names the pods that find no node.
func unschedulable(in *Input) string {
	var pods []string
	for _, i := range in.Observed.Instances {
		if p := i.Pod; p != nil && p.Phase == "Pending" && p.Reason == "Unschedulable" && !p.Terminating && in.Now.Sub(p.Created) >= unschedulablePatience {
			pods = append(pods, p.Name)
		}
	}
	return listed(pods, "finds no node", "find no node")
}

// unadopted names the pods that may be instances and that the StatefulSet does not own. As long as
// there are any, what is seen of the others is a part of the whole: no instance is called lost,
// absent or silent by it, and nothing shrinks.
func unadopted(in *Input) string {
	var pods []string
	for i := range in.Observed.Instances {
		if p := in.Observed.Instances[i].Unadopted; p != nil {
			pods = append(pods, p.Name)
		}
	}
	return listed(pods, "is not adopted by the StatefulSet", "are not adopted by the StatefulSet")
}

// listed names up to three things.
func listed(names []string, one, many string) string {
	switch n := len(names); {
	case n == 0:
		return ""
	case n == 1:
		return names[0] + " " + one
	case n <= 3:
		return fmt.Sprintf("%s %s", join(names), many)
	default:
		return fmt.Sprintf("%s and %d more %s", join(names[:3]), n-3, many)
	}
}
