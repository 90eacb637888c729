package zk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/go-zookeeper/zk"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// A hard quota refuses what would exceed it, alone and in a transaction. That is an answer: nothing
// was done, nothing is sent again, and what takes away goes on.
func TestAQuotaIsARefusal(t *testing.T) {
	z := servers.Require(t, servers.PartZooKeeper).NewZooKeeper(t, 1, servers.EnforceQuota)
	c, s := leading(t, z.Connect+"/chroot", 2, 10)
	fill(t, c, s, 0, names("a", 4))
	m, err := protocol.Create(s, 7, []string{"p"})
	commit(t, c, s, m, err)
	servers.HardQuota(t, z.Dial(t), "/chroot", 5, 100)

	before := s.Clone()
	// the server refuses shorter data, too, while the quota is exceeded
	refused := map[string]int{"create": 1, "keep": 1, "revoke": 2}
	for step, make := range map[string]func() (protocol.Multi, error){
		"create": func() (protocol.Multi, error) { return protocol.Create(s, 9, []string{"new"}) },
		"keep":   func() (protocol.Multi, error) { return protocol.StoreDoc(s, "scaler", []byte(`{"v":1}`)) },
		"revoke": func() (protocol.Multi, error) { return protocol.Revoke(s, 0, []string{"a0"}, []int{1}, "uid") },
	} {
		m, err := make()
		require.NoError(t, err)
		sent := received(t, z.Servers[0].Addr)
		err = c.Commit(patient(t), s, m)
		require.ErrorIs(t, err, protocol.ErrRefused, step)
		require.NotErrorIs(t, err, protocol.ErrUnavailable, step)
		require.ErrorContains(t, err, "quota exceeded (-125)", step)
		require.ErrorContains(t, err, m.Ops[refused[step]].Path, "it names the znode")
		require.Less(t, received(t, z.Servers[0].Addr)-sent, 10, "it is sent once")
		require.InDelta(t, 1, testutil.ToFloat64(c.metrics.commits.WithLabelValues(m.Step, "refused")), 0)
	}
	same(t, before, s)
	reload(t, z.Connect+"/chroot", s)
	deeper := client(t, Config{Servers: z.Connect + "/chroot/deeper"})
	eventually(t, "the reason why a single call was refused", func() bool {
		_, trouble := deeper.Connected()
		return strings.Contains(trouble.Error(), "create chroot /chroot/deeper: zk: quota exceeded (-125)")
	})

	m, err = protocol.DeletePooled(s, protocol.Take{Name: "1-7"})
	commit(t, c, s, m, err)
	reload(t, z.Connect+"/chroot", s)
}

// What an error says of a write: the server refused it, a znode had changed, or nothing is known
// and it is to be settled.
func TestErrorsOfTheServer(t *testing.T) {
	for text, want := range map[string]error{
		"unknown error: -125": protocol.ErrRefused, // quota
		"unknown error: -127": protocol.ErrRefused, // throttled
		"unknown error: -119": protocol.ErrRefused, // read-only server
		"unknown error: -126": protocol.ErrRefused, // not assigned yet
		"unknown error: -300": protocol.ErrRefused,
		// an operation that the server does not know
		"unknown error: -6":   protocol.ErrRefused,
		"unknown error: -122": protocol.ErrUnavailable, // a time-out
		// troubles within the server, perhaps after the write
		"unknown error: -1":  protocol.ErrUnavailable,
		"unknown error: -5":  protocol.ErrUnavailable,
		"unknown error: -13": protocol.ErrUnavailable,
		"unknown error: x":   protocol.ErrUnavailable,
	} {
		err := named(errors.New(text))
		require.Equal(t, errors.Is(want, protocol.ErrRefused), isConflict(err) || isRefusal(err), text)
		require.ErrorIs(t, unavailable(err), want, text)
		m := protocol.Multi{Ops: []protocol.Op{{Path: "/head"}, {Path: "/list"}, {Path: "/reload"}}}
		answers := []zk.MultiResponse{{}, {Error: errors.New(text)}, {Error: errors.New("unknown error: -2")}}
		require.Equal(t, errors.Is(want, protocol.ErrRefused), errors.Is(rejection(m, answers, errors.New(text)), protocol.ErrRefused), text)
	}
	for _, err := range []error{zk.ErrNoAuth, zk.ErrInvalidACL, zk.ErrBadArguments} {
		require.ErrorIs(t, unavailable(named(err)), protocol.ErrRefused)
	}
	for _, err := range []error{
		zk.ErrConnectionClosed, zk.ErrClosing, zk.ErrSessionExpired, zk.ErrSessionMoved, zk.ErrAPIError, zk.ErrShortBuffer, errLost,
		context.DeadlineExceeded, errors.New("anything else"),
	} {
		require.False(t, isConflict(named(err)) || isRefusal(named(err)), err)
		require.ErrorIs(t, unavailable(named(err)), protocol.ErrUnavailable)
	}
	require.EqualError(t, named(errors.New("unknown error: -125")), "zk: quota exceeded (-125)")
	require.EqualError(t, named(errors.New("unknown error: -300")), "zk: server error (-300)")
	require.NoError(t, named(nil))
}

// A server that answers at once and says nothing of the outcome is not asked again without a pause,
// nor for longer than the call may take.
func TestSettlingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := bounded(t.Context())
		defer cancel()
		tries := 0
		err := untilAnswered(ctx, func() error {
			tries++
			return fmt.Errorf("%w: %w", protocol.ErrUnavailable, serverError(-5))
		})
		require.ErrorIs(t, err, protocol.ErrUnavailable)
		require.ErrorIs(t, err, serverError(-5), "it says why")
		require.Less(t, tries, 30)

		tries = 0
		require.NoError(t, untilAnswered(t.Context(), func() error {
			if tries++; tries < 3 {
				return protocol.ErrUnavailable
			}
			return nil
		}))
		require.Equal(t, 3, tries)
		require.ErrorIs(t, untilAnswered(t.Context(), func() error { return protocol.ErrConflict }), protocol.ErrConflict)
	})
}

// received is the number of packets that a server has got since its start.
func received(t *testing.T, addr string) int {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("srvr"))
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	_, after, found := strings.Cut(string(answer), "Received: ")
	require.True(t, found, "%s", answer)
	n, err := strconv.Atoi(strings.Fields(after)[0])
	require.NoError(t, err)
	return n
}
