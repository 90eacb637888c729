package outcome

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// Phase is how far a drain is. Each tick tells it from what is, so that neither a lost tick nor a
// new leader skips one; only since when is kept over leaders.
//
//	closing ─► emptying ─► verifying ─► lowering ─► ending ─► (no drain)
//	   └────────────────── load returns: the ordinals stay, and are opened again ───────────────►
//
// With an HPA that owns the size, waiting stands in place of lowering. What another writer took
// begins at emptying and goes on to ending.
type Phase string

// The phases.
const (
	Closing   Phase = "closing"   // a leaving ordinal may still receive
	Emptying  Phase = "emptying"  // they own something, in their lists or in flight
	Verifying Phase = "verifying" // they seem to own nothing, and a synced read has not confirmed it yet
	Lowering  Phase = "lowering"  // that is confirmed, and replicas could not be written yet
	Waiting   Phase = "waiting"   // they are closed and own nothing: the HPA may lower replicas
	Ending    Phase = "ending"    // replicas are lowered, and the pods are terminating
)

// Drain empties the ordinals that leave. There is none when nothing leaves. It never ends by giving
// up.
type Drain struct {
	Phase Phase `json:"phase"`
	// Ordinals are those that leave, ascending; those whose pod is gone and that own nothing are
	// not listed any more.
	Ordinals   []int     `json:"ordinals"`
	Since      time.Time `json:"since,omitzero"`
	PhaseSince time.Time `json:"phaseSince,omitzero"`
	Left       int       `json:"left"`
	// Taken says that replicas were lowered by another writer while leaving ordinals owned
	// something.
	Taken bool `json:"taken,omitempty"`
	// Blocked is what it waits for: capacity elsewhere, a pin, an acknowledgement, a hold, an API.
	// BlockedSince is since when: in the same phase, for the same ordinals, with no less left.
	Blocked      string    `json:"blocked,omitempty"`
	BlockedSince time.Time `json:"blockedSince,omitzero"`
}

// An ordinary drain waits too, for each acknowledgement. After ShownAfter without getting on it is
// shown as blocked; after WarnedAfter, which no acknowledgement should take, it deserves a warning.
const (
	ShownAfter  = 5 * time.Second
	WarnedAfter = time.Minute
)

// BlockedFor says whether the drain has waited for so long; a nil one has not.
func (dr *Drain) BlockedFor(now time.Time, long time.Duration) bool {
	return dr != nil && dr.Blocked != "" && !dr.BlockedSince.IsZero() && now.Sub(dr.BlockedSince) >= long
}

// continues gives dr the times of the drain before it, which may be nil, or lack them.
func (dr *Drain) continues(before *Drain, now time.Time) {
	if before == nil {
		before = &Drain{}
	}
	dr.Since, dr.PhaseSince = cmp.Or(before.Since, now), now
	if dr.Blocked != "" {
		dr.BlockedSince = now
	}
	if dr.Phase == before.Phase {
		dr.PhaseSince = cmp.Or(before.PhaseSince, now)
		if dr.Blocked != "" && slices.Equal(dr.Ordinals, before.Ordinals) && dr.Left >= before.Left {
			dr.BlockedSince = cmp.Or(before.BlockedSince, now)
		}
	}
	dr.Taken = dr.Taken || before.Taken
}

// String is the drain, as a person reads it.
func (dr *Drain) String() string {
	text := fmt.Sprintf("%s %s, resources left: %d, since %s", dr.Phase, decide.Instances(dr.Ordinals), dr.Left, decide.Stamp(dr.Since))
	if dr.Taken {
		text += "; another writer lowered replicas"
	}
	if dr.Blocked != "" {
		text += "; " + dr.Blocked
	}
	return text
}

// Sight is what a drain is told from.
type Sight struct {
	In       *decide.Input
	Decision *decide.Decision
	Act      Act
	// Suspended is why nothing is ordered, Blocked why the orders are not followed.
	Suspended, Blocked string
}

// Drain is how far what leaves has come, nil when nothing leaves; before is the drain of the last
// tick, which may be nil. It only describes: what is done follows from the orders and from what is.
func (s Sight) Drain(before *Drain) *Drain {
	var dr Drain
	switch {
	case s.Decision.Blind == "":
		if dr = s.leaving(); dr.Phase == "" {
			return nil
		}
		dr.continues(before, s.In.Now)
	case before == nil:
		return nil
	default: // it is where it was, as far as can be known
		dr = *before
		dr.Blocked, dr.BlockedSince = s.Decision.Blind, cmp.Or(before.BlockedSince, s.In.Now)
	}
	return &dr
}

// leaving is the drain without its times; its Phase is empty when nothing leaves.
func (s Sight) leaving() (dr Drain) {
	planned, beyond := s.ordinals()
	dr.Ordinals = slices.Concat(planned, beyond)
	slices.Sort(dr.Ordinals)
	open := slices.ContainsFunc(dr.Ordinals, func(n int) bool { return slices.Contains(s.In.Observed.Open, n) })
	for _, n := range dr.Ordinals {
		owned := s.In.Observed.Instance(n).Owned()
		dr.Left += owned
		dr.Taken = dr.Taken || owned > 0 && !s.In.Observed.Workload.Has(n)
	}
	dr.Left = max(dr.Left, Total(s.Act.Left)) // a synced read knows more than the snapshot
	switch {
	case open:
		dr.Phase, dr.Blocked = Closing, s.Suspended
	case dr.Left > 0:
		dr.Phase, dr.Blocked = Emptying, cmp.Or(s.Suspended, s.Blocked)
	case len(planned) > 0:
		dr.Phase, dr.Blocked = s.lowering()
	case len(beyond) > 0:
		dr.Phase, dr.Blocked = Ending, s.stuck(beyond)
	}
	return dr
}

// ordinals are those that leave: by this decision, or beyond the size with something left.
func (s Sight) ordinals() (planned, beyond []int) {
	for _, inst := range s.In.Observed.Instances {
		if !s.In.Observed.Workload.Has(inst.Ordinal) && (inst.Occupant() != nil || inst.Owned() > 0) {
			beyond = append(beyond, inst.Ordinal)
		}
	}
	return s.Decision.Leave(), beyond
}

// lowering is the phase of closed ordinals that seem to own nothing, by what was just done.
func (s Sight) lowering() (phase Phase, blocked string) {
	switch s.Act.Done {
	case Scaled:
		return Ending, ""
	case Failed:
		return Lowering, s.Act.Text
	case NotOurs:
		return Waiting, ""
	}
	return Verifying, s.Act.Text
}

func (s Sight) stuck(ordinals []int) string {
	for _, n := range ordinals {
		p := s.In.Observed.Instance(n).Occupant()
		if p != nil && p.Terminating && !p.DeleteBy.IsZero() && s.In.Now.Sub(p.DeleteBy) >= decide.StuckAfter {
			return fmt.Sprintf("pod %s is stuck: terminating, %s past its grace period", p.Name, config.Duration(s.In.Now.Sub(p.DeleteBy)))
		}
	}
	return ""
}
