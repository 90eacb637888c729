package steps

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// What goes to one target has a piece of its own, unless there are many targets, or all of it would
// not fit into one transaction.
func TestWhatIsRevokedIsSetApartByItsTarget(t *testing.T) {
	ids := make([]string, 400)
	for i := range ids {
		ids[i] = fmt.Sprint(i)
	}
	in := &protocol.Instance{Bytes: 4000}
	require.Equal(t, []int{2, 5, 6}, apart(in, ids[:6], []int{7, 7, 8, 8, 8, 9}))
	require.Equal(t, []int{1}, apart(in, ids[:1], []int{7}))

	to := make([]int, len(ids))
	for i := range to {
		to[i] = i / 2 // 200 targets
	}
	ends := apart(in, ids, to)
	require.LessOrEqual(t, len(ends), maxApart)
	require.Equal(t, 14, ends[0], "seven targets")
	require.Equal(t, len(ids), ends[len(ends)-1])

	in.Bytes = protocol.MaxMultiBytes
	require.Equal(t, []int{len(ids)}, apart(in, ids, to))
}
