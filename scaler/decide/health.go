package decide

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

// Condition is how an instance is.
type Condition string

// The conditions.
const (
	Healthy      Condition = "Healthy"
	Starting     Condition = "Starting"     // within its start-up grace
	NotReady     Condition = "NotReady"     // runs, and its pod is not ready, which is all that is known; or it has fenced itself
	Stale        Condition = "Stale"        // silent for staleAfter, or for longer while its session is alive: reported
	Silent       Condition = "Silent"       // silent for restartAfter: restarted, if nothing speaks against it
	CrashLooping Condition = "CrashLooping" // the kubelet restarts it; we do not
	Failed       Condition = "Failed"       // its containers have ended; the StatefulSet makes it anew
	ImagePull    Condition = "ImagePull"    // its image cannot be had; a restart would not help
	Pending      Condition = "Pending"      // not running for pendingLong
	Terminating  Condition = "Terminating"  // its pod has a deletion timestamp
	Stuck        Condition = "Stuck"        // Terminating beyond its deadline
	Absent       Condition = "Absent"       // the StatefulSet should have this pod and has not, or it owns resources without one
	Unknown      Condition = "Unknown"      // its heartbeats cannot be judged, or its pod is not the StatefulSet's
)

const (
	// pendingLong is how long a pod may wait for a node, an image or a volume before it is
	// reported.
	pendingLong = 5 * time.Minute
	// StuckAfter is how long a pod may outlive its deletion deadline.
	StuckAfter = time.Minute
	// maxPause bounds the pause between two restarts of one ordinal; after a day without one they
	// count anew.
	maxPause    = time.Hour
	forgetAfter = 24 * time.Hour
)

// Evidence is what a verdict rests on.
type Evidence string

// The evidence, the weightiest first: what is there decides, and what comes after it is only
// mentioned. Before all of it comes what Kubernetes says of a pod that does not run or is to go:
// that is a fact, said by the pod.
const (
	BySession   Evidence = "session"   // its own ZooKeeper session, of this very pod, lives
	ByHeartbeat Evidence = "heartbeat" // the lag
	ByPod       Evidence = "pod"       // readiness
	ByRecord    Evidence = "record"    // there is no pod; ZooKeeper has its list
)

// Verdict is the health of one instance.
type Verdict struct {
	Ordinal   int       `json:"ordinal"`
	Pod       string    `json:"pod,omitempty"`
	UID       string    `json:"uid,omitempty"`
	Condition Condition `json:"condition"`
	By        Evidence  `json:"by"`
	Text      string    `json:"text,omitempty"`
	// Lag is nil when it is not known.
	Lag *time.Duration `json:"lag,omitempty"` // in nanoseconds
	// Restart says that the pod is to be restarted now; at most one a tick.
	Restart bool `json:"restart,omitempty"`
	// Reassign says that what it owns is reassigned, as far as its release is proven.
	Reassign bool `json:"reassign,omitempty"`
}

// MarshalJSON adds the lag as text, lagText. That text is not kept: a tick makes a verdict on every
// pod, and few of them are ever shown.
func (v Verdict) MarshalJSON() ([]byte, error) {
	shown := ShownVerdict{VerdictMembers: VerdictMembers(v)}
	if v.Lag != nil {
		shown.LagText = v.Lag.String()
	}
	return json.Marshal(shown)
}

// VerdictMembers are a Verdict's, without its way to write itself.
type VerdictMembers Verdict

// ShownVerdict is a Verdict as it is written.
type ShownVerdict struct {
	VerdictMembers
	LagText string `json:"lagText,omitempty" doc:"lag as a duration"`
}

// Health are the verdicts on all instances of a kind.
type Health struct {
	// Verdicts are in order of ordinal.
	Verdicts []Verdict `json:"verdicts,omitempty"`
	// Silent counts the instances that are Stale or Silent, Judged all whose heartbeats can be
	// judged.
	Silent int `json:"stale"`
	Judged int `json:"judged"`
	// Suspended, when not empty, is why no instance is restarted or reassigned, however silent. It
	// deserves an alarm.
	Suspended string `json:"breaker,omitempty"`
}

// Assess judges every instance that has a pod, should have one, or owns something.
func Assess(in Input) (h Health) {
	w := in.Observed.Workload
	reason, text := blind(&in)
	if reason == BlindCluster || w == nil {
		h.Suspended = text
		return h
	}
	h.judgeAll(&in)
	for _, v := range h.Verdicts {
		if v.Lag != nil {
			h.Judged++
		}
		if v.Condition == Stale || v.Condition == Silent {
			h.Silent++
		}
	}
	h.Suspended = cmp.Or(unadopted(&in), suspended(&in, &h), text)
	if h.Suspended == "" && in.Paused() == "" {
		if h.reassign(&in); h.Suspended == "" {
			h.choose(&in)
		}
	}
	return h
}

