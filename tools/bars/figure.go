package main

import (
	"cmp"
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

// figure is one number that is promised. Its bar, such as "<=10", begins with <=, >=, < or >;
// empty: there is none.
type figure struct{ name, bar string }

// figures reads figures that are written as their name and, after a space, their bar if they have
// one.
func figures(texts ...string) (all []figure) {
	for _, text := range texts {
		name, bar, _ := strings.Cut(text, " ")
		all = append(all, figure{name, bar})
	}
	return all
}

func (f figure) holds(v float64) bool {
	if f.bar == "" {
		return !math.IsNaN(v)
	}
	limit, err := strconv.ParseFloat(strings.TrimLeft(f.bar, "<>="), 64)
	if err != nil {
		panic(err) // the table is in this program
	}
	return strings.Contains(f.bar, "=") && v == limit || f.bar[0] == '<' && v < limit || f.bar[0] == '>' && v > limit
}

// printed is the bar as it is printed and on the page.
func (f figure) printed() string { return cmp.Or(f.bar, "-") }

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
		if ran && f.holds(v) {
			verdict = "ok"
		} else {
			r.short++
		}
		r.printed++
		fmt.Fprintln(r.out, "bar", g.name+"_"+f.name, text, f.printed(), verdict)
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
