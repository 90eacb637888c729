package zk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/zkproxy"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Every kind of transaction whose answer, or request, is lost is settled; and when the lost one
// comes late, it does nothing.
func TestLostReply(t *testing.T) {
	servers.Require(t, servers.PartZooKeeper)
	steps := []struct {
		name string
		take func(*protocol.State) (protocol.Multi, error)
	}{
		{"create", func(s *protocol.State) (protocol.Multi, error) { return protocol.Create(s, 9, []string{"new"}) }},
		{"assign", func(s *protocol.State) (protocol.Multi, error) {
			return protocol.Assign(s, protocol.Give{To: 1, From: []protocol.Take{{Name: "1-1", IDs: []string{"p1"}}}})
		}},
		{"delete-pooled", func(s *protocol.State) (protocol.Multi, error) {
			return protocol.DeletePooled(s, protocol.Take{Name: "1-1"})
		}},
		{"compact", func(s *protocol.State) (protocol.Multi, error) { m, _ := protocol.CompactPool(s, 9); return m, nil }},
		{"revoke", func(s *protocol.State) (protocol.Multi, error) { return protocol.Revoke(s, 0, []string{"a0"}, nil, "") }},
		{"redirect", func(s *protocol.State) (protocol.Multi, error) {
			return protocol.Redirect(s, "0-2", []string{"a3"}, protocol.ToPool)
		}},
		{"grant", func(s *protocol.State) (protocol.Multi, error) {
			return protocol.Grant(s, protocol.Give{To: 1, From: []protocol.Take{{Name: "0-2", IDs: []string{"a2"}}}})
		}},
		{"release", func(s *protocol.State) (protocol.Multi, error) {
			return protocol.ReleaseToPool(s, 9, protocol.Take{Name: "0-2", IDs: []string{"a2"}})
		}},
		{"forget", func(s *protocol.State) (protocol.Multi, error) { return protocol.Forget(s, protocol.Take{Name: "0-2"}) }},
		{"add-ordinal", func(s *protocol.State) (protocol.Multi, error) { return protocol.AddOrdinal(s, 5, 10) }},
		{"remove-ordinal", func(s *protocol.State) (protocol.Multi, error) { return protocol.RemoveOrdinal(s, 2) }},
		{"open", func(s *protocol.State) (protocol.Multi, error) { return protocol.SetOpen(s, []int{0}) }},
		{"keep", func(s *protocol.State) (protocol.Multi, error) { return protocol.StoreDoc(s, "scaler", []byte("{}")) }},
		{"lead", func(s *protocol.State) (protocol.Multi, error) { return protocol.Lead(s, "pod/next") }},
	}
	ran, fired := 0, 0
	for _, step := range steps {
		for _, harm := range []zkproxy.Harm{zkproxy.DropAnswer, zkproxy.DropRequest} {
			t.Run(fmt.Sprintf("%s/%d", step.name, harm), func(t *testing.T) {
				ran++
				z := servers.Require(t, servers.PartZooKeeper).ZooKeeper
				root := z.Path(t)
				p := zkproxy.New(t, z.Servers[0].Addr)
				c, s := leading(t, p.Addr()+root, 2, 10)
				fill(t, c, s, 0, names("a", 4))
				m, err := protocol.Create(s, 1, names("p", 2))
				commit(t, c, s, m, err)
				m, err = protocol.Create(s, 2, names("q", 2))
				commit(t, c, s, m, err)
				m, err = protocol.Revoke(s, 0, []string{"a2", "a3"}, []int{1, protocol.ToDelete}, "uid")
				commit(t, c, s, m, err)
				m, err = protocol.AddOrdinal(s, 2, 10)
				commit(t, c, s, m, err)

				want := s.Clone()
				m, err = step.take(s)
				require.NoError(t, err)
				require.False(t, m.Empty())
				p.Set(harm)
				require.NoError(t, c.Commit(patient(t), s, m))
				require.Equal(t, 1, p.Count())
				require.InDelta(t, 1, testutil.ToFloat64(c.metrics.commits.WithLabelValues(step.name, "settled")), 0)
				require.NotEqual(t, want.HeadVersion, s.HeadVersion, "the head has moved")
				reload(t, z.Connect+root, s)

				if step.name == "create" {
					// taken again from the pool, so that nothing but the head stands in the way
					m, err = protocol.Assign(s, protocol.Give{To: 1, From: []protocol.Take{{Name: "1-9"}}})
					commit(t, c, s, m, err)
				}
				require.False(t, p.Late(t), "the late one was done")
				reload(t, z.Connect+root, s)
				m, err = protocol.Create(s, 50, []string{"after"})
				commit(t, c, s, m, err)
				reload(t, z.Connect+root, s)
				fired += p.Count()
			})
		}
	}
	require.NotZero(t, fired)
	require.Equal(t, ran, fired)
}

