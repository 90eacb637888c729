package virtual

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// wrong is a transaction as no step makes it: it checks the head and writes what it is given.
func (b *bed) wrong(ops ...protocol.Op) {
	b.t.Helper()
	for i, op := range ops {
		if stat, _ := b.z.Stat(op.Path, false); stat != nil {
			ops[i].Version = stat.Version
		}
	}
	head := protocol.Op{Kind: protocol.OpCheck, Path: protocol.HeadPath(thing), Version: b.st.HeadVersion}
	_, err := b.z.Commit(protocol.Multi{Step: "wrong", Ops: append([]protocol.Op{head}, ops...)})
	require.NoError(b.t, err)
}

func set(path, format string, args ...any) protocol.Op {
	return protocol.Op{Kind: protocol.OpSet, Path: path, Data: fmt.Appendf(nil, format, args...)}
}

// rewrite is a whole change of a list, right in all that belongs to it.
func (b *bed) rewrite(n int, list string, used int) []protocol.Op {
	return []protocol.Op{
		set(protocol.InstancePath(thing, n), `{"used":%d,"count":10}`, used),
		set(protocol.ResourcesPath(thing, n), `{"ids":[%s]}`, list),
		set(protocol.ReloadPath(thing, n), `{"times":%d}`, b.st.NextTimes(n)),
	}
}

// placed is a bed in which a, b and c were created, a and b are in the list of 0, c is in the pool.
func placed(t *testing.T) *bed {
	b := newBed(t, 10, 0, 1)
	b.judge.Heard(resync.Created, []string{"a", "b", "c"})
	b.commit(protocol.Create(b.st, 0, []string{"a", "b"}))
	b.commit(protocol.Create(b.st, 1, []string{"c"}))
	b.judge.Answered(resync.Created, []string{"a", "b", "c"})
	b.commit(protocol.Assign(b.st, protocol.Give{To: 0, From: []protocol.Take{{Name: "1-0"}}}))
	require.NoError(t, b.judge.fault)
	return b
}

func TestTheJudgeSeesTheRightWayOfAResource(t *testing.T) {
	b := placed(t)
	released := false
	b.judge.released = func(*protocol.Flight) string {
		if released {
			return ""
		}
		return "it runs"
	}
	b.commit(protocol.Revoke(b.st, 0, []string{"a"}, []int{1}, "uid"))
	require.Equal(t, map[string]int{
		protocol.ResourcesPath(thing, 0): 1, protocol.ResourcesPath(thing, 1): 0,
		protocol.PiecePath(thing, "1-1"): 1, protocol.FlightPath(thing, "0-2"): 1,
	}, b.judge.Places())
	released = true
	b.commit(protocol.Grant(b.st, protocol.Give{To: 1, From: []protocol.Take{{Name: "0-2"}}}))
	b.judge.Heard(resync.Deleted, []string{"a", "c"})
	b.commit(protocol.DeletePooled(b.st, protocol.Take{Name: "1-1"}))
	b.commit(protocol.Revoke(b.st, 1, []string{"a"}, nil, "uid"))
	b.judge.Answered(resync.Deleted, []string{"a", "c"})
	b.commit(protocol.Forget(b.st, protocol.Take{Name: "1-2"}))
	require.NoError(t, b.judge.fault)
	require.NoError(t, b.st.Check())
	require.Equal(t, b.st.Count(), b.judge.there)
}

