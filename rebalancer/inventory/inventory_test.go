package inventory

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/pins/pinstest"
	"github.com/shardscaler/shardscaler/internal/testbed/stacks"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// holding is an inventory of which these ids are in the list of instance 0.
func holding(t *testing.T, leading bool, ids ...string) *Inventory {
	t.Helper()
	v, st := New(time.Now(), inTurn), stateOf(ids, 1)
	v.Follow(st)
	if leading {
		begins, err := v.Lead(time.Now(), st)
		require.NoError(t, err)
		require.True(t, begins)
	}
	return v
}

func rows(ids ...string) (all []observed.ResourceKnown) {
	for _, id := range ids {
		all = append(all, pinstest.Row(id, 1, ""))
	}
	return all
}

// noBounds lets any number of deletes go without a person.
var noBounds = resync.Limits{MaxShare: 1}

func TestMessagesDuringTheEndOfAReadAreHeard(t *testing.T) {
	ids := []string{"a", "b", "c", "d"}
	v := holding(t, true, ids...)
	require.True(t, v.Indexed())
	known, count := Remaining(v.state)
	v.comparison.with.Begin(time.Now(), known, count)
	_, err := v.comparison.with.End(time.Now(), noBounds, v.index.knows) // all are suspects
	require.NoError(t, err)
	v.Catalogue.Begin(time.Now())
	deletes := NewRequest(time.Now())
	require.NoError(t, v.lend(t.Context(), func(c *comparison) error {
		out, err := c.with.End(time.Now(), noBounds, v.index.knows)
		require.NoError(t, err)
		require.ElementsMatch(t, ids, out.Deletes)
		_, err = v.Callers.Hear(time.Now(), resync.Created, ids[:1])
		require.NoError(t, err)
		_, err = v.Callers.Hear(time.Now(), resync.Deleted, ids[1:2])
		require.NoError(t, err)
		_, back := v.borrow()
		require.NotNil(t, back, "one at a time")
		require.Zero(t, v.Catalogue.WaitingCount())
		return v.enqueueDeletes(c, out.Deletes, deletes)
	}))
	require.ElementsMatch(t, ids[1:], v.Writer.Pending(resync.Deleted))
	require.Equal(t, ids[:1], v.Writer.Pending(resync.Created))
	require.Equal(t, 2, deletes.left, "of two a message had the word")
}

// A message asks the index before it takes the lock. Where the State changes in between, and a read
// of the catalogue begins that cannot see what the message speaks of, that is no suspect.
func TestAMessageOvertakenByTheBeginningOfAReadIsRemembered(t *testing.T) {
	v := holding(t, true, "a")
	require.True(t, v.Indexed())
	v.Index.CatchUp()
	v.mu.Lock()
	message := stacks.Begin(func() { _, _ = v.Callers.Hear(time.Now(), resync.Created, []string{"b"}) })
	stacks.Await(func() bool { return standing(message) })
	created := v.state.Clone()
	created.Pool["1-0"] = &protocol.Piece{IDs: protocol.NewIDs([]string{"b"})}
	v.state = created
	v.index.follow(created)
	known, count := Remaining(created)
	v.comparison.with.Begin(time.Now(), known, count)
	v.mu.Unlock()
	<-message.Done
	v.Catalogue.Rows(rows("a"))
	out, err := v.Catalogue.End(t.Context(), time.Now(), noBounds)
	require.NoError(t, err)
	require.Zero(t, out.Next, "a second read would confirm that it is missing")
}

// Nothing is kept of the catalogue that is not needed.
func TestNothingIsKeptWithoutNeed(t *testing.T) {
	v := holding(t, true)
	require.False(t, v.Need(Needs{}))
	_, err := v.Callers.Hear(time.Now(), resync.Created, []string{"b"})
	require.NoError(t, err)
	v.Catalogue.Begin(time.Now())
	v.Catalogue.Rows(rows("b", "c"))
	require.Nil(t, v.attributes.read)
	require.Empty(t, v.attributes.young)
	require.Nil(t, v.Writer.Attributes())
}

