package decide

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
)

// Verb says what a Decision does to the size.
type Verb string

// The verbs.
const (
	NoChange  Verb = "keep"
	ScaleUp   Verb = "grow"
	ScaleDown Verb = "shrink" // the leaving instances are drained first
	Blind     Verb = "still"  // blind: nothing is computed and nothing is done
)

// Reason names what determined the outcome. The set is closed: it is a metric's label.
type Reason string

// The reasons. The first six are signals, the others limits.
const (
	ByCount         Reason = "count"
	ByCPU           Reason = "cpu"
	ByHottestCPU    Reason = "cpu-hottest"
	ByMemory        Reason = "memory"
	ByHottestMemory Reason = "memory-hottest"
	ByRequest       Reason = "wish"
	ByInit          Reason = "init"
	ByMax           Reason = "max"
	ByWindow        Reason = "window"
	ByRate          Reason = "rate"
	ByCoolDown      Reason = "cool-down"
	ByTolerance     Reason = "tolerance"
	ByPrediction    Reason = "predicted-load"
	ByMissingSignal Reason = "missing-signal"
	ByAdoption      Reason = "not-watched-long-enough"
	ByRollout       Reason = "rollout"
	ByForeignRaise  Reason = "raised-by-another"
	ByForeignWriter Reason = "foreign-writer"
	ByUnschedulable Reason = "unschedulable"
	BySilence       Reason = "silent-instances"
	ByIncomplete    Reason = "not-every-instance-reports"
	ByUnadopted     Reason = "pods-not-adopted"
	ByPause         Reason = "paused"
	BySet           Reason = "set-by-person"
	BlindStore      Reason = "blind-store"
	BlindCluster    Reason = "blind-cluster"
	NoWorkload      Reason = "no-statefulset"
)

// signal is how a sentence calls a signal: by its name, but for the request.
func (r Reason) signal() string {
	if r == ByRequest {
		return "the request"
	}
	return string(r)
}

// Decision is the size a kind should have, and why: a value that nothing changes once it is made.
// What becomes of it is an outcome's (scaler/outcome). When Blind is not empty nothing was
// computed: only Kind, At, Owner, Reason, Summary and, if it is known, Current mean anything, and
// everything stays as it is.
type Decision struct {
	Kind        string       `json:"kind"`
	StatefulSet string       `json:"statefulSet"`
	At          time.Time    `json:"at,omitzero"`
	Owner       config.Owner `json:"owner"`
	Mode        config.Mode  `json:"mode,omitempty"`

	Verb    Verb   `json:"verb"`
	Reason  Reason `json:"reason"`
	Summary string `json:"summary"`
	Blind   string `json:"blind,omitempty"`

	// Current is spec.replicas of the StatefulSet, nil while that is not known. Start is its first
	// ordinal.
	Current *int `json:"current,omitempty"`
	Start   int  `json:"start,omitempty"`
	// Needed is what the signals ask for now, within init and max, before windows, rates and holds.
	Needed int `json:"wanted"`
	// Desired is Needed after windows, policies, bounds and holds. With owner hpa it is the size
	// for which the assignment is laid out; only the HPA writes replicas.
	Desired int `json:"desired"`
	// Recommended is recommended_replicas: our own signals, bounds and windows, never current
	// replicas nor what an HPA requests; it does not fall below an instance that is open or owns
	// anything. Nil: not known, see RecommendedUnknown.
	Recommended        *int   `json:"recommended,omitempty"`
	RecommendedUnknown string `json:"recommendedUnknown,omitempty"`
	// Own is Recommended before it is held up by instances that are open or own something.
	Own int `json:"own"`

	// Set is the size that a person has set and that counts; nil: none. Drained are the ordinals that
	// persons drain, ascending: they are no capacity, and every size has as many more of them.
	Set     *config.OperatorSize `json:"set,omitempty"`
	Drained []int                `json:"drained,omitempty"`
	// DrainWait is which of Drained keep what they own for now, and why; nil: none does.
	DrainWait *DrainWait `json:"drainWait,omitempty"`

	// Floor is ceil(Resources / TargetPerInstance): no signal undercuts it.
	Floor             int `json:"floor"`
	Resources         int `json:"resources"`
	TargetPerInstance int `json:"targetPerInstance"`
	Capacity          int `json:"capacity"`
	Init              int `json:"init"`
	Max               int `json:"max"`
	// Excess counts the resources beyond Max × Capacity, less what is drained: they wait in the pool,
	// or keep what should go from becoming empty.
	Excess int `json:"excess,omitempty"`

	// Signals are the proposals of all configured signals, in the order count, cpu, memory, each
	// one's mean before its hottest, and the request.
	Signals []Signal `json:"signals,omitempty"`
	// Hot are the instances above a target for the hottest, most loaded first, and what is to
	// relieve them.
	Hot []Hot `json:"hot,omitempty"`
	// Limits are what changed the size on its way from Needed to Desired, in that order.
	Limits []Limit `json:"limits,omitempty"`
	// Holds are why the size may not fall now, whether or not it would.
	Holds []Hold `json:"holds,omitempty"`
	// Rollout says that pods are being replaced, or the last not available yet: nothing is spread.
	Rollout string `json:"rollout,omitempty"`
	// Foreign is what another writer of replicas did against us lately; when it is Stopped we write
	// no sizes. Conflict says that an HPA writes what is ours: then Owner is hpa, whatever the
	// configuration says.
	Foreign  *Foreign  `json:"foreign,omitempty"`
	Conflict *Conflict `json:"conflict,omitempty"`
	// Complete says that every source was complete at this moment.
	Complete bool `json:"complete"`

	Health           Health            `json:"health"`
	NotAcknowledging *NotAcknowledging `json:"mute,omitempty"`
	Lost             []Lost            `json:"lost,omitempty"`

	highest, highestOwn int  // what the signals asked for, before bounds; for the History
	adopted             bool // every source was once complete for a whole window
}

