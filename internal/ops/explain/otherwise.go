package explain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// otherwise is what would have to be true for another size.
func (e *explainer) otherwise() []ops.Answer {
	out := []ops.Answer{}
	if text := e.r.Foreign.Text(); text != "" {
		return append(out, answer(Larger, "foreign-writer", false, text, "why", text))
	}
	if set := e.r.Set; set != nil {
		text := fmt.Sprintf("a person set the size to %d: it follows the signals again when that is ended", set.Value)
		if !set.Until.IsZero() {
			text += " (at " + decide.Stamp(set.Until) + " by itself)"
		}
		return append(out, answer(Larger, "set-by-person", true, text, "size", strconv.Itoa(set.Value), "by", set.By))
	}
	if e.r.Owner == config.OwnerHPA {
		out = append(out, answer(Larger, "hpa", false, "the HPA writes replicas: ask it for another size (kubectl describe hpa)"))
	} else if w := e.world(); w != nil {
		out = append(out, w.larger()...)
		out = append(out, w.later()...)
		out = append(out, w.smaller()...)
	}
	for _, h := range e.r.Holds {
		out = append(out, answer(Smaller, "hold-"+string(h.By), e.limit(h.By) != nil, "the size does not fall as long as this lasts: "+h.Text, "why", h.Text))
	}
	return out
}

// world is what a decision was made from, to be decided again with something changed.
type world struct {
	*explainer
	base decide.Decision
}

// world is nil where nothing can be decided again, or where that gives another size by now.
func (e *explainer) world() *world {
	if e.in == nil {
		return nil
	}
	w := &world{explainer: e, base: decide.Decide(*e.in)}
	if w.base.Blind != "" || w.base.Desired != e.r.Desired {
		return nil
	}
	return w
}

// decided is the size after a change of a copy of the input.
func (w *world) decided(change func(in *decide.Input)) int {
	in := Copy(*w.in)
	change(&in)
	d := decide.Decide(in)
	if d.Blind != "" {
		return w.base.Desired
	}
	return d.Desired
}

// Copy is an input that shares nothing with the first that Explain's conditions change.
func Copy(in decide.Input) decide.Input {
	in.Observed.Instances = slices.Clone(in.Observed.Instances)
	for i := range in.Observed.Instances {
		if u := in.Observed.Instances[i].Usage; u != nil {
			use := *u
			in.Observed.Instances[i].Usage = &use
		}
	}
	return in
}

// larger are the thresholds beyond which the size rises, each alone. An up window delays them.
func (w *world) larger() (out []ops.Answer) {
	d, c := w.base, &w.in.Config
	up := c.Behavior.ScaleUp.StabilizationWindow.Std()
	size := strconv.Itoa(d.Desired)
	rises := func(change func(*decide.Input)) bool {
		return w.decided(func(in *decide.Input) { change(in); in.History.Recommendations = nil }) > d.Desired
	}
	if n := d.Desired * c.TargetPerInstance; d.Resources <= n && rises(func(in *decide.Input) { Resources(in, n+1) }) {
		out = append(out, answer(Larger, "resources-above", false, fmt.Sprintf("larger with more than %d resources", n), "resources", strconv.Itoa(n), "size", size))
	}
	for _, s := range d.Signals {
		if target := use(c, s.Name); target != nil && s.Missing == "" && s.Ratio > 0 {
			ratio := max(1+*c.Tolerance.Up, float64(d.Desired)/float64(*d.Current))
			if s.Ratio < ratio && rises(func(in *decide.Input) { Scale(in, s.Name, ratio*(1+margin)/s.Ratio) }) {
				out = append(out, answer(Larger, string(s.Name)+"-above", false, lasting(fmt.Sprintf("larger with %s above %.2f of its target%s", s.Name, ratio, percent(target, ratio)), up),
					"signal", string(s.Name), "ratio", number(ratio), "now", number(s.Ratio), "size", size))
			}
		}
	}
	if asked := w.asked(); d.Desired == c.Max && asked > c.Max && rises(func(in *decide.Input) { in.Config.Max++ }) {
		out = append(out, answer(Larger, "max-above", false, fmt.Sprintf("larger with max above %d: %d is asked for", c.Max, asked), "max", strconv.Itoa(c.Max), "asked", strconv.Itoa(asked)))
	}
	if t := (d.Resources - 1) / d.Desired; t >= 1 && t < c.TargetPerInstance && rises(func(in *decide.Input) { in.Config.TargetPerInstance = t }) {
		out = append(out, answer(Larger, "target-below", false, fmt.Sprintf("larger with targetPerInstance at %d or less", t), "target", strconv.Itoa(t), "size", size))
	}
	return out
}

// asked is what the signal asks for that asks for most.
func (w *world) asked() (most int) {
	for _, s := range w.base.Signals {
		most = max(most, s.Proposed)
	}
	return most
}

// later are the times at which something ends that keeps the size now.
func (w *world) later() (out []ops.Answer) {
	d, c := w.base, &w.in.Config
	differs := func(then time.Time) bool {
		return w.decided(func(in *decide.Input) { Later(in, then.Sub(w.in.Now)) }) != d.Desired
	}
	if l := w.limit(decide.ByWindow); l != nil && l.To > l.From {
		end := time.Time{}
		for _, r := range w.in.History.Recommendations {
			if r.Size >= d.Desired && r.To.After(end) {
				end = r.To
			}
		}
		end = end.Add(c.Behavior.ScaleDown.StabilizationWindow.Std())
		if end.After(w.in.Now) && differs(end.Add(time.Second)) {
			out = append(out, answer(Smaller, "window-ends", true, fmt.Sprintf("smaller when the window ends, at %s, if the signals ask for no more until then", decide.Stamp(end)), "until", decide.Stamp(end)))
		}
	}
	if l := w.limit(decide.ByCoolDown); l != nil {
		direction, rules := Smaller, &c.Behavior.ScaleDown
		if l.From > l.To {
			direction, rules = Larger, &c.Behavior.ScaleUp
		}
		if n := len(w.in.History.Scales); n > 0 {
			end := w.in.History.Scales[n-1].At.Add(rules.CoolDown.Std())
			if end.After(w.in.Now) && differs(end.Add(time.Second)) {
				out = append(out, answer(direction, "cool-down-ends", true, fmt.Sprintf("%s when the cool-down ends, at %s", direction, decide.Stamp(end)), "until", decide.Stamp(end)))
			}
		}
	}
	return out
}