// judgeAll goes through the instances, which are in order of ordinal, and through the ordinals
// between them that the StatefulSet should have.
func (h *Health) judgeAll(in *Input) {
	w, instances := in.Observed.Workload, in.Observed.Instances
	h.Verdicts = make([]Verdict, 0, max(len(instances), w.Replicas))
	lags := make([]time.Duration, len(instances))
	next, end := w.Start, w.Start+w.Replicas
	absentBelow := func(n int) {
		for ; next < min(n, end); next++ {
			h.Verdicts = append(h.Verdicts, judgeWithoutPod(&observed.Instance{Ordinal: next}))
		}
	}
	for i := range instances {
		inst := &instances[i]
		absentBelow(inst.Ordinal)
		next = max(next, inst.Ordinal+1)
		switch owns := inst.List != nil && inst.List.Count > 0; {
		case inst.Pod != nil:
			h.Verdicts = append(h.Verdicts, judge(in, inst, &lags[i]))
		case owns || inst.Unadopted != nil || w.Has(inst.Ordinal):
			h.Verdicts = append(h.Verdicts, judgeWithoutPod(inst))
		}
	}
	absentBelow(end)
}

// judgeWithoutPod gives the verdict on an instance without a pod of the StatefulSet.
func judgeWithoutPod(inst *observed.Instance) Verdict {
	v := Verdict{Ordinal: inst.Ordinal, Condition: Absent, By: ByPod, Text: "no pod"}
	if p := inst.Unadopted; p != nil {
		v.Pod, v.UID, v.Condition, v.Text = p.Name, p.UID, Unknown, "the StatefulSet has not adopted it"
	} else if inst.List != nil && inst.List.Count > 0 {
		v.By, v.Text = ByRecord, fmt.Sprintf("no pod, but resources assigned: %d", inst.List.Count)
	}
	return v
}

// judge gives the verdict on one pod; lag is where its lag is kept.
func judge(in *Input, inst *observed.Instance, lag *time.Duration) Verdict {
	p := inst.Pod
	v := Verdict{Ordinal: inst.Ordinal, Pod: p.Name, UID: p.UID}
	if judgeState(in, p, &v) {
		return v
	}
	silence := beats(in, inst, &v, lag)
	switch {
	case inst.SessionLives():
		// An instance that keeps its session may have stopped to work all the same, and is
		// reported; to restart it would be a guess.
		v.By, v.Condition, v.Text = BySession, Healthy, ""
		if silence == Stale || silence == Silent {
			v.Condition, v.Text = Stale, fmt.Sprintf("last heartbeat %s ago, ZooKeeper session alive", config.Duration(*lag))
		}
	case inst.Fenced() && silence != Silent:
		v.By, v.Condition, v.Text = BySession, NotReady, "it fences itself, and its ZooKeeper session is over"
		return v
	case silence == "":
		v.By, v.Condition = ByPod, NotReady
		if v.Text = "its pod runs and is not Ready"; p.Ready {
			v.Condition, v.Text = Healthy, ""
		}
		return v
	}
	if v.Condition == Healthy && !p.Ready {
		v.Text = "although its pod is not Ready"
	}
	return v
}

// judgeState judges a pod that does not run or is to go.
func judgeState(in *Input, p *observed.Pod, v *Verdict) bool {
	switch pending := in.Now.Sub(p.Created); {
	case p.Terminating && !p.DeleteBy.IsZero() && in.Now.Sub(p.DeleteBy) >= StuckAfter:
		v.Condition, v.Text = Stuck, fmt.Sprintf("terminating, %s past its grace period", config.Duration(in.Now.Sub(p.DeleteBy)))
	case p.Terminating:
		v.Condition, v.Text = Terminating, "terminating"
	case p.Phase == "Failed" || p.Phase == "Succeeded":
		v.Condition, v.Text = Failed, "its containers have ended: "+cmp.Or(p.Reason, p.Phase)
	case p.Reason == "CrashLoopBackOff":
		v.Condition, v.Text = CrashLooping, fmt.Sprintf("crashes, %d restarts so far", p.Restarts)
	case slices.Contains(imageFaults, p.Reason):
		v.Condition, v.Text = ImagePull, "its image cannot be pulled: "+p.Reason
	case p.Phase == "Pending" && pending >= pendingLong:
		v.Condition, v.Text = Pending, fmt.Sprintf("for %s: %s", config.Duration(pending), cmp.Or(p.Reason, "no reason given"))
	case p.Phase == "Pending":
		v.Condition, v.Text = Starting, "Pending: "+cmp.Or(p.Reason, "no reason given")
	default:
		return false
	}
	v.By = ByPod
	return true
}

// imageFaults are the kubelet's reasons for a container without an image.
var imageFaults = []string{"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable"}

