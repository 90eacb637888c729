package zk

import (
	"fmt"
	"runtime"
	"testing"
	"weak"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/stretchr/testify/require"
)

// A server refreshes for months: what it has read must not keep alive what it had read before.
func TestStateKeepsNoEarlierOneAlive(t *testing.T) {
	connect, raw := store(t)
	c, s := leading(t, connect, 2, 5)
	raw.status(t, 0, `{"times":0,"pod":"uid-0"}`)
	var earlier []weak.Pointer[protocol.State]
	for times := range 3 {
		earlier = append(earlier, weak.Make(s))
		_, err := raw.Set(raw.root+protocol.StatusPath(thing, 0), fmt.Appendf(nil, `{"times":%d,"pod":"uid-0"}`, times), -1)
		require.NoError(t, err)
		fresh, changed, err := c.Read(patient(t), thing, s)
		require.NoError(t, err)
		require.True(t, changed)
		s = fresh
	}
	runtime.GC()
	for i, state := range earlier {
		require.Nil(t, state.Value(), "State %d is still alive", i)
	}
	require.Equal(t, int64(2), s.Instances[0].Status.Times)
}
