package zk

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patient bounds what a test waits for; nothing is measured by it.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// client opens a client that ends with the test.
func client(t testing.TB, cfg Config) *Client {
	t.Helper()
	if cfg.SessionTimeout == 0 {
		cfg.SessionTimeout = 4 * time.Second
	}
	c, err := Open(context.Background(), cfg, slog.New(slog.NewTextHandler(t.Output(), nil)), prometheus.NewRegistry())
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// Commit is CommitAll of one transaction.
func (c *Client) Commit(ctx context.Context, s *protocol.State, m protocol.Multi) error {
	return c.CommitAll(ctx, s, []protocol.Multi{m})[0]
}

// granted is the timeout of the present session.
func granted(t testing.TB, c *Client) time.Duration {
	t.Helper()
	sess, err := c.link.await(patient(t))
	require.NoError(t, err)
	return sess.timeout()
}

// leading is a client that leads, and its State, with open instances 0 to n-1.
func leading(t testing.TB, connect string, n, capacity int) (*Client, *protocol.State) {
	t.Helper()
	c := client(t, Config{Servers: connect})
	s, err := c.Lead(patient(t), thing, "pod/"+t.Name())
	require.NoError(t, err)
	var open []int
	for i := range n {
		m, err := protocol.AddOrdinal(s, i, capacity)
		commit(t, c, s, m, err)
		open = append(open, i)
	}
	m, err := protocol.SetOpen(s, open)
	commit(t, c, s, m, err)
	return c, s
}

func commit(t testing.TB, c *Client, s *protocol.State, m protocol.Multi, err error) {
	t.Helper()
	require.NoError(t, err)
	require.NoError(t, c.Commit(patient(t), s, m))
}

// reload reads everything with a client of its own and compares it with s.
func reload(t testing.TB, connect string, s *protocol.State) *protocol.State {
	t.Helper()
	fresh, _, err := client(t, Config{Servers: connect}).Read(patient(t), s.Kind, nil)
	require.NoError(t, err)
	same(t, fresh, s)
	require.NoError(t, fresh.Check())
	return fresh
}

// eventually waits for a condition; what is awaited is not timed.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx := patient(t)
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("still not: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// bare is the naked client, and where the tests' chroot is.
type bare struct {
	*zk.Conn
	root string
}

func (b bare) put(t testing.TB, path, data string) {
	t.Helper()
	for i := 1; i <= len(b.root+path); i++ {
		if full := b.root + path; i == len(full) || full[i] == '/' {
			if _, err := b.Create(full[:i], nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
				require.ErrorIs(t, err, zk.ErrNodeExists)
			}
		}
	}
	_, err := b.Set(b.root+path, []byte(data), -1)
	require.NoError(t, err)
}

func (b bare) get(t testing.TB, path string) string {
	t.Helper()
	data, _, err := b.Get(b.root + path)
	require.NoError(t, err, path)
	return string(data)
}

func (b bare) delete(t testing.TB, path string) {
	t.Helper()
	children, _, err := b.Children(b.root + path)
	require.NoError(t, err)
	for _, child := range children {
		b.delete(t, path+"/"+child)
	}
	require.NoError(t, b.Delete(b.root+path, -1))
}

// status writes the ephemeral of an instance.
func (b bare) status(t testing.TB, n int, data string) {
	t.Helper()
	_, err := b.Create(b.root+protocol.StatusPath(thing, n), []byte(data), zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
	require.NoError(t, err)
}

// fill creates ids and assigns them all to one instance.
func fill(t testing.TB, c *Client, s *protocol.State, n int, ids []string) {
	t.Helper()
	for len(ids) > 0 {
		k, fits := s.NextPiece(), protocol.Fit(ids, protocol.MaxPieceBytes)
		piece := ids[:fits]
		ids = ids[fits:]
		m, err := protocol.Create(s, k, piece)
		commit(t, c, s, m, err)
		m, err = protocol.Assign(s, protocol.Give{To: n, From: []protocol.Take{{Name: protocol.PieceName(s.Head.Epoch, k)}}})
		commit(t, c, s, m, err)
	}
	require.True(t, slices.Contains(s.Head.Open, n))
}

const thing = "Thing"

func names(prefix string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return ids
}

// uuids are n ids of the usual length.
func uuids(n, from int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%08x-5b1c-4a0e-9f6d-%012x", from+i, (from+i)*7919)
	}
	return ids
}

// everything lists all ids of a State, sorted.
func everything(s *protocol.State) (ids []string) {
	for _, in := range s.Instances {
		ids = append(ids, in.IDs.Strings()...)
	}
	for _, p := range s.Pool {
		ids = append(ids, p.IDs.Strings()...)
	}
	for _, f := range s.Flight {
		ids = append(ids, f.IDs.Strings()...)
	}
	slices.Sort(ids)
	return ids
}

// same compares what two States say of the assignment.
func same(t testing.TB, want, got *protocol.State) {
	t.Helper()
	type list struct {
		ids            []string
		used, capacity int
		times          int64
		versions       [3]int32
	}
	summary := func(s *protocol.State) (head protocol.Head, version int32, lists map[int]list, pool, flight map[string][]string) {
		lists, pool, flight = map[int]list{}, map[string][]string{}, map[string][]string{}
		for n, in := range s.Instances {
			lists[n] = list{in.IDs.Strings(), in.Used, in.Capacity, in.Times, [3]int32{in.DataVersion, in.ListVersion, in.ReloadVersion}}
		}
		for name, p := range s.Pool {
			pool[name] = append([]string{fmt.Sprint(p.Version)}, p.IDs.Strings()...)
		}
		for name, f := range s.Flight {
			flight[name] = []string{fmt.Sprint(f.From, f.Times, f.Pod, f.Version)}
			for i, id := range f.IDs.All() {
				flight[name] = append(flight[name], fmt.Sprint(id, "->", f.Target(i)))
			}
		}
		return s.Head, s.HeadVersion, lists, pool, flight
	}
	head, version, lists, pool, flight := summary(want)
	gotHead, gotVersion, gotLists, gotPool, gotFlight := summary(got)
	require.Equal(t, []any{fmt.Sprint(head), version}, []any{fmt.Sprint(gotHead), gotVersion})
	require.Equal(t, lists, gotLists)
	require.Equal(t, pool, gotPool)
	require.Equal(t, flight, gotFlight)
}
