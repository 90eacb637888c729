package store

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// tree is a kind of many instances, whose lists the bare client sets while no engine runs: by an
// engine, millions of resources would take minutes to be there again for each round.
type tree struct {
	*server
	chroot    string
	instances int
}

// list is what an instance owns, as it is stored; count is known where we have dealt it.
type list struct {
	ordinal, count int
	data           []byte
}

// plant has an engine make the znodes of that many instances.
func (s *server) plant(chroot string, instances int) *tree {
	k := s.keep(chroot, instances)
	k.await("the instances are open", func(st *protocol.State) bool { return len(st.Head.Open) == instances })
	k.close()
	s.makePath(markPath)
	return &tree{server: s, chroot: chroot, instances: instances}
}

// deal gives ids out evenly to the first of the instances.
func (t *tree) deal(ids []string, among int) []list {
	lists := make([]list, t.instances)
	for n := range lists {
		part := ids[min(n, among)*len(ids)/among : min(n+1, among)*len(ids)/among]
		lists[n] = list{n, len(part), []byte(`{"ids":[]}`)}
		if len(part) > 0 {
			lists[n].data = []byte(`{"ids":["` + strings.Join(part, `","`) + `"]}`)
		}
	}
	return lists
}

// set sets every list once, as many at a time as the store does.
func (t *tree) set(lists []list) {
	each(t, writers, len(lists), func(i int) error {
		_, err := t.raw.Set(t.chroot+protocol.ResourcesPath(kind, lists[i].ordinal), lists[i].data, -1)
		return err
	})
}

// reset sets every list, and what says how long it is.
func (t *tree) reset(lists []list) {
	t.set(lists)
	each(t, writers, len(lists), func(i int) error {
		data := fmt.Appendf(nil, `{"used":%d,"count":%d}`, lists[i].count, fullList)
		_, err := t.raw.Set(t.chroot+protocol.InstancePath(kind, lists[i].ordinal), data, -1)
		return err
	})
}

// changed are the lists that are not as they were.
func (t *tree) changed(before []list) (lists []list) {
	now := make([]list, t.instances)
	each(t, readers, t.instances, func(n int) error {
		data, _, err := t.raw.Get(t.chroot + protocol.ResourcesPath(kind, n))
		now[n] = list{ordinal: n, data: data}
		return err
	})
	return slices.DeleteFunc(now, func(l list) bool { return bytes.Equal(l.data, before[l.ordinal].data) })
}

// mark writes a znode of its own, and returns the number of that transaction.
func (t *tree) mark() int64 {
	stat, err := t.raw.Set(markPath, nil, -1)
	require.NoError(t, err)
	return stat.Mzxid
}

const markPath = "/mark"

// writes is what a stretch of the server's transaction log holds.
type writes struct {
	transactions, bytes int
	// lists, flights and parts of plans are how often one was written.
	lists, flights, parts int
}

// logged adds up the log between two marks.
func (t *tree) logged(from, to int64) (w writes) {
	require.NoError(t, product.WalkTxns(t.dataDir(), func(txn product.Txn) error {
		if txn.Zxid <= from || txn.Zxid >= to {
			return nil
		}
		w.transactions++
		w.bytes += txn.Bytes
		for _, op := range txn.Ops {
			switch {
			case op.Deleted || op.Checked:
			case path.Base(op.Path) == "resources":
				w.lists++
			case path.Base(path.Dir(op.Path)) == "flight":
				w.flights++
			case path.Base(path.Dir(op.Path)) == "plan":
				w.parts++
			}
		}
		return nil
	}))
	return w
}

// each does n things, so many at a time.
func each(tb require.TestingT, atOnce, n int, do func(i int) error) {
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i := range n {
		g.Go(func() error { return do(i) })
	}
	require.NoError(tb, g.Wait())
}
