package rebalancer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// pauses are the times between two attempts at what fails again and again. They double while
// ZooKeeper refuses it, and while it finds that another client has changed what is to be written:
// another attempt changes neither. After every other failure the first pause is kept.
type pauses struct{ first, next time.Duration }

// lastRetry is the longest pause after what failed, lastConflict after what another client had
// changed.
const lastRetry, lastConflict = 30 * time.Second, 5 * time.Second

// after is the pause after err, of a look or a term.
func (p *pauses) after(err error) time.Duration { return p.grow(err, retry, lastRetry) }

// afterStep is the pause after err, of a step.
func (p *pauses) afterStep(err error) time.Duration {
	if errors.Is(err, protocol.ErrConflict) {
		return p.grow(err, conflictPause, lastConflict)
	}
	return p.grow(err, retry, lastRetry)
}

func (p *pauses) grow(err error, first, last time.Duration) time.Duration {
	if p.first != first || !lasts(err) {
		p.first, p.next = first, first
	}
	pause := p.next
	p.next = min(2*pause, last)
	return pause
}

// lasts says that another attempt at what failed so makes no sense before something else has
// changed.
func lasts(err error) bool {
	return errors.Is(err, protocol.ErrRefused) || errors.Is(err, protocol.ErrConflict)
}

// rest is that of a step that failed.
type rest struct {
	pauses
	// until is when it may be tried again; zero: whenever the leader wakes.
	until time.Time
	// times is how often it failed in a row; why is the last error, refused whether ZooKeeper
	// refused it.
	times   int
	why     string
	refused bool
}

// resting says whether a step waits for its next attempt. Without that, each wake of the leader
// would make it.
func (t *term) resting(name string) bool {
	r := t.rests[name]
	if r == nil || !t.now.Before(r.until) {
		return false
	}
	t.sooner(r.until)
	t.say(r)
	return true
}

// say blocks by what a step failed with. That another client changed a znode once is ordinary.
func (t *term) say(r *rest) {
	if r.refused || r.times > 1 {
		t.block(r.why)
	}
}

// failed lets a step rest.
func (t *term) failed(name string, err error) *rest {
	r := t.rests[name]
	if r == nil {
		r = &rest{}
		t.rests[name] = r
	}
	r.times++
	r.why, r.refused = fmt.Sprintf("%s: %v", name, err), errors.Is(err, protocol.ErrRefused)
	next := t.now.Add(r.afterStep(err))
	if r.until = (time.Time{}); lasts(err) {
		r.until = next
	}
	t.sooner(next)
	return r
}

// conflicted notes that another client had changed what a step was to write. Once is ordinary; what
// goes on is said.
func (t *term) conflicted(name string, err error) {
	t.e.m.conflicts.Inc()
	t.e.log.Warn("another client changed what was being written; reading again", "step", name, "error", err)
	t.dirty = true
	t.say(t.failed(name, err))
}

// refused notes that a step was impossible. The others go on; it is tried again after a pause.
func (t *term) refused(name string, err error) {
	t.block(t.failed(name, err).why)
	if t.now.Sub(t.refusals[name]) > time.Minute {
		t.refusals[name] = t.now
		t.e.log.Error("a step was refused", "step", name, "error", err)
	}
}

// refusedSteps says what ZooKeeper refuses at present.
func (t *term) refusedSteps() string {
	var whys []string
	for _, r := range t.rests {
		if r.refused {
			whys = append(whys, r.why)
		}
	}
	slices.Sort(whys)
	return strings.Join(whys, "; ")
}

// serve makes creates durable between the rounds of another step, which goes on where these cannot
// be written.
func (t *term) serve(ctx context.Context) error {
	if t.resting(stepCreate) {
		return nil
	}
	switch _, err := t.propose(t.creating, atCreates)(ctx); {
	case err == nil:
	case errors.Is(err, protocol.ErrConflict):
		t.conflicted(stepCreate, err)
	case t.ends(ctx, err):
		return err
	default:
		t.refused(stepCreate, err)
	}
	return nil
}

// Trouble says why a kind is not written, by what a replica knows of it; "" if nothing stands
// against it. st may be nil. What is unreadable every replica sees; what ZooKeeper refuses, and
// that somebody else edits too much, the leader alone knows.
func Trouble(st *protocol.State, p *orders.Progress) string {
	alarm := p.Alarm
	if st != nil {
		alarm = cmp.Or(alarm, st.Fault())
	}
	switch {
	case alarm != "":
		return "the kind is stopped: " + alarm
	case p.Refused != "":
		return "zookeeper refuses what is to be written: " + p.Refused
	}
	return ""
}
