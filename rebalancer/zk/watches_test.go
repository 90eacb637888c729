package zk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// requests are what a client has sent, by operation.
func requests(c *Client) map[string]int {
	sent := map[string]int{}
	for _, operation := range []string{"exists", "get", "children", "sync", "multi", "other"} {
		if n := int(testutil.ToFloat64(c.metrics.requests.WithLabelValues(operation))); n > 0 {
			sent[operation] = n
		}
	}
	return sent
}

// since is what was sent since then.
func since(c *Client, before map[string]int) map[string]int {
	sent := requests(c)
	for operation, n := range before {
		if sent[operation] -= n; sent[operation] == 0 {
			delete(sent, operation)
		}
	}
	return sent
}

// watchesOf counts what is in the client's own table, which it does not show.
func watchesOf(t testing.TB, c *Client) (n int) {
	t.Helper()
	sess, err := c.link.await(patient(t))
	require.NoError(t, err)
	for entry := reflect.ValueOf(sess.conn).Elem().FieldByName("watchers").MapRange(); entry.Next(); {
		n += entry.Value().Len()
	}
	return n
}

// atWork is a tree with something of every sort in it.
func atWork(t testing.TB) (connect string, raw bare, c *Client, s *protocol.State) {
	t.Helper()
	connect, raw = store(t)
	c, s = leading(t, connect, 3, 10)
	fill(t, c, s, 0, names("a", 4))
	for k := range 2 {
		m, err := protocol.Create(s, int64(10+k), names(fmt.Sprintf("p%d-", k), 2))
		commit(t, c, s, m, err)
	}
	m, err := protocol.Revoke(s, 0, []string{"a2", "a3"}, []int{1, protocol.ToDelete}, "uid")
	commit(t, c, s, m, err)
	m, err = protocol.StoreDoc(s, "scaler", []byte("{}"))
	commit(t, c, s, m, err)
	_, last, err := protocol.StorePlan(s, "plan", []byte("of work"))
	commit(t, c, s, last, err)
	for n := range 3 {
		raw.status(t, n, fmt.Sprintf(`{"times":0,"pod":"uid-%d"}`, n))
	}
	s, _, err = c.Read(patient(t), thing, s)
	require.NoError(t, err)
	return connect, raw, c, s
}

// What is watched and has not changed is not asked for again, but now and then to compare it.
func TestAReadOfWhatHasNotChangedIsOneSync(t *testing.T) {
	connect, raw, leader, led := atWork(t)
	c := client(t, Config{Servers: connect})
	s, _, err := c.Read(patient(t), thing, nil)
	require.NoError(t, err)
	read := func() map[string]int {
		before := requests(c)
		next, changed, err := c.Read(patient(t), thing, s)
		require.NoError(t, err)
		require.False(t, changed)
		require.False(t, next.ReadAt.Before(s.ReadAt))
		s = next
		return since(c, before)
	}
	table := watchesOf(t, c)
	for range 3 {
		require.Equal(t, map[string]int{"sync": 1}, read())
	}
	c.doubts.raise(thing)
	// the head, four znodes an instance, two pieces, a flight, a document and the plan; four lists
	require.Equal(t, map[string]int{"sync": 1, "exists": 1 + 3*4 + 2 + 1 + 1 + 1, "children": 4}, read())
	require.Equal(t, map[string]int{"sync": 1}, read())
	require.Equal(t, table, watchesOf(t, c), "watches do not pile up")
	require.Zero(t, testutil.ToFloat64(c.metrics.missed))

	for range 2 {
		before := requests(leader)
		_, changed, err := leader.Read(patient(t), thing, led)
		require.NoError(t, err)
		require.False(t, changed)
		require.Equal(t, map[string]int{"sync": 1, "exists": 3}, since(leader, before), "pieces of its own making")
	}

	// what is absent is asked for each time: of its coming a server need not tell
	raw.delete(t, protocol.StatusPath(thing, 1))
	s, _, err = c.Read(patient(t), thing, s)
	require.NoError(t, err)
	for range 2 {
		before := requests(c)
		_, _, err = c.Read(patient(t), thing, s)
		require.NoError(t, err)
		require.Equal(t, map[string]int{"sync": 1, "exists": 1}, since(c, before))
	}

	before := requests(c)
	_, err = c.ReadLeft(patient(t), thing, []int{0})
	require.NoError(t, err)
	require.Equal(t, map[string]int{"sync": 1, "exists": 6, "get": 6, "children": 1}, since(c, before), "it asks the server itself")
}