// Each of these is a single transaction that breaks one thing, and the judge names it.
func TestTheJudgeNoticesWhatIsWrong(t *testing.T) {
	flown := func(b *bed) {
		b.commit(protocol.Revoke(b.st, 0, []string{"a"}, []int{1}, "uid"))
	}
	for name, c := range map[string]struct {
		do   func(b *bed)
		want string
	}{
		"an id in two lists": {func(b *bed) {
			b.wrong(b.rewrite(1, `"a"`, 1)...)
		}, `id "a": is in /iota/orchestration/Thing/0/resources and in /iota/orchestration/Thing/1/resources`},
		"an id in a list and in the pool": {func(b *bed) {
			b.wrong(b.rewrite(1, `"c"`, 1)...)
		}, `id "c": is in /iota/shardscaler/Thing/pool/1-1 and in /iota/orchestration/Thing/1/resources`},
		"an id twice in a list": {func(b *bed) {
			b.wrong(b.rewrite(0, `"a","b","b"`, 3)...)
		}, `id "b": is in /iota/orchestration/Thing/0/resources and in /iota/orchestration/Thing/0/resources`},
		"an id in the flight and in a list": {func(b *bed) {
			flown(b)
			b.wrong(b.rewrite(0, `"b","a"`, 2)...)
		}, `id "a": is in /iota/shardscaler/Thing/flight/0-2 and in /iota/orchestration/Thing/0/resources`},
		"an id that a list loses": {func(b *bed) {
			b.wrong(b.rewrite(0, `"b"`, 1)...)
		}, `id "a": was in /iota/orchestration/Thing/0/resources and is nowhere, and no delete of it was heard`},
		"an id that the pool loses": {func(b *bed) {
			b.wrong(protocol.Op{Kind: protocol.OpDelete, Path: protocol.PiecePath(thing, "1-1")})
		}, `id "c": was in /iota/shardscaler/Thing/pool/1-1 and is nowhere, and no delete of it was heard`},
		"an id that the flight loses": {func(b *bed) {
			flown(b)
			b.wrong(protocol.Op{Kind: protocol.OpDelete, Path: protocol.FlightPath(thing, "0-2")})
		}, `id "a": was in /iota/shardscaler/Thing/flight/0-2 and is nowhere, and no delete of it was heard`},
		"an id that is lost after its delete was taken back": {func(b *bed) {
			b.judge.Heard(resync.Deleted, []string{"c"})
			b.judge.Heard(resync.Created, []string{"c"})
			b.judge.Answered(resync.Created, []string{"c"})
			b.commit(protocol.DeletePooled(b.st, protocol.Take{Name: "1-1"}))
		}, `id "c": was in /iota/shardscaler/Thing/pool/1-1 and is nowhere, and no delete of it was heard`},
		"an id from nowhere": {func(b *bed) {
			b.wrong(b.rewrite(0, `"a","b","x"`, 3)...)
		}, `id "x": comes to /iota/orchestration/Thing/0/resources from nowhere, and no create of it was heard`},
		"an id that comes back after its delete": {func(b *bed) {
			b.judge.Heard(resync.Deleted, []string{"c"})
			b.commit(protocol.DeletePooled(b.st, protocol.Take{Name: "1-1"}))
			b.commit(protocol.Create(b.st, 2, []string{"c"}))
		}, `id "c": comes to /iota/shardscaler/Thing/pool/1-2 from nowhere, and no create of it was heard`},
		"an answer for what is not there": {func(b *bed) {
			b.judge.Heard(resync.Created, []string{"x"})
			b.judge.Answered(resync.Created, []string{"x"})
		}, `id "x": its create was answered, and it is nowhere`},
		"an answer for what is still there": {func(b *bed) {
			b.judge.Heard(resync.Deleted, []string{"c"})
			b.judge.Answered(resync.Deleted, []string{"c"})
		}, `id "c": its delete was answered, and it is in /iota/shardscaler/Thing/pool/1-1`},
		"a grant before the release": {func(b *bed) {
			b.judge.released = func(f *protocol.Flight) string { return fmt.Sprintf("%d runs it", f.From) }
			flown(b)
			b.commit(protocol.Grant(b.st, protocol.Give{To: 1, From: []protocol.Take{{Name: "0-2"}}}))
		}, `/iota/shardscaler/Thing/flight/0-2 is given on before it is released: 0 runs it`},
		"a wrong count": {func(b *bed) {
			b.wrong(slices.Concat(b.rewrite(0, `"a","b","c"`, 2), []protocol.Op{{Kind: protocol.OpDelete, Path: protocol.PiecePath(thing, "1-1")}})...)
		}, `/iota/orchestration/Thing/0/resources has 3 ids, and used is 2`},
		"a change without a reload": {func(b *bed) {
			b.wrong(slices.Concat(b.rewrite(0, `"a","b","c"`, 3)[:2], []protocol.Op{{Kind: protocol.OpDelete, Path: protocol.PiecePath(thing, "1-1")}})...)
		}, `/iota/orchestration/Thing/0/resources has changed, and _reload stays 1`},
		"a list that cannot be read": {func(b *bed) {
			b.wrong(b.rewrite(0, `"a`, 1)...)
		}, `/iota/orchestration/Thing/0/resources: `},
		"a leader that does not check the head": {func(b *bed) {
			m := protocol.Multi{Step: "wrong", Ops: b.rewrite(0, `"b","a"`, 2)}
			for i := range m.Ops {
				m.Ops[i].Version = 1
			}
			_, err := b.z.Commit(m)
			require.NoError(b.t, err)
		}, `it does not begin with the head`},
	} {
		t.Run(name, func(t *testing.T) {
			b := placed(t)
			c.do(b)
			require.ErrorContains(t, b.judge.fault, c.want)
		})
	}
}

