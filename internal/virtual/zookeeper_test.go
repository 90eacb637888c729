package virtual

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const thing = "Thing"

// bed is a ZooKeeper with a judge, a client that leads, and the State that it writes by.
type bed struct {
	t      *testing.T
	clock  *Clock
	z      *ZooKeeper
	judge  *Judge
	client *Client
	st     *protocol.State
}

// newBed leads instances that are open.
func newBed(t *testing.T, capacity int, ordinals ...int) *bed {
	b := &bed{t: t, clock: &Clock{now: noon}, judge: NewJudge(thing, nil)}
	b.z = NewZooKeeper(b.clock, b.judge.See)
	b.client = b.z.NewClient()
	b.st = b.read()
	b.commit(protocol.Lead(b.st, "pod/1"))
	b.st = b.read()
	for _, n := range ordinals {
		b.commit(protocol.AddOrdinal(b.st, n, capacity))
	}
	b.commit(protocol.SetOpen(b.st, ordinals))
	return b
}

func (b *bed) read() *protocol.State {
	st, _, err := b.client.Read(b.t.Context(), thing, b.st)
	require.NoError(b.t, err)
	return st
}

func (b *bed) commit(m protocol.Multi, err error) {
	b.t.Helper()
	require.NoError(b.t, err)
	require.NoError(b.t, errors.Join(b.client.CommitAll(b.t.Context(), b.st, []protocol.Multi{m})...))
}

func ids(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	return all
}

func TestATransactionIsDoneAsAWholeOrNotAtAll(t *testing.T) {
	b := newBed(t, 10, 0)
	before := b.z.zxid
	stat, _ := b.z.Stat(protocol.InstancePath(thing, 0), false)
	for name, op := range map[string]protocol.Op{
		"exists":        {Kind: protocol.OpCreate, Path: protocol.TmpPath(thing, 0)},
		"no parent":     {Kind: protocol.OpCreate, Path: protocol.TmpPath(thing, 7)},
		"none":          {Kind: protocol.OpSet, Path: protocol.ReloadPath(thing, 7)},
		"other version": {Kind: protocol.OpSet, Path: protocol.ReloadPath(thing, 0), Version: 5},
		"has children":  {Kind: protocol.OpDelete, Path: protocol.InstancePath(thing, 0), Version: 1},
	} {
		_, err := b.z.Commit(protocol.Multi{Step: "wrong", Ops: []protocol.Op{
			{Kind: protocol.OpCheck, Path: protocol.HeadPath(thing), Version: b.st.HeadVersion},
			{Kind: protocol.OpSet, Path: protocol.InstancePath(thing, 0), Data: []byte("x")},
			{Kind: protocol.OpCreate, Path: protocol.InstancePath(thing, 0) + "/more"},
			{Kind: protocol.OpDelete, Path: protocol.ResourcesPath(thing, 0)},
			op,
		}})
		require.ErrorIs(t, err, protocol.ErrConflict, name)
		require.ErrorContains(t, err, op.Path, name)
		is, _ := b.z.Stat(protocol.InstancePath(thing, 0), false)
		require.Equal(t, stat, is, name)
		require.Equal(t, before, b.z.zxid, name)
	}
	fresh, changed, err := protocol.Read(b.z, b.st, noon)
	require.NoError(t, err)
	require.False(t, changed)
	require.Empty(t, fresh.Fault())
}

func TestTheHeadFencesAndTheGateHolds(t *testing.T) {
	b := newBed(t, 10, 0)
	b.judge.Heard(0, ids("a", 1))
	old := b.st.Clone()
	b.commit(protocol.TouchHead(b.st), nil)
	m, err := protocol.Create(old, 0, ids("a", 1))
	require.NoError(t, err)
	_, err = b.z.Commit(m)
	require.ErrorIs(t, err, protocol.ErrFenced)

	m, err = protocol.Create(b.st, 0, ids("a", 1))
	require.NoError(t, err)
	gaveUp := errors.New("gave up")
	m.Gate = func() error { return gaveUp }
	before := b.z.zxid
	_, err = b.z.Commit(m)
	require.ErrorIs(t, err, gaveUp)
	require.Equal(t, before, b.z.zxid)
}

func TestASessionsZnodesEndWithIt(t *testing.T) {
	b := newBed(t, 10, 0)
	in := NewInstance(b.z, thing, 0, "uid")
	require.NoError(t, in.Step())
	st := b.read()
	require.Equal(t, "uid", st.Instances[0].Status.Pod)
	b.clock.Reach(noon.Add(time.Minute))
	in.End()
	b.st = st
	st = b.read()
	require.Nil(t, st.Instances[0].Status)
	require.Equal(t, noon.Add(time.Minute), st.ReadAt)
}

// What a cheap read says is what a whole one would.
func TestAReadIsCheapOnlyWhileNoOtherClientWrites(t *testing.T) {
	b := newBed(t, 10, 0, 1)
	quick := b.read()
	require.Same(t, b.st.Instances[0], quick.Instances[0], "nothing was read again")
	whole, _, err := protocol.Read(b.z, protocol.NewState(thing), b.clock.Now())
	require.NoError(t, err)
	require.Equal(t, whole.Head, quick.Head)
	require.Equal(t, whole.Ordinals(), quick.Ordinals())

	in := NewInstance(b.z, thing, 1, "uid")
	require.NoError(t, in.Step())
	require.NotNil(t, b.read().Instances[1].Status)
	b.judge.Heard(0, ids("a", 1))
	finish := b.client.Begin(t.Context(), b.st, must(protocol.Create(b.st, 0, ids("a", 1))))
	require.Empty(t, b.st.Pool, "only the end applies it")
	require.Len(t, b.read().Pool, 1, "it is done all the same")
	require.NoError(t, errors.Join(finish()...))
	require.Len(t, b.st.Pool, 1)
}

func must(m protocol.Multi, err error) []protocol.Multi {
	if err != nil {
		panic(err)
	}
	return []protocol.Multi{m}
}

func TestADeadClientSendsNothingMore(t *testing.T) {
	for _, unanswered := range []bool{false, true} {
		b := newBed(t, 10, 0)
		b.judge.Heard(0, []string{"a", "b"})
		b.client.Kill(1, unanswered)
		one := must(protocol.Create(b.st, 0, []string{"a"}))
		two := must(protocol.Create(b.st, 1, []string{"b"}))
		errs := b.client.CommitAll(t.Context(), b.st, append(one, two...))
		require.Equal(t, unanswered, errors.Is(errs[0], protocol.ErrUnavailable))
		require.ErrorIs(t, errs[1], protocol.ErrUnavailable)
		require.True(t, b.client.Dead())
		require.Equal(t, 1, b.judge.there)
		_, _, err := b.client.Read(t.Context(), thing, b.st)
		require.ErrorIs(t, err, protocol.ErrUnavailable)
	}
}

// inventory is one that leads by the bed's State.
func (b *bed) inventory() *inventory.Inventory {
	inv := inventory.New(noon, oneByOne)
	inv.Follow(b.st.Clone())
	_, err := inv.Lead(noon, b.st)
	require.NoError(b.t, err)
	return inv
}
