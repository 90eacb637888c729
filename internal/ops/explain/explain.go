// Package explain puts a decision into words.
//
// In: the report of a decision and what it was made from. Out: answers to what users ask of an HPA,
// and what would have to be true for another size. Invariant: pure; a sentence that names a
// threshold is said only if decide.Decide gives another size beyond it.
package explain

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/decide/hpa"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// The questions, in the order of the answers.
const (
	Tolerance = "tolerance"
	Bounds    = "bounds"
	Policies  = "policies"
	Window    = "window"
	Missing   = "missing"
	Nothing   = "nothing"
)

// What a condition for another size leads to.
const (
	Larger  = "larger"
	Smaller = "smaller"
)

// Explain answers for a decision. in is what it was made from; nil: that is not kept, and only what
// the report itself says is told.
func Explain(r *outcome.Report, in *decide.Input) ops.Explanation {
	e := &explainer{r: r, in: in}
	if r.Blind != "" {
		return e.blind()
	}
	return ops.Explanation{
		Answers:   []ops.Answer{e.tolerance(), e.bounds(), e.policies(), e.window(), e.missing(), e.nothing()},
		Otherwise: e.otherwise(),
	}
}

type explainer struct {
	r  *outcome.Report
	in *decide.Input
}

// answer is a sentence; params are names and values in turn.
func answer(question, code string, applies bool, text string, params ...string) ops.Answer {
	return ops.Answer{Question: question, Code: code, Applies: applies, Text: text, Params: ops.Params(params...)}
}

func (e *explainer) blind() ops.Explanation {
	out := ops.Explanation{Otherwise: []ops.Answer{}}
	for _, q := range []string{Tolerance, Bounds, Policies, Window, Missing} {
		out.Answers = append(out.Answers, answer(q, q+"-blind", false, "nothing was computed", "why", e.r.Blind))
	}
	out.Answers = append(out.Answers, answer(Nothing, "nothing-blind", true, "nothing is decided or done: "+e.r.Blind, "why", e.r.Blind))
	out.Otherwise = append(out.Otherwise, answer(Larger, "readable", false, "a size is decided again as soon as this ends: "+e.r.Blind, "why", e.r.Blind))
	return out
}

// limit is the last limit by one of the reasons; nil: none of them changed the size.
func (e *explainer) limit(by ...decide.Reason) *decide.Limit {
	for i := len(e.r.Limits) - 1; i >= 0; i-- {
		for _, reason := range by {
			if e.r.Limits[i].By == reason {
				return &e.r.Limits[i]
			}
		}
	}
	return nil
}

// tolerance: is the use so near its target that nothing is done?
func (e *explainer) tolerance() ops.Answer {
	var within, turned, outside, ratios []string
	with, without := 0, 0
	for _, s := range e.r.Signals {
		with, without = max(with, s.Proposed), max(without, s.Proposed)
		if s.Ratio == 0 || s.Missing != "" {
			continue
		}
		ratios = append(ratios, fmt.Sprintf("%s %.2f", s.Name, cmp.Or(s.Filled, s.Ratio)))
		switch {
		case s.Turned:
			turned = append(turned, judged(&s))
		case s.Within:
			without = max(without, hpa.Ceil(s.Need))
			within = append(within, judged(&s))
		default:
			outside = append(outside, judged(&s))
		}
	}
	switch {
	case len(within) > 0:
		text := strings.Join(within, " and ") + ", within the tolerance" + e.band() + ": it asks for the size that there is"
		return answer(Tolerance, "tolerance-within", with != without, text, "signals", strings.Join(within, ", "), "ratios", strings.Join(ratios, ", "))
	case len(turned) > 0:
		text := strings.Join(turned, " and ") + ": those would turn the direction of the change, and it asks for the size that there is"
		return answer(Tolerance, "tolerance-turned", false, text, "signals", strings.Join(turned, ", "), "ratios", strings.Join(ratios, ", "))
	case len(outside) > 0:
		return answer(Tolerance, "tolerance-outside", false, strings.Join(outside, " and ")+", outside the tolerance"+e.band(), "signals", strings.Join(outside, ", "), "ratios", strings.Join(ratios, ", "))
	}
	return answer(Tolerance, "tolerance-none", false, "no use of CPU or memory counted, and a number of resources has no tolerance")
}

