package zk

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/zkproxy"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

func beatsOf(t *testing.T, connect string) *Beats {
	t.Helper()
	c, err := Open(t.Context(), Config{Servers: connect}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c.Beats("iota.shardscaler")
}

func awaitChange(t *testing.T, b *Beats, why string) {
	t.Helper()
	select {
	case <-b.Changed():
	case <-time.After(20 * time.Second):
		require.Fail(t, "no change was told", why)
	}
}

func TestBeats(t *testing.T) {
	z := servers.Require(t, servers.PartZooKeeper).ZooKeeper
	root := z.Path(t)
	mine := beatsOf(t, z.Connect+root)
	proxy := zkproxy.New(t, z.Addrs()...)
	theirs := beatsOf(t, proxy.Addr()+root)
	ctx := t.Context()

	_, version, err := theirs.Read(ctx)
	require.NoError(t, err)
	require.EqualValues(t, -1, version, "there is none")
	<-theirs.Changed() // the session was opened
	a := protocol.Beat{V: 1, Holder: "a/1", Address: "a@there"}
	_, err = mine.Write(ctx, a, 0)
	require.ErrorIs(t, err, protocol.ErrFenced, "there is none")
	next, err := mine.Write(ctx, a, -1)
	require.NoError(t, err)
	require.Zero(t, next)
	awaitChange(t, theirs, "it was made")
	got, version, err := theirs.Read(ctx)
	require.NoError(t, err)
	require.Equal(t, a, got)
	require.Zero(t, version)

	next, err = mine.Write(ctx, a, 0)
	require.NoError(t, err)
	require.EqualValues(t, 1, next)
	awaitChange(t, theirs, "the same was written again")
	for _, version := range []int32{-1, 0, 2} {
		_, err = theirs.Write(ctx, protocol.Beat{Holder: "b/1"}, version)
		require.ErrorIs(t, err, protocol.ErrFenced, "version %d", version)
	}
	_, version, err = theirs.Read(ctx)
	require.NoError(t, err)
	proxy.Partition()
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err = theirs.Write(short, protocol.Beat{Holder: "b/1"}, version)
	require.ErrorIs(t, err, protocol.ErrUnavailable, "it may have been written, or may be still")
	_, _, err = theirs.Read(short)
	require.ErrorIs(t, err, protocol.ErrUnavailable)
	awaitChange(t, theirs, "the session is lost: what was read is not watched any more")
	proxy.Heal()
	wide := context.WithoutCancel(ctx)
	got, version, err = theirs.Read(wide)
	require.NoError(t, err)
	require.Contains(t, []string{"a/1", "b/1"}, got.Holder)
	_, err = theirs.Write(wide, protocol.Beat{Holder: "b/1"}, version)
	require.NoError(t, err)
}

// What is no beat, or one of another schema, is one of an unknown holder: its version counts.
func TestABeatThatCannotBeRead(t *testing.T) {
	z := servers.Require(t, servers.PartZooKeeper).ZooKeeper
	root := z.Path(t)
	b := beatsOf(t, z.Connect+root)
	conn := bare{z.Dial(t), root}
	_, err := b.Write(t.Context(), protocol.Beat{Holder: "a/1"}, -1)
	require.NoError(t, err)
	for i, text := range []string{"", "garbage", `{"v":2,"holder":"b/1"}`} {
		conn.put(t, protocol.BeatPath("iota.shardscaler"), text)
		got, version, err := b.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, protocol.Beat{Holder: unreadable}, got, "%q", text)
		require.EqualValues(t, i+1, version)
	}
}
