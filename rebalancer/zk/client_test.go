package zk

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/clienttls"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// store is a place of the test's own in the shared ZooKeeper, and a naked client to look into it.
func store(t testing.TB) (connect string, raw bare) {
	t.Helper()
	z := servers.Require(t, servers.PartZooKeeper).ZooKeeper
	root := z.Path(t)
	return z.Connect + root, bare{z.Dial(t), root}
}

// A resource's whole life, by acknowledged hand-off, seen in the znodes that other programs read.
func TestLifeOfAResource(t *testing.T) {
	connect, raw := store(t)
	c, s := leading(t, connect, 2, 5)
	require.Equal(t, `{"used":0,"count":5}`, raw.get(t, "/iota/orchestration/Thing/0"))
	require.Equal(t, `{"ids":[]}`, raw.get(t, "/iota/orchestration/Thing/0/resources"))
	require.Equal(t, `{"times":0}`, raw.get(t, "/iota/orchestration/Thing/0/_reload"))
	require.Empty(t, raw.get(t, "/iota/orchestration/Thing/0/tmp"))

	m, err := protocol.Create(s, 0, []string{"a", "b", "c"})
	commit(t, c, s, m, err)
	require.Equal(t, `{"ids":["a","b","c"]}`, raw.get(t, "/iota/shardscaler/Thing/pool/1-0"))
	reload(t, connect, s)

	m, err = protocol.Assign(s, protocol.Give{To: 0, From: []protocol.Take{{Name: "1-0", IDs: []string{"a", "b"}}}})
	commit(t, c, s, m, err)
	require.Equal(t, `{"used":2,"count":5}`, raw.get(t, "/iota/orchestration/Thing/0"))
	require.Equal(t, `{"ids":["a","b"]}`, raw.get(t, "/iota/orchestration/Thing/0/resources"))
	require.Equal(t, `{"times":1}`, raw.get(t, "/iota/orchestration/Thing/0/_reload"))
	require.Equal(t, `{"ids":["c"]}`, raw.get(t, "/iota/shardscaler/Thing/pool/1-0"))

	raw.status(t, 0, `{"times":1,"pod":"uid-0","fences":false,"sessionMs":4000}`)
	s, changed, err := c.Read(patient(t), thing, s)
	require.NoError(t, err)
	require.True(t, changed)
	require.Equal(t, &protocol.Status{Times: 1, Pod: "uid-0", SessionMs: 4000}, s.Instances[0].Status)

	m, err = protocol.Revoke(s, 0, []string{"a", "b"}, []int{1, protocol.ToDelete}, s.Instances[0].Status.Pod)
	commit(t, c, s, m, err)
	require.Equal(t, `{"from":0,"times":2,"pod":"uid-0","ids":["a","b"],"to":[1,-2]}`, raw.get(t, "/iota/shardscaler/Thing/flight/0-2"))
	require.Equal(t, `{"ids":[]}`, raw.get(t, "/iota/orchestration/Thing/0/resources"))
	released, reason := protocol.Released(s.Flight["0-2"], s.Instances[0].Status, protocol.Fate{}, protocol.Absence{})
	require.False(t, released)
	require.Equal(t, "the instance has applied change 1, not yet change 2", reason)
	fresh := reload(t, connect, s)
	require.WithinDuration(t, fresh.Flight["0-2"].Created, s.Flight["0-2"].Created, 0, "the time of a commit is the server's")

	_, err = raw.Set(raw.root+protocol.StatusPath(thing, 0), []byte(`{"times":2,"pod":"uid-0"}`), -1)
	require.NoError(t, err)
	s, _, err = c.Read(patient(t), thing, s)
	require.NoError(t, err)
	released, reason = protocol.Released(s.Flight["0-2"], s.Instances[0].Status, protocol.Fate{}, protocol.Absence{})
	require.True(t, released, reason)

	m, err = protocol.Grant(s, protocol.Give{To: 1, From: []protocol.Take{{Name: "0-2", IDs: []string{"a"}}}})
	commit(t, c, s, m, err)
	m, err = protocol.Forget(s, protocol.Take{Name: "0-2"})
	commit(t, c, s, m, err)
	require.Equal(t, `{"ids":["a"]}`, raw.get(t, "/iota/orchestration/Thing/1/resources"))
	children, _, err := raw.Children(raw.root + "/iota/shardscaler/Thing/flight")
	require.NoError(t, err)
	require.Empty(t, children)
	require.Equal(t, []string{"a", "c"}, everything(reload(t, connect, s)))
}

