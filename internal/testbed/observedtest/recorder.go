// Package observedtest helps the sources' tests to wait for what a source reports.
package observedtest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
)

// Patience is how long Await waits: so long that only what never comes fails.
const Patience = 3 * time.Minute

// Recorder keeps every signal it is given.
type Recorder struct {
	mu      sync.Mutex
	signals []observed.Signal
	more    chan struct{} // closed by the next signal; nil while no caller waits
}

// Sink takes a signal; it is what a source's Run is given.
func (r *Recorder) Sink(sig observed.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.signals = append(r.signals, sig)
	if r.more != nil {
		close(r.more)
		r.more = nil
	}
}

// All returns the signals so far.
func (r *Recorder) All() []observed.Signal {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.signals[:len(r.signals):len(r.signals)]
}

// Mark returns a position: Await with it as from looks only at what comes later.
func (r *Recorder) Mark() int { return len(r.All()) }

// Await returns the first signal of type S from position from on for which ok holds, and the
// position behind it. It waits until there is one.
func Await[S observed.Signal](t testing.TB, r *Recorder, from int, what string, ok func(S) bool) (S, int) {
	t.Helper()
	deadline := time.After(Patience)
	for {
		all, more := r.since(from)
		for _, sig := range all {
			from++
			if s, is := sig.(S); is && ok(s) {
				return s, from
			}
		}
		select {
		case <-more:
		case <-deadline:
			last := ""
			for _, sig := range r.All()[max(0, from-10):] {
				last += fmt.Sprintf("%T%+v\n", sig, sig)
			}
			t.Fatalf("no %s within %s; the last signals were:\n%s", what, Patience, last)
		}
	}
}

// since returns the signals from a position on, and what is closed when there are more.
func (r *Recorder) since(from int) ([]observed.Signal, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.more == nil {
		r.more = make(chan struct{})
	}
	return r.signals[from:len(r.signals):len(r.signals)], r.more
}