// Signal is what one signal proposes.
type Signal struct {
	Name Reason `json:"name"` // count, cpu, cpu-hottest, memory, memory-hottest or wish
	// Proposed is the size this signal asks for, 0 when it is missing.
	Proposed int `json:"proposed"`
	// Need is the load in units of instances at target, before rounding and tolerance.
	Need float64 `json:"need"`
	// Ratio is the use over the target, the mean's or the most loaded instance's; 0 for count.
	Ratio float64 `json:"ratio,omitempty"`
	// Filled is Ratio with the pods filled in that have no usable sample, where that is another one:
	// it is what the tolerance judges.
	Filled float64 `json:"filled,omitempty"`
	// Within says that the size is kept: by the tolerance or, if Turned, since the pods that were
	// filled in would turn the direction of the change.
	Within bool `json:"within,omitempty"`
	Turned bool `json:"turned,omitempty"`
	// Missing says why there is no proposal. It blocks a scale down and not a scale up.
	Missing string `json:"missing,omitempty"`
	// Inputs, in words: use, target, pods counted.
	Inputs string `json:"inputs"`
	// Ignored are pods or samples that were left out, and why.
	Ignored []string `json:"ignored,omitempty"`

	own    int     // the proposal relative to the last recommendation instead of the current size
	total  float64 // use in units of one instance's target, with the load that unready instances will bring back
	unsure string  // why the proposal allows a scale up and no scale down: pods without a sample, or being resized
}

// Limit is one step that changed the size.
type Limit struct {
	By   Reason `json:"by"`
	From int    `json:"from"`
	To   int    `json:"to"`
	Text string `json:"text"`
}

// Hold is one reason that stands against a scale down.
type Hold struct {
	By   Reason `json:"by"`
	Text string `json:"text"`
}

// Stays is the number of ordinals that remain: at most what an HPA has made, and all that there are
// where a size is only recommended.
func (d *Decision) Stays() int {
	if d.Mode == config.ModeRecommend {
		return *d.Current
	}
	if d.Owner == config.OwnerHPA {
		return min(d.Desired, *d.Current)
	}
	return d.Desired
}

// Stay are the ordinals that remain and that no person drains, or whose drain waits; ascending.
func (d *Decision) Stay() []int {
	stay := undrained(d)
	if d.DrainWait != nil {
		stay = append(stay, d.DrainWait.Ordinals...)
		slices.Sort(stay)
	}
	return stay
}

// undrained are the ordinals that remain and that no person drains, ascending.
func undrained(d *Decision) []int {
	return without(ordinals(d.Start, d.Start+d.Stays()), d.Drained)
}

// Leave are those of the present size that do not remain, ascending.
func (d *Decision) Leave() []int { return ordinals(d.Start+d.Stays(), d.Start+*d.Current) }

func ordinals(from, to int) (all []int) {
	for n := from; n < to; n++ {
		all = append(all, n)
	}
	return all
}

// RecommendedReplicas is the value of the metric recommended_replicas, or why there is none.
func (d *Decision) RecommendedReplicas() (int, error) {
	switch {
	case d.Blind != "":
		return 0, fmt.Errorf("recommended replicas of kind %s: %s", d.Kind, d.Blind)
	case d.Recommended == nil:
		return 0, fmt.Errorf("recommended replicas of kind %s: %s", d.Kind, d.RecommendedUnknown)
	}
	return *d.Recommended, nil
}

// conclude names what is done and what determined it: the last limit that changed the size, else
// the largest proposal.
func (d *Decision) conclude() {
	switch {
	case d.Desired > *d.Current:
		d.Verb = ScaleUp
	case d.Desired < *d.Current:
		d.Verb = ScaleDown
	default:
		d.Verb = NoChange
	}
	top := d.top()
	d.Reason = top.Name
	if top.Within {
		d.Reason = ByTolerance
	}
	if n := len(d.Limits); n > 0 {
		d.Reason = d.Limits[n-1].By
	}
}

// top is the signal that asks for most; the first one of equals.
func (d *Decision) top() Signal {
	return slices.MaxFunc(d.Signals, func(a, b Signal) int { return cmp.Compare(a.Proposed, b.Proposed) })
}