// What stands in place of a status is said for what it is, and no longer when it has changed.
func TestAStatusThatIsNoneSaysWhatItIs(t *testing.T) {
	connect, raw := store(t)
	c := client(t, Config{Servers: connect})
	s, err := c.Lead(patient(t), thing, "pod/1")
	require.NoError(t, err)
	m, err := protocol.AddOrdinal(s, 0, 10)
	commit(t, c, s, m, err)
	path := raw.root + protocol.StatusPath(thing, 0)
	for content, want := range map[string]string{
		"": "is present and empty", "running": "is present and unreadable", `{"times":"soon"}`: "is present and unreadable",
		`{"pod":"uid-0"}`: "is present and carries no times", `{"times":3,"pod":"uid-0"}`: "",
	} {
		raw.status(t, 0, content)
		s, _, err = c.Read(patient(t), thing, s)
		require.NoError(t, err)
		in := s.Instances[0]
		require.Equal(t, want, in.StatusFault, content)
		require.Equal(t, want == "", in.Status != nil, content)
		require.True(t, in.Live, content)

		require.NoError(t, raw.Delete(path, -1))
		raw.put(t, protocol.StatusPath(thing, 0), content)
		s, _, err = c.Read(patient(t), thing, s)
		require.NoError(t, err)
		require.Equal(t, "is persistent", s.Instances[0].StatusFault, content)
		require.Nil(t, s.Instances[0].Status, content)

		require.NoError(t, raw.Delete(path, -1))
		s, _, err = c.Read(patient(t), thing, s)
		require.NoError(t, err)
		require.Empty(t, s.Instances[0].StatusFault, "it is absent")
		require.Nil(t, s.Instances[0].Status)
	}
}

// What the old orchestrator left behind is read, and repaired without telling an instance to
// reload.
func TestOldTree(t *testing.T) {
	connect, raw := store(t)
	began := time.Now().Truncate(time.Millisecond)
	old := func(n int, ids string) {
		base := protocol.InstancePath(thing, n)
		raw.put(t, base, `{"used":0,"count":1}`)
		raw.put(t, base+"/tmp", "")
		raw.put(t, base+"/_reload", `{"times":0}`)
		raw.put(t, base+"/resources", ids)
	}
	old(0, `{"ids":["a","b"]}`)
	old(1, `{ "ids": ["c", 17, "b"] }`)
	old(3, `{"ids":["d"]}`) // 2 is missing
	raw.put(t, protocol.StatusPath(thing, 3), "left behind")
	raw.put(t, protocol.KindPath(thing)+"/notes", "of another client")
	raw.status(t, 1, "")

	c := client(t, Config{Servers: connect})
	s, err := c.Lead(patient(t), thing, "pod/1")
	require.NoError(t, err)
	require.Equal(t, []int{0, 1, 3}, s.Ordinals())
	require.Equal(t, []string{"c", "17", "b"}, s.Instances[1].IDs.Strings())
	require.True(t, s.Instances[1].Live)
	require.Nil(t, s.Instances[1].Status, "a legacy status says nothing")
	require.False(t, s.Instances[1].LiveSince.Before(began), "but when it was made is known")
	require.False(t, s.Instances[3].Live, "a persistent status is a leftover")
	require.Zero(t, s.Instances[3].LiveSince)
	require.ErrorContains(t, s.Check(), `id "b"`)

	twice, err := protocol.Dedupe(s)
	require.NoError(t, err)
	require.Len(t, twice, 1)
	require.Equal(t, []protocol.Duplicate{{ID: "b", Stayed: "1", Removed: "0"}}, twice[0].Found, "it stays with the live status")
	require.NoError(t, c.Commit(patient(t), s, twice[0].Multi))
	for _, n := range s.Ordinals() {
		m, needed, err := protocol.Repair(s, n, 10)
		require.True(t, needed)
		commit(t, c, s, m, err)
	}
	require.Equal(t, `{"used":1,"count":10}`, raw.get(t, protocol.InstancePath(thing, 0)))
	require.Equal(t, `{"times":1}`, raw.get(t, protocol.ReloadPath(thing, 0)), "its ids changed")
	require.Equal(t, `{"used":3,"count":10}`, raw.get(t, protocol.InstancePath(thing, 1)))
	require.Equal(t, `{"times":0}`, raw.get(t, protocol.ReloadPath(thing, 1)))
	require.Equal(t, `{ "ids": ["c", 17, "b"] }`, raw.get(t, protocol.ResourcesPath(thing, 1)))
	require.Equal(t, []string{"17", "a", "b", "c", "d"}, everything(reload(t, connect, s)))
}

