package workload

import (
	"hash/fnv"
	"sync"

	"k8s.io/apimachinery/pkg/util/sets"
)

// work is what one instance runs, and tells the run log of every change. Under one lock, so that
// nothing is started after a halt.
type work struct {
	runs   *RunLog
	of     Record      // what all its records have in common
	fenced func() bool // nothing may be started now

	mu   sync.Mutex
	held sets.Set[string]
	// applied is the `_reload.times` last acknowledged; current says that held is what was read
	// then.
	applied int64
	current bool
	over    bool
}

// diff compares what runs with what should.
func (w *work) diff(want []string) (stops, starts []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wanted := sets.New(want...)
	return sets.List(w.held.Difference(wanted)), sets.List(wanted.Difference(w.held))
}

func (w *work) stop(times int64, reason string, ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current = false
	if w.over || len(ids) == 0 {
		return
	}
	w.held.Delete(ids...)
	w.write(EventStop, times, reason, ids)
}

func (w *work) start(times int64, ids []string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || w.fenced() {
		return false
	}
	if len(ids) > 0 {
		w.write(EventRun, times, "", ids)
	}
	w.held.Insert(ids...)
	w.applied, w.current = times, true
	return true
}

// halt stops everything at once; with final, nothing is ever started again.
func (w *work) halt(reason string, final bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = w.over || final
	w.current = false
	if len(w.held) == 0 {
		return
	}
	ids := sets.List(w.held)
	clear(w.held)
	w.write(EventStop, 0, reason, ids)
}

func (w *work) write(event Event, times int64, reason string, ids []string) {
	r := w.of
	r.Event, r.Times, r.Reason, r.IDs = event, times, reason, ids
	w.runs.write(r)
}

func (w *work) isCurrent(times int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.current && w.applied == times
}

func (w *work) appliedTimes() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.applied
}

func (w *work) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.held)
}

// ids are those that run, sorted.
func (w *work) ids() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return sets.List(w.held)
}

// HashIDs is the sum of the ids' FNV-1a hashes: equal sets have equal sums, in whatever order they
// are listed.
func HashIDs(ids []string) uint64 {
	var sum uint64
	h := fnv.New64a()
	for _, id := range ids {
		h.Reset()
		_, _ = h.Write([]byte(id))
		sum += h.Sum64()
	}
	return sum
}