// Why the head moves after a lost answer: without that, a create that comes late is done, once
// more, after its piece was assigned.
func TestLateCreateIsDoneUnlessTheHeadMoved(t *testing.T) {
	z := servers.Require(t, servers.PartZooKeeper).ZooKeeper
	root := z.Path(t)
	p := zkproxy.New(t, z.Servers[0].Addr)
	c, s := leading(t, p.Addr()+root, 1, 10)
	m, err := protocol.Create(s, 0, []string{"a"})
	p.Set(zkproxy.Remember)
	commit(t, c, s, m, err)
	m, err = protocol.Assign(s, protocol.Give{To: 0, From: []protocol.Take{{Name: "1-0"}}})
	commit(t, c, s, m, err)
	require.True(t, p.Late(t))
	fresh, _, err := c.Read(patient(t), thing, nil)
	require.NoError(t, err)
	require.ErrorContains(t, fresh.Check(), `id "a": is in 0`)
}

// Many at once, one answer lost: the connection takes all of them with it, and all are settled.
func TestLostReplyAmongMany(t *testing.T) {
	z := servers.Require(t, servers.PartZooKeeper).ZooKeeper
	root := z.Path(t)
	p := zkproxy.New(t, z.Servers[0].Addr)
	c, s := leading(t, p.Addr()+root, 1, 10)
	var ms []protocol.Multi
	for k := range 30 {
		m, err := protocol.Create(s, int64(k), names(fmt.Sprintf("%d-", k), 100))
		require.NoError(t, err)
		ms = append(ms, m)
	}
	p.Set(zkproxy.DropAnswer)
	require.NoError(t, errors.Join(c.CommitAll(patient(t), s, ms)...))
	require.Equal(t, 1, p.Count())
	require.Len(t, s.Pool, len(ms))
	reload(t, z.Connect+root, s)
}

// Two batches under way, an answer of the first lost: to settle it the head moves, by our own hand.
// What of the second was not done by then is a conflict, and not another leader.
func TestLostReplyBesideAnotherBatch(t *testing.T) {
	z := servers.Require(t, servers.PartZooKeeper).ZooKeeper
	root := z.Path(t)
	p := zkproxy.New(t, z.Servers[0].Addr)
	c, s := leading(t, p.Addr()+root, 1, 10)
	batch := func(first int) (ms []protocol.Multi) {
		for k := range 10 {
			m, err := protocol.Create(s, int64(first+k), names(fmt.Sprintf("%d-", first+k), 100))
			require.NoError(t, err)
			ms = append(ms, m)
		}
		return ms
	}
	before := s.HeadVersion
	one, two := batch(0), batch(10)
	p.Set(zkproxy.DropAnswer)
	finishOne, finishTwo := c.Begin(patient(t), s, one), c.Begin(patient(t), s, two)
	require.Empty(t, s.Pool, "nothing shows before the end")
	require.NoError(t, errors.Join(finishOne()...))
	done := 0
	for _, err := range finishTwo() {
		if err != nil {
			require.ErrorIs(t, err, protocol.ErrConflict)
			require.NotErrorIs(t, err, protocol.ErrFenced)
			continue
		}
		done++
	}
	require.Equal(t, 1, p.Count())
	require.Greater(t, s.HeadVersion, before)
	require.Len(t, s.Pool, len(one)+done)
	reload(t, z.Connect+root, s)
}