// An ordinal whose leftovers of the old orchestrator are in the way is removed nevertheless, but
// not while it lives.
func TestRemoveOrdinal(t *testing.T) {
	connect, raw := store(t)
	c, s := leading(t, connect, 2, 5)
	m, err := protocol.SetOpen(s, nil)
	commit(t, c, s, m, err)
	raw.put(t, protocol.StatusPath(thing, 0), "left behind")
	raw.status(t, 1, "")
	s, _, err = c.Read(patient(t), thing, s)
	require.NoError(t, err)
	m, err = protocol.RemoveOrdinal(s, 0)
	commit(t, c, s, m, err)
	_, err = protocol.RemoveOrdinal(s, 1)
	require.EqualError(t, err, "remove-ordinal: ordinal 1: has a live status")
	reload(t, connect, s)

	// A status that came since we looked keeps its ordinal.
	raw.delete(t, protocol.StatusPath(thing, 1))
	s, _, err = c.Read(patient(t), thing, s)
	require.NoError(t, err)
	m, err = protocol.RemoveOrdinal(s, 1)
	require.NoError(t, err)
	raw.status(t, 1, "")
	require.ErrorIs(t, c.Commit(patient(t), s, m), protocol.ErrConflict)
}

func TestFaultsStopTheKind(t *testing.T) {
	for name, test := range map[string]struct {
		path, data string // data "-": delete
		fault      string
	}{
		"list missing":       {protocol.ResourcesPath(thing, 0), "-", "/iota/orchestration/Thing/0/resources: is missing"},
		"list empty":         {protocol.ResourcesPath(thing, 0), "", "/iota/orchestration/Thing/0/resources: is no list of ids: is no JSON: it ends too early"},
		"list garbage":       {protocol.ResourcesPath(thing, 0), "{", "/iota/orchestration/Thing/0/resources: is no list of ids: is no JSON: it ends too early"},
		"list of newer":      {protocol.ResourcesPath(thing, 0), `{"v":2,"ids":[]}`, "/iota/orchestration/Thing/0/resources: v: schema 2, at most 1 is understood"},
		"id too long":        {protocol.ResourcesPath(thing, 0), `{"ids":["` + strings.Repeat("x", 300) + `"]}`, `/iota/orchestration/Thing/0/resources: ids: id "` + strings.Repeat("x", 40) + `"…: 300 bytes, at most 256`},
		"ordinal deleted":    {protocol.InstancePath(thing, 0), "-", "/iota/orchestration/Thing/0: has been deleted by another client"},
		"piece garbage":      {protocol.PiecePath(thing, "1-9"), "x", "/iota/shardscaler/Thing/pool/1-9: is no list of ids: is no JSON: line 1, byte 1: 'x': want a value: text in double quotes, a number such as 10 or -0.5, true, false, null, a list or an object"},
		"piece of odd name":  {protocol.PiecePath(thing, "old"), `{"ids":["z"]}`, "/iota/shardscaler/Thing/pool/old: name: want <epoch>-<number>"},
		"flight of newer":    {protocol.FlightPath(thing, "0-9"), `{"v":2,"from":0,"times":9}`, "/iota/shardscaler/Thing/flight/0-9: v: schema 2, at most 1 is understood"},
		"flight misnamed":    {protocol.FlightPath(thing, "0-9"), `{"from":0,"times":8,"ids":["z"]}`, `/iota/shardscaler/Thing/flight/0-9: from, times: want those of the name "0-9"`},
		"plan of newer":      {protocol.PlanPath(thing), `{"v":2}`, "/iota/shardscaler/Thing/plan: v: schema 2, at most 1 is understood"},
		"plan without parts": {protocol.PlanPath(thing), `{"v":1,"id":"p","parts":1,"sum":"0"}`, "/iota/shardscaler/Thing/plan: sum: parts have " + fmt.Sprintf("%x", sha256.Sum256(nil)) + ", want 0"},
		"head of newer":      {protocol.HeadPath(thing), `{"v":2,"epoch":"later"}`, "/iota/shardscaler/Thing/head: v: schema 2, at most 1 is understood"},
	} {
		t.Run(name, func(t *testing.T) {
			connect, raw := store(t)
			c, s := leading(t, connect, 1, 5)
			fill(t, c, s, 0, []string{"a", "b"})
			if test.data == "-" {
				raw.delete(t, test.path)
			} else {
				raw.put(t, test.path, test.data)
			}
			s, changed, err := c.Read(patient(t), thing, s)
			require.NoError(t, err)
			require.True(t, changed)
			require.False(t, s.Torn)
			require.Equal(t, test.fault, s.Fault())
			require.Equal(t, []string{"a", "b"}, everything(s), "what was last known is not free")
			require.Equal(t, 2, s.Assigned()+s.InFlight())
			_, err = protocol.Create(s, 5, []string{"c"})
			require.ErrorIs(t, err, protocol.ErrStopped)
			_, err = protocol.Revoke(s, 0, []string{"a"}, nil, "")
			require.ErrorIs(t, err, protocol.ErrStopped)
			again, changed, err := c.Read(patient(t), thing, s)
			require.NoError(t, err)
			require.False(t, changed)
			require.Equal(t, test.fault, again.Fault())
			if strings.HasPrefix(name, "head") {
				_, err = c.Lead(patient(t), thing, "pod/2")
				require.ErrorIs(t, err, protocol.ErrStopped)
			}
		})
	}
}