// beats judges by heartbeat; "": there is nothing to judge by.
func beats(in *Input, inst *observed.Instance, v *Verdict, lag *time.Duration) Condition {
	hb := in.Config.Heartbeat
	if hb == nil {
		return ""
	}
	v.By = ByHeartbeat
	known, err := observed.Lag(&in.Observed, in.Config, inst, in.Now)
	switch {
	case errors.Is(err, observed.ErrNoHeartbeat):
		return ""
	case errors.Is(err, observed.ErrUnknown) && busReadable(in):
		v.Condition, v.Text = Starting, err.Error()
		return v.Condition
	case err != nil:
		v.Condition, v.Text = Unknown, err.Error()
		if !inst.Pod.Ready {
			return "" // readiness is what is known
		}
		return v.Condition
	}
	*lag = known
	v.Lag = lag
	// Silence counts from when the bus could be heard: a beat that could not be read was not missed
	// by its sender.
	heard := min(known, in.Now.Sub(in.History.BusSince))
	if in.History.BusSince.IsZero() {
		heard = 0
	}
	switch {
	case heard >= hb.RestartAfter.Std():
		v.Condition = Silent
	case known >= hb.StaleAfter.Std():
		v.Condition = Stale
	default:
		v.Condition = Healthy
		return v.Condition
	}
	v.Text = "last heartbeat " + config.Duration(known).String() + " ago"
	return v.Condition
}

func busReadable(in *Input) bool {
	bus := in.Observed.Sources.Bus
	return in.Config.Heartbeat != nil && bus != nil && bus.Fresh(in.Now, observed.BusMaxAge)
}

// suspended says why no instance may be restarted or reassigned: when many fall silent at once the
// fault is hardly theirs, and restarting them would turn a fault of the bus into an outage.
func suspended(in *Input, h *Health) string {
	hb := in.Config.Heartbeat
	if hb == nil {
		return ""
	}
	if !busReadable(in) {
		return "heartbeats (Kafka) cannot be read"
	}
	if share := float64(h.Silent) / float64(max(1, h.Judged)); h.Silent >= 2 && share > hb.MaxStaleShare {
		return fmt.Sprintf("silent instances: %d of %d (limit %g%%)", h.Silent, h.Judged, hb.MaxStaleShare*100)
	}
	return ""
}

// choose picks the pod to restart: the one silent for longest, unless it was restarted already or
// its ordinal must pause.
func (h *Health) choose(in *Input) {
	if in.Config.Health.Action == config.ActionReport {
		return
	}
	var pick *Verdict
	for i := range h.Verdicts {
		v := &h.Verdicts[i]
		if v.Condition != Silent {
			continue
		}
		if wait := in.History.pause(v, in); wait != "" {
			v.Text += "; " + wait
			continue
		}
		if pick == nil || *v.Lag > *pick.Lag {
			pick = v
		}
	}
	if pick != nil {
		pick.Restart = true
	}
}

// pause says why v's pod is not restarted although it is silent.
func (h *History) pause(v *Verdict, in *Input) string {
	for _, r := range h.Restarts {
		if r.Ordinal != v.Ordinal {
			continue
		}
		if r.UID == v.UID {
			return "its restart was ordered already"
		}
		wait := min(in.Config.Heartbeat.RestartAfter.Std()<<min(r.Count, 10), max(maxPause, in.Config.Heartbeat.RestartAfter.Std()))
		if left := r.At.Add(wait).Sub(in.Now); left > 0 {
			return fmt.Sprintf("the last restart did not help; next restart in %s at the earliest", config.Duration(left))
		}
	}
	return ""
}

// Restarted is h after the pod of v was deleted.
func (h History) Restarted(v Verdict, at time.Time) History {
	r := Restart{Ordinal: v.Ordinal, UID: v.UID, At: at, Count: 1}
	h.Restarts = slices.DeleteFunc(slices.Clone(h.Restarts), func(old Restart) bool {
		if old.Ordinal == v.Ordinal && at.Sub(old.At) < forgetAfter {
			r.Count = old.Count + 1
		}
		return old.Ordinal == v.Ordinal || at.Sub(old.At) >= forgetAfter
	})
	h.Restarts = append(h.Restarts, r)
	return h
}

// notReporting names the instances that run and do not report; "" when all do. What they do is
// unknown, and unknown never allows a scale down. (When the bus itself is silent, that is said for
// all at once.)
func (h *Health) notReporting() string {
	var names []string
	for _, v := range h.Verdicts {
		if v.Condition == Stale || v.Condition == Silent || v.Condition == Starting && v.By == ByHeartbeat {
			names = append(names, v.Pod)
		}
	}
	return listed(names, "%s does not report", "%s do not report")
}

// print writes what is worth a line: everything but health.
func (h *Health) print(line func(string, ...any)) {
	for _, v := range h.Verdicts {
		if v.Condition == Healthy && v.Text == "" {
			continue
		}
		then := ""
		if v.Restart {
			then = "; it is restarted"
		}
		if v.Reassign {
			then += "; its resources are reassigned"
		}
		line("  instance %d: %s (%s), %s%s", v.Ordinal, v.Condition, v.By, v.Text, then)
	}
	if h.Suspended != "" {
		line("  restart and reassign suspended: %s", h.Suspended)
	}
}