// Many readers that ask together are answered by two syncs, one of which may have begun already; a
// reader waits for one that began after it asked.
func TestReadersThatAskTogetherShareASync(t *testing.T) {
	connect, _, _, _ := atWork(t)
	c := client(t, Config{Servers: connect})
	sess, err := c.link.await(patient(t))
	require.NoError(t, err)
	before := requests(c)
	held, end := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		_, err := sess.syncs.Do(patient(t), struct{}{}, func(context.Context) (struct{}, error) {
			close(held)
			<-end
			return struct{}{}, nil
		})
		require.NoError(t, err)
	})
	<-held // one is under way: it answers nobody who asks now
	var asked, answered atomic.Int64
	for range 100 {
		all.Go(func() {
			asked.Add(1)
			require.NoError(t, sess.catchUp(patient(t)))
			answered.Add(1)
		})
	}
	eventually(t, "all have asked", func() bool { return asked.Load() == 100 })
	time.Sleep(10 * time.Millisecond)
	require.Zero(t, answered.Load())
	close(end)
	all.Wait()
	require.LessOrEqual(t, since(c, before)["sync"], 2, "one, or two where some were late to ask")
}

// A piece that is gone when it is looked for leaves no watch behind: it never comes back.
func TestWhatNeverComesBackIsNotAwaited(t *testing.T) {
	connect, raw, leader, _ := atWork(t)
	c := client(t, Config{Servers: connect})
	s, _, err := c.Read(patient(t), thing, nil)
	require.NoError(t, err)
	table := watchesOf(t, c)
	raw.delete(t, protocol.PiecePath(thing, "1-10"))
	raw.delete(t, protocol.FlightPath(thing, "0-2"))
	s, _, err = c.Read(patient(t), thing, s)
	require.NoError(t, err)
	require.Len(t, s.Pool, 1)
	require.Equal(t, table-2, watchesOf(t, c))

	z, _, err := leader.synced(patient(t))
	require.NoError(t, err)
	table = watchesOf(t, leader)
	for _, read := range []func() (any, error){
		func() (any, error) { return z.Stat(protocol.PiecePath(thing, "1-10"), false) },
		func() (any, error) { return z.Get(protocol.PiecePath(thing, "1-10"), true) },
		func() (any, error) {
			_, stat, err := z.Children(protocol.PiecePath(thing, "1-10"), true)
			return stat, err
		},
	} {
		got, err := read()
		require.NoError(t, err)
		require.Nil(t, got)
	}
	require.Equal(t, table, watchesOf(t, leader))
}

