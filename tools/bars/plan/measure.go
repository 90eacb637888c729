package main

import (
	"cmp"
	"runtime"
	"slices"
	"time"
)

// planner makes one plan. prepare, if set, runs before each plan and is not timed.
type planner struct {
	name    string
	repeat  int // plans a round, to time what takes microseconds
	prepare func() error
	plan    func() (answer, error)
}

// answer is what a planner says: how many resources move, and how many the fullest holds more than the emptiest. It is computed
// after the clock has stopped.
type answer func() (moves int, spread float64, err error)

// result is the median of the rounds.
type result struct {
	ms        float64
	allocated float64 // bytes a plan
	moves     int
	spread    float64
	times     []float64 // ms, by round
}

// takeTurns lets each planner plan in each round. Ratios are to be taken round by round, then their median.
func takeTurns(rounds int, planners ...planner) ([]result, error) {
	results := make([]result, len(planners))
	for round := range rounds {
		for i := range planners {
			// Each second round goes the other way.
			if round%2 == 1 {
				i = len(planners) - 1 - i
			}
			if err := once(&planners[i], &results[i]); err != nil {
				return nil, err
			}
		}
	}
	for i := range results {
		results[i].ms = median(results[i].times)
	}
	return results, nil
}

func once(p *planner, r *result) error {
	var spent time.Duration
	var allocated uint64
	var last answer
	runtime.GC()
	for range max(1, p.repeat) {
		if p.prepare != nil {
			if err := p.prepare(); err != nil {
				return err
			}
		}
		before := totalAlloc()
		begun := time.Now()
		said, err := p.plan()
		spent += time.Since(begun)
		allocated += totalAlloc() - before
		if err != nil {
			return err
		}
		last = said
	}
	n := max(1, p.repeat)
	r.times = append(r.times, float64(spent.Nanoseconds())/1e6/float64(n))
	r.allocated = float64(allocated) / float64(n)
	var err error
	r.moves, r.spread, err = last()
	return err
}

func totalAlloc() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func median[T cmp.Ordered](v []T) T {
	sorted := slices.Sorted(slices.Values(v))
	return sorted[len(sorted)/2]
}

// timesOf is the median, over the rounds, of how many times as long a takes as b.
func timesOf(a, b result) float64 {
	ratios := make([]float64, len(a.times))
	for i := range ratios {
		ratios[i] = a.times[i] / b.times[i]
	}
	return median(ratios)
}
