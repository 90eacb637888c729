package zk

import (
	"context"
	"errors"
	"testing"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/stretchr/testify/require"
)

// full is 100 instances with 5,000 resources each, all of them alive.
func full(b *testing.B) (*Client, *protocol.State) {
	connect, raw := store(b)
	c, s := leading(b, connect, 100, 5000)
	for n := range 100 {
		fill(b, c, s, n, uuids(5000, n*5000))
		raw.status(b, n, "")
	}
	s, _, err := c.Read(context.Background(), s.Kind, s)
	require.NoError(b, err)
	return c, s
}

func BenchmarkLoad500k(b *testing.B) {
	c, s := full(b)
	for b.Loop() {
		s, _, err := c.Read(context.Background(), s.Kind, nil)
		require.NoError(b, err)
		require.Equal(b, 500_000, s.Assigned())
	}
}

// What a follower or leader pays every few seconds when nothing changes.
func BenchmarkRefreshUnchanged100(b *testing.B) {
	c, s := full(b)
	for b.Loop() {
		_, changed, err := c.Read(context.Background(), s.Kind, s)
		require.NoError(b, err)
		require.False(b, changed)
	}
}

// All lists at once: 50 resources leave each and come to the next.
func BenchmarkMoveEverywhere(b *testing.B) {
	c, s := full(b)
	ctx := context.Background()
	for b.Loop() {
		var ms []protocol.Multi
		for n := range 100 {
			m, err := protocol.Revoke(s, n, s.Instances[n].IDs.Strings()[:50], make([]int, 50), "")
			require.NoError(b, err)
			ms = append(ms, m)
		}
		require.NoError(b, errors.Join(c.CommitAll(ctx, s, ms)...))
		ms = nil
		for i, name := range s.FlightNames() {
			m, err := protocol.Grant(s, protocol.Give{To: (i + 1) % 100, From: []protocol.Take{{Name: name}}})
			require.NoError(b, err)
			ms = append(ms, m)
		}
		require.NoError(b, errors.Join(c.CommitAll(ctx, s, ms)...))
	}
}