// A reader that follows while the leader moves sees whole States, or says that this one is torn.
func TestFollowerSeesWholeStates(t *testing.T) {
	connect, _ := store(t)
	c, s := leading(t, connect, 4, 1000)
	fill(t, c, s, 0, names("a", 40))
	ctx, cancel := context.WithCancel(patient(t))
	done := make(chan int)
	follower := client(t, Config{Servers: connect})
	go func() {
		var st *protocol.State
		whole := 0
		for ctx.Err() == nil {
			next, _, err := follower.Read(ctx, thing, st)
			if err != nil {
				break
			}
			if st = next; !st.Torn {
				if err := st.Check(); err != nil || st.Count() != 40 {
					t.Errorf("not torn, but: %v, %d ids", err, st.Count())
				}
				whole++
			}
		}
		done <- whole
	}()
	for i := range 60 {
		from, to := i%4, (i+1)%4
		m, err := protocol.Revoke(s, from, s.Instances[from].IDs.Strings(), nil, "")
		commit(t, c, s, m, err)
		name := protocol.FlightName(from, s.Instances[from].Times)
		m, err = protocol.Redirect(s, name, s.Flight[name].IDs.Strings(), to)
		commit(t, c, s, m, err)
		ids := s.Flight[name].IDs.Strings()
		// what is left of a piece raises no event: the list does
		m, err = protocol.Grant(s, protocol.Give{To: to, From: []protocol.Take{{Name: name, IDs: ids[:len(ids)/2]}}})
		commit(t, c, s, m, err)
		m, err = protocol.Grant(s, protocol.Give{To: to, From: []protocol.Take{{Name: name}}})
		commit(t, c, s, m, err)
		if i%10 == 9 {
			time.Sleep(50 * time.Millisecond) // let it see one
		}
	}
	cancel()
	require.NotZero(t, <-done)
}

func TestServerAwayAndBack(t *testing.T) {
	env := servers.Require(t, servers.PartZooKeeper)
	z := env.NewZooKeeper(t, 1)
	require.NoError(t, z.Stop())
	c := client(t, Config{Servers: z.Connect + "/chroot"})
	eventually(t, "the reason", func() bool {
		ok, err := c.Connected()
		return !ok && errors.Is(err, syscall.ECONNREFUSED)
	})
	short, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, _, err := c.Read(short, thing, nil)
	require.ErrorIs(t, err, protocol.ErrUnavailable)
	require.ErrorIs(t, err, syscall.ECONNREFUSED, "it says why")
	require.NoError(t, z.Start(patient(t)))

	changes, statuses := c.Changes(thing)
	s, err := c.Lead(patient(t), thing, "pod/1")
	require.NoError(t, err)
	require.Equal(t, 4*time.Second, granted(t, c))
	m, err := protocol.Create(s, 0, []string{"a"})
	commit(t, c, s, m, err)

	require.NoError(t, z.Kill())
	eventually(t, "disconnected", func() bool { ok, _ := c.Connected(); return !ok })
	m, err = protocol.Create(s, 1, []string{"b"})
	require.NoError(t, err)
	short, cancel = context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, c.Commit(short, s, m), protocol.ErrUnavailable)
	for len(changes)+len(statuses) > 0 {
		select {
		case <-changes:
		case <-statuses:
		}
	}
	require.NoError(t, z.Start(patient(t)))
	select {
	case <-statuses: // a new session is a reason to look
		<-changes
	case <-patient(t).Done():
		t.Fatal("no signal after the session was replaced")
	}
	s, err = c.Lead(patient(t), thing, "pod/2") // as who got ErrUnavailable must
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, everything(s))
	m, err = protocol.Create(s, 1, []string{"b"})
	commit(t, c, s, m, err)
	reload(t, z.Connect+"/chroot", s)
}

