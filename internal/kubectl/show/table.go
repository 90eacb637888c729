// Package show writes the documents of internal/ops for people at a terminal.
//
// In: documents. Out: tables, whose columns of priority 1 are for `-o wide`, and text. Invariant:
// what a document does not know is written as "-", never as zero; text from outside moves no
// cursor.
package show

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/shardscaler/shardscaler/internal/kubectl/doctor"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// none stands for what is not known, or not there.
const none = "-"

// columns are those of a table, separated by blanks; one with a plus before it is for wide output.
func columns(names string) *metav1.Table {
	t := &metav1.Table{}
	for name := range strings.FieldsSeq(names) {
		short, wide := strings.CutPrefix(name, "+")
		column := metav1.TableColumnDefinition{Name: short, Type: "string"}
		if wide {
			column.Priority = 1
		}
		t.ColumnDefinitions = append(t.ColumnDefinitions, column)
	}
	return t
}

func row(t *metav1.Table, cells ...any) {
	for i, c := range cells {
		switch c := c.(type) {
		case *int:
			cells[i] = number(c)
		case string:
			cells[i] = orNone(Plain(c))
		}
	}
	t.Rows = append(t.Rows, metav1.TableRow{Cells: cells})
}

func number(n *int) string {
	if n == nil {
		return none
	}
	return strconv.Itoa(*n)
}

func orNone(s string) string {
	if s == "" {
		return none
	}
	return s
}

// Plain is text from outside without what would move a terminal's cursor or begin another line.
func Plain(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 || c == '\u202e' || c == '\u2028' || c == '\u2029' {
			return '\ufffd'
		}
		return c
	}, s)
}

// age is how long ago at was, as kubectl writes it.
func age(now, at time.Time) string {
	if at.IsZero() || now.IsZero() {
		return none
	}
	return duration.HumanDuration(max(0, now.Sub(at)))
}

// Kinds is a line for each kind of an installation; spaced: with its namespace.
func Kinds(spaced bool, namespace string, kinds []ops.Kind) *metav1.Table {
	names := "Kind Ready Desired Resources Unassigned In-Flight Lag Alarms +StatefulSet +Owner +Needed +Recommended +Max +Capacity +Open +Paused Why"
	if spaced {
		names = "Namespace " + names
	}
	t := columns(names)
	for _, k := range kinds {
		g := group(k)
		r := counts(k)
		cells := []any{
			k.Name, number(g.Ready) + "/" + number(g.Replicas), g.Desired, r.total, r.unassigned, r.inFlight,
			worstLag(k), alarms(k), g.StatefulSet, g.Owner, g.Needed, g.Recommended, g.Max, g.Capacity, g.Open, paused(k), why(k),
		}
		if spaced {
			cells = append([]any{namespace}, cells...)
		}
		row(t, cells...)
	}
	return t
}

// counted are a kind's counts as cells.
type counted struct{ total, unassigned, inFlight any }

func counts(k ops.Kind) counted {
	if k.Resources == nil {
		return counted{none, none, none}
	}
	return counted{k.Resources.Total, k.Resources.Unassigned, k.Resources.InFlight}
}

// group is a kind's only one, or, of several, one with their sums.
func group(k ops.Kind) (sum ops.Group) {
	for i, g := range k.Groups {
		if i == 0 {
			sum = g
			continue
		}
		sum.StatefulSet += "," + g.StatefulSet
		sum.Replicas, sum.Ready, sum.Desired = add(sum.Replicas, g.Replicas), add(sum.Ready, g.Ready), add(sum.Desired, g.Desired)
		sum.Needed, sum.Recommended = add(sum.Needed, g.Needed), add(sum.Recommended, g.Recommended)
		sum.Max += g.Max
		sum.Open += "," + g.Open
	}
	return sum
}

func add(a, b *int) *int {
	if a == nil || b == nil {
		return nil
	}
	n := *a + *b
	return &n
}

func worstLag(k ops.Kind) string {
	if k.WorstLag == nil {
		return none
	}
	return k.WorstLag.Lag
}

// alarms counts them by severity, the gravest first.
func alarms(k ops.Kind) string {
	var parts []string
	for _, severity := range []string{"critical", "warning", "info"} {
		n := 0
		for _, a := range k.Alarms {
			if a.Severity == severity {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, severity))
		}
	}
	return strings.Join(parts, ", ")
}

func paused(k ops.Kind) string {
	switch {
	case !k.Paused.Value:
		return "no"
	case k.Paused.Sizes:
		return "moves and sizes, by " + k.Paused.Source
	}
	return "moves, by " + k.Paused.Source
}

func why(k ops.Kind) string {
	if k.Blind != "" {
		return "nothing is decided: " + k.Blind
	}
	return k.Why
}

// Instances is a line for each instance. now is what ages are computed for.
func Instances(now time.Time, list []ops.Instance) *metav1.Table {
	t := columns("Instance State Health Resources CPU Memory Lag Node +Pod +In-Flight +Weight +Restarts +Age +Health-By Note")
	for _, i := range list {
		weight := none
		if i.List.Weight != nil {
			weight = strconv.FormatFloat(*i.List.Weight, 'g', 4, 64)
		}
		row(t, i.Ordinal, i.State, i.Health.Condition, fmt.Sprintf("%d/%d", i.List.Count, i.List.Capacity), load(i.CPU), load(i.Memory), i.Lag,
			i.Node, i.Pod, i.List.InFlight, weight, i.Restarts, age(now, i.Started), i.Health.By, note(i))
	}
	return t
}

