package decide

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/spans"
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

func (d *Decision) sentence() string {
	if d.Blind != "" {
		return "nothing is decided or done: " + d.Blind
	}
	all := []string{action(d) + ": " + asked(d)}
	for i, l := range d.Limits {
		if !slices.ContainsFunc(d.Limits[i+1:], func(next Limit) bool { return next.Text == l.Text }) {
			all = append(all, l.Text)
		}
	}
	if drained := drainedNow(d); len(drained) > 0 {
		all = append(all, "drained by a person: "+Instances(drained))
		if d.DrainWait != nil {
			all = append(all, d.DrainWait.String())
		}
	}
	if text := hotText(d.Hot); text != "" {
		all = append(all, text)
	}
	if d.NotAcknowledging != nil {
		all = append(all, d.NotAcknowledging.Text)
	}
	if d.Excess > 0 {
		all = append(all, fmt.Sprintf("resources too many for %d instances of capacity %d: %d", most(d), d.Capacity, d.Excess))
	}
	return strings.Join(all, "; ")
}

// action is what is done to the size, in words.
func action(d *Decision) string {
	switch d.Verb {
	case ScaleUp:
		return fmt.Sprintf("scale up %d -> %d%s", *d.Current, d.Desired, d.by())
	case ScaleDown:
		return fmt.Sprintf("scale down %d -> %d%s after a drain of %s", *d.Current, d.Desired, d.by(), d.Leaving())
	}
	return fmt.Sprintf("no change at %d", d.Desired)
}

// asked is what the signal asks for that asks for most, in words.
func asked(d *Decision) string {
	top := d.top()
	if top.Within {
		return fmt.Sprintf("%s asks for %d (within its tolerance)", top.Name.signal(), top.Proposed)
	}
	return fmt.Sprintf("%s asks for %d", top.Name.signal(), top.Proposed)
}

// by says that it is not the scaler that writes replicas.
func (d *Decision) by() string {
	switch {
	case d.Owner == config.OwnerHPA:
		return " (the HPA writes replicas)"
	case d.Mode == config.ModeRecommend:
		return " (not written: replicas.mode recommend)"
	}
	return ""
}

// Leaving names the ordinals that a smaller size leaves out.
func (d *Decision) Leaving() string {
	return Instances(ordinals(d.Start+d.Desired, d.Start+*d.Current))
}

// Instances names ascending ordinals: instance 2; instances 2 to 4, 9.
func Instances(ns []int) string {
	if len(ns) == 1 {
		return fmt.Sprintf("instance %d", ns[0])
	}
	return "instances " + spans.Text(ns, " to ")
}

// String is the whole decision, as a person reads it.
func (d Decision) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s (%s) at %s: %s", d.Kind, d.StatefulSet, Stamp(d.At), d.Summary)
	writer := string(d.Owner)
	switch {
	case d.Mode == config.ModeRecommend:
		writer = "none (replicas.mode recommend)"
	case d.Owner == config.OwnerGroup:
		writer = "shardscaler (replicas.owner group)"
	}
	line("  reason: %s, replicas are written by: %s", d.Reason, writer)
	if d.Blind == "" {
		line("  size: current %d, needed %d, desired %d, recommended %s", *d.Current, d.Needed, d.Desired, d.recommended())
		line("  bounds: init %d, max %d, floor %d by %d resources; capacity %d, target %d", d.Init, d.Max, d.Floor, d.Resources, d.Capacity, d.TargetPerInstance)
	}
	for _, s := range d.Signals {
		line("  signal %s: %s", s.Name, s)
		for _, i := range s.Ignored {
			line("    ignored %s", i)
		}
	}
	for _, h := range d.Hot {
		line("  overloaded instance %d: %.2f x target of %s, relief: %s", h.Ordinal, h.Ratio, h.Signal, h.Relief)
	}
	for _, l := range d.Limits {
		line("  limit %s: instead of %d, %d: %s", l.By, l.From, l.To, l.Text)
	}
	for _, h := range d.Holds {
		line("  hold %s: %s", h.By, h.Text)
	}
	if d.Conflict != nil {
		line("  conflict: %s", d.Conflict.Text)
	}
	if f := d.Foreign; f != nil && !f.Stopped {
		line("  against shardscaler at %s: %s wrote replicas %d -> %d", Stamp(f.At), f.name(), f.From, f.To)
	}
	d.Health.print(line)
	if d.NotAcknowledging != nil {
		for _, m := range d.NotAcknowledging.Instances {
			line("  instance %d does not acknowledge: %s", m.Ordinal, m.Why)
		}
	}
	for _, l := range d.Lost {
		line("  instance %d is lost: %s", l.Ordinal, l.Text)
	}
	return b.String()
}

func (d *Decision) recommended() string {
	if d.Recommended == nil {
		return "unknown (" + d.RecommendedUnknown + ")"
	}
	return fmt.Sprint(*d.Recommended)
}

// String is the proposal, as a person reads it.
func (s Signal) String() string {
	if s.Missing != "" {
		return "missing: " + s.Missing
	}
	text := fmt.Sprintf("%d (computed %.2f", s.Proposed, s.Need)
	if s.Ratio > 0 {
		text += fmt.Sprintf(", usage/target %.3f", s.Ratio)
	}
	if s.Within {
		text += ", within tolerance"
	}
	return text + "): " + s.Inputs
}

// Stamp is a time as people read it. What was kept by another build, or by hand, may lack one.
func Stamp(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	return t.UTC().Format(time.RFC3339)
}
