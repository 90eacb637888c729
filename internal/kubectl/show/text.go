package show

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/kubectl/doctor"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// Next writes what to do about each finding that is not ok.
func Next(w io.Writer, list []doctor.Finding) error {
	for _, f := range list {
		if f.Next == "" || f.Status == doctor.OK {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s: next: %s\n", Plain(f.Check), Plain(f.Next)); err != nil {
			return err
		}
	}
	return nil
}

// Alarms are what a person should look at, with what to do.
func Alarms(w io.Writer, kinds []ops.Kind) {
	for _, k := range kinds {
		for _, a := range k.Alarms {
			fmt.Fprintf(w, "%s: %s: %s%s\n", a.Severity, k.Name, Plain(a.Text), since(a.Since))
			if a.Cure != "" {
				fmt.Fprintf(w, "  do: %s\n", Plain(a.Cure))
			}
		}
	}
}

func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " (since " + decide.Stamp(t) + ")"
}

// Kind is a kind at length, without its alarms and instances.
func Kind(w io.Writer, k ops.Kind) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-13s %s\n", name+":", Plain(fmt.Sprintf(format, args...)))
	}
	line("Kind", "%s", k.Name)
	line("Why", "%s", why(k))
	for _, g := range k.Groups {
		line("StatefulSet", "%s/%s, ready %s of %s, from ordinal %d", g.Namespace, g.StatefulSet, number(g.Ready), number(g.Replicas), g.Start)
		line("Size", "desired %s, needed %s, recommended %s, between %d and %d, written by %s", number(g.Desired), number(g.Needed),
			number(g.Recommended), g.Init, g.Max, orNone(g.Owner))
		line("Instance", "capacity %d, target %d; open: %s", g.Capacity, g.TargetPerInstance, orNone(g.Open))
	}
	if r := k.Resources; r != nil {
		line("Resources", "%d: assigned %d, in flight %d, unassigned %d", r.Total, r.Assigned, r.InFlight, r.Unassigned)
		if r.Excess > 0 {
			line("Excess", "%d beyond max x capacity: they wait", r.Excess)
		}
	}
	if k.WorstLag != nil {
		line("Lag", "%s at most, of instance %d", k.WorstLag.Lag, k.WorstLag.Instance)
	}
	if k.Paused.Value {
		line("Paused", "%s%s", paused(k), Said(k.Paused.Said))
	}
	for _, o := range k.Overrides {
		line("Override", "%s", o)
	}
	progress(line, k)
	for _, s := range k.Sources {
		if s.Error != "" {
			line("Source", "%s fails%s: %s", s.Name, since(s.Since), s.Error)
		}
	}
}

func progress(line func(name, format string, args ...any), k ops.Kind) {
	if p := k.Progress; p.PlanID != "" {
		text := fmt.Sprintf("%d of %d (%s)", p.Done, p.Moves, p.Reason)
		if p.Beyond > 0 {
			text += fmt.Sprintf(", %d more in later waves", p.Beyond)
		}
		if p.PerMinute > 0 {
			text += fmt.Sprintf(", %.0f a minute", p.PerMinute)
		}
		if p.EstimatedEnd != nil {
			text += ", ends at about " + decide.Stamp(*p.EstimatedEnd)
		}
		line("Moves", "%s", text)
	}
	if k.Progress.Blocked != "" {
		line("Blocked", "%s", k.Progress.Blocked)
	}
	if k.Drain != nil {
		line("Drain", "%s", k.Drain)
	}
	if k.Waiting != nil && k.Waiting.Count > 0 {
		line("Deletes", "%d wait for a person: kubectl shardscaler confirm %s", k.Waiting.Count, k.Name)
	}
}

// Why is a decision with its explanation.
func Why(w io.Writer, d ops.Decision) {
	r := d.Report
	switch {
	case r == nil:
		fmt.Fprintln(w, "no decision has been made yet")
	case r.Blind == "" && r.Current == nil: // of a server that knows less than this
		fmt.Fprintln(w, Plain(r.Summary))
	default:
		fmt.Fprint(w, multiline(r.Decision.String()))
		if r.Drain != nil {
			fmt.Fprintf(w, "  drain: %s\n", Plain(r.Drain.String()))
		}
		if r.Act != nil && r.Act.Text != "" {
			fmt.Fprintf(w, "  done: %s\n", Plain(r.Act.Text))
		}
	}
	answers(w, "Questions", d.Explanation.Answers)
	answers(w, "For another size", d.Explanation.Otherwise)
}

func answers(w io.Writer, title string, list []ops.Answer) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", title)
	for _, a := range list {
		mark := " "
		if a.Applies {
			mark = "*"
		}
		if a.Question != "" {
			fmt.Fprintf(w, "%s %s\n    %s\n", mark, Plain(a.Question), Plain(a.Text))
		} else {
			fmt.Fprintf(w, "%s %s\n", mark, Plain(a.Text))
		}
	}
}

// multiline is Plain for text of several lines.
func multiline(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = Plain(l)
	}
	return strings.Join(lines, "\n")
}