// A panic with the lock does not keep it: others of the kind go on, and scrapes of all kinds.
func TestAPanicLetsGoOfTheLock(t *testing.T) {
	v := holding(t, true, "a")
	for name, f := range map[string]func(){
		"compared": func() { v.compare(func(*comparison) { panic("a fault") }) },
		"lent":     func() { _ = v.lend(t.Context(), func(*comparison) error { panic("a fault") }) },
	} {
		require.PanicsWithValue(t, "a fault", f, name)
		require.True(t, v.mu.TryLock(), name)
		v.mu.Unlock()
		require.Nil(t, v.comparison.lent, name)
	}
}

// A panic half-way leaves an index that the next question builds from the start.
func TestAnIndexThatWasLeftHalfBuiltIsBuiltFromTheStart(t *testing.T) {
	v := holding(t, false, "a")
	require.True(t, v.Indexed())
	_, known := v.Index.Find("a")
	require.True(t, known)
	good := v.state
	bad := good.Clone()
	bad.Instances[0] = nil
	v.index.follow(bad)
	require.Panics(t, func() { v.Index.Find("a") })
	require.True(t, v.index.mu.TryLock())
	v.index.mu.Unlock()
	v.Follow(good)
	_, known = v.Index.Find("a")
	require.True(t, known)
}

// These tests hold goroutines at locks and look where they wait: whether two of them wait for each
// other is then so or not, and no test waits for a time to pass.

// standing says whether all calls have ended or wait, be it for a lock or for what they asked for.
func standing(calls ...*stacks.Call) bool { return stacks.Waiting([]string{"select"}, calls...) }

// No call may wait for the index while it holds the other lock: an index that is built takes its
// time. The test holds the index as its builder does.
func TestNoCallWaitsForTheIndexWithTheOtherLock(t *testing.T) {
	ids := []string{"a", "b", "c", "d"}
	for name, f := range map[string]func(ctx context.Context, v *Inventory){
		"create": func(_ context.Context, v *Inventory) {
			_, _ = v.Callers.Hear(time.Now(), resync.Created, []string{"e"})
		},
		"delete":        func(_ context.Context, v *Inventory) { _, _ = v.Callers.Hear(time.Now(), resync.Deleted, ids[:1]) },
		"claim":         func(_ context.Context, v *Inventory) { _, _, _ = v.Callers.Claim(time.Now(), ids) },
		"shown":         func(_ context.Context, v *Inventory) { _, _ = v.Callers.Lacks(ids) },
		"begin a read":  func(_ context.Context, v *Inventory) { v.Catalogue.Begin(time.Now()) },
		"rows":          func(_ context.Context, v *Inventory) { v.Catalogue.Rows(rows(ids...)) },
		"end a read":    func(ctx context.Context, v *Inventory) { _, _ = v.Catalogue.End(ctx, time.Now(), noBounds) },
		"import":        func(_ context.Context, v *Inventory) { _, _, _ = v.Catalogue.Import(time.Now(), []string{"f"}) },
		"waiting":       func(_ context.Context, v *Inventory) { _ = v.Catalogue.Waiting() },
		"waiting count": func(_ context.Context, v *Inventory) { _ = v.Catalogue.WaitingCount() },
		"confirm":       func(ctx context.Context, v *Inventory) { _, _ = v.Catalogue.Confirm(ctx, time.Now(), 0, 4) },
		"need":          func(_ context.Context, v *Inventory) { _ = v.Need(Needs{weights: true}) },
		"follow":        func(_ context.Context, v *Inventory) { v.Follow(v.state.Clone()) },
		"resign":        func(_ context.Context, v *Inventory) { v.Resign(time.Now()) },
		"pending":       func(_ context.Context, v *Inventory) { _ = v.Writer.Pending(resync.Deleted) },
	} {
		t.Run(name, func(t *testing.T) {
			v := holding(t, true, ids...)
			require.True(t, v.Indexed())
			for range 2 { // everything is missing twice, so that it waits for a person
				v.Catalogue.Begin(time.Now())
				_, err := v.Catalogue.End(t.Context(), time.Now(), resync.Limits{})
				require.NoError(t, err)
			}
			require.Equal(t, 4, v.Catalogue.WaitingCount())
			v.Catalogue.Begin(time.Now())
			v.Catalogue.Rows(rows("new"))
			v.Follow(v.state.Clone()) // the index has something to catch up with

			ctx, cancel := context.WithCancel(t.Context())
			v.index.mu.Lock()
			c := stacks.Begin(func() { f(ctx, v) })
			stacks.Await(func() bool { return standing(c) })
			free := v.mu.TryLock()
			at := stacks.Where(c)
			if free {
				v.mu.Unlock()
			}
			v.index.mu.Unlock()
			cancel()
			<-c.Done
			require.True(t, free, "who waits holds the lock:\n%v", at)
		})
	}
}