// A fault ends when its znode is whole again.
func TestFaultEnds(t *testing.T) {
	connect, raw := store(t)
	c, s := leading(t, connect, 1, 5)
	fill(t, c, s, 0, []string{"a"})
	raw.put(t, protocol.ResourcesPath(thing, 0), "garbage")
	s, _, err := c.Read(patient(t), thing, s)
	require.NoError(t, err)
	require.NotEmpty(t, s.Fault())
	raw.put(t, protocol.ResourcesPath(thing, 0), `{"ids":["a"]}`)
	s, _, err = c.Read(patient(t), thing, s)
	require.NoError(t, err)
	require.Empty(t, s.Fault())
	require.Equal(t, 1, s.Assigned())
}

func TestFencedByAnotherLeader(t *testing.T) {
	connect, _ := store(t)
	c, s := leading(t, connect, 1, 5)
	other := client(t, Config{Servers: connect})
	theirs, err := other.Lead(patient(t), thing, "pod/2")
	require.NoError(t, err)
	require.Equal(t, s.Head.Epoch+1, theirs.Head.Epoch)
	require.Equal(t, s.Head.Open, theirs.Head.Open)
	m, err := protocol.Create(s, 0, []string{"a"})
	require.NoError(t, err)
	require.ErrorIs(t, c.Commit(patient(t), s, m), protocol.ErrFenced)
	m, err = protocol.StoreDoc(s, "scaler", []byte("{}"))
	require.NoError(t, err)
	require.ErrorIs(t, c.Commit(patient(t), s, m), protocol.ErrFenced)
	require.Empty(t, everything(reload(t, connect, theirs)))
}

