// Command decide measures the complete decision for many targets, and the real HPA's calculator on the same inputs in the same run.
//
// In: nothing but the environment variable ONLY, a prefix of names. Out: on standard output a line a figure,
// `bar <name with its unit> <measured> <bound or -> ok|short`; on standard error what was compared.
//
// Ours is timed from the Inputs, as a server holds them, to complete Decisions: three signals, limits, holds, verdicts on every pod.
// The calculator is timed for its three proposals alone, without windows, bounds and rates, and its metrics client's answers are made
// before the clock starts. Both take turns on one core; the figures are medians over the rounds.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/scaler/decide"
)

const rounds = 31

func main() {
	ok, err := run(os.Getenv("ONLY"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "decide:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func run(only string) (bool, error) {
	runtime.GOMAXPROCS(1)
	in := inputs(time.Now(), 1)
	c, err := newCalculator(in)
	if err != nil {
		return false, err
	}
	var ours, theirs, times []float64
	for round := range rounds {
		c.metrics.prepare(in)
		var a, b float64
		measureOurs := func() { a = timed(func() error { decideAll(in); return nil }, &err) }
		measureTheirs := func() { b = timed(func() error { return c.all() }, &err) }
		// Each second round goes the other way.
		if round%2 == 0 {
			measureOurs()
			measureTheirs()
		} else {
			measureTheirs()
			measureOurs()
		}
		if err != nil {
			return false, err
		}
		ours, theirs, times = append(ours, a), append(theirs, b), append(times, b/a)
	}
	fmt.Fprintf(os.Stderr, "%d targets of %d pods, three signals: ours %.1f ms, the HPA's calculator %.1f ms\n", targets, podsPerTarget, median(ours), median(theirs))
	fast := figure(only, "decide_1000_targets_ms", median(ours), "<", 100)
	faster := figure(only, "decide_real_calculator_time_over_ours_ratio", median(times), ">", 1)
	return fast && faster, nil
}

func timed(do func() error, err *error) float64 {
	runtime.GC()
	begun := time.Now()
	if failed := do(); failed != nil {
		*err = failed
	}
	return float64(time.Since(begun).Nanoseconds()) / 1e6
}

// decideAll keeps the compiler from leaving out what is not read.
func decideAll(in []decide.Input) {
	sum := 0
	for i := range in {
		d := decide.Decide(in[i])
		sum += d.Desired + len(d.Health.Verdicts)
	}
	runtime.KeepAlive(sum)
}

func (c *calculator) all() error {
	sum := 0
	for n := range c.inputs {
		size, err := c.size(context.Background(), n)
		if err != nil {
			return fmt.Errorf("calculator: target %d: %w", n, err)
		}
		sum += size
	}
	runtime.KeepAlive(sum)
	return nil
}

// figure prints a figure that is picked and says whether it is good.
func figure(only, name string, v float64, sense string, bound float64) bool {
	if !strings.HasPrefix(name, only) {
		return true
	}
	ok, verdict := sense == "<" && v < bound || sense == ">" && v > bound, "ok"
	if !ok {
		verdict = "short"
	}
	fmt.Printf("bar %s %.4g %s%g %s\n", name, v, sense, bound, verdict)
	return ok
}

func median(v []float64) float64 {
	sorted := slices.Sorted(slices.Values(v))
	return sorted[len(sorted)/2]
}
