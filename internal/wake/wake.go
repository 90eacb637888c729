// Package wake tells a loop that there is something to do, or lets it pause.
//
// In: wakes, from any goroutine. Out: one token, however often the loop was woken since it took the
// last. Invariant: no wake waits, and a wake after the loop took a token leaves another.
package wake

import (
	"context"
	"time"
)

// Signal is what a loop receives from. Make it with New.
type Signal chan struct{}

// New returns a Signal that holds no token.
func New() Signal { return make(Signal, 1) }

// Wake leaves a token, unless there is one.
func (s Signal) Wake() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// Until is the time from now to the next multiple of every by the clock, and after beyond that: what
// several processes wait for they do together. It is more than 0 and at most every.
func Until(now time.Time, every, after time.Duration) time.Duration {
	begun := now.Add(-after)
	return begun.Truncate(every).Add(every).Sub(begun.Round(0))
}

// Sleep returns true after d, or false as soon as ctx ends.
func Sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