// What was decided while an ordinal was open can no longer be written once it is closed: else it
// would receive after it was found empty.
func TestAClosedOrdinalReceivesNothingDecidedBefore(t *testing.T) {
	connect, _ := store(t)
	c, s := leading(t, connect, 2, 5)
	fill(t, c, s, 0, []string{"a"})
	m, err := protocol.Create(s, 7, []string{"b"})
	commit(t, c, s, m, err)
	m, err = protocol.Revoke(s, 0, []string{"a"}, []int{1}, "uid")
	commit(t, c, s, m, err)
	before := s.Clone()
	m, err = protocol.SetOpen(s, []int{0})
	commit(t, c, s, m, err)
	for _, late := range []func() (protocol.Multi, error){
		func() (protocol.Multi, error) {
			return protocol.Grant(before, protocol.Give{To: 1, From: []protocol.Take{{Name: protocol.FlightName(0, before.Instances[0].Times)}}})
		},
		func() (protocol.Multi, error) {
			return protocol.Assign(before, protocol.Give{To: 1, From: []protocol.Take{{Name: protocol.PieceName(before.Head.Epoch, 7)}}})
		},
	} {
		m, err := late()
		require.NoError(t, err)
		require.ErrorIs(t, c.Commit(patient(t), before.Clone(), m), protocol.ErrFenced, "%s to an ordinal that was closed since", m.Step)
	}
	require.Empty(t, reload(t, connect, s).Instances[1].IDs.Strings())
}

func TestConflictWithAForeignEdit(t *testing.T) {
	connect, raw := store(t)
	c, s := leading(t, connect, 1, 5)
	fill(t, c, s, 0, []string{"a", "b"})
	raw.put(t, protocol.ResourcesPath(thing, 0), `{"ids":["a"]}`)
	before := s.Clone()
	m, err := protocol.Revoke(s, 0, []string{"b"}, nil, "")
	require.NoError(t, err)
	err = c.Commit(patient(t), s, m)
	require.ErrorIs(t, err, protocol.ErrConflict)
	require.ErrorContains(t, err, "/iota/orchestration/Thing/0/resources")
	same(t, before, s)
	s, changed, err := c.Read(patient(t), thing, s)
	require.NoError(t, err)
	require.True(t, changed)
	require.Equal(t, []string{"a"}, s.Instances[0].IDs.Strings())
}

// A refresh shares what did not change, and sees what did, also what only looks the same.
func TestRefreshReadsWhatChanged(t *testing.T) {
	connect, raw := store(t)
	c, s := leading(t, connect, 3, 5)
	fill(t, c, s, 0, []string{"a"})
	m, err := protocol.Create(s, 7, []string{"p"})
	commit(t, c, s, m, err)
	m, err = protocol.StoreDoc(s, "scaler", []byte("one"))
	commit(t, c, s, m, err)
	s, changed, err := c.Read(patient(t), thing, s)
	require.NoError(t, err)
	require.False(t, changed, "our own commits are known")

	// the same name, version and length, but another znode
	raw.delete(t, protocol.PiecePath(thing, "1-7"))
	raw.put(t, protocol.PiecePath(thing, "1-7"), "")
	raw.delete(t, protocol.PiecePath(thing, "1-7"))
	_, err = raw.Create(raw.root+protocol.PiecePath(thing, "1-7"), []byte(`{"ids":["q"]}`), 0, zk.WorldACL(zk.PermAll))
	require.NoError(t, err)
	raw.put(t, protocol.DocPath(thing, "scaler"), "two")
	fresh, changed, err := c.Read(patient(t), thing, s)
	require.NoError(t, err)
	require.True(t, changed)
	require.Equal(t, []string{"q"}, fresh.Pool["1-7"].IDs.Strings())
	require.Equal(t, "two", string(fresh.Kept["scaler"].Data))
	require.Equal(t, []string{"p"}, s.Pool["1-7"].IDs.Strings(), "what was given stays as it was")
	for n := range 3 {
		require.Same(t, s.Instances[n], fresh.Instances[n])
	}
	_, changed, err = c.Read(patient(t), thing, fresh)
	require.NoError(t, err)
	require.False(t, changed)
}

