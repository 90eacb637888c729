package product

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

func TestMain(m *testing.M) {
	if servers.RunRole() {
		return
	}
	os.Exit(m.Run())
}

// story plays transactions into a ledger, a second apart.
type story struct {
	t *testing.T
	l *Ledger
	n int64
}

func (s *story) commit(ops ...TxnOp) {
	s.t.Helper()
	s.n++
	require.NoError(s.t, s.l.add(Txn{Zxid: s.n, Time: time.Unix(s.n, 0), Ops: ops}, true))
}

func list(n int, ids string) TxnOp {
	return TxnOp{Path: fmt.Sprintf("/x/iota/orchestration/Thing/%d/resources", n), Data: []byte(`{"ids":[` + ids + `]}`)}
}

func pool(ids string) TxnOp {
	return TxnOp{Path: "/x/iota/shardscaler/Thing/pool/1-1", Data: []byte(`{"ids":[` + ids + `]}`)}
}

const flightPath = "/x/iota/shardscaler/Thing/flight/0-2"

func newStory(t *testing.T) *story { return &story{t: t, l: newLedger("/x", "Thing")} }

func TestLedgerFollowsAnIDThroughPoolListAndFlight(t *testing.T) {
	s := newStory(t)
	s.commit(pool(`"a","b"`))
	s.commit(pool(`"b"`), list(0, `"a"`))
	s.commit(list(0, ``), TxnOp{Path: flightPath, Data: []byte(`{"from":0,"times":2,"pod":"","ids":["a"],"to":[1]}`)})
	s.commit(TxnOp{Path: flightPath, Deleted: true}, list(1, `"a"`))
	require.Empty(t, s.l.Faults)
	require.Empty(t, s.l.Lost)
	require.Equal(t, 4, s.l.Transactions)
	require.Equal(t, []Span{{time.Unix(2, 0), time.Unix(4, 0)}}, s.l.Busy[0], "busy while it has the id or the id is in flight from it")
	require.True(t, s.l.BusyBetween(0, time.Unix(3, 0), time.Unix(5, 0)))
	require.False(t, s.l.BusyBetween(0, time.Unix(4, 0), time.Unix(9, 0)))
	require.True(t, s.l.BusyBetween(1, time.Unix(8, 0), time.Unix(9, 0)))
}

func TestLedgerSeesAnIDInTwoPlaces(t *testing.T) {
	s := newStory(t)
	s.commit(list(0, `"a"`))
	s.commit(list(1, `"a"`))
	require.Len(t, s.l.Faults, 1)
	require.Contains(t, s.l.Faults[0], "Thing a is in two places")
}

func TestLedgerSeesAnIDTwiceInOneList(t *testing.T) {
	s := newStory(t)
	s.commit(list(0, `"a","a"`))
	require.Len(t, s.l.Faults, 1)
}

// What cannot be read takes nothing away: the ids last known there count on.
func TestLedgerKeepsWhatGarbageHides(t *testing.T) {
	s := newStory(t)
	s.commit(list(0, `"a"`))
	garbage := list(0, `"a"`)
	garbage.Data = []byte(`{"ids":`)
	s.commit(garbage)
	require.Len(t, s.l.Faults, 1)
	require.Contains(t, s.l.Faults[0], "garbage")
	require.Empty(t, s.l.Lost)
	require.True(t, s.l.BusyBetween(0, time.Unix(3, 0), time.Unix(4, 0)))
}

func TestLedgerSeesAnIDVanish(t *testing.T) {
	s := newStory(t)
	s.commit(list(0, `"a","b"`))
	s.commit(list(0, `"b"`))
	require.Equal(t, map[string]time.Time{"a": time.Unix(2, 0)}, s.l.Lost)
	s.commit(pool(`"a"`))
	require.Empty(t, s.l.Lost)
}

func TestLedgerTakesATransactionAsAWhole(t *testing.T) {
	s := newStory(t)
	s.commit(list(0, `"a"`), list(1, `"b"`))
	s.commit(list(0, `"b"`), list(1, `"a"`))
	require.Empty(t, s.l.Faults)
	require.Empty(t, s.l.Lost)
}

func TestTxnsOfARealServer(t *testing.T) {
	env := servers.Require(t, servers.PartZooKeeper)
	conn, root := env.ZooKeeper.Dial(t), env.ZooKeeper.Path(t)
	acl := zk.WorldACL(zk.PermAll)
	_, err := conn.Create(root, []byte("one"), 0, acl)
	require.NoError(t, err)
	_, err = conn.Multi(
		&zk.CreateRequest{Path: root + "/a", Data: []byte("two"), Acl: acl},
		&zk.SetDataRequest{Path: root, Data: []byte("three"), Version: 0},
		&zk.CheckVersionRequest{Path: root, Version: 1})
	require.NoError(t, err)
	_, err = conn.Multi(
		&zk.DeleteRequest{Path: root + "/a", Version: 0},
		&zk.CheckVersionRequest{Path: root, Version: 7})
	require.Error(t, err, "a multi that fails changes nothing, and the log must not say that it did")
	require.NoError(t, conn.Delete(root+"/a", 0))

	txns, err := ReadTxns(filepath.Join(env.ZooKeeper.Servers[0].WorkDir, "data"))
	require.NoError(t, err)
	var got []string
	var last Txn
	for _, txn := range txns {
		require.Greater(t, txn.Zxid, last.Zxid)
		last = txn
		for _, op := range txn.Ops {
			if len(op.Path) >= len(root) && op.Path[:len(root)] == root {
				if op.Checked {
					require.Equal(t, int32(1), op.Version)
					got = append(got, "checked")
					continue
				}
				got = append(got, fmt.Sprintf("%s=%s deleted=%v", op.Path[len(root):], op.Data, op.Deleted))
				require.WithinDuration(t, time.Now(), txn.Time, time.Minute)
			}
		}
	}
	require.Equal(t, []string{"=one deleted=false", "/a=two deleted=false", "=three deleted=false", "checked", "/a= deleted=true"}, got)
}

func TestIDsAndImportMessagesRepeat(t *testing.T) {
	ids := IDs(1000, 7)
	require.Equal(t, ids, IDs(1000, 7))
	require.NotEqual(t, ids, IDs(1000, 8))
	seen := map[string]bool{}
	for _, id := range ids {
		seen[id] = true
	}
	require.Len(t, seen, 1000)
	messages := ImportMessages("Thing", ids, 3)
	require.Equal(t, messages, ImportMessages("Thing", ids, 3))
	require.Len(t, messages, 551, "500 single ones, one in bulk, and a tenth of them again")
}