// One builds the index while another one asks it.
func TestBuildingTheIndexAndAskingItDoNotWaitForEachOther(t *testing.T) {
	for name, asks := range map[string]func(v *Inventory){
		"rows of the catalogue": func(v *Inventory) { v.Catalogue.Rows(rows("a")) },
		"a scrape":              func(v *Inventory) { _ = v.Catalogue.Waiting() },
	} {
		t.Run(name, func(t *testing.T) {
			v := holding(t, false, "a")
			require.True(t, v.Indexed())
			v.index.mu.RLock()
			builds := stacks.Begin(func() { _, _ = v.Index.Find("a") })
			stacks.Await(func() bool { return standing(builds) })
			other := stacks.Begin(func() { asks(v) })
			stacks.Await(func() bool { return standing(other) })
			v.index.mu.RUnlock()
			stacks.Await(func() bool { return standing(builds, other) })
			if there := stacks.Where(builds, other); len(there) > 0 {
				t.Fatalf("they wait for each other:\n%v", there)
			}
		})
	}
}

// A read counts for the term in which it began alone, whatever it has read.
func TestAReadThatBeganBeforeATermCountsForNothing(t *testing.T) {
	for name, leading := range map[string]bool{"while it followed": false, "in the term before": true} {
		t.Run(name, func(t *testing.T) {
			v := holding(t, leading, "a")
			require.True(t, v.Indexed())
			v.Catalogue.Begin(time.Now())
			v.Catalogue.Rows(rows("a", "b"))
			v.Resign(time.Now())
			_, err := v.Lead(time.Now(), v.state)
			require.NoError(t, err)
			_, err = v.Catalogue.End(t.Context(), time.Now(), noBounds)
			require.ErrorIs(t, err, orders.ErrNotLeading)
			v.Catalogue.Begin(time.Now())
			v.Catalogue.Rows(rows("a", "b"))
			out, err := v.Catalogue.End(t.Context(), time.Now(), noBounds)
			require.NoError(t, err)
			require.Equal(t, []string{"b"}, out.Creates.Strings())
		})
	}
}

func TestALeaderThatResignsAnswersItsCallers(t *testing.T) {
	v := holding(t, true, "a")
	created, err := v.Callers.Hear(time.Now(), resync.Created, []string{"b"})
	require.NoError(t, err)
	sent, err := v.Callers.Hear(time.Now(), resync.Created, []string{"c"})
	require.NoError(t, err)
	claim, _, err := v.Callers.Claim(time.Now(), []string{"a"})
	require.NoError(t, err)
	require.True(t, v.Writer.Sending(resync.Created, []string{"c"}))
	v.Resign(time.Now())
	for _, r := range []*Request{created, sent, claim} {
		<-r.Done()
		require.ErrorIs(t, r.Err(), orders.ErrNotLeading)
	}
	require.NotErrorIs(t, created.Err(), orders.ErrOutcomeUnknown)
	require.ErrorIs(t, sent.Err(), orders.ErrOutcomeUnknown)
	_, err = v.Callers.Hear(time.Now(), resync.Created, []string{"d"})
	require.ErrorIs(t, err, orders.ErrNotLeading)
}
