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
	// conflictPause keeps two who write the same znodes from a race that neither wins; lastConflict
	// is the longest.
	conflictPause, lastConflict = 50 * time.Millisecond, 5 * time.Second
)

// After is the pause after err, of a look or a term.
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

// failures are those of the steps, by the step's name.
type failures struct {
	now map[string]*failure
	// said is when an error of a step was last logged.
	said map[string]time.Time
}

// failure is that of a step that failed when it was last tried.
type failure struct {
	pauses Pauses
	// until is when it may be tried again; zero: whenever the loop is passed.
	until time.Time
	// times is how often it failed in a row; text is the last error, refused whether ZooKeeper
	// refused it.
	times   int
	text    string
	refused bool
}

func newFailures() failures {
	return failures{now: map[string]*failure{}, said: map[string]time.Time{}}
}

// resting says until when a step waits for its next attempt, zero if it does not, and why if that is
// to be said. Without that, each pass would make it.
func (s *failures) resting(name string, now time.Time) (why string, until time.Time) {
	f := s.now[name]
	if f == nil || !now.Before(f.until) {
		return "", time.Time{}
	}
	return f.worthSaying(), f.until
}

// worthSaying is why it failed; "" if that is ordinary: another client has changed a znode once.
func (f *failure) worthSaying() string {
	if f.refused || f.times > 1 {
		return f.text
	}
	return ""
}

// failed has a step rest, until next. why is what is to be said of it.
func (s *failures) failed(name string, err error, now time.Time) (why string, next time.Time) {
	f := s.now[name]
	if f == nil {
		f = &failure{}
		s.now[name] = f
	}
	f.times++
	f.text, f.refused = fmt.Sprintf("%s: %v", name, err), errors.Is(err, protocol.ErrRefused)
	next = now.Add(f.pauses.afterStep(err))
	if f.until = (time.Time{}); lasts(err) {
		f.until = next
	}
	return f.worthSaying(), next
}

// mended says that a step has not failed.
func (s *failures) mended(name string) { delete(s.now, name) }

// why is what a step failed with.
func (s *failures) why(name string) string { return s.now[name].text }

// news says whether a failure of a step is to be logged now: once a minute it is.
func (s *failures) news(name string, now time.Time) bool {
	if now.Sub(s.said[name]) <= time.Minute {
		return false
	}
	s.said[name] = now
	return true
}

// refused says what ZooKeeper refuses at present.
func (s *failures) refused() string {
	var whys []string
	for _, f := range s.now {
		if f.refused {
			whys = append(whys, f.text)
		}
	}
	slices.Sort(whys)
	return strings.Join(whys, "; ")
}
