package rounds

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQuantiles(t *testing.T) {
	var values []float64
	for v := 100; v >= 1; v-- {
		values = append(values, float64(v))
	}
	require.InDelta(t, 50, Median(values), 0)
	require.InDelta(t, 99, Quantile(values, 0.99), 0)
	require.InDelta(t, 1, Quantile(values, 0), 0)
	require.InDelta(t, 100, Quantile(values, 1), 0)
	require.InDelta(t, 7, Median([]float64{7}), 0)
	require.True(t, math.IsNaN(Median(nil)))
}

func TestRatioIsTakenRoundByRound(t *testing.T) {
	require.InDelta(t, 2, Ratio([]float64{2, 40, 6}, []float64{1, 20, 1}), 0)
}

func TestEachSecondRoundGoesTheOtherWay(t *testing.T) {
	var order string
	for round := range 3 {
		Alternate(round, func() { order += "a" }, func() { order += "b" })
	}
	require.Equal(t, "abbaab", order)
}