// Plan is a preview: what would move, before and after, the bound and why.
func Plan(w io.Writer, kind string, p ops.Plan) {
	fmt.Fprintf(w, "%s: %s\n", kind, Plain(Change(p.Change)))
	if p.Size != nil {
		fmt.Fprintf(w, "size %d -> %d: %s\n", p.Size.Before, p.Size.After, Plain(p.Size.Why))
	}
	fmt.Fprint(w, described(&p.Description))
	if p.Then != nil {
		fmt.Fprint(w, "once that is done, a spread is due:\n", described(p.Then))
	}
	if p.Takes != "" {
		fmt.Fprintf(w, "takes about %s\n", Plain(p.Takes))
	}
	if p.Waits != "" {
		fmt.Fprintf(w, "would wait: %s\n", Plain(p.Waits))
	}
	if p.Refused != "" {
		fmt.Fprintf(w, "apply would be refused now: %s\n", Plain(p.Refused))
	}
	if p.ID != "" {
		fmt.Fprintf(w, "id %s, until %s\n", Plain(p.ID), decide.Stamp(p.Expires))
	}
}

// described is a description without its first line, which has an id that is not the plan's.
func described(d *plan.Description) string {
	_, text, _ := strings.Cut(d.String(), "\n")
	return multiline(text)
}

// Change is what a person asks for.
func Change(c ops.Change) string {
	text := "what is due now as configured"
	switch {
	case c.Size != nil:
		text = fmt.Sprintf("size %d", *c.Size)
	case c.Drain != nil:
		text = fmt.Sprintf("drain instance %d", *c.Drain)
	case c.Undrain != nil:
		text = fmt.Sprintf("undrain instance %d", *c.Undrain)
	case c.EndSize:
		text = "end the size that was asked for"
	case c.Capacity != nil && c.MaxInstances != nil:
		text = fmt.Sprintf("capacity %d, at most %d instances", *c.Capacity, *c.MaxInstances)
	case c.Capacity != nil:
		text = fmt.Sprintf("capacity %d", *c.Capacity)
	case c.MaxInstances != nil:
		text = fmt.Sprintf("at most %d instances", *c.MaxInstances)
	case c.Paused != nil && *c.Paused:
		text = "pause voluntary moves"
	case c.Paused != nil:
		text = "resume voluntary moves"
	case c.Pin != nil:
		text = fmt.Sprintf("pin %s to instance %d", c.Pin.Resource, c.Pin.Instance)
	case c.Move != nil:
		text = fmt.Sprintf("move %s to instance %d", c.Move.Resource, c.Move.Instance)
	case c.Unpin != "":
		text = "unpin " + c.Unpin
	}
	if c.For != "" {
		text += " for " + c.For
	}
	return text
}

// Resource is where a resource runs, since when, why, and its last moves.
func Resource(w io.Writer, kind string, r ops.Resource) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name+":", Plain(fmt.Sprintf(format, args...)))
	}
	line("Resource", "%s", r.ID)
	line("Kind", "%s", kind)
	switch r.Place {
	case "flight":
		line("Place", "in flight from instance %s", number(r.From))
	case "pool":
		line("Place", "the pool: no instance has it yet")
	default:
		line("Instance", "%s (pod %s, node %s)", number(r.Instance), orNone(r.Pod), orNone(r.Node))
	}
	if !r.Since.IsZero() {
		line("Since", "%s", decide.Stamp(r.Since))
	}
	line("Why", "%s", orNone(r.Why))
	if r.Parked != "" {
		line("Parked", "%s", r.Parked)
	}
	if r.Pin != nil {
		line("Pin", "instance %d%s", r.Pin.Instance, Said(r.Pin.Said))
	}
	for _, m := range r.Moves {
		line("Moved", "%s from %s to %s: %s", decide.Stamp(m.At), place(m.From), place(m.To), m.Why)
	}
	if !r.KeptSince.IsZero() {
		line("Kept", "moves since %s", decide.Stamp(r.KeptSince))
	}
}

func place(ordinal int) string {
	if ordinal < 0 {
		return "the pool"
	}
	return fmt.Sprintf("instance %d", ordinal)
}

// Duration is one as a person writes it.
func Duration(d time.Duration) string { return config.Duration(d).String() }

// RolledBack says what a rollback did.
func RolledBack(kind string, r steps.RolledBack) string {
	return fmt.Sprintf("%s: plan %s is rolled back: moves cancelled before their start: %d, returned from in flight: %d, moved back: %d, not stopped: %d; voluntary moves are paused",
		kind, cmp.Or(r.PlanID, "of an earlier wave"), r.Stayed, r.Returned, r.Undone, r.Kept)
}

// AssumedDead says of which pod a person's word is kept.
func AssumedDead(r ops.AssumedDead) string {
	return fmt.Sprintf("pod %s (%s) is assumed dead, as %s said; resources to reassign: %d", r.Pod, r.UID, r.By, r.Left)
}

// operations are the words for what persons did, by the name that the history and the audit log
// have for it.
var operations = map[string]string{
	"drain": "drain", "undrain": "end of a drain", "pin": "pin", "move": "move", "unpin": "end of a pin",
	"set-size": "size", "end-size": "end of a size", "set-limits": "limits", "orchestrate-kind": "look now",
	"pause-kind": "pause", "resume-kind": "resume", "apply-plan": "apply of a plan",
	"rollback-kind": "rollback", "confirm-kind": "deletes confirmed", "reassign-instance": "pod assumed dead",
	// of the old calls
	"orchestrate": "limits", "pause": "pause", "resume": "resume", "rollback": "rollback", "confirm-deletes": "deletes confirmed",
	"reassign": "pod assumed dead",
}

// Operation is what a person did, in words; one that is not known is named as the server does.
func Operation(name string) string { return cmp.Or(operations[name], name) }
