package virtual

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/virtual"
)

// BenchmarkDay is a day in virtual time: the whole core, 43,200 ticks of it, against a ZooKeeper, a
// cluster and instances in memory, with every transaction judged by protocol rule 12.
func BenchmarkDay(b *testing.B) {
	for b.Loop() {
		day, err := virtual.NewDay(1, 350_000, 100)
		require.NoError(b, err)
		begun := time.Now()
		r, err := day.Run(b.Context())
		took := time.Since(begun)
		require.NoError(b, err)
		b.Logf("%d ticks, %d resizes, %d created, %d deleted, %d leaders, %d transactions of %d MB: digest %.16s",
			r.Ticks, r.Resizes, r.Created, r.Deleted, r.Terms, r.Transactions, r.Bytes>>20, r.Digest)
		require.Equal(b, 43_200, r.Ticks)
		require.GreaterOrEqual(b, r.Resizes, 20)
		require.GreaterOrEqual(b, r.Deleted, 25_000)
		b.ReportMetric(took.Seconds(), "day_350000_resources_100_instances_s")
	}
}
