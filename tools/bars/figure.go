package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// figure is one number that is promised. Its name begins with that of its group and ends with its unit.
type figure struct {
	name  string
	bound bound
}

// bound is what a figure must keep; the zero bound is none.
type bound struct {
	sense string // "<=", ">=" or none
	value float64
}

func atMost(v float64) bound  { return bound{"<=", v} }
func atLeast(v float64) bound { return bound{">=", v} }

func (b bound) holds(v float64) bool {
	switch b.sense {
	case "<=":
		return v <= b.value
	case ">=":
		return v >= b.value
	}
	return !math.IsNaN(v)
}

func (b bound) String() string {
	if b.sense == "" {
		return "-"
	}
	return b.sense + strconv.FormatFloat(b.value, 'f', -1, 64)
}

// group is figures that are measured together. It has figures and measure, or else relay.
type group struct {
	name    string
	figures []figure
	// measure returns what it measured, by figure, also beside an error.
	measure func(context.Context, *bench) (map[string]float64, error)
	// relay runs another program that prints figures whose names begin with the group's, and gives its lines to say.
	relay func(ctx context.Context, b *bench, only string, say func(line string)) error
}

// report prints lines and counts.
type report struct {
	out            io.Writer
	only           string
	printed, short int
}

func (r *report) picks(name string) bool { return strings.HasPrefix(name, r.only) }

// picksAny says whether a group may have a figure that is picked; of another program's, only the beginning of the names is known.
func (r *report) picksAny(g group) bool {
	if g.relay != nil {
		return strings.HasPrefix(g.name, r.only) || strings.HasPrefix(r.only, g.name)
	}
	return slices.ContainsFunc(g.figures, func(f figure) bool { return r.picks(f.name) })
}

// run measures a group and prints its picked figures.
func (g group) run(ctx context.Context, b *bench, r *report) error {
	if g.relay != nil {
		return g.runRelay(ctx, b, r)
	}
	measured, err := g.measure(ctx, b)
	for _, f := range g.figures {
		if v, ok := measured[f.name]; r.picks(f.name) {
			r.print(f, v, ok)
		}
	}
	return err
}

// runRelay passes lines on; a program that prints none is one figure that did not run.
func (g group) runRelay(ctx context.Context, b *bench, r *report) error {
	before := r.printed
	var unread error
	err := g.relay(ctx, b, r.only, func(line string) { unread = errors.Join(unread, r.pass(line)) })
	err = errors.Join(err, unread)
	if err == nil && r.printed == before {
		err = fmt.Errorf("it printed no figure that begins with %q", r.only)
	}
	if err != nil && r.short == 0 { // else its own lines have said it
		r.print(figure{name: g.name}, 0, false)
	}
	return err
}

// print prints one line.
func (r *report) print(f figure, v float64, ran bool) {
	r.printed++
	text, verdict := "-", "short"
	if ran {
		text = number(v)
	}
	if ran && f.bound.holds(v) {
		verdict = "ok"
	} else {
		r.short++
	}
	fmt.Fprintln(r.out, "bar", f.name, text, f.bound, verdict)
}

// pass prints a line of another program if its figure is picked. Lines that are no figures are passed over.
func (r *report) pass(line string) error {
	fields := strings.Fields(line)
	if len(fields) == 0 || fields[0] != "bar" {
		return nil
	}
	if verdict := fields[len(fields)-1]; len(fields) != 5 || verdict != "ok" && verdict != "short" {
		return fmt.Errorf("read figure %q: want bar NAME MEASURED BOUND ok|short", line)
	}
	if !r.picks(fields[1]) {
		return nil
	}
	r.printed++
	if fields[4] == "short" {
		r.short++
	}
	fmt.Fprintln(r.out, strings.Join(fields, " "))
	return nil
}

func printNames(out io.Writer, groups []group) {
	for _, g := range groups {
		if g.relay != nil {
			fmt.Fprintln(out, g.name+"…")
		}
		for _, f := range g.figures {
			fmt.Fprintln(out, f.name, f.bound)
		}
	}
}

// number writes three significant digits, and no exponent.
func number(v float64) string {
	decimals := 0
	for limit := 100.0; decimals < 3 && math.Abs(v) < limit; limit /= 10 {
		decimals++
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// quantile is the smallest value that at least the share q of the values do not exceed; NaN when there are none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func median(values []float64) float64 { return quantile(values, 0.5) }
