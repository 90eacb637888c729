package zkstore

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/exact"
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

func (z znode) stat() *zk.Stat { return &zk.Stat{Version: z.version, DataLength: int32(len(z.data))} }

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

// load reads the lists, pieces, flights and the head, as Client.Load does.
func (f *fake) load(t require.TestingT, kind string) *State {
	s := NewState(kind)
	if head, ok := f.nodes[headPath(kind)]; ok {
		var err error
		s.Head, err = decodeHead(head.data)
		require.NoError(t, err)
		s.HeadVersion = head.version
	}
	for path, node := range f.nodes {
		stat := &zk.Stat{Version: node.version, Mzxid: node.zxid, DataLength: int32(len(node.data))}
		if name, ok := strings.CutPrefix(path, poolPath(kind)+"/"); ok {
			p, err := parsePiece(name, &content{node.data, stat})
			require.NoError(t, err)
			s.Pool[name] = p
		}
		if name, ok := strings.CutPrefix(path, flightsPath(kind)+"/"); ok {
			fl, err := parseFlight(name, &content{node.data, stat})
			require.NoError(t, err)
			s.Flight[name] = fl
		}
		if name, ok := strings.CutPrefix(path, KindPath(kind)+"/"); ok && !strings.Contains(name, "/") {
			n, err := exact.Ordinal(name)
			require.NoError(t, err)
			s.Instances[n] = f.instance(t, kind, n)
		}
	}
	return s
}

func (f *fake) instance(t require.TestingT, kind string, n int) *Instance {
	in := nothing(n)
	data := f.nodes[InstancePath(kind, n)]
	in.Used, in.Capacity = decodeData(data.data)
	in.DataVersion = data.version
	list, ok := f.nodes[resourcesPath(kind, n)]
	require.True(t, ok)
	in.ListVersion, in.Bytes, in.IDs = list.version, len(list.data), []string{}
	if in.newList = isNew(list.stat()); !in.newList {
		var err error
		in.IDs, err = decodeIDs(list.data)
		require.NoError(t, err)
	}
	in.Begun = in.newList
	if reload, ok := f.nodes[reloadPath(kind, n)]; ok {
		in.HasReload, in.Times, in.ReloadVersion = true, decodeReload(reload.data), reload.version
		in.Begun = in.Begun || isNew(reload.stat()) && len(in.IDs) == 0
	}
	if tmp, ok := f.nodes[tmpPath(kind, n)]; ok {
		in.HasTmp, in.tmpVersion = true, tmp.version
	}
	return in
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
		require.Equal(t, in.IDs, is.IDs)
		require.Equal(t,
			[]any{in.Used, in.Capacity, in.Times, in.Bytes, in.HasTmp, in.HasReload, in.DataVersion, in.ListVersion, in.ReloadVersion},
			[]any{is.Used, is.Capacity, is.Times, is.Bytes, is.HasTmp, is.HasReload, is.DataVersion, is.ListVersion, is.ReloadVersion})
	}
	require.Equal(t, want.PoolNames(), got.PoolNames())
	for name, p := range want.Pool {
		require.Equal(t, p.IDs, got.Pool[name].IDs)
		require.Equal(t, []any{p.Version, p.bytes}, []any{got.Pool[name].Version, got.Pool[name].bytes})
	}
	require.Equal(t, want.FlightNames(), got.FlightNames())
	for name, f := range want.Flight {
		g := got.Flight[name]
		require.Equal(t, []any{f.From, f.Times, f.Pod, f.IDs, f.Version, f.bytes}, []any{g.From, g.Times, g.Pod, g.IDs, g.Version, g.bytes})
		for i := range f.IDs {
			require.Equal(t, f.Target(i), g.Target(i))
		}
	}
}

// everything lists all ids of a State, sorted.
func everything(s *State) []string {
	var all []string
	s.walk(func(_ place, ids []string) { all = append(all, ids...) })
	slices.Sort(all)
	return all
}

// led is a State with a head, and instances of that capacity that are open.
func led(t require.TestingT, f *fake, capacity int, ordinals ...int) *State {
	s := NewState("Thing")
	m, err := s.Lead("pod/0")
	f.must(t, s, m, err)
	for _, n := range ordinals {
		m, err := s.AddOrdinal(n, capacity)
		f.must(t, s, m, err)
	}
	m, err = s.SetOpen(ordinals)
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

// chunks cuts ids to what fits into a piece.
func chunks(ids []string) (pieces [][]string) {
	for len(ids) > 0 {
		n := Fit(ids, MaxPieceBytes)
		pieces = append(pieces, ids[:n])
		ids = ids[n:]
	}
	return pieces
}
