package decide

import (
	"fmt"
	"slices"
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
	Since      time.Time `json:"since,omitzero"`
	PhaseSince time.Time `json:"phaseSince,omitzero"`
	// Left counts what they still own.
	Left int `json:"left"`
	// Taken says that replicas were lowered by another writer while ordinals that go owned something.
	Taken bool `json:"taken,omitempty"`
	// Blocked says what it waits for: capacity elsewhere, a pin, an acknowledgement, a hold, an
	// API. BlockedSince is since when it waits without getting on: in the same phase, for the same
	// ordinals, with no less left.
	Blocked      string    `json:"blocked,omitempty"`
	BlockedSince time.Time `json:"blockedSince,omitzero"`
}

// An ordinary drain waits too, again and again: for each acknowledgement. One that has waited for
// ShownAfter without getting on is shown as blocked, and one that has for WarnedAfter, which no
// acknowledgement should take, is worth a warning.
const (
	ShownAfter  = 5 * time.Second
	WarnedAfter = time.Minute
)

// Waits says whether the drain has waited for so long without getting on; a drain that is nil does
// not.
func (dr *Drain) Waits(now time.Time, long time.Duration) bool {
	return dr != nil && dr.Blocked != "" && !dr.BlockedSince.IsZero() && now.Sub(dr.BlockedSince) >= long
}

// Continue gives dr the times of the drain before it, which may be nil, or lack them.
func (dr *Drain) Continue(before *Drain, now time.Time) {
	dr.Since, dr.PhaseSince = now, now
	if dr.Blocked != "" {
		dr.BlockedSince = now
	}
	if before == nil {
		return
	}
	still := dr.Phase == before.Phase && slices.Equal(dr.Ordinals, before.Ordinals) && dr.Left >= before.Left
	if dr.Blocked != "" && still && !before.BlockedSince.IsZero() {
		dr.BlockedSince = before.BlockedSince
	}
	if !before.Since.IsZero() {
		dr.Since = before.Since
	}
	if before.Phase == dr.Phase && !before.PhaseSince.IsZero() {
		dr.PhaseSince = before.PhaseSince
	}
	dr.Taken = dr.Taken || before.Taken
}

// String is the drain, as a person reads it.
func (dr *Drain) String() string {
	text := fmt.Sprintf("%s instances %v, %d resources are left, since %s", dr.Phase, dr.Ordinals, dr.Left, Stamp(dr.Since))
	if dr.Taken {
		text += "; another writer took them"
	}
	if dr.Blocked != "" {
		text += "; " + dr.Blocked
	}
	return text
}
