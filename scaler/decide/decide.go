package decide

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

// Input is everything a decision is made from. It can be saved as JSON or YAML and decided again.
type Input struct {
	Now time.Time `json:"now,omitzero"`
	// Config is one that left config.Parse: complete and valid.
	Config   config.Kind   `json:"config"`
	Observed observed.Kind `json:"observed"`
	History  History       `json:"history"`
	// Operator is what stands of what persons have put over the kind beside Config.
	Operator config.Operator `json:"operator,omitzero"`
}

// Decide computes the size. It changes nothing that in refers to.
func Decide(in Input) Decision {
	c := &in.Config
	d := Decision{
		Kind: c.Name, StatefulSet: c.StatefulSet, At: in.Now, Mode: c.Replicas.Mode, Verb: Blind,
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
		if d.Drained = in.Operator.Drained(); settable(&d) {
			d.Set = in.Operator.Size
		}
		d.observe(&in)
		d.recommend(&in)
		if d.Owner == config.OwnerHPA {
			d.layOut(&in)
		} else {
			d.size(&in)
		}
		d.conclude()
		d.DrainWait = in.drainWait(&d)
	}
	d.Summary = d.sentence()
	return d
}

// blind says why nothing can be computed at all: what ZooKeeper or Kubernetes holds is unknown, old
// or incomplete. One failed read is enough: to act on the answer before it does more harm than
// waiting.
func blind(in *Input) (Reason, string) {
	_, unread := observed.Resources(&in.Observed, in.Now)
	switch cluster, store := in.Observed.Sources.Cluster, in.Observed.Sources.Store; {
	case cluster.Error != "":
		return BlindCluster, "Kubernetes cannot be read: " + cluster.Error
	case !cluster.Known():
		return BlindCluster, "the StatefulSet and its pods have not been read yet"
	case !cluster.Fresh(in.Now, observed.ClusterMaxAge):
		return BlindCluster, "the StatefulSet and its pods were last read " + ago(cluster, in.Now)
	case store.Error != "":
		return BlindStore, "ZooKeeper cannot be read: " + store.Error
	case unread != nil:
		return BlindStore, unread.Error()
	case in.Observed.Workload == nil:
		return NoWorkload, fmt.Sprintf("there is no StatefulSet %s", in.Config.StatefulSet)
	}
	return "", ""
}

func ago(s observed.Source, now time.Time) string {
	return config.Duration(s.Age(now)).String() + " ago"
}

// observe notes what the size is computed from: counts, signals, and why the size may not fall.
func (d *Decision) observe(in *Input) {
	d.Resources = in.Observed.Resources()
	d.Excess = max(0, d.Resources-in.working(most(d))*d.Capacity)
	d.NotAcknowledging = allNotAcknowledging(in)
	d.observeSignals(in)
	d.Floor = d.Signals[0].Proposed
	d.Rollout = rollout(in)
	gaps := gaps(in)
	d.Complete = len(gaps) == 0
	d.Holds = slices.Concat(gaps, d.holds(in))
}

// holds are the reasons against a scale down other than incomplete sources.
func (d *Decision) holds(in *Input) (hs []Hold) {
	hold := func(by Reason, text string) {
		if text != "" {
			hs = append(hs, Hold{by, text})
		}
	}
	for _, s := range d.Signals {
		if text := cmp.Or(s.Missing, s.unsure); text != "" {
			hold(ByMissingSignal, fmt.Sprintf("%s: %s", s.Name.signal(), text))
		}
	}
	if watched, window := in.History.watched(in.Now), downWindow(&in.Config); d.Complete && watched < window {
		hold(ByAdoption, fmt.Sprintf("all sources are complete for %s only, one window (%s) is needed",
			config.Duration(watched), config.Duration(window)))
	}
	hold(ByRollout, d.Rollout)
	if text := unadopted(in); text != "" {
		hold(ByUnadopted, text)
	} else {
		hold(BySilence, d.Health.Suspended)
	}
	hold(ByIncomplete, d.Health.notReporting())
	hold(ByPause, in.Paused())
	return hs
}

