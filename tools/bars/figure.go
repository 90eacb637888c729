package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// group is figures that are measured in one go. Its name and a figure's, which ends with a unit,
// are the name that is printed. code is the file that measures, below this folder.
type group struct {
	name, code string
	measure    measure
	figures    []figure
}

// measure returns what it measured, by the figure's own name, also beside an error.
type measure func(context.Context, *bench) (map[string]float64, error)

// figure is one number that is promised.
type figure struct {
	name  string
	bound bound
}

// bound is what a figure must keep; the zero bound is none.
type bound struct {
	sense string // "<=", ">=", "<", ">" or none
	value float64
}

func atMost(v float64) bound  { return bound{"<=", v} }
func atLeast(v float64) bound { return bound{">=", v} }
func below(v float64) bound   { return bound{"<", v} }
func above(v float64) bound   { return bound{">", v} }

func (b bound) holds(v float64) bool {
	switch b.sense {
	case "<=":
		return v <= b.value
	case ">=":
		return v >= b.value
	case "<":
		return v < b.value
	case ">":
		return v > b.value
	}
	return !math.IsNaN(v)
}

func (b bound) String() string {
	if b.sense == "" {
		return "-"
	}
	return b.sense + strconv.FormatFloat(b.value, 'f', -1, 64)
}

// report prints lines and counts.
type report struct {
	out            io.Writer
	only           string
	printed, short int
}

func (r *report) picks(g group, f figure) bool {
	return strings.HasPrefix(g.name+"_"+f.name, r.only)
}

func (r *report) picksAny(g group) bool {
	return slices.ContainsFunc(g.figures, func(f figure) bool { return r.picks(g, f) })
}

// run measures a group and prints its picked figures.
func (g group) run(ctx context.Context, b *bench, r *report) error {
	measured, err := g.measure(ctx, b)
	for _, f := range g.figures {
		if !r.picks(g, f) {
			continue
		}
		text, verdict := "-", "short"
		v, ran := measured[f.name]
		if ran {
			text = number(v)
		}
		if ran && f.bound.holds(v) {
			verdict = "ok"
		} else {
			r.short++
		}
		r.printed++
		fmt.Fprintln(r.out, "bar", g.name+"_"+f.name, text, f.bound, verdict)
	}
	return err
}

// number writes three significant digits, and no exponent.
func number(v float64) string {
	decimals := 0
	for limit := 100.0; decimals < 5 && math.Abs(v) < limit && v != 0; limit /= 10 {
		decimals++
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}
