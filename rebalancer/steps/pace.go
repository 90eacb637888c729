package steps

import (
	"math"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/wave"
)

// pacer keeps a wave whose instances acknowledge from revoking more than the next write of a list
// can grant: what is revoked has no owner until then. So it revokes for the first half of the time
// between two writes of the list, and again when half of it is left; and while so many instances
// have not acknowledged, others wait: all at once would keep each other waiting. Where each takes
// long by itself, they are waited for together.
type pacer struct {
	// group is when the first of what is granted next was revoked.
	group time.Time
	// waiting are the instances that have not acknowledged, most is how many they may be: more with each
	// that is, and few again when one is late.
	waiting, most int
	// fastest is the least time in which one was acknowledged; 0: none was yet.
	fastest time.Duration
}

const (
	// fewWaiting is how many instances may be waited for at least.
	fewWaiting = 8
	// lateAfter, and twice the least time that one has taken, is how long an instance may take to
	// acknowledge before fewer are waited for.
	lateAfter = 150 * time.Millisecond
)

// look looks at what is in flight of a wave, but for what instances take their time to acknowledge.
func (s *pacer) look(v *View, w *wave.Running) {
	before, late, slow, waiting := s.waiting, false, map[int]bool{}, map[int]bool{}
	s.group = v.Now
	for _, f := range w.InFlight(v.State) {
		if v.abandoned(f.From) {
			continue
		}
		at := w.RevokedAt(f.Name)
		age := v.Now.Sub(at)
		released, _, _ := v.Releases.Released(&v.View, f)
		switch {
		case age >= v.Orders.ListInterval():
			if !released {
				slow[f.From] = true
			}
			continue
		case !released:
			waiting[f.From] = true
			late = late || age >= max(lateAfter, 2*s.fastest)
		case s.fastest == 0 || age < s.fastest:
			s.fastest = age
		}
		if at.Before(s.group) {
			s.group = at
		}
	}
	s.waiting = len(waiting)
	switch s.most += max(0, before-s.waiting); {
	case len(slow) >= fewWaiting:
		s.most = math.MaxInt32
	case late:
		s.most = fewWaiting
	}
	s.most = max(s.most, fewWaiting)
}

// inPace says that what is revoked now will be granted with what is in flight already. If not, p
// comes again when something more may be.
func (s *pacer) inPace(v *View, p *Proposal) bool {
	if v.Orders.HandOff != config.HandOffAcknowledged || s.waiting < s.most && s.gathers(v) {
		return true
	}
	p.again(s.group.Add(v.Orders.ListInterval()))
	return false
}

// gathers says that there is time yet to revoke more of what is granted next.
func (s *pacer) gathers(v *View) bool {
	interval := v.Orders.ListInterval()
	return interval == 0 || v.Now.Sub(s.group) < interval/2
}

// revoking says that more will be revoked in a moment, to be granted with what is in flight.
func (s *Move) revoking(v *View) bool {
	return v.Orders.HandOff == config.HandOffAcknowledged && s.pending() && s.gathers(v) &&
		slices.ContainsFunc(s.running.Pending.Sources(), func(n int) bool { return !v.abandoned(n) && v.Releases.Fixed(n) == "" })
}