// smaller is all that has to be true together for a smaller size.
func (w *world) smaller() (out []ops.Answer) {
	d, c := w.base, &w.in.Config
	to := d.Desired - 1
	if asked := w.asked(); d.Desired == c.Init && asked < c.Init && to >= 1 &&
		w.decided(func(in *decide.Input) { in.Config.Init = to; in.History.Recommendations = nil }) < d.Desired {
		out = append(out, answer(Smaller, "init-below", false, fmt.Sprintf("smaller with init below %d: %d is asked for", c.Init, asked), "init", strconv.Itoa(c.Init), "asked", strconv.Itoa(asked)))
	}
	if to < c.Init {
		return out
	}
	conditions, params, change := w.less(to)
	if len(conditions) == 0 {
		return out
	}
	if w.decided(func(in *decide.Input) { change(in); in.History.Recommendations = nil }) < d.Desired {
		window := c.Behavior.ScaleDown.StabilizationWindow.Std()
		params = append(params, "size", strconv.Itoa(d.Desired), "for", config.Duration(window).String())
		out = append(out, answer(Smaller, "all-below", false, lasting("smaller with "+strings.Join(conditions, " and "), window), params...))
	}
	return out
}

// less are the conditions under which every signal asks for no more than to, and what makes them
// true.
func (w *world) less(to int) (conditions, params []string, change func(*decide.Input)) {
	d, c := w.base, &w.in.Config
	var changes []func(*decide.Input)
	if n := to * c.TargetPerInstance; d.Resources > n {
		conditions = append(conditions, fmt.Sprintf("at most %d resources", n))
		params = append(params, "resources", strconv.Itoa(n))
		changes = append(changes, func(in *decide.Input) { Resources(in, n) })
	}
	for _, s := range d.Signals {
		target := use(c, s.Name)
		if target == nil || s.Missing != "" || s.Proposed <= to {
			continue
		}
		ratio := min(1-*c.Tolerance.Down, float64(to)/float64(*d.Current))
		conditions = append(conditions, fmt.Sprintf("%s below %.2f of its target%s", s.Name, ratio, percent(target, ratio)))
		params = append(params, string(s.Name), number(ratio))
		changes = append(changes, func(in *decide.Input) { Scale(in, s.Name, ratio*(1-margin)/s.Ratio) })
	}
	return conditions, params, func(in *decide.Input) {
		for _, c := range changes {
			c(in)
		}
	}
}

// margin is how far beyond a threshold of use a condition is tried.
const margin = 0.005

func number(f float64) string { return strconv.FormatFloat(f, 'f', 4, 64) }

// use is the configured target of a signal by the mean use; nil: it is none, or off.
func use(c *config.Kind, signal decide.Reason) *config.ResourceTarget {
	switch signal {
	case decide.ByCPU:
		return c.CPU
	case decide.ByMemory:
		return c.Memory
	}
	return nil
}

// percent is a ratio in percent of the requests, where the target is one.
func percent(t *config.ResourceTarget, ratio float64) string {
	if t.TargetUtilization == 0 {
		return ""
	}
	return fmt.Sprintf(" (%.0f %% of the requests)", ratio*float64(t.TargetUtilization))
}

// Resources has an input show so many resources in all. It takes from lists before it adds to the
// pool.
func Resources(in *decide.Input, n int) {
	k := &in.Observed
	if more := n - k.Resources(); more >= 0 {
		k.Unassigned += more
		return
	}
	k.InFlight, k.Unassigned, k.Assigned = 0, 0, n
}

// Scale multiplies the use of CPU or memory of every instance.
func Scale(in *decide.Input, signal decide.Reason, by float64) {
	for i := range in.Observed.Instances {
		u := in.Observed.Instances[i].Usage
		switch {
		case u == nil:
		case signal == decide.ByCPU:
			u.CPU = int64(float64(u.CPU) * by)
		case signal == decide.ByMemory:
			u.Memory = int64(float64(u.Memory) * by)
		}
	}
}

// Later moves an input in time by d: what was seen is seen as fresh again then.
func Later(in *decide.Input, d time.Duration) {
	in.Now = in.Now.Add(d)
	s := &in.Observed.Sources
	for _, source := range []*observed.Source{&s.Store, &s.Cluster, &s.Metrics, &s.Catalogue, &s.Notify, &s.Groups, &s.HPAs} {
		if source.Known() {
			source.At = source.At.Add(d)
		}
	}
	if s.Bus != nil {
		bus := *s.Bus
		bus.At = bus.At.Add(d)
		s.Bus = &bus
	}
	for i := range in.Observed.Instances {
		inst := &in.Observed.Instances[i]
		if inst.Usage != nil {
			inst.Usage.At = inst.Usage.At.Add(d)
		}
		if inst.LastBeat != nil {
			beat := inst.LastBeat.Add(d)
			inst.LastBeat = &beat
		}
	}
}