// load is the use as a share of the target, or of the request where there is no target.
func load(l *ops.Load) string {
	if l == nil || l.Missing != "" {
		return none
	}
	if l.Ratio != nil {
		return fmt.Sprintf("%.0f%%", *l.Ratio*100)
	}
	if l.Request > 0 {
		return fmt.Sprintf("%.0f%%", float64(l.Usage)/float64(l.Request)*100)
	}
	return strconv.FormatInt(l.Usage, 10)
}

// note is what else a person should know of an instance.
func note(i ops.Instance) string {
	var parts []string
	if i.List.Error != "" {
		parts = append(parts, "list: "+i.List.Error)
	}
	if i.Unproven != "" {
		parts = append(parts, "not proven released: "+i.Unproven)
	}
	if i.NotAcknowledging != "" {
		parts = append(parts, "does not acknowledge: "+i.NotAcknowledging)
	}
	if i.Drain != nil {
		parts = append(parts, "drain"+Said(*i.Drain))
	}
	if i.DrainWaits != "" {
		parts = append(parts, i.DrainWaits)
	}
	if i.Health.Condition != "Healthy" && i.Health.Text != "" {
		parts = append(parts, i.Health.Text)
	}
	return strings.Join(parts, "; ")
}

// Said is who asked for something, when and until when, after a blank; empty: not known.
func Said(s ops.Said) string {
	text := ""
	if s.By != "" {
		text += " by " + Plain(s.By)
	}
	if !s.At.IsZero() {
		text += " at " + decide.Stamp(s.At)
	}
	if !s.Until.IsZero() {
		text += " until " + decide.Stamp(s.Until)
	}
	return text
}

// Settings is a line for each value of a configuration.
func Settings(s ops.Settings) *metav1.Table {
	t := columns("Setting Value Source +Configured +By +Until")
	for _, i := range s.Items {
		until := ""
		if !i.Until.IsZero() {
			until = decide.Stamp(i.Until)
		}
		row(t, i.Path, value(i.Value), i.Source, value(i.Configured), i.By, until)
	}
	return t
}

// value is one of a configuration; a whole number is written as one.
func value(v any) string {
	switch v := v.(type) {
	case nil:
		return none
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// Entries is a line for each entry of a history.
func Entries(now time.Time, list []ops.Entry) *metav1.Table {
	t := columns("Time +Age Type +ID What")
	for _, e := range list {
		row(t, decide.Stamp(e.At), age(now, e.At), e.Type, e.ID, entry(e))
	}
	return t
}

func entry(e ops.Entry) string {
	switch {
	case e.Decision != nil:
		if e.Decision.Drain != "" {
			return e.Decision.Summary + "; drain: " + e.Decision.Drain
		}
		return e.Decision.Summary
	case e.Moves != nil:
		return fmt.Sprintf("resources moved: %d (%s)", e.Moves.Count, e.Moves.Reason)
	case e.Change != nil:
		text := fmt.Sprintf("%s, by %s", Operation(e.Change.What), e.Change.By)
		if e.Change.Before != "" || e.Change.After != "" {
			text += fmt.Sprintf(": %s -> %s", orNone(e.Change.Before), orNone(e.Change.After))
		}
		return text
	case e.Sample != nil:
		s := e.Sample
		text := fmt.Sprintf("ready %d/%d, desired %d, resources %d, unassigned %d, in flight %d", s.Ready, s.Replicas, s.Desired, s.Resources, s.Unassigned, s.InFlight)
		if s.WorstLag != "" {
			text += ", lag " + s.WorstLag
		}
		return text
	case e.Gap != nil:
		return fmt.Sprintf("not recorded until %s: %s", decide.Stamp(e.Until), e.Gap.Text)
	}
	return ""
}

// InstancesOf is Instances with the kind of each.
func InstancesOf(now time.Time, list []ops.Instance) *metav1.Table {
	t := Instances(now, list)
	t.ColumnDefinitions = append([]metav1.TableColumnDefinition{{Name: "Kind", Type: "string"}}, t.ColumnDefinitions...)
	for i := range t.Rows {
		t.Rows[i].Cells = append([]any{orNone(list[i].Kind)}, t.Rows[i].Cells...)
	}
	return t
}

// Resources is a line for each resource.
func Resources(kind string, list []ops.ResourceAt) *metav1.Table {
	t := columns("Kind Instance ID")
	for _, r := range list {
		at := none
		if r.Instance >= 0 {
			at = strconv.Itoa(r.Instance)
		}
		row(t, kind, at, r.ID)
	}
	return t
}

// Findings is a line for each thing that was looked at.
func Findings(list []doctor.Finding) *metav1.Table {
	t := columns("Check Status Cause +Next")
	for _, f := range list {
		row(t, f.Check, string(f.Status), f.Cause, f.Next)
	}
	return t
}
