package loop

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Pauses are the times between two attempts at what fails again and again. They double while
// ZooKeeper refuses it, and while it finds that another client has changed what is to be written:
// another attempt changes neither. After every other failure the first pause is kept. The zero
// value has seen no failure.
type Pauses struct{ first, next time.Duration }

const (
	// Retry is the first pause after what failed, LastRetry the longest.
	Retry, LastRetry = time.Second, 30 * time.Second
	// conflictPause keeps two writers of the same znodes from a race that neither wins;
	// lastConflict is the longest.
	conflictPause, lastConflict = 50 * time.Millisecond, 5 * time.Second
)

// After is the pause after err, of a read or a term.
func (p *Pauses) After(err error) time.Duration { return p.grow(err, Retry, LastRetry) }

// afterStep is the pause after err, of a step.
func (p *Pauses) afterStep(err error) time.Duration {
	if errors.Is(err, protocol.ErrConflict) {
		return p.grow(err, conflictPause, lastConflict)
	}
	return p.After(err)
}

func (p *Pauses) grow(err error, first, last time.Duration) time.Duration {
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

// failure is that of a step that failed when it was last tried; the zero value: it did not.
type failure struct {
	pauses Pauses
	// until is when it may be tried again; zero: whenever the loop is passed. Without that, each
	// pass would try it.
	until time.Time
	// times is how often it failed in a row; text is the last error, refused whether ZooKeeper
	// refused it.
	times   int
	text    string
	refused bool
}

// worthSaying is why it failed; "" if that is ordinary: another client has changed a znode once.
func (f *failure) worthSaying() string {
	if f.refused || f.times > 1 {
		return f.text
	}
	return ""
}

// failed has the step back off, until next.
func (s *step) failed(err error, now time.Time) (next time.Time) {
	f := &s.failure
	f.times++
	f.text, f.refused = fmt.Sprintf("%s: %v", s.name, err), errors.Is(err, protocol.ErrRefused)
	next = now.Add(f.pauses.afterStep(err))
	if f.until = (time.Time{}); lasts(err) {
		f.until = next
	}
	return next
}

// refusals says what ZooKeeper refuses at present.
func refusals(all []step) string {
	var whys []string
	for i := range all {
		if f := &all[i].failure; f.refused {
			whys = append(whys, f.text)
		}
	}
	slices.Sort(whys)
	return strings.Join(whys, "; ")
}
