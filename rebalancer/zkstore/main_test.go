package zkstore

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/prometheus/client_golang/prometheus"
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

// leading is a client that leads, and its State, with open instances 0 to n-1.
func leading(t testing.TB, servers string, n, capacity int) (*Client, *State) {
	t.Helper()
	c := client(t, Config{Servers: servers})
	s, err := c.Lead(patient(t), thing, "pod/"+t.Name())
	require.NoError(t, err)
	var open []int
	for i := range n {
		m, err := AddOrdinal(s, i, capacity)
		commit(t, c, s, m, err)
		open = append(open, i)
	}
	m, err := SetOpen(s, open)
	commit(t, c, s, m, err)
	return c, s
}

func commit(t testing.TB, c *Client, s *State, m Multi, err error) {
	t.Helper()
	require.NoError(t, err)
	require.NoError(t, c.Commit(patient(t), s, m))
}

// reload reads everything with a client of its own and compares it with s.
func reload(t testing.TB, servers string, s *State) *State {
	t.Helper()
	fresh, _, err := client(t, Config{Servers: servers}).Read(patient(t), s.Kind, nil)
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
	_, err := b.Create(b.root+StatusPath(thing, n), []byte(data), zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
	require.NoError(t, err)
}

// fill creates ids and assigns them all to one instance.
func fill(t testing.TB, c *Client, s *State, n int, ids []string) {
	t.Helper()
	for _, piece := range chunks(ids) {
		k := s.NextPiece()
		m, err := Create(s, k, piece)
		commit(t, c, s, m, err)
		m, err = Assign(s, Give{n, []Take{{Name: pieceName(s.Head.Epoch, k)}}})
		commit(t, c, s, m, err)
	}
	require.True(t, slices.Contains(s.Head.Open, n))
}
