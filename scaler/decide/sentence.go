package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/spans"
)

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