func TestChangesAreNoticed(t *testing.T) {
	connect, raw := store(t)
	c, s := leading(t, connect, 1, 5)
	other := client(t, Config{Servers: connect})
	changes, statuses := other.Changes(thing)
	theirs, _, err := other.Read(patient(t), thing, nil)
	require.NoError(t, err)
	drain := func() {
		for {
			select {
			case <-changes:
			case <-statuses:
			case <-time.After(50 * time.Millisecond):
				return
			}
		}
	}
	notices := func(what string, change func()) {
		t.Helper()
		var err error
		theirs, _, err = other.Read(patient(t), thing, theirs)
		require.NoError(t, err)
		drain()
		change()
		select {
		case <-changes:
		case <-patient(t).Done():
			t.Fatal("unnoticed: " + what)
		}
		if strings.HasPrefix(what, "status") {
			select {
			case <-statuses:
			case <-patient(t).Done():
				t.Fatal("not noticed as a status: " + what)
			}
		}
		require.Empty(t, statuses, what)
	}
	notices("create", func() {
		m, err := protocol.Create(s, 0, []string{"a"})
		commit(t, c, s, m, err)
	})
	notices("assign", func() {
		m, err := protocol.Assign(s, protocol.Give{To: 0, From: []protocol.Take{{Name: "1-0"}}})
		commit(t, c, s, m, err)
	})
	notices("status", func() { raw.status(t, 0, "") })
	notices("status again", func() { raw.put(t, protocol.StatusPath(thing, 0), `{"times":1}`) })
	notices("status gone", func() { raw.delete(t, protocol.StatusPath(thing, 0)) })
	notices("open", func() {
		m, err := protocol.SetOpen(s, nil)
		commit(t, c, s, m, err)
	})
	notices("ordinal", func() {
		m, err := protocol.AddOrdinal(s, 4, 5)
		commit(t, c, s, m, err)
	})
	theirs, _, err = other.Read(patient(t), thing, theirs)
	require.NoError(t, err)
	same(t, theirs, s)

	before := watchesOf(t, other)
	for range 5 {
		_, _, err := other.Read(patient(t), thing, theirs)
		require.NoError(t, err)
	}
	require.Equal(t, before, watchesOf(t, other), "watches do not pile up")
}

func TestCommitAllTogether(t *testing.T) {
	connect, _ := store(t)
	c, s := leading(t, connect, 20, 100)
	var ms []protocol.Multi
	for n := range 20 {
		m, err := protocol.Create(s, int64(n), names(fmt.Sprintf("r%d-", n), 50))
		require.NoError(t, err)
		ms = append(ms, m)
	}
	require.NoError(t, errors.Join(c.CommitAll(patient(t), s, ms)...))
	ms = nil
	for n := range 20 {
		m, err := protocol.Assign(s, protocol.Give{To: n, From: []protocol.Take{{Name: protocol.PieceName(1, int64(n))}}})
		require.NoError(t, err)
		ms = append(ms, m)
	}
	require.NoError(t, errors.Join(c.CommitAll(patient(t), s, ms)...))
	require.Len(t, everything(reload(t, connect, s)), 1000)
	require.InDelta(t, 20, testutil.ToFloat64(c.metrics.commits.WithLabelValues("assign", "done")), 0)

	one, err := protocol.Revoke(s, 0, []string{"r0-0"}, nil, "")
	require.NoError(t, err)
	two, err := protocol.Revoke(s, 0, []string{"r0-1"}, nil, "")
	require.NoError(t, err)
	for _, err := range c.CommitAll(patient(t), s, []protocol.Multi{one, two}) {
		require.ErrorContains(t, err, "both touch")
	}
	reload(t, connect, s)
}