// gaps are the sources that are not complete now. The resources of a kind may be more than
// ZooKeeper holds until the catalogue was read, and its instances may be gone without the bus: no
// scale down then.
func gaps(in *Input) (hs []Hold) {
	sources := in.Observed.Sources
	check := func(name string, s observed.Source, limit time.Duration) {
		switch {
		case !s.Known():
			hs = append(hs, Hold{ByMissingSignal, fmt.Sprintf("%s: not read yet%s", name, s.Because())})
		case limit > 0 && !s.Fresh(in.Now, limit):
			hs = append(hs, Hold{ByMissingSignal, fmt.Sprintf("%s: last read %s, limit %s", name, ago(s, in.Now), config.Duration(limit))})
		case limit == 0 && s.Error != "":
			hs = append(hs, Hold{ByMissingSignal, fmt.Sprintf("%s: not connected: %s", name, s.Error)})
		}
	}
	check("catalogue", sources.Catalogue, in.Config.Freshness.Catalogue.Std())
	if in.Config.Mode != config.ModeRecommend { // what messages say is only written then
		check("notifications (MQTT)", sources.Notify, 0) // a stream: connected or not
	}
	if in.Config.CPU != nil || in.Config.Memory != nil {
		check("pod metrics", sources.Metrics, in.Config.Freshness.Metrics.Std())
	}
	if in.Config.Heartbeat != nil && sources.Bus != nil {
		check("heartbeats (Kafka)", *sources.Bus, observed.BusMaxAge)
	}
	return hs
}

// rollout says why a rolling update holds up what can wait.
func rollout(in *Input) string {
	switch k, w := &in.Observed, in.Observed.Workload; {
	case replacing(k):
		return fmt.Sprintf("a rolling update has replaced %d of %d pods", w.UpdatedReplicas, w.StatusReplicas)
	case in.History.Rollout && !available(k):
		return fmt.Sprintf("a rolling update has replaced all pods, and not all %d are available yet", w.Replicas)
	}
	return ""
}

// replacing says whether the StatefulSet's controller is replacing pods. A controller that waits
// with all pods available, for a person or by a partition, may do so for weeks: that holds nothing
// up.
func replacing(k *observed.Kind) bool { return outdated(k.Workload) && !available(k) }

func outdated(w *observed.Workload) bool { return w.UpdatedReplicas < w.StatusReplicas }

// available says whether all pods of the size exist, stay, and are ready for minReadySeconds.
func available(k *observed.Kind) bool {
	w := k.Workload
	n := w.ReadyReplicas
	if w.AvailableReplicas != nil {
		n = *w.AvailableReplicas
	}
	all, _ := staying(k)
	return n >= w.StatusReplicas && all >= w.Replicas
}

// staying counts the pods of the size that are not terminating, and the ready ones of them: to the
// controller, a pod that terminates is ready until it is gone.
func staying(k *observed.Kind) (all, ready int) {
	for _, inst := range k.Instances {
		if p := inst.Pod; p != nil && !p.Terminating && k.Workload.Has(inst.Ordinal) {
			if all++; p.Ready {
				ready++
			}
		}
	}
	return all, ready
}

// unschedulablePatience is how long a pod may look for a node before a scale up is called vain.
const unschedulablePatience = time.Minute

func unschedulable(in *Input) string {
	var pods []string
	for _, i := range in.Observed.Instances {
		if p := i.Pod; p != nil && p.Phase == "Pending" && p.Reason == "Unschedulable" && !p.Terminating && in.Now.Sub(p.Created) >= unschedulablePatience {
			pods = append(pods, p.Name)
		}
	}
	return listed(pods, "%s is unschedulable", "%s are unschedulable")
}

// unadopted names the pods that may be instances and that the StatefulSet does not own: then what
// is seen is a part of the whole, and calls no instance lost, absent or silent, nor allows a scale
// down.
func unadopted(in *Input) string {
	var pods []string
	for _, i := range in.Observed.Instances {
		if i.Unadopted != nil {
			pods = append(pods, i.Unadopted.Name)
		}
	}
	return listed(pods, "%s is not adopted by the StatefulSet", "%s are not adopted by the StatefulSet")
}

// listed says of one thing, or of many, what the formats say; it names up to three. "": there is
// none.
func listed(names []string, one, many string) string {
	switch n := len(names); {
	case n == 0:
		return ""
	case n == 1:
		return fmt.Sprintf(one, names[0])
	case n <= 3:
		return fmt.Sprintf(many, strings.Join(names, ", "))
	default:
		return fmt.Sprintf(many, fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), n-3))
	}
}