// A call that is under way when the server freezes ends with its context; the session is given up
// and replaced by another server.
func TestFrozenServer(t *testing.T) {
	env := servers.Require(t, servers.PartZooKeeper)
	z := env.NewZooKeeper(t, 3)
	c := client(t, Config{Servers: z.Connect})
	s, err := c.Lead(patient(t), thing, "pod/1")
	require.NoError(t, err)
	sess, err := c.link.await(patient(t))
	require.NoError(t, err)
	frozen, addr := 0, sess.conn.Server()
	for _, server := range z.Servers {
		if server.Addr == addr {
			require.NoError(t, server.Freeze())
			defer func() { require.NoError(t, server.Continue()) }()
			frozen++
		}
	}
	require.Equal(t, 1, frozen)
	m, err := protocol.Create(s, 0, []string{"a"})
	commit(t, c, s, m, err) // settled by another server
	after, err := c.link.await(patient(t))
	require.NoError(t, err)
	require.NotEqual(t, addr, after.conn.Server())
	require.Equal(t, []string{"a"}, everything(s))
	_, _, err = c.Read(patient(t), thing, s)
	require.NoError(t, err)
}

// A server that accepts and never says a word costs half a session, not the whole of it.
func TestSilentServer(t *testing.T) {
	z := servers.Require(t, servers.PartZooKeeper).ZooKeeper
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	for range 4 { // the order is random: it is the first one in some of them
		// bare, the client waits 26 s for the silent one
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		c := client(t, Config{Servers: silent.Addr().String() + "," + z.Connect + z.Path(t)})
		_, _, err := c.Read(ctx, thing, nil)
		cancel()
		require.NoError(t, err)
		c.Close()
	}
}

// A session that the server has ended is replaced.
func TestSessionExpired(t *testing.T) {
	connect, raw := store(t)
	c, s := leading(t, connect, 1, 5)
	sess, err := c.link.await(patient(t))
	require.NoError(t, err)
	expire(t, sess)
	eventually(t, "another session", func() bool {
		now, err := c.link.await(patient(t))
		return err == nil && now != sess
	})
	m, err := protocol.Create(s, 0, []string{"a"})
	commit(t, c, s, m, err)
	raw.put(t, protocol.DocPath(thing, "notes"), "x")
	s, changed, err := c.Read(patient(t), thing, s)
	require.NoError(t, err)
	require.True(t, changed)
	require.Equal(t, "x", string(s.Kept["notes"].Data))
	require.InDelta(t, 2, testutil.ToFloat64(c.metrics.sessions), 0)
}

// expire ends a session by joining it from another connection and closing it there.
func expire(t *testing.T, s *session) {
	password := reflect.ValueOf(s.conn).Elem().FieldByName("passwd").Bytes()
	zkproxy.ExpireSession(t, s.conn.Server(), s.conn.SessionID(), password)
}

// The server may grant a longer session than was asked for; then reads must wait longer too, or an
// idle session would be cut off.
func TestGrantedSessionIsUsed(t *testing.T) {
	connect, _ := store(t)
	// the test's server grants at most 10 s
	c := client(t, Config{Servers: connect, SessionTimeout: 30 * time.Second})
	_, _, err := c.Read(patient(t), thing, nil)
	require.NoError(t, err)
	require.Equal(t, 10*time.Second, granted(t, c))

	conn := &frames{Conn: &clockConn{}, limit: time.Second}
	require.NoError(t, conn.SetReadDeadline(time.Time{}))
	require.False(t, conn.Conn.(*clockConn).deadline.IsZero())
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Hour)))
	require.Less(t, time.Until(conn.Conn.(*clockConn).deadline), 2*time.Second)
}

type clockConn struct {
	net.Conn
	deadline time.Time
}

