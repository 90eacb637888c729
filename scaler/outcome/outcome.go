// Package outcome says what became of a decision.
//
// In: a decision, what it was made from, and what the scaler did about it. Out: an Outcome, and the
// Report of both, which REST shows and ZooKeeper keeps. Invariant: nothing is written into a
// decision; a Report has copies of what it adds words to.
package outcome

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// Outcome is what became of a decision.
type Outcome struct {
	Drain *Drain `json:"drain,omitempty"`
	// Denied is what the server's rights are known to lack for this kind, and where to add it.
	Denied string `json:"denied,omitempty"`
	// Act is what was done, nil when nothing was to be done.
	Act   *Act  `json:"act,omitempty"`
	Notes Notes `json:"-"`
}

// What was done about a decision.
const (
	Scaled     = "scaled"
	Draining   = "draining"
	Failed     = "failed"
	NotWritten = "held"
	NotOurs    = "not-ours"
	WouldScale = "would-scale"
	WouldDrain = "would-drain"
	Advised    = "recommended"
)

// Act is what the scaler did about a decision, or would do in a dry run.
type Act struct {
	DryRun bool `json:"dryRun,omitempty"`
	// Done is one of those above; "": nothing was done to the size.
	Done string `json:"done,omitempty"`
	Text string `json:"text,omitempty"`
	// Left counts what the ordinals that leave still own.
	Left map[int]int `json:"left,omitempty"`
	// Restarted names the pods deleted so that the StatefulSet makes them anew.
	Restarted []string `json:"restarted,omitempty"`
}

// Total is the sum of what is left.
func Total(left map[int]int) (n int) {
	for _, c := range left {
		n += c
	}
	return n
}

// Acted is what was done, as a value.
func (o *Outcome) Acted() Act {
	if o.Act == nil {
		return Act{}
	}
	return *o.Act
}

// Phase is that of the drain, "" without one.
func (o *Outcome) Phase() Phase {
	if o.Drain == nil {
		return ""
	}
	return o.Drain.Phase
}

// Notes say, by ordinal, what becomes of instances that are to leave without being asked.
type Notes struct {
	// Lost are for those on lost nodes, Verdicts for those that do not work.
	Lost     map[int]Note
	Verdicts map[int]string
}

// Note says what becomes of what a lost instance owns. Text follows that of the decision.
type Note struct {
	decide.Fate
	Text string
}

// Report is a decision with its outcome, as REST shows it and ZooKeeper keeps it.
type Report struct {
	decide.Decision
	Outcome
	// LeftOut counts the entries of lists that the kept copy of a very large report lacks.
	LeftOut int `json:"leftOut,omitempty"`
}

// NewReport puts what is to be said of a decision's instances into its copy.
func NewReport(d decide.Decision, o Outcome) *Report {
	d.Lost, d.Health.Verdicts = slices.Clone(d.Lost), slices.Clone(d.Health.Verdicts)
	for i := range d.Lost {
		note := o.Notes.Lost[d.Lost[i].Ordinal]
		d.Lost[i].Fate = note.Fate
		d.Lost[i].Text += note.Text
	}
	for i := range d.Health.Verdicts {
		d.Health.Verdicts[i].Text += o.Notes.Verdicts[d.Health.Verdicts[i].Ordinal]
	}
	o.Notes = Notes{}
	return &Report{Decision: d, Outcome: o}
}

// Problem is what a person has to settle: about rights that are missing, with another writer of
// replicas, or about instances that do not acknowledge; "": nothing. r may be nil.
func (r *Report) Problem() string {
	switch {
	case r == nil:
		return ""
	case r.Denied != "":
		return r.Denied
	case r.Foreign.Text() != "":
		return r.Foreign.Text()
	case r.Conflict != nil:
		return r.Conflict.Text
	case r.NotAcknowledging != nil:
		return r.NotAcknowledging.Text
	}
	return ""
}

// TooOld is an error when the report is older than maxAge, or of an unknown age.
func (r *Report) TooOld(now time.Time, maxAge time.Duration) error {
	if r.At.IsZero() {
		return errors.New("the leader's last decision does not say when it was made")
	}
	if age := now.Sub(r.At); age > maxAge {
		return fmt.Errorf("the leader's last decision is %s old, more than %s", age.Round(100*time.Millisecond), config.Duration(maxAge))
	}
	return nil
}