// After a conflict, and when the head has moved, the server itself is asked for everything.
func TestDoubtsAreRaised(t *testing.T) {
	_, raw, c, s := atWork(t)
	asks := func() bool {
		before := requests(c)
		var err error
		s, _, err = c.Read(patient(t), thing, s)
		require.NoError(t, err)
		return since(c, before)["exists"] > 10
	}
	asks()
	require.False(t, asks())
	m, err := protocol.SetOpen(s, []int{0})
	commit(t, c, s, m, err)
	require.True(t, asks())
	require.False(t, asks())
	m, err = protocol.Create(s, 20, []string{"x"})
	commit(t, c, s, m, err)
	require.False(t, asks())
	m, err = protocol.StoreDoc(s, "scaler", []byte("2"))
	require.NoError(t, err)
	raw.put(t, protocol.DocPath(thing, "scaler"), "3")
	require.ErrorIs(t, c.Commit(patient(t), s, m), protocol.ErrConflict)
	require.True(t, asks())
	require.Equal(t, "3", string(s.Kept["scaler"].Data))
	require.False(t, asks())
	short, cancel := context.WithCancel(patient(t))
	cancel()
	c.doubts.raise(thing)
	_, _, err = c.Read(short, thing, s)
	require.Error(t, err)
	require.True(t, asks(), "a comparison that failed is none")

	var d doubts
	d.compared = map[string]time.Time{}
	at := time.Now()
	require.True(t, d.due(thing, at))
	require.False(t, d.due(thing, at.Add(compareEvery-time.Second)))
	require.True(t, d.due("Rule", at), "each kind by itself")
	require.True(t, d.due(thing, at.Add(compareEvery)))
	require.False(t, d.due(thing, at.Add(compareEvery+time.Second)))
}

// meddler writes anything anywhere in the tree of a kind, without looking.
type meddler struct {
	bare
	random *rand.Rand
}

func (m meddler) write() {
	n, pick := m.random.IntN(4), func(of ...string) string { return of[m.random.IntN(len(of))] }
	path := pick(
		protocol.InstancePath(thing, n), protocol.ResourcesPath(thing, n), protocol.ReloadPath(thing, n),
		protocol.StatusPath(thing, n), protocol.StatusPath(thing, n), protocol.TmpPath(thing, n),
		protocol.HeadPath(thing), protocol.PlanPath(thing), protocol.PlanPartPath(thing, n),
		protocol.DocPath(thing, pick("scaler", "override")), protocol.PiecePath(thing, fmt.Sprintf("1-%d", 10+n)),
		protocol.FlightPath(thing, pick("0-2", "1-1")), protocol.PoolPath(thing), protocol.FlightsPath(thing),
	)
	data := []byte(pick("", "x", `{"ids":[]}`, `{"ids":["m1","m2"]}`, `{"times":7,"pod":"uid"}`, `{"v":1,"epoch":3,"holder":"x/y","open":[0]}`,
		`{"used":1,"count":9}`, `{"from":1,"times":1,"pod":"uid","ids":["f"]}`, `{"v":9}`))
	full := m.root + path
	switch m.random.IntN(6) {
	case 0: // with what is below it
		m.tear(full)
	case 1:
		flags := int32(0)
		if strings.HasSuffix(path, "/status") {
			flags = zk.FlagEphemeral
		}
		_, _ = m.Create(full, data, flags, zk.WorldACL(zk.PermAll))
	case 2: // the same again, as another znode
		if old, _, err := m.Get(full); err == nil && m.Delete(full, -1) == nil {
			_, _ = m.Create(full, old, 0, zk.WorldACL(zk.PermAll))
		}
	default:
		_, _ = m.Set(full, data, -1)
	}
}

func (m meddler) tear(full string) {
	children, _, _ := m.Children(full)
	for _, child := range children {
		m.tear(full + "/" + child)
	}
	_ = m.Delete(full, -1)
}

// fromTheServer is the State that a reading from prev comes to which keeps no answers.
func fromTheServer(t *testing.T, connect string, prev *protocol.State) *protocol.State {
	t.Helper()
	fresh := client(t, Config{Servers: connect})
	defer fresh.Close()
	z, _, err := fresh.synced(patient(t))
	require.NoError(t, err)
	z.anew = true
	s, _, err := protocol.Read(z, prev, prev.ReadAt)
	require.NoError(t, err)
	return s
}

// agree says that two readings of a tree in which nobody wrote are one and the same.
func agree(t *testing.T, want, got *protocol.State) {
	t.Helper()
	one, other := *want, *got
	one.ReadAt, other.ReadAt = time.Time{}, time.Time{}
	one.Torn, other.Torn = false, false
	require.Equal(t, one, other)
}

