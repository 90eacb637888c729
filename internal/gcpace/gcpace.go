// Package gcpace lets the heap grow to about the same size, however much of it is alive.
//
// In: what the last collection found alive, and how many kinds there are. Out: the percentage for the
// next, and the limit for the process. By Go's own rule, a share of what is alive, 350,000 ids pile up half as much garbage in
// an import, and 10,000 pods, dearer to look through, are collected after every other answer.
// Invariant: a very large heap is not collected all the time; GOGC, if set, holds, and the limit is
// never above GOMEMLIMIT.
package gcpace

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

const (
	// goal is how large the heap may grow, in bytes, and room how much it may in any case.
	goal, room = 64 << 20, 6 << 20
	// perKind is how much larger both may be for each kind. What loops make for each kind at rest is
	// garbage: of 200 kinds, two collections a second took more than all else.
	perKind = 300 << 10
	// Bounds of the share, in percent.
	least, most = 12, 200
	// whole, in bytes, is what the process may take before it gives back what it has freed and
	// collects sooner, beside what it may in any case beside a quarter more than is alive.
	whole, beside = 86 << 20, 26 << 20
)

// kinds is how many there are.
var kinds atomic.Int64

// Kinds says how many kinds there are, from the next collection on.
func Kinds(n int) { kinds.Store(int64(n)) }

// Start paces the collector from now on, unless GOGC is set.
func Start() {
	if os.Getenv("GOGC") != "" {
		return
	}
	const asItIs = -1
	p := &pacer{live: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}, given: debug.SetMemoryLimit(asItIs)}
	p.set(most, whole)
	afterEach(p.adjust)
}

type pacer struct {
	live []metrics.Sample
	// given is GOMEMLIMIT: a pod's memory, which is mostly more than is needed.
	given   int64
	percent int
	limit   int64
}

// adjust follows a collection.
func (p *pacer) adjust() {
	metrics.Read(p.live)
	live := p.live[0].Value.Uint64()
	more := uint64(kinds.Load() * perKind)
	p.set(percentFor(live, more), limitFor(live, more))
}

// set changes share and limit where that makes a difference: it stops the world.
func (p *pacer) set(percent int, limit int64) {
	if differs(p.percent, percent) {
		p.percent = percent
		debug.SetGCPercent(percent)
	}
	if limit = min(limit, p.given); differs(p.limit, limit) {
		p.limit = limit
		debug.SetMemoryLimit(limit)
	}
}

// differs says whether a change is worth making.
func differs[N int | int64](was, is N) bool {
	const worthwhile = 10 // parts of what it was
	return (is-was)*worthwhile > was || (was-is)*worthwhile > was
}

// percentFor is the share that lets the heap reach its goal, and more for the kinds.
func percentFor(live, more uint64) int {
	const all = 100
	grows := max(goal, live+room) - live + more
	return min(max(int(all*grows/max(live, 1)), least), most)
}

// limitFor is what the process may take.
func limitFor(live, more uint64) int64 { return int64(max(whole, live+live/4+beside) + more) }

// afterEach calls f after every collection: an unreachable value is finalized then.
func afterEach(f func()) {
	type sentinel struct{ _ *byte } // with a pointer, so that it is not put together with others
	var finalize func(*sentinel)
	finalize = func(s *sentinel) {
		f()
		runtime.SetFinalizer(s, finalize)
	}
	runtime.SetFinalizer(&sentinel{}, finalize)
}
