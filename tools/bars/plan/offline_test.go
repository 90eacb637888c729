package plan

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/plan/worldfile"
)

// BenchmarkOffline is what `shardscaler plan` does with 500,000 resources in JSON Lines, with
// weight and owner: read, plan, describe. Only the start of the process is missing.
func BenchmarkOffline(b *testing.B) {
	var lines bytes.Buffer
	random := rand.New(rand.NewPCG(3, 4))
	for _, id := range product.IDs(500_000, 1) {
		fmt.Fprintf(&lines, "{\"id\":%q,\"instance\":%d,\"weight\":%.3f}\n", id, min(99, int(random.ExpFloat64()*60)), random.ExpFloat64())
	}
	const world = "balance: weight\ninstances: [{ordinals: 0-99}]\nresourcesFrom: lines"
	results := takeTurns(b, planner{name: "offline", plan: func() answer {
		w, o, err := worldfile.Read(strings.NewReader(world), func(string) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(lines.Bytes())), nil
		})
		require.NoError(b, err)
		resources := 0
		for _, l := range w.Lists() {
			resources += l.IDs.Len()
		}
		require.Equal(b, 500_000, resources)
		p, err := plan.Make(w, o)
		require.NoError(b, err)
		require.NoError(b, worldfile.Write(io.Discard, p, o, "text", false))
		return func() (int, float64) { return len(p.Moves), 0 }
	}})
	b.ReportMetric(results[0].ms()/1e3, "s")
}
