package decide

import (
	"cmp"
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide/hpa"
)

// size leads from what the signals ask for to the desired size.
func (d *Decision) size(in *Input) {
	current, windows := *d.Current, windows(&in.Config)
	requested := 0
	d.highest = largest(d.Signals, func(s Signal) int {
		if s.Name == ByRequest {
			requested = s.Proposed
			return 0
		}
		return s.Proposed
	})
	stable := hpa.Stabilize(current, d.highest, in.History.spans(func(r Recommendation) int { return r.Size }), windows, in.Now)
	d.Desired = max(d.highest, requested)
	d.bound()
	d.Needed = d.Desired
	if text := d.Foreign.Text(); text != "" { // the size is left to that writer
		d.Limits = append(d.Limits, Limit{By: ByForeignWriter, From: d.Desired, To: current, Text: text})
		d.Desired = current
		return
	}
	if d.Set != nil {
		put(d, in, current)
		return
	}
	// the count is no noise, and the request has had its windows: neither waits for ours
	stable = max(stable, d.Floor, requested)
	d.stabilize(min(max(stable, d.Init), d.Max), windows, "")
	d.keepRaise(in, current)
	rate := in.rate(current, d.Desired)
	d.step(rate, ByRate, "the behavior's policies allow %d", rate)
	d.coolDown(in, current)
	d.bound() // at once, whatever the rate
	d.hold(in, current)
}

// layOut is size for a StatefulSet whose replicas an HPA writes: the size for which the assignment
// is laid out.
func (d *Decision) layOut(in *Input) {
	d.Desired, d.highest = d.highestOwn, d.highestOwn
	d.bound()
	d.Needed = d.Desired
	d.stabilize(d.Own, windows(&in.Config), ", or a hold stands")
	if !d.adopted {
		d.step(max(d.Desired, *d.Current), ByAdoption, "no scale down: all sources must be complete for one window (%s)", config.Duration(downWindow(&in.Config)))
	}
	d.keepRaise(in, *d.Current)
}

// stabilize keeps to the windows. orElse is what may be the cause beside them.
func (d *Decision) stabilize(to int, windows hpa.Windows, orElse string) {
	if to > d.Desired {
		d.step(to, ByWindow, "recommendations of the last %s were higher%s", config.Duration(windows.Down), orElse)
	}
	d.step(to, ByWindow, "recommendations of the last %s were lower%s", config.Duration(windows.Up), orElse)
}

func (d *Decision) step(to int, by Reason, format string, args ...any) {
	if to == d.Desired {
		return
	}
	d.Limits = append(d.Limits, Limit{By: by, From: d.Desired, To: to, Text: fmt.Sprintf(format, args...)})
	d.Desired = to
}

func (d *Decision) bound() {
	d.step(max(d.Desired, d.Init), ByInit, "minimum (init) is %d", d.Init)
	d.step(min(d.Desired, d.Max), ByMax, "maximum (max) is %d", d.Max)
}

// keepRaise lets a raise by another writer stand for one window, within the size there is now.
func (d *Decision) keepRaise(in *Input, current int) {
	r, window := in.raised(d.Own), downWindow(&in.Config)
	if r == nil || in.Now.Sub(r.At) >= window {
		return
	}
	d.step(max(d.Desired, min(r.To, current)), ByForeignRaise, "another writer raised replicas to %d (%s ago): no scale down for one window (%s)",
		r.To, config.Duration(in.Now.Sub(r.At)), config.Duration(window))
}

// coolDown keeps the size for a while after any change of it. Resources that wait for a place do
// not wait for that.
func (d *Decision) coolDown(in *Input, current int) {
	rules, least := &in.Config.Behavior.ScaleDown, current
	if d.Desired > current {
		rules, least = &in.Config.Behavior.ScaleUp, max(current, min(d.Desired, d.Floor))
	}
	if d.Desired == current || rules.CoolDown == 0 {
		return
	}
	scales, wait := in.scales(), rules.CoolDown.Std()
	if len(scales) == 0 {
		return
	}
	if since := in.Now.Sub(scales[len(scales)-1].At); since < wait {
		d.step(least, ByCoolDown, "cool-down of %s after a size change %s ago", rules.CoolDown, config.Duration(since))
	}
}

