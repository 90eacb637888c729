package protocol

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// watchful is a ZooKeeper that notes what is asked of it.
type watchful struct {
	*fake
	asked, awaited []string
}

func (w *watchful) Stat(path string, watch bool) (*Stat, error) {
	w.asked = append(w.asked, path)
	if watch {
		w.awaited = append(w.awaited, path)
	}
	return w.fake.Stat(path, watch)
}

func (w *watchful) Get(path string, watch bool) (*Znode, error) {
	w.asked = append(w.asked, path)
	return w.fake.Get(path, watch)
}

func (w *watchful) Children(path string, watch bool) ([]string, *Stat, error) {
	w.asked = append(w.asked, path)
	return w.fake.Children(path, watch)
}

func (w *watchful) Each(reads []func(Znodes) error) error {
	for _, read := range reads {
		if err := read(w); err != nil {
			return err
		}
	}
	return nil
}

// Parts are written with their document in one transaction, under the head. A reading sees the
// document alone: it asks for no part, and takes none for an edit or a fault.
func TestPartsBelongToTheirDocument(t *testing.T) {
	f, s := newFake(), NewState("Thing")
	m, err := Lead(s, "pod/1")
	f.must(t, s, m, err)
	m, err = StoreDoc(s, "history", []byte("one"), Part{Name: "20260301-a", Data: []byte("a"), Version: -1}, Part{Name: "20260301-b", Data: []byte("b"), Version: -1})
	f.must(t, s, m, err)
	deposed := s.Clone()
	m, err = StoreDoc(s, "history", []byte("two"), Part{Name: "20260301-a"}, Part{Name: "20260301-b", Data: []byte("bb")})
	f.must(t, s, m, err)
	require.NotContains(t, f.nodes, "/iota/shardscaler/Thing/history/20260301-a")
	require.Equal(t, "bb", string(f.nodes["/iota/shardscaler/Thing/history/20260301-b"].data))

	w := &watchful{fake: f}
	fresh, _, err := Read(w, NewState("Thing"), clock(f.zxid))
	require.NoError(t, err)
	require.Equal(t, "two", string(fresh.Kept["history"].Data))
	require.Len(t, fresh.Kept, 1)
	require.Empty(t, fresh.Fault())
	for _, path := range w.asked {
		require.False(t, strings.HasPrefix(path, "/iota/shardscaler/Thing/history/"), path)
	}
	require.Empty(t, ForeignEdit(s, fresh))
	require.Equal(t, s.Kept["history"], s.Overlay(fresh, Touched{"/iota/shardscaler/Thing/history/20260301-b": {}}).Kept["history"])

	m, err = StoreDoc(deposed, "history", []byte("three"), Part{Name: "20260301-b", Data: []byte("x")})
	require.NoError(t, err)
	_, err = f.commit(m)
	require.Error(t, err, "the document is another one by now")
	m, err = Lead(s, "pod/2")
	f.must(t, s, m, err)
	m, err = StoreDoc(deposed, "later", nil, Part{Name: "a", Data: []byte("x"), Version: -1})
	require.NoError(t, err)
	_, err = f.commit(m)
	require.Error(t, err, "another one leads")
}

// Whatever can come again is awaited, and no piece: a watch on what never comes stays for ever.
func TestNoPieceIsAwaited(t *testing.T) {
	f := newFake()
	s := led(t, f, 10, 0)
	m, err := Create(s, 1, []string{"a", "b"})
	f.must(t, s, m, err)
	m, err = Assign(s, Give{To: 0, From: []Take{{Name: "1-1", IDs: []string{"a"}}}})
	f.must(t, s, m, err)
	m, err = Revoke(s, 0, []string{"a"}, nil, "uid")
	f.must(t, s, m, err)
	m, err = StoreDoc(s, "scaler", []byte("{}"))
	f.must(t, s, m, err)
	for _, prev := range []*State{NewState(thing), s} {
		w := &watchful{fake: f}
		_, _, err = Read(w, prev, clock(f.zxid))
		require.NoError(t, err)
		require.Contains(t, w.asked, PiecePath(thing, "1-1"))
		require.Contains(t, w.asked, FlightPath(thing, "0-2"))
		for _, path := range w.awaited {
			require.False(t, strings.HasPrefix(path, PoolPath(thing)) || strings.HasPrefix(path, FlightsPath(thing)), path)
		}
		require.Subset(t, w.awaited, []string{HeadPath(thing), ResourcesPath(thing, 0), StatusPath(thing, 0), TmpPath(thing, 0), DocPath(thing, "scaler"), PlanPath(thing)})
	}
}
