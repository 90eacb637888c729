package app

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/opstest"
)

// Real documents: what a moment changes by its age alone is no change, and what one costs.
func TestTimeAloneChangesNothingOfRealDocuments(t *testing.T) {
	frame := func(prev *delta.Frame, after time.Duration) *delta.Frame {
		v, err := opstest.View(500)
		require.NoError(t, err)
		v.Now = v.Now.Add(after)
		f, err := delta.NextFrame(prev, v.Now, []delta.Seen{{Kind: ops.KindOf(v), Instances: ops.InstancesOf(v)}})
		require.NoError(t, err)
		return f
	}
	first := frame(nil, 0)
	require.True(t, first.Same(frame(first, 3*time.Second)))
	whole, err := delta.Change(nil, first.Kinds[0].Version)
	require.NoError(t, err)
	t.Logf("500 instances: %d bytes", len(whole))
}

func BenchmarkSeen500Instances(b *testing.B) {
	v, err := opstest.View(500)
	require.NoError(b, err)
	for b.Loop() {
		_, err := delta.NextFrame(nil, v.Now, []delta.Seen{{Kind: ops.KindOf(v), Instances: ops.InstancesOf(v)}})
		require.NoError(b, err)
	}
}