func TestTheJudgeSeesAShrinkBeforeItsDrain(t *testing.T) {
	b := placed(t)
	b.judge.Sized(1)
	require.NoError(t, b.judge.fault, "instance 1 owns nothing")
	b.commit(protocol.Revoke(b.st, 0, []string{"a", "b"}, []int{1, 1}, "uid"))
	b.judge.Sized(0)
	require.ErrorContains(t, b.judge.fault, "replicas are written as 0, and /iota/shardscaler/Thing/flight/0-2 holds 2 ids")

	b = placed(t)
	b.judge.Sized(0)
	require.ErrorContains(t, b.judge.fault, "replicas are written as 0, and /iota/orchestration/Thing/0/resources holds 2 ids")
}

func TestTheJudgeHoldsListsToTheirBounds(t *testing.T) {
	b := newBed(t, 2, 0, 1)
	b.judge.Heard(resync.Created, ids("a", 3))
	b.commit(protocol.Create(b.st, 0, ids("a", 3)))
	full := b.rewrite(0, `"a-0","a-1","a-2"`, 3)
	full[0] = set(full[0].Path, `{"used":3,"count":2}`)
	b.wrong(append(full, protocol.Op{Kind: protocol.OpDelete, Path: protocol.PiecePath(thing, "1-0")})...)
	require.ErrorContains(t, b.judge.fault, "has 3 ids, capacity 2")

	b = newBed(t, 10, 0, 1)
	b.judge.Heard(resync.Created, ids("a", 1))
	b.commit(protocol.Create(b.st, 0, ids("a", 1)))
	b.commit(protocol.SetOpen(b.st, []int{1}))
	b.wrong(append(b.rewrite(0, `"a-0"`, 1), protocol.Op{Kind: protocol.OpDelete, Path: protocol.PiecePath(thing, "1-0")})...)
	require.ErrorContains(t, b.judge.fault, "receives and is closed")
}

// What left and what came, put together with what stayed, are both lists.
func TestDiffer(t *testing.T) {
	for _, c := range []struct{ was, is, left, came []string }{
		{[]string{"a", "b", "c"}, []string{"a", "c"}, []string{"b"}, nil},
		{[]string{"a", "b"}, []string{"a", "b", "c"}, nil, []string{"c"}},
		{[]string{"a", "b", "c"}, []string{"b", "d"}, []string{"a", "c"}, []string{"d"}},
		{[]string{"a", "b"}, []string{"b", "a"}, []string{"a"}, []string{"a"}},
		{nil, []string{"a"}, nil, []string{"a"}},
	} {
		left, came := differ(c.was, c.is)
		require.Equal(t, append([]string{}, c.left...), append([]string{}, left...))
		require.Equal(t, append([]string{}, c.came...), append([]string{}, came...))
	}
}
