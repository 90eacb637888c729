package scaler

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/scaler/actuate"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

type events struct {
	act    Actuator
	dryRun bool
	// began is when this leader's first tick was, passed are the states that may be more than its
	// start.
	began  time.Time
	passed map[string]bool
	// raised are the events of the states that last, by reason.
	raised map[string]raised
}

// raised is when an event was raised last, and of which details.
type raised struct {
	details string
	at      time.Time
}

// raise raises the events of states that last; last is the tick before.
func (e *events) raise(t *tick, last *outcome.Report, refused error) {
	if e.began.IsZero() {
		e.began = t.in.Now
	}
	d, act := t.d, t.d.Acted()
	e.while(t, e.settled(t.in.Now, "Blind", d.Blind != "" && d.Reason != decide.NoWorkload), actuate.Blind(d.Blind))
	e.while(t, e.settled(t.in.Now, "NobodyRestarted", d.Health.Suspended != "") && d.Blind == "", actuate.NobodyRestarted(d.Health.Suspended))
	e.while(t, d.Excess > 0, actuate.BeyondCapacity(d.Excess, d.Max, d.Capacity))
	var full, conflict string
	for _, l := range d.Limits {
		if l.By == decide.ByUnschedulable {
			full = l.Text
		}
	}
	if d.Conflict != nil {
		conflict = d.Conflict.Text
	}
	e.while(t, full != "", actuate.ClusterFull(full))
	if d.Denied != "" || act.Done != outcome.Failed { // what failed otherwise was told when it did
		e.while(t, d.Denied != "", actuate.CannotScale(d.Denied))
	}
	e.while(t, act.Done == outcome.Draining && d.Drain.BlockedFor(t.in.Now, outcome.WarnedAfter), actuate.DrainBlocked(act.Text))
	if act.Done != outcome.Draining && last.Acted().Done == outcome.Draining && d.Blind == "" && d.Verb != decide.ScaleDown {
		e.act.Publish(t.set, actuate.DrainUndone(d.Summary))
	}
	// which explains them
	unannounced, noMessages := t.progress.Unannounced, t.in.Observed.Sources.Notify.Error
	e.while(t, unannounced != "" && noMessages == "", actuate.RowsUnannounced(unannounced))
	e.while(t, d.Foreign.Text() != "", actuate.ForeignWriter(d.Foreign.Text()))
	e.while(t, refused != nil, actuate.NotKept(refused))
	e.while(t, d.Conflict != nil, actuate.ConflictingHPA(conflict))
	e.taken(t)
	e.lost(t)
}

// startGrace is how long a leader that has just begun may lack what it has not read yet.
const startGrace = 30 * time.Second

// settled says whether a state is on and not only a new leader's start: it was off once, or lasts.
func (e *events) settled(now time.Time, state string, on bool) bool {
	if !on || now.Sub(e.began) >= startGrace {
		e.passed[state] = true
	}
	return on && e.passed[state]
}

const raiseAgain = time.Hour

// while raises the event when its state begins, and again every hour as long as it lasts.
func (e *events) while(t *tick, on bool, event actuate.Event) { e.whileAs(t, "", on, event) }

// whileAs is while for a state that has details: the event is raised again when they change.
func (e *events) whileAs(t *tick, details string, on bool, event actuate.Event) {
	last, lasts := e.raised[event.Reason]
	switch {
	case !on:
		delete(e.raised, event.Reason)
	case !lasts || last.details != details || t.in.Now.Sub(last.at) >= raiseAgain:
		if e.raised[event.Reason] = (raised{details, t.in.Now}); !e.dryRun {
			e.act.Publish(t.set, event)
		}
	}
}

// graceNearlyOver is about what the preStop hook leaves of a pod's grace when it gives up.
const graceNearlyOver = 15 * time.Second

// taken reports ordinals that another writer took while they own something, and those of them that
// end nevertheless.
func (e *events) taken(t *tick) {
	if t.d.Blind != "" {
		return
	}
	var all, ending, gone []int
	left, behind := 0, 0
	for _, inst := range t.in.Observed.Instances {
		n := inst.Owned()
		if n == 0 || t.in.Observed.Workload.Has(inst.Ordinal) {
			continue
		}
		p := inst.Occupant()
		if p != nil && inst.List.Count > 0 {
			all, left = append(all, inst.Ordinal), left+n
		}
		if p == nil || p.Terminating && t.in.Now.Add(graceNearlyOver).After(p.DeleteBy) {
			ending, behind = append(ending, inst.Ordinal), behind+n
			if p == nil {
				gone = append(gone, inst.Ordinal)
			}
		}
	}
	e.while(t, left > 0, actuate.TakenWithResources(decide.Instances(all), left))
	e.whileAs(t, fmt.Sprint(gone), behind > 0, actuate.EndedWithResources(decide.Instances(ending), behind))
}

// lost raises an event while instances are on lost nodes or leave for not working, for each fate.
func (e *events) lost(t *tick) {
	var state, texts []string
	for _, l := range t.d.Lost {
		texts = append(texts, l.Text)
		state = append(state, fmt.Sprintf("%s %t %t %s", l.Pod, l.Leaves, l.Unproven != "", l.AssumedDead))
	}
	for _, v := range t.d.Health.Verdicts {
		if known := slices.ContainsFunc(t.d.Lost, func(l decide.Lost) bool { return l.Ordinal == v.Ordinal }); v.Reassign && !known {
			texts = append(texts, fmt.Sprintf("%s is %s: %s", v.Pod, v.Condition, v.Text))
			state = append(state, fmt.Sprintf("%s %t", v.Pod, t.progress.Unproven[v.Ordinal] != ""))
		}
	}
	e.whileAs(t, strings.Join(state, ", "), len(texts) > 0, actuate.InstanceLost(strings.Join(texts, "; ")))
}