// judged says the ratio that the tolerance judges.
func judged(s *decide.Signal) string {
	if s.Filled == 0 {
		return fmt.Sprintf("%s is at %.2f of its target", s.Name, s.Ratio)
	}
	return fmt.Sprintf("%s is at %.2f of its target, with the pods filled in that have no usable sample (%.2f without those)", s.Name, s.Filled, s.Ratio)
}

// band is the tolerance in numbers, where it is known.
func (e *explainer) band() string {
	if e.in == nil || e.in.Config.Tolerance.Up == nil || e.in.Config.Tolerance.Down == nil {
		return ""
	}
	return fmt.Sprintf(" (%.2f to %.2f)", 1-*e.in.Config.Tolerance.Down, 1+*e.in.Config.Tolerance.Up)
}

// bounds: is the size at init or max?
func (e *explainer) bounds() ops.Answer {
	l := e.limit(decide.ByInit, decide.ByMax)
	if l == nil {
		return answer(Bounds, "bounds-free", false, fmt.Sprintf("init %d and max %d did not change the size", e.r.Init, e.r.Max),
			"init", strconv.Itoa(e.r.Init), "max", strconv.Itoa(e.r.Max))
	}
	name := string(l.By)
	return answer(Bounds, "bounds-"+name, true, fmt.Sprintf("%d was asked for, and %s is %d", l.From, name, l.To),
		"asked", strconv.Itoa(l.From), "bound", strconv.Itoa(l.To))
}

// policies: does a rate or a cool-down hold it up?
func (e *explainer) policies() ops.Answer {
	l := e.limit(decide.ByRate, decide.ByCoolDown)
	if l == nil {
		return answer(Policies, "policies-free", false, "no policy and no cool-down limited the change")
	}
	return answer(Policies, "policies-"+string(l.By), true, fmt.Sprintf("%d was asked for, and now it is %d: %s", l.From, l.To, l.Text),
		"asked", strconv.Itoa(l.From), "now", strconv.Itoa(l.To), "why", l.Text)
}

// window: do recommendations of the past still count?
func (e *explainer) window() ops.Answer {
	l := e.limit(decide.ByWindow)
	if l == nil {
		return answer(Window, "window-free", false, "no recommendation of the past changed the size")
	}
	code := "window-higher"
	if l.To < l.From {
		code = "window-lower"
	}
	return answer(Window, code, true, fmt.Sprintf("%d is asked for now, and it is %d: %s", l.From, l.To, l.Text),
		"asked", strconv.Itoa(l.From), "now", strconv.Itoa(l.To), "why", l.Text)
}

// missing: does a signal lack its value?
func (e *explainer) missing() ops.Answer {
	var gaps []string
	for _, h := range e.r.Holds {
		if h.By == decide.ByMissingSignal {
			gaps = append(gaps, h.Text)
		}
	}
	if len(gaps) == 0 {
		return answer(Missing, "missing-none", false, "every configured signal has its value")
	}
	all := strings.Join(gaps, "; ")
	return answer(Missing, "missing-some", e.limit(decide.ByMissingSignal) != nil, "the size may rise and not fall: "+all, "why", all)
}

// nothing: is there just nothing to do?
func (e *explainer) nothing() ops.Answer {
	r := e.r
	current, desired, needed := strconv.Itoa(*r.Current), strconv.Itoa(r.Desired), strconv.Itoa(r.Needed)
	params := []string{"current", current, "desired", desired, "needed", needed}
	switch {
	case r.Verb == decide.NoChange && r.Needed == *r.Current:
		return answer(Nothing, "nothing-to-do", true, needed+" instances are needed, and there are as many", params...)
	case r.Verb == decide.NoChange:
		why := ""
		if n := len(r.Limits); n > 0 {
			why = ": " + r.Limits[n-1].Text
		}
		return answer(Nothing, "nothing-kept", false, needed+" instances are needed, and "+current+" are kept"+why, params...)
	}
	return answer(Nothing, "nothing-changes", false, "there are "+current+" instances, and "+desired+" are to be", params...)
}

// lasting is a condition that must be true for a whole window.
func lasting(condition string, window time.Duration) string {
	if window <= 0 {
		return condition
	}
	return fmt.Sprintf("%s for %s", condition, config.Duration(window))
}
