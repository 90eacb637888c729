package zk

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// owner is a client that owns znodes which others have few rights on.
type owner struct {
	bare
	connect string
}

func owning(t *testing.T) owner {
	t.Helper()
	z := servers.Require(t, servers.PartZooKeeper).ZooKeeper
	conn := z.Dial(t)
	require.NoError(t, conn.AddAuth("digest", []byte("owner:secret")))
	return owner{bare{conn, z.Path(t)}, z.Connect}
}

func (o owner) servers() string { return o.connect + o.root }

// lock leaves others these rights on a path.
func (o owner) lock(t *testing.T, path string, rights int32) {
	t.Helper()
	acl := zk.DigestACL(zk.PermAll, "owner", "secret")
	if rights != 0 {
		acl = append(acl, zk.WorldACL(rights)...)
	}
	_, err := o.SetACL(o.root+path, acl, -1)
	require.NoError(t, err)
}

// The server looks at the right to create before it looks whether the znode exists. All that is
// needed is there, and the parents are locked: the client connects, leads and writes.
func TestWhatExistsIsNotCreated(t *testing.T) {
	for name, rights := range map[string]int32{"parents that can only be read": zk.PermRead, "parents that cannot even be read": 0} {
		t.Run(name, func(t *testing.T) {
			o := owning(t)
			lead, err := protocol.Lead(protocol.NewState(thing), "pod/0")
			require.NoError(t, err)
			for _, path := range lead.Parents {
				o.put(t, "/inner"+path, "")
			}
			o.lock(t, "", rights)
			o.lock(t, "/inner", rights)
			for _, path := range []string{"/iota", protocol.InstancesRoot, protocol.OwnRoot} {
				o.lock(t, "/inner"+path, rights)
			}
			c := client(t, Config{Servers: o.servers() + "/inner"})
			s, err := c.Lead(patient(t), thing, "pod/1")
			require.NoError(t, err)
			m, err := protocol.AddOrdinal(s, 0, 5)
			commit(t, c, s, m, err)
		})
	}
}

// What is missing and may not be made is told with the path and the right, at once and at every
// place where it can be missing.
func TestAMissingRightIsNamed(t *testing.T) {
	denied := func(t *testing.T, err error, want string) {
		t.Helper()
		require.ErrorIs(t, err, protocol.ErrRefused)
		require.ErrorIs(t, err, zk.ErrNoAuth)
		require.ErrorContains(t, err, want)
	}
	t.Run("the chroot", func(t *testing.T) {
		o := owning(t)
		o.put(t, "", "")
		o.lock(t, "", zk.PermRead)
		c := client(t, Config{Servers: o.servers() + "/inner"})
		eventually(t, "the reason", func() bool {
			_, trouble := c.Connected()
			return strings.Contains(trouble.Error(), "create chroot "+o.root+"/inner: CREATE is missing on "+o.root)
		})
	})
	t.Run("our own tree", func(t *testing.T) {
		o := owning(t)
		o.put(t, protocol.InstancesRoot, "")
		o.lock(t, "/iota", zk.PermRead)
		_, err := client(t, Config{Servers: o.servers()}).Lead(patient(t), thing, "pod/1")
		denied(t, err, "create /iota/shardscaler: CREATE is missing on /iota")
	})
	for name, c := range map[string]struct {
		path   string
		rights int32
		want   string
		do     func(c *Client, s *protocol.State) error
	}{
		"to create": {protocol.KindPath(thing), zk.PermRead, "CREATE is missing on /iota/orchestration/Thing", func(c *Client, s *protocol.State) error {
			m, err := protocol.AddOrdinal(s, 1, 5)
			return errors.Join(err, c.Commit(context.Background(), s, m))
		}},
		"to write": {protocol.ResourcesPath(thing, 0), zk.PermRead, "WRITE is missing on /iota/orchestration/Thing/0/resources", func(c *Client, s *protocol.State) error {
			m, err := protocol.Revoke(s, 0, []string{"a"}, nil, "")
			return errors.Join(err, c.Commit(context.Background(), s, m))
		}},
		"to delete": {protocol.PoolPath(thing), zk.PermRead | zk.PermCreate, "DELETE is missing on /iota/shardscaler/Thing/pool", func(c *Client, s *protocol.State) error {
			m, err := protocol.DeletePooled(s, protocol.Take{Name: "1-7"})
			return errors.Join(err, c.Commit(context.Background(), s, m))
		}},
		"to read the head": {protocol.HeadPath(thing), zk.PermWrite, "READ is missing on /iota/shardscaler/Thing/head", func(c *Client, s *protocol.State) error {
			_, _, err := c.Read(context.Background(), thing, s)
			return err
		}},
		"to list": {protocol.PoolPath(thing), zk.PermCreate, "READ is missing on /iota/shardscaler/Thing/pool", func(c *Client, s *protocol.State) error {
			_, _, err := c.Read(context.Background(), thing, nil)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			o := owning(t)
			cl, s := leading(t, o.servers(), 1, 5)
			fill(t, cl, s, 0, []string{"a"})
			m, err := protocol.Create(s, 7, []string{"b"})
			commit(t, cl, s, m, err)
			o.lock(t, c.path, c.rights)
			denied(t, c.do(cl, s), c.want)
		})
	}
}

// Sessions that come to nothing are tried with pauses that grow; after one that was of use the next
// attempt is an early one again.
func TestConnectingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		l := newLink(Config{}, slog.New(slog.DiscardHandler), newMetrics(prometheus.NewRegistry()), nil)
		tries := 0
		l.run(ctx, func(context.Context) (bool, error) {
			tries++
			return false, errors.New("CREATE is missing")
		})
		require.Less(t, tries, 150)

		var pauses []time.Duration
		last := time.Now()
		ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		l.done = make(chan struct{})
		l.run(ctx, func(context.Context) (bool, error) {
			pauses = append(pauses, time.Since(last))
			last = time.Now()
			return len(pauses) > 2, errLost
		})
		require.Equal(t, []time.Duration{0, reconnectPause, 2 * reconnectPause, reconnectPause, reconnectPause}, pauses[:5])
	})
}
