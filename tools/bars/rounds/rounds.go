// Package rounds makes figures of what was measured in rounds. Two things that are compared take
// turns in each round, so that what else the machine does weighs on both alike, and the comparison
// is the median of the rounds' ratios.
package rounds

import (
	"math"
	"slices"
	"time"
)

// Since is the time since then, in ms.
func Since(began time.Time) float64 { return time.Since(began).Seconds() * 1e3 }

// Alternate does one after the other, and in each second round the other way.
func Alternate(round int, do ...func()) {
	if round%2 == 1 {
		slices.Reverse(do)
	}
	for _, do := range do {
		do()
	}
}

// Quantile is the smallest value that at least the share q of the values do not exceed; NaN when
// there are none.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// Median is the quantile 0.5.
func Median(values []float64) float64 { return Quantile(values, 0.5) }

// Ratio is the median, over the rounds, of how many times b is a.
func Ratio(a, b []float64) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return Median(ratios)
}
