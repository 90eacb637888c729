package protocol

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

const thing = "Thing"

// fake is a ZooKeeper of one process: transactions are atomic, versions are checked, nothing else.
type fake struct {
	nodes map[string]znode
	zxid  int64
}

type znode struct {
	data    []byte
	version int32
	zxid    int64
}

func newFake() *fake { return &fake{nodes: map[string]znode{}} }

// commit does all of m or nothing.
func (f *fake) commit(m Multi) ([]Result, error) {
	next := maps.Clone(f.nodes)
	zxid := f.zxid + 1
	results := make([]Result, len(m.Ops))
	for i, op := range m.Ops {
		node, exists := next[op.Path]
		switch {
		case op.Kind == OpCreate && exists:
			return nil, fmt.Errorf("create %s: exists", op.Path)
		case op.Kind != OpCreate && !exists:
			return nil, fmt.Errorf("%s: does not exist", op.Path)
		case op.Kind != OpCreate && node.version != op.Version:
			return nil, fmt.Errorf("%s: version %d, want %d", op.Path, node.version, op.Version)
		}
		switch op.Kind {
		case OpCreate:
			node = znode{data: op.Data, zxid: zxid}
		case OpSet:
			node = znode{data: op.Data, version: node.version + 1, zxid: zxid}
		case OpDelete:
			for path := range next {
				if strings.HasPrefix(path, op.Path+"/") {
					return nil, fmt.Errorf("delete %s: has children", op.Path)
				}
			}
			delete(next, op.Path)
			results[i] = Result{Mtime: clock(zxid), Zxid: zxid}
			continue
		}
		next[op.Path] = node
		results[i] = Result{Version: node.version, Mtime: clock(zxid), Zxid: zxid}
	}
	f.nodes, f.zxid = next, zxid
	return results, nil
}

func clock(zxid int64) time.Time { return time.UnixMilli(1_000 * zxid) }

// put writes a znode as a foreign hand would.
func (f *fake) put(path, data string) {
	f.zxid++
	old, exists := f.nodes[path]
	version := int32(0)
	if exists {
		version = old.version + 1
	}
	f.nodes[path] = znode{data: []byte(data), version: version, zxid: f.zxid}
}

// load reads everything, as Client.Read does.
func (f *fake) load(t require.TestingT, kind string) *State {
	s, _, err := Read(f, NewState(kind), clock(f.zxid))
	require.NoError(t, err)
	require.Empty(t, s.Fault())
	return s
}

// Stat implements Znodes. It knows nothing of watches, and no znode has ever lost a child.
func (f *fake) Stat(path string, _ bool) (*Stat, error) {
	node, exists := f.nodes[path]
	if !exists {
		return nil, nil
	}
	return &Stat{Version: node.version, Zxid: node.zxid, Bytes: len(node.data)}, nil
}

// Get implements Znodes.
func (f *fake) Get(path string, _ bool) (*Znode, error) {
	stat, _ := f.Stat(path, false)
	if stat == nil {
		return nil, nil
	}
	return &Znode{Stat: *stat, Data: f.nodes[path].data}, nil
}

// Children implements Znodes.
func (f *fake) Children(path string, _ bool) (names []string, stat *Stat, err error) {
	for other := range f.nodes {
		if name, below := strings.CutPrefix(other, path+"/"); below && !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	stat, err = f.Stat(path, false)
	return names, stat, err
}

// Each implements Znodes.
func (f *fake) Each(reads []func(Znodes) error) error {
	for _, read := range reads {
		if err := read(f); err != nil {
			return err
		}
	}
	return nil
}

// must commits and applies.
func (f *fake) must(t require.TestingT, s *State, m Multi, err error) {
	require.NoError(t, err)
	results, err := f.commit(m)
	require.NoError(t, err, m.Step)
	m.Apply(s, results)
}

// same compares what two States say of the assignment.
func same(t require.TestingT, want, got *State) {
	require.Equal(t, string(encodeHead(want.Head)), string(encodeHead(got.Head)))
	require.Equal(t, want.HeadVersion, got.HeadVersion)
	require.Equal(t, want.Ordinals(), got.Ordinals())
	for n, in := range want.Instances {
		is := got.Instances[n]
		require.Equal(t, in.IDs.Strings(), is.IDs.Strings())
		require.Equal(t,
			[]any{in.Used, in.Capacity, in.Times, in.Bytes, in.HasTmp, in.DataVersion, in.ListVersion, in.ReloadVersion},
			[]any{is.Used, is.Capacity, is.Times, is.Bytes, is.HasTmp, is.DataVersion, is.ListVersion, is.ReloadVersion})
	}
	require.Equal(t, want.PoolNames(), got.PoolNames())
	for name, p := range want.Pool {
		require.Equal(t, p.IDs.Strings(), got.Pool[name].IDs.Strings())
		require.Equal(t, []any{p.Version, p.bytes}, []any{got.Pool[name].Version, got.Pool[name].bytes})
	}
	require.Equal(t, want.FlightNames(), got.FlightNames())
	for name, f := range want.Flight {
		g := got.Flight[name]
		require.Equal(t, []any{f.From, f.Times, f.Pod, f.IDs.Strings(), f.Version, f.bytes}, []any{g.From, g.Times, g.Pod, g.IDs.Strings(), g.Version, g.bytes})
		for i := range f.IDs.Len() {
			require.Equal(t, f.Target(i), g.Target(i))
		}
	}
}

// everything lists all ids of a State, sorted.
func everything(s *State) []string {
	var all []string
	for _, p := range s.places() {
		all = append(all, p.ids.Strings()...)
	}
	slices.Sort(all)
	return all
}

// led is a State with a head, and instances of that capacity that are open.
func led(t require.TestingT, f *fake, capacity int, ordinals ...int) *State {
	s := NewState("Thing")
	m, err := Lead(s, "pod/0")
	f.must(t, s, m, err)
	for _, n := range ordinals {
		m, err := AddOrdinal(s, n, capacity)
		f.must(t, s, m, err)
	}
	m, err = SetOpen(s, ordinals)
	f.must(t, s, m, err)
	return s
}

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
