// Command plan measures the planner, and the same worlds through other people's planners, in one run: franz-go's sticky balancer,
// buraksezer/consistent, a rendezvous library, and a greedy planner by weight as Cadence has it.
//
// In: nothing but the environment variable ONLY, a prefix of names. Out: on standard output a line a figure,
// `bar <name with its unit> <measured> <bound or -> ok|short`; on standard error a table of all planners. Every run of ours is checked:
// it must have exactly the least number of moves and say so.
//
// Who is compared takes turns; the figures are medians. Capacity is unlimited and no constraint is set, since the others know none.
// Ours is timed from the world, with its lists as they are stored, to all moves, targets and the bound; the others from whatever they
// have prepared for themselves to their answer.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

func main() {
	r := &report{only: os.Getenv("ONLY")}
	for _, g := range []func(*report) error{growthAndShrink, large, text, weighted, offline} {
		if err := g(r); err != nil {
			fmt.Fprintln(os.Stderr, "plan:", err)
			r.short = true
		}
	}
	r.table()
	if r.short {
		os.Exit(1)
	}
}

// report prints figures as they come and collects the table.
type report struct {
	only  string
	short bool
	rows  []row
}

// row is one planner in one world.
type row struct {
	world, planner   string
	ms, times        float64 // times: how many times as long as ours
	moves, bound     int
	spread           string
	allocatedPerMove float64
}

func (r *report) wants(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, r.only) || strings.HasPrefix(r.only, n) })
}

// figure prints a figure; sense is "<=" or ">=", or "" for none.
func (r *report) figure(name string, v float64, sense string, bound float64) {
	if !strings.HasPrefix(name, r.only) {
		return
	}
	ok := sense == "" || sense == "<=" && v <= bound || sense == ">=" && v >= bound
	limit, verdict := "-", "ok"
	if sense != "" {
		limit = fmt.Sprintf("%s%g", sense, bound)
	}
	if !ok {
		verdict, r.short = "short", true
	}
	fmt.Printf("bar %s %.4g %s %s\n", name, v, limit, verdict)
}

func (r *report) table() {
	if len(r.rows) == 0 {
		return
	}
	fmt.Fprintf(os.Stderr, "%-34s %-26s %10s %10s %10s %10s %12s %12s\n",
		"world", "planner", "ms", "x ours", "moves", "x bound", "spread", "bytes/move")
	for _, w := range r.rows {
		over := "-"
		if w.bound > 0 {
			over = fmt.Sprintf("%.2f", float64(w.moves)/float64(w.bound))
		}
		fmt.Fprintf(os.Stderr, "%-34s %-26s %10.3f %10.1f %10d %10s %12s %12.1f\n",
			w.world, w.planner, w.ms, w.times, w.moves, over, w.spread, w.allocatedPerMove)
	}
}