// hold prevents a scale down that must not be, and what holdUp does.
func (d *Decision) hold(in *Input, current int) {
	if d.Desired < current && len(d.Holds) > 0 {
		d.step(current, d.Holds[0].By, "no scale down: %s", d.Holds[0].Text)
	}
	if d.Desired < current {
		least, by := predicted(d.Signals, *in.Config.Tolerance.Up)
		least = in.sized(0, least)
		d.step(max(d.Desired, min(least, current, max(d.Max, d.Desired))), ByPrediction, "on fewer instances %s would ask for a scale up again", by)
	}
	holdUp(d, in, current)
}

// holdUp prevents a scale up that would be in vain.
func holdUp(d *Decision, in *Input, current int) {
	if pods := unschedulable(in); d.Desired > current && pods != "" {
		d.step(current, ByUnschedulable, "no scale up: %s; more replicas would only add Pending pods", pods)
	}
}

// recommend computes what our own signals ask for, whatever replicas.owner is: the same steps as
// size, relative to the last such recommendation where size is relative to the current replicas.
func (d *Decision) recommend(in *Input) {
	h := &in.History
	d.highestOwn = largest(d.Signals, func(s Signal) int { return s.own })
	least := d.highestOwn
	if len(d.Holds) > 0 {
		least = max(least, h.Own)
	}
	own := hpa.Stabilize(cmp.Or(h.Own, least), least, h.spans(func(r Recommendation) int { return r.Own }), windows(&in.Config), in.Now)
	most := d.Max
	if len(d.Holds) > 0 { // a hold keeps it from falling even to a max that was lowered
		most = max(most, h.Own)
	}
	d.Own = min(max(own, d.Signals[0].own, d.Init), most)
	d.adopted = h.Adopted || d.Complete && h.watched(in.Now) >= downWindow(&in.Config)

	recommended := max(d.Own, occupied(&in.Observed))
	if !d.adopted && recommended < *d.Current {
		d.RecommendedUnknown = "sources not complete for one window; signals ask for less than current"
		return
	}
	d.Recommended = &recommended
}

// occupied is the least size that keeps every instance of the present size that is open or owns
// anything.
func occupied(k *observed.Kind) (size int) {
	note := func(ordinal int) {
		if k.Workload.Has(ordinal) {
			size = max(size, ordinal-k.Workload.Start+1)
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

func largest(signals []Signal, of func(Signal) int) (size int) {
	for _, s := range signals {
		size = max(size, of(s))
	}
	return size
}

func (in *Input) rate(current, size int) int {
	if size > current {
		return min(size, hpa.UpLimit(current, in.scales(), rules(in.Config.Behavior.ScaleUp), in.Now))
	}
	return max(size, hpa.DownLimit(current, in.scales(), rules(in.Config.Behavior.ScaleDown), in.Now))
}

func rules(r config.ScalingRules) hpa.Rules {
	out := hpa.Rules{Select: hpa.Select(r.SelectPolicy)}
	for _, p := range r.Policies {
		out.Policies = append(out.Policies, hpa.Policy{Percent: p.Type == config.PolicyPercent, Value: int(p.Value), Period: p.Period.Std()})
	}
	return out
}

func windows(c *config.Kind) hpa.Windows {
	return hpa.Windows{Up: c.Behavior.ScaleUp.StabilizationWindow.Std(), Down: c.Behavior.ScaleDown.StabilizationWindow.Std()}
}

func downWindow(c *config.Kind) time.Duration { return windows(c).Down }

// predicted is the least size on which no usage signal would leave its tolerance upwards. Instances
// that are not ready and hold resources will bring their load back; the HPA forgets them, and then
// scale up and scale down chase each other.
func predicted(signals []Signal, tolerance float64) (least int, by Reason) {
	for _, s := range signals {
		if n := hpa.Ceil(s.total / (1 + tolerance)); n > least {
			least, by = n, s.Name
		}
	}
	return least, by
}
