package steps

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// What goes to one target has a piece of its own, unless there are many targets, or all of it would
// not fit into one transaction.
func TestWhatIsRevokedIsSetApartByItsTarget(t *testing.T) {
	in := &protocol.Instance{Bytes: 4000}
	require.Equal(t, []int{2, 5, 6}, apart(in, []int{7, 7, 8, 8, 8, 9}))
	require.Equal(t, []int{1}, apart(in, []int{7}))

	to := make([]int, 400)
	for i := range to {
		to[i] = i / 2 // 200 targets
	}
	ends := apart(in, to)
	require.LessOrEqual(t, len(ends), maxApart)
	require.Equal(t, 14, ends[0], "seven targets")
	require.Equal(t, len(to), ends[len(ends)-1])

	in.Bytes = protocol.MaxMultiBytes
	require.Equal(t, []int{len(to)}, apart(in, to))
}
