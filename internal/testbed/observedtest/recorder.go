// Package observedtest helps the sources' tests to wait for what a source reports.
package observedtest

import (
	"fmt"
	"strings"
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
	more    chan struct{}
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
	for i := from; ; {
		r.mu.Lock()
		if i == len(r.signals) {
			if r.more == nil {
				r.more = make(chan struct{})
			}
			more := r.more
			r.mu.Unlock()
			select {
			case <-more:
				continue
			case <-deadline:
				t.Fatalf("no %s within %s; the last signals were:\n%s", what, Patience, r.last())
			}
		}
		sig := r.signals[i]
		r.mu.Unlock()
		i++
		if s, is := sig.(S); is && ok(s) {
			return s, i
		}
	}
}

func (r *Recorder) last() string {
	all := r.All()
	var b strings.Builder
	for _, sig := range all[max(0, len(all)-10):] {
		fmt.Fprintf(&b, "%T%+v\n", sig, sig)
	}
	return b.String()
}