// Full lists, and what is more than a server takes.
func TestLargeLists(t *testing.T) {
	connect, _ := store(t)
	c, s := leading(t, connect, 2, 5000)
	ids := uuids(5000, 0)
	fill(t, c, s, 0, ids)
	require.Greater(t, s.Instances[0].Bytes, 190_000)
	m, err := protocol.Revoke(s, 0, ids, nil, "uid")
	commit(t, c, s, m, err)
	m, err = protocol.Redirect(s, "0-3", ids, 1)
	commit(t, c, s, m, err)
	m, err = protocol.Grant(s, protocol.Give{To: 1, From: []protocol.Take{{Name: "0-3"}}})
	commit(t, c, s, m, err)
	require.Equal(t, ids, reload(t, connect, s).Instances[1].IDs.Strings())

	sess, err := c.link.await(patient(t))
	require.NoError(t, err)
	huge := protocol.Multi{Step: "keep", Ops: []protocol.Op{
		{Kind: protocol.OpCheck, Path: protocol.HeadPath(thing), Version: s.HeadVersion},
		{Kind: protocol.OpCreate, Path: protocol.DocPath(thing, "huge"), Data: make([]byte, protocol.MaxRequestBytes)},
	}}
	require.ErrorIs(t, c.Commit(patient(t), s, huge), protocol.ErrTooLarge)
	after, err := c.link.await(patient(t))
	require.NoError(t, err)
	require.Same(t, sess, after, "it was not sent: it would have cost the session")
}

func TestReadLeftCountsWhatIsLeft(t *testing.T) {
	connect, _ := store(t)
	c, s := leading(t, connect, 3, 10)
	fill(t, c, s, 1, names("a", 5))
	fill(t, c, s, 2, names("b", 3))
	m, err := protocol.SetOpen(s, []int{0})
	commit(t, c, s, m, err)
	m, err = protocol.Revoke(s, 1, []string{"a0", "a1"}, []int{0, 0}, "uid")
	commit(t, c, s, m, err)
	left, err := client(t, Config{Servers: connect}).ReadLeft(patient(t), thing, []int{1, 2, 7})
	require.NoError(t, err)
	require.Equal(t, map[int]int{1: 5, 2: 3, 7: 0}, left.Count)
	require.Equal(t, []int{0}, left.Head.Open)
	require.Equal(t, s.HeadVersion, left.HeadVersion)
}

