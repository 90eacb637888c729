package decide

import (
	"fmt"
	"time"
)

// Phase is how far a drain is. It is read off what is, at every look, so that no phase can be skipped by a lost look or a new leader;
// what is kept over leaders is only since when.
//
//	closing ─► emptying ─► verifying ─► lowering ─► ending ─► (no drain)
//	   └────────────────── load returns: the ordinals stay, and are opened again ──────────────────►
//
// With an HPA that owns the size, waiting stands in place of lowering. What another writer took begins at emptying and goes on to ending.
type Phase string

// The phases.
const (
	Closing   Phase = "closing"   // an ordinal that goes may still receive
	Emptying  Phase = "emptying"  // they own something, in their lists or in flight
	Verifying Phase = "verifying" // they seem to own nothing, and a synced read has not confirmed it yet
	Lowering  Phase = "lowering"  // that is confirmed, and replicas could not be written yet
	Waiting   Phase = "waiting"   // they are closed and own nothing: the HPA may lower replicas
	Ending    Phase = "ending"    // replicas are lowered, and the pods are going
)

// Phases are all of them, in order.
var Phases = []Phase{Closing, Emptying, Verifying, Lowering, Waiting, Ending}

// Drain is the way out of the ordinals that go. There is none when nothing goes. It never ends by giving up.
type Drain struct {
	Phase Phase `json:"phase"`
	// Ordinals are those that go, ascending; those whose pod is gone and that own nothing are not listed any more.
	Ordinals []int `json:"ordinals"`
	// Since is when it began, PhaseSince when its phase did.
	Since      time.Time `json:"since"`
	PhaseSince time.Time `json:"phaseSince"`
	// Left counts what they still own.
	Left int `json:"left"`
	// Taken says that replicas were lowered by another writer while ordinals that go owned something.
	Taken bool `json:"taken,omitempty"`
	// Blocked says what keeps it from going on: capacity elsewhere, a pin, an instance that does not acknowledge, a hold, an API.
	Blocked string `json:"blocked,omitempty"`
}

// Continue gives dr the times of the drain before it, which may be nil.
func (dr *Drain) Continue(before *Drain, now time.Time) {
	dr.Since, dr.PhaseSince = now, now
	if before == nil {
		return
	}
	dr.Since = before.Since
	if before.Phase == dr.Phase {
		dr.PhaseSince = before.PhaseSince
	}
	dr.Taken = dr.Taken || before.Taken
}

// String is the drain, as a person reads it.
func (dr *Drain) String() string {
	text := fmt.Sprintf("%s instances %v, %d resources are left, since %s", dr.Phase, dr.Ordinals, dr.Left, dr.Since.UTC().Format(time.RFC3339))
	if dr.Taken {
		text += "; another writer took them"
	}
	if dr.Blocked != "" {
		text += "; " + dr.Blocked
	}
	return text
}
