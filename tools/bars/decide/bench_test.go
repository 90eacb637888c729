package decide

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

// BenchmarkDecide times ours from the inputs, as a server holds them, to complete decisions: three
// signals, limits, holds, verdicts on every pod. The calculator is timed for its three proposals
// alone, without windows, bounds and rates, and its metrics client's answers are made before the
// clock starts.
func BenchmarkDecide(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	in := inputs(time.Now(), 1)
	c, err := newCalculator(in)
	require.NoError(b, err)
	var ours, theirs []float64
	sum := 0
	for round := 0; b.Loop(); round++ {
		c.metrics.prepare(in)
		rounds.Alternate(round, func() {
			runtime.GC()
			began := time.Now()
			for i := range in {
				d := decide.Decide(in[i])
				sum += d.Desired + len(d.Health.Verdicts)
			}
			ours = append(ours, rounds.Since(began))
		}, func() {
			runtime.GC()
			began := time.Now()
			for n := range in {
				size, err := c.size(b.Context(), n)
				require.NoError(b, err)
				sum += size
			}
			theirs = append(theirs, rounds.Since(began))
		})
	}
	runtime.KeepAlive(sum) // else the compiler may leave out what is not read
	b.Logf("%d targets of %d pods, three signals: ours %.1f ms, the HPA's calculator %.1f ms", targets, podsPerTarget,
		rounds.Median(ours), rounds.Median(theirs))
	b.ReportMetric(rounds.Median(ours), "1000_targets_ms")
	b.ReportMetric(rounds.Ratio(theirs, ours), "real_calculator_time_over_ours_ratio")
}