// Whatever another client does, the next read sees it.
func TestNoKeptAnswerIsOlderThanTheServer(t *testing.T) {
	connect, raw, c, s := atWork(t)
	kept := 0
	for seed := range uint64(40) {
		m := meddler{raw, rand.New(rand.NewPCG(seed, 1))}
		for range 1 + m.random.IntN(6) {
			m.write()
		}
		before, session := requests(c), testutil.ToFloat64(c.metrics.sessions)
		got, _, err := c.ReadOnce(patient(t), s)
		require.NoError(t, err)
		if testutil.ToFloat64(c.metrics.sessions) == session { // a new one, on a busy machine, has kept nothing
			require.Less(t, since(c, before)["exists"], 20, "it was no comparison")
			kept++
		}
		agree(t, fromTheServer(t, connect, s), got)
		s = got
	}
	require.Positive(t, kept)
	require.Zero(t, testutil.ToFloat64(c.metrics.missed))
}

// Answers and events that meet: readers of one session read while others write, and once these have
// stopped, the next read is right.
func TestNoAnswerIsKeptThatAnEventHasOvertaken(t *testing.T) {
	connect, raw, c, s := atWork(t)
	for seed := range uint64(25) {
		var reading, writing sync.WaitGroup
		stop := make(chan struct{})
		for range 3 {
			reading.Go(func() {
				for !isClosed(stop) {
					if _, _, err := c.ReadOnce(patient(t), s); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for w := range uint64(2) {
			writing.Go(func() {
				m := meddler{raw, rand.New(rand.NewPCG(seed, 2+w))}
				for range 40 {
					m.write()
				}
			})
		}
		writing.Wait()
		close(stop)
		reading.Wait()
		got, _, err := c.ReadOnce(patient(t), s)
		require.NoError(t, err)
		agree(t, fromTheServer(t, connect, s), got)
		s = got
	}
	require.Zero(t, testutil.ToFloat64(c.metrics.missed))
}

// The orders in which answers and events can meet.
func TestWhatIsKeptBesideAWatch(t *testing.T) {
	const path = "/x"
	old, young := told{stat: &protocol.Stat{Version: 1}}, told{stat: &protocol.Stat{Version: 2}}
	fires := zk.Event{Type: zk.EventNodeDataChanged, Path: path}
	key := watched{path: path}
	kept := func(ws *watches) *protocol.Stat { return ws.begin(key, true).last.stat }
	armed := func() *watches {
		ws := &watches{armed: map[watched]*watch{}}
		a := ws.begin(key, true)
		require.True(t, a.arms)
		require.False(t, ws.end(a, old, nil))
		require.Equal(t, old.stat, kept(ws))
		return ws
	}
	t.Run("an event before its answer is kept", func(t *testing.T) {
		ws := &watches{armed: map[watched]*watch{}}
		a := ws.begin(key, true)
		ws.fired(fires)
		require.False(t, ws.end(a, old, nil))
		b := ws.begin(key, true)
		require.True(t, b.arms)
		require.Nil(t, b.last.stat)
		require.False(t, ws.end(a, old, nil), "nor beside the next one")
		require.False(t, ws.end(b, young, nil))
		require.Equal(t, young.stat, kept(ws))
	})
	t.Run("an event after it", func(t *testing.T) {
		ws := armed()
		ws.fired(fires)
		require.True(t, ws.begin(key, true).arms)
	})
	t.Run("asked before the watch was set", func(t *testing.T) {
		ws := &watches{armed: map[watched]*watch{}}
		arming, beside := ws.begin(key, true), ws.begin(key, true)
		require.False(t, beside.arms)
		require.False(t, ws.end(arming, young, nil))
		require.False(t, ws.end(beside, old, nil))
		require.Equal(t, young.stat, kept(ws))

		ws = &watches{armed: map[watched]*watch{}}
		arming, beside = ws.begin(key, true), ws.begin(key, true)
		require.False(t, ws.end(beside, old, nil))
		require.Nil(t, kept(ws))
		require.False(t, ws.end(arming, young, nil))
		require.Equal(t, young.stat, kept(ws))
	})
	t.Run("an error", func(t *testing.T) {
		ws := armed()
		require.False(t, ws.end(ws.begin(key, true), told{}, errors.New("refused")))
		require.True(t, ws.begin(key, true).arms)
	})
	t.Run("another answer without an event", func(t *testing.T) {
		for _, got := range []told{young, {}} {
			ws := armed()
			require.True(t, ws.end(ws.begin(key, true), got, nil))
			require.True(t, ws.begin(key, true).arms)
		}
	})
	t.Run("absent", func(t *testing.T) {
		ws := &watches{armed: map[watched]*watch{}}
		require.False(t, ws.end(ws.begin(key, true), told{}, nil))
		a := ws.begin(key, true)
		require.False(t, a.arms)
		require.Nil(t, a.last.stat)
		require.False(t, ws.end(a, told{}, nil))
		require.True(t, ws.end(ws.begin(key, true), young, nil), "its coming was not told")
	})
	t.Run("children", func(t *testing.T) {
		ws := armed()
		names := []string{"a", "b"}
		require.False(t, ws.end(ws.begin(watched{path, true}, true), told{stat: &protocol.Stat{Children: 2}, names: names}, nil))
		names[0] = "changed by its caller"
		require.Equal(t, []string{"a", "b"}, ws.begin(watched{path, true}, true).last.names)
		ws.fired(zk.Event{Type: zk.EventNodeChildrenChanged, Path: path})
		require.True(t, ws.begin(watched{path, true}, true).arms)
		require.Equal(t, old.stat, kept(ws), "of data it says nothing")
		ws.fired(zk.Event{Type: zk.EventNodeDeleted, Path: path})
		require.True(t, ws.begin(key, true).arms)
	})
}

// A change of an access list raises no event, nor, to some servers, anything that follows it. It is
// found when everything is compared.
func TestALockedZnodeIsFoundByComparing(t *testing.T) {
	o := owning(t)
	c, s := leading(t, o.servers(), 1, 5)
	o.status(t, 0, `{"times":0,"pod":"uid-0"}`)
	read := func() {
		t.Helper()
		var err error
		s, _, err = c.Read(patient(t), thing, s)
		require.NoError(t, err)
	}
	read()
	read()
	path := protocol.StatusPath(thing, 0)
	o.lock(t, path, 0)
	_, err := o.Set(o.root+path, []byte(`{"times":5,"pod":"uid-0"}`), -1)
	require.NoError(t, err)
	c.doubts.raise(thing)
	read()
	require.True(t, s.Instances[0].Hidden)
	read()
	require.True(t, s.Instances[0].Hidden, "a refusal is not kept")
	_, err = o.SetACL(o.root+path, zk.WorldACL(zk.PermAll), -1)
	require.NoError(t, err)
	read()
	require.Equal(t, int64(5), s.Instances[0].Status.Times)
	read()

	// locked, changed and free again, before anybody compares
	o.lock(t, path, 0)
	_, err = o.Set(o.root+path, []byte(`{"times":6,"pod":"uid-0"}`), -1)
	require.NoError(t, err)
	_, err = o.SetACL(o.root+path, zk.WorldACL(zk.PermAll), -1)
	require.NoError(t, err)
	c.doubts.raise(thing)
	read()
	require.Equal(t, int64(6), s.Instances[0].Status.Times)
	_, err = o.Set(o.root+path, []byte(`{"times":7,"pod":"uid-0"}`), -1)
	require.NoError(t, err)
	read()
	require.Equal(t, int64(7), s.Instances[0].Status.Times, "the watch that was spent was set again")
}
