// Package plan times the product's planner, and the same worlds through other people's planners:
// franz-go's sticky balancer, buraksezer/consistent, a rendezvous library, and a greedy planner by
// weight as Cadence has it.
//
// Ours is timed from the world, with its lists as they are stored, to all moves, targets and the
// bound; the others from whatever they have prepared for themselves to their answer. Capacity is
// unlimited and no constraint is set, since the others know none.
package plan

import (
	"runtime"
	"testing"
	"time"

	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

// planner makes one plan. prepare, if set, runs before each plan and is not timed.
type planner struct {
	name    string
	repeat  int // plans a round, to time what takes microseconds; 0 is 1
	rounds  int // in which it takes part; 0: all
	prepare func()
	plan    func() answer
}

// answer is what a planner says: how many resources move, and how many the fullest holds more than
// the emptiest. It is computed after the clock has stopped.
type answer func() (moves int, spread float64)

type result struct {
	times     []float64 // ms, by round
	allocated float64   // bytes a plan
	moves     int
	spread    float64
}

func (r result) ms() float64 { return rounds.Median(r.times) }

// takeTurns lets each planner plan in each round of the benchmark.
func takeTurns(b *testing.B, planners ...planner) []result {
	return takeTurnsWhile(b, func(int) bool { return b.Loop() }, planners...)
}

// takeTurnsWhile asks before each round whether there is to be one, and logs a table.
func takeTurnsWhile(b *testing.B, more func(round int) bool, planners ...planner) []result {
	results := make([]result, len(planners))
	for round := 0; more(round); round++ {
		var turns []func()
		for i, p := range planners {
			if p.rounds == 0 || round < p.rounds {
				turns = append(turns, func() { results[i].add(p) })
			}
		}
		rounds.Alternate(round, turns...)
	}
	b.Logf("%-28s %10s %10s %10s %12s %12s", "planner", "ms", "x first", "moves", "spread", "bytes/move")
	for i, r := range results {
		b.Logf("%-28s %10.3f %10.1f %10d %12.4g %12.1f", planners[i].name, r.ms(), r.ms()/results[0].ms(), r.moves, r.spread,
			r.allocated/float64(max(1, r.moves)))
	}
	return results
}

func (r *result) add(p planner) {
	var spent time.Duration
	var allocated uint64
	var said answer
	runtime.GC()
	n := max(1, p.repeat)
	for range n {
		if p.prepare != nil {
			p.prepare()
		}
		before, began := totalAlloc(), time.Now()
		said = p.plan()
		spent += time.Since(began)
		allocated += totalAlloc() - before
	}
	r.times = append(r.times, spent.Seconds()*1e3/float64(n))
	r.allocated = float64(allocated) / float64(n)
	r.moves, r.spread = said()
}

func totalAlloc() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
