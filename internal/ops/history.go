package ops

import (
	"time"

	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// Entry is one line of a kind's history.
type Entry struct {
	// ID is the same on every replica, and orders entries.
	ID   string    `json:"id"`
	At   time.Time `json:"at"`
	Type string    `json:"type" enum:"sample,decision,moves,change,gap" doc:"sample: sizes and signals at a time; decision: one that changed something or began to say something else; moves: resources moved; change: what a person did; gap: nothing was recorded from at until until"`
	// Until is the end of a gap, and of moves.
	Until time.Time `json:"until,omitzero"`

	Sample   *Sample        `json:"sample,omitempty"`
	Decision *DecisionEntry `json:"decision,omitempty"`
	Moves    *MovesEntry    `json:"moves,omitempty"`
	Change   *ChangeEntry   `json:"change,omitempty"`
	Gap      *GapEntry      `json:"gap,omitempty"`
}

// GapEntry says why nothing, or not all, was recorded.
type GapEntry struct {
	// Reason is stable: the key of its translation. Text says it in English.
	Reason string `json:"reason" enum:"no-leader,leader-ended,blind,budget,full,damaged,unread" doc:"no-leader: no replica led; leader-ended: it ended before it had written the last minute; blind: inputs could not be read; budget: the day's room was used up; full: too much waited to be written; damaged: what was written cannot be read; unread: this replica has not read it yet"`
	Text   string `json:"text"`
	// Lost counts what is missing, where that is known.
	Lost int `json:"lost,omitempty"`
}

// Sample is a kind's sizes and signals, one a minute.
type Sample struct {
	Replicas   int                `json:"replicas"`
	Ready      int                `json:"ready"`
	Desired    int                `json:"desired"`
	Resources  int                `json:"resources"`
	Unassigned int                `json:"unassigned"`
	InFlight   int                `json:"inFlight"`
	Signals    map[string]float64 `json:"signals,omitempty" doc:"what each signal needs, in instances at target: count, cpu, memory, …"`
	WorstLag   string             `json:"worstLag,omitempty"`
}

// DecisionEntry is a decision in short; GET …/history/{id} has the whole of it, where that is kept.
type DecisionEntry struct {
	Verb    string `json:"verb"`
	Reason  string `json:"reason"`
	Summary string `json:"summary"`
	Current *int   `json:"current,omitempty"`
	Desired int    `json:"desired"`
	Done    string `json:"done,omitempty"`
	Drain   string `json:"drain,omitempty" doc:"how far the drain of what leaves was: closing, emptying, verifying, lowering, waiting or ending"`
	Whole   bool   `json:"whole" doc:"the decision is kept as a whole; false: the day's room was used up"`
}

// MovesEntry sums up the moves of one plan, or of a minute.
type MovesEntry struct {
	PlanID string `json:"planId,omitempty"`
	Reason string `json:"reason" enum:"created,drain,spread,pin,reassigned,undone" doc:"created: they were new, and got their first instance"`
	Count  int    `json:"count"`
}

// ChangeEntry is what a person did: an entry of the audit log.
type ChangeEntry struct {
	By     string `json:"by"`
	What   string `json:"what" doc:"the operation: pause, drain, confirm, …"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// EntryList is a page of a history, the newest first.
type EntryList struct {
	Items    []Entry   `json:"items" nullable:"false"`
	Since    time.Time `json:"since,omitzero" doc:"what came before is not kept"`
	Continue string    `json:"continue,omitempty"`
}

// Decision is one decision with its whole explanation.
type Decision struct {
	ID          string          `json:"id,omitempty"`
	Report      *outcome.Report `json:"decision"`
	Explanation Explanation     `json:"explanation"`
}

// Undated is the decision without when it was made.
func (d Decision) Undated() Decision {
	r := *d.Report
	r.At = time.Time{}
	d.Report = &r
	return d
}

// Explanation puts a decision into words.
type Explanation struct {
	// Answers are to what users ask of an HPA, in this order: tolerance, bounds, policies, window,
	// missing, nothing.
	Answers []Answer `json:"answers" nullable:"false"`
	// Otherwise is what would have to be true for another size.
	Otherwise []Answer `json:"otherwise" nullable:"false"`
}

// Answer is a sentence. Code and Params are stable: which it is and what it names, for programs.
type Answer struct {
	Question string            `json:"question"`
	Code     string            `json:"code"`
	Params   map[string]string `json:"params,omitempty"`
	Text     string            `json:"text"`
	Applies  bool              `json:"applies" doc:"it changed this decision"`
}
