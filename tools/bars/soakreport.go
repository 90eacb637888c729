package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync/atomic"
	"time"
)

// soakReport is what came of a soak.
type soakReport struct {
	things int
	long   time.Duration

	strikes                        map[string]int // by the fault's name
	replaced                       atomic.Int64   // Things
	resizes, transactions, started int
	memory                         []float64 // MB, the median of each quarter
	settled                        time.Duration
	// promises are those that were broken, in words.
	promises []string
}

func newSoakReport(things int, long time.Duration) *soakReport {
	return &soakReport{things: things, long: long, strikes: map[string]int{}}
}

func (r *soakReport) broken(format string, args ...any) {
	r.promises = append(r.promises, fmt.Sprintf(format, args...))
}

// write writes it as lines of `soak <what> <how much>`, and then what was broken.
func (r *soakReport) write(out io.Writer) {
	line := func(what string, value any) { fmt.Fprintf(out, "soak %-45s %v\n", what, value) }
	line("time", r.long)
	line("Things", r.things)
	line("instances", scaleInstances)
	line("Things replaced meanwhile", r.replaced.Load())
	line("resizes", r.resizes)
	for _, name := range slices.Sorted(maps.Keys(r.strikes)) {
		line(name, r.strikes[name])
	}
	line("all well after the last fault", r.settled.Round(100*time.Millisecond))
	line("transactions that changed who owns what", r.transactions)
	line("Things that instances started", r.started)
	line("memory of replica 0 in MB, by quarters", fmt.Sprintf("%.1f", r.memory))
	const shown = 20
	for i, promise := range r.promises {
		if i == shown {
			fmt.Fprintf(out, "soak broken: and %d more\n", len(r.promises)-shown)
			break
		}
		fmt.Fprintf(out, "soak broken: %s\n", promise)
	}
	verdict := "ok"
	if len(r.promises) > 0 {
		verdict = "failed"
	}
	line("verdict", verdict)
}