// A plan survives its leader, and one that was half written does not harm the one before.
func TestPlanSurvives(t *testing.T) {
	connect, _ := store(t)
	c, s := leading(t, connect, 1, 5)
	random := make([]byte, 0, 600_000) // does not compress
	for i := 0; len(random) < cap(random); i++ {
		sum := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
		random = append(random, sum[:]...)
	}
	put := func(id string, data []byte) {
		parts, last, err := protocol.StorePlan(s, id, data)
		require.NoError(t, err)
		require.NoError(t, errors.Join(c.CommitAll(patient(t), s, parts)...))
		commit(t, c, s, last, nil)
	}
	put("one", random)
	require.Equal(t, random, reload(t, connect, s).Plan.Data)
	parts, _, err := protocol.StorePlan(s, "two", random[1:])
	require.NoError(t, err)
	require.Greater(t, len(parts), 1)
	commit(t, c, s, parts[0], nil)
	require.Equal(t, "one", reload(t, connect, s).Plan.ID)

	s, err = client(t, Config{Servers: connect}).Lead(patient(t), thing, "pod/2")
	require.NoError(t, err)
	require.Equal(t, random, s.Plan.Data)
	put("three", []byte("small"))
	put("four", []byte("smaller"))
	require.Equal(t, &protocol.StoredPlan{ID: "four", Data: []byte("smaller")}, reload(t, connect, s).Plan)
	m, err := protocol.ClearPlan(s, []byte(`{"n":1}`))
	commit(t, c, s, m, err)
	cleared := reload(t, connect, s)
	require.Nil(t, cleared.Plan)
	require.JSONEq(t, `{"n":1}`, string(cleared.PlanNote()))
}

// With credentials, our own znodes are ours to change and readable by every client; the instances'
// tree stays as open as it was.
func TestAccessLists(t *testing.T) {
	connect, raw := store(t)
	file := filepath.Join(t.TempDir(), "auth")
	require.NoError(t, os.WriteFile(file, []byte("shardscaler:secret\n"), 0o600))
	c := client(t, Config{Servers: connect, AuthFile: file})
	s, err := c.Lead(patient(t), thing, "pod/1")
	require.NoError(t, err)
	m, err := protocol.AddOrdinal(s, 0, 5)
	commit(t, c, s, m, err)
	_, err = raw.Set(raw.root+protocol.HeadPath(thing), []byte("{}"), -1)
	require.ErrorIs(t, err, zk.ErrNoAuth)
	raw.get(t, protocol.HeadPath(thing))
	raw.status(t, 0, `{"times":0}`)

	stranger := client(t, Config{Servers: connect})
	theirs, _, err := stranger.Read(patient(t), thing, nil)
	require.NoError(t, err)
	m, err = protocol.SetOpen(theirs, []int{0})
	require.NoError(t, err)
	require.ErrorIs(t, stranger.Commit(patient(t), theirs, m), zk.ErrNoAuth)
	again := client(t, Config{Servers: connect, AuthFile: file})
	_, err = again.Lead(patient(t), thing, "pod/2")
	require.NoError(t, err)
}

func TestConfig(t *testing.T) {
	type parsed struct {
		servers []string
		chroot  string
	}
	for text, want := range map[string]parsed{
		"a:1":               {[]string{"a:1"}, ""},
		"a,b:2/x/y/":        {[]string{"a:2181", "b:2"}, "/x/y"},
		"[::1]:2181/":       {[]string{"[::1]:2181"}, ""},
		" a:1 , [::1]/deep": {[]string{"a:1", "[::1]:2181"}, "/deep"},
	} {
		servers, chroot, err := parseServers(text)
		require.NoError(t, err)
		require.Equal(t, want, parsed{servers, chroot})
	}
	err := Config{Servers: "a:1,,b", SessionTimeout: time.Hour, TLS: &clienttls.Files{KeyFile: "k"}}.Validate()
	require.EqualError(t, err, `zookeeper servers "a:1,,b": want host:port,host:port/chroot
session timeout: 1h0m0s, at least 1s and at most 1m
tls: certificate and key go together`)
	require.ErrorContains(t, Config{Servers: "a/b//c"}.Default().Validate(), "empty part")
	for _, text := range []string{"a:1/b,c:1/b", "a:1/b,c:1", "a:1/b;c:1/b", "a:1/b?x=1", "a:1/b#x", "a:1/b c"} {
		require.ErrorContains(t, Config{Servers: text}.Default().Validate(), "want it once, after the last server", text)
	}
	for _, text := range []string{"a:1;c:1", "a:1 c:1", "a;c/b"} {
		require.ErrorContains(t, Config{Servers: text}.Default().Validate(), "want host:port,host:port/chroot", text)
	}
}