func (c *clockConn) SetReadDeadline(t time.Time) error { c.deadline = t; return nil }

// Names are resolved on every round, so that a server that comes back under another address is
// found.
func TestHostsAreResolvedAnew(t *testing.T) {
	h := &hosts{servers: []string{"localhost:1", "127.0.0.1:2", "does-not-exist.invalid:3"}}
	seen := map[string]int{}
	wraps := 0
	for range 30 {
		server, wrapped := h.Next()
		seen[server]++
		if wrapped {
			wraps++
		}
	}
	require.NotZero(t, seen["127.0.0.1:1"]+seen["[::1]:1"])
	require.NotZero(t, seen["127.0.0.1:2"])
	require.NotZero(t, seen["does-not-exist.invalid:3"], "what cannot be resolved is tried, and says so")
	require.GreaterOrEqual(t, wraps, 6)
	for server := range seen {
		require.NotEmpty(t, h.name(server))
	}
}

func TestCloseWhileAway(t *testing.T) {
	c := client(t, Config{Servers: "127.0.0.1:1"})
	c.Close()
	_, _, err := c.Read(context.Background(), thing, nil)
	require.ErrorIs(t, err, protocol.ErrUnavailable)
}

// readOnly leaves every client nothing but READ on a znode.
func readOnly(t *testing.T, z *servers.ZooKeeper, path string) {
	t.Helper()
	_, err := z.Dial(t).SetACL(path, zk.WorldACL(zk.PermRead), -1)
	require.NoError(t, err)
}

// What was done is not told to be refused because the write that settles it is.
func TestWhatCannotBeSettledIsUnknownAndNotRefused(t *testing.T) {
	z := servers.Require(t, servers.PartZooKeeper).ZooKeeper
	root := z.Path(t)
	p := zkproxy.New(t, z.Servers[0].Addr)
	c, s := leading(t, p.Addr()+root, 1, 10)
	m, err := protocol.StoreDoc(s, "override", []byte(`{"v":1}`))
	commit(t, c, s, m, err)
	readOnly(t, z, root+protocol.HeadPath(thing))
	m, err = protocol.StoreDoc(s, "override", []byte(`{"v":2}`))
	require.NoError(t, err)
	p.Set(zkproxy.DropAnswer)
	err = c.Commit(patient(t), s, m)
	require.ErrorIs(t, err, protocol.ErrUnavailable, "it was carried out")
	require.ErrorContains(t, err, "WRITE is missing on /iota/shardscaler/Thing/head")
	data, _, err := z.Dial(t).Get(root + protocol.DocPath(thing, "override"))
	require.NoError(t, err)
	require.Equal(t, `{"v":2}`, string(data))
}

// A refusal of the second request says nothing of the first one, which may still be under way when
// the two are compared.
func TestARefusalThatFollowsALostAnswerIsNoRefusal(t *testing.T) {
	z := servers.Require(t, servers.PartZooKeeper).ZooKeeper
	root := z.Path(t)
	p := zkproxy.New(t, z.Servers[0].Addr)
	c, s := leading(t, p.Addr()+root, 1, 10)
	m, err := protocol.StoreDoc(s, "override", []byte(`{"v":1}`))
	commit(t, c, s, m, err)
	readOnly(t, z, root+protocol.DocPath(thing, "override"))
	m, err = protocol.StoreDoc(s, "override", []byte(`{"v":2}`))
	require.NoError(t, err)
	p.Set(zkproxy.DropRequest)
	require.ErrorIs(t, c.Commit(patient(t), s, m), protocol.ErrConflict, "one looks again")
	err = c.Commit(patient(t), s, mustMulti(protocol.StoreDoc(s, "override", []byte(`{"v":2}`))))
	require.ErrorIs(t, err, protocol.ErrRefused, "no answer was lost")
	require.NotErrorIs(t, err, protocol.ErrConflict)
}

func mustMulti(m protocol.Multi, err error) protocol.Multi {
	if err != nil {
		panic(err)
	}
	return m
}
