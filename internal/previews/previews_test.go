package previews

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

func ptr[T any](v T) *T { return &v }

var changes = []ops.Change{
	{},
	{Size: ptr(3)},
	{Size: ptr(4)},
	{Drain: ptr(3)},
	{Drain: ptr(3), For: "2h"},
	{Undrain: ptr(3)},
	{Capacity: ptr(3)},
	{Pin: &ops.PinRequest{Resource: "a", Instance: 3}},
	{Move: &ops.PinRequest{Resource: "a", Instance: 3}},
	{Unpin: "a"},
}

// drawBasis draws what a plan rests on.
func drawBasis(t *rapid.T) Basis {
	g := Basis{
		Kind: rapid.SampledFrom([]string{"Thing", "Rule"}).Draw(t, "kind"), Epoch: rapid.Int64Range(1, 3).Draw(t, "epoch"),
		Open:   rapid.SliceOfNDistinct(rapid.IntRange(0, 5), 0, 4, rapid.ID[int]).Draw(t, "open"),
		Config: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "config"), Overrides: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "overrides"),
		Change: rapid.SampledFrom(changes).Draw(t, "change"),
	}
	for n := range rapid.IntRange(0, 3).Draw(t, "lists") {
		l := List{Ordinal: n, All: rapid.Bool().Draw(t, "all")}
		l.Moved = rapid.Int64Range(0, 2).Draw(t, "moved")
		if l.All {
			l.Deleted = rapid.Int64Range(0, 2).Draw(t, "deleted")
		}
		g.Lists = append(g.Lists, l)
	}
	if rapid.Bool().Draw(t, "about a resource") {
		g.Place = Place{Resource: "a", Known: rapid.Bool().Draw(t, "known"), Ordinal: rapid.IntRange(-1, 2).Draw(t, "at")}
	}
	return g
}

// TestAnIDIsOfAllThatAPlanRestsOn: two bases have the same id if and only if nothing differs, and
// what differs is said.
func TestAnIDIsOfAllThatAPlanRestsOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawBasis(t), drawBasis(t)
		if rapid.Bool().Draw(t, "alike") {
			b = a
		}
		require.Equal(t, a.ID() == b.ID(), len(a.Differs(&b)) == 0, "%v", a.Differs(&b))
	})
	g := Basis{
		Kind: "Thing", Epoch: 7, Open: []int{0, 1, 2}, Config: "c", Overrides: "o", Change: ops.Change{Drain: ptr(1)},
		Lists: []List{{Ordinal: 1, All: true}}, Place: Place{Resource: "a", Known: true, Ordinal: 1},
	}
	for says, change := range map[string]func(g *Basis){
		"kind: Rule, was Thing":  func(g *Basis) { g.Kind = "Rule" },
		"epoch: 8, was 7":        func(g *Basis) { g.Epoch = 8 },
		"configuration":          func(g *Basis) { g.Config = "d" },
		"overrides":              func(g *Basis) { g.Overrides = "p" },
		"open set: 0-1, was 0-2": func(g *Basis) { g.Open = []int{0, 1} },
		"emptied: instances 1":   func(g *Basis) { g.Lists = []List{{Ordinal: 1, All: true, Changes: orders.Changes{Deleted: 1}}} },
		`resource "a": on instance 2, was on instance 1`:  func(g *Basis) { g.Place.Ordinal = 2 },
		`"a": there is no such resource, was on instance`: func(g *Basis) { g.Place.Known = false },
		"what is asked for": func(g *Basis) { g.Change = ops.Change{Drain: ptr(2)} },
	} {
		now := g
		change(&now)
		require.NotEqual(t, g.ID(), now.ID(), says)
		err := (&Plan{Basis: g}).Check(&now)
		require.ErrorIs(t, err, ErrChanged)
		require.ErrorContains(t, err, says)
	}
	require.NoError(t, (&Plan{Basis: g}).Check(ptr(g)))
}

// TestWhatOfAListCounts: everything where all of it goes, and moves alone where some of it does.
func TestWhatOfAListCounts(t *testing.T) {
	w := &plan.World{Pool: plan.List{IDs: protocol.NewIDs([]string{"p"})}, Instances: []plan.Instance{
		{Ordinal: 0, Open: true, Capacity: 9}, {Ordinal: 1, Open: true, Capacity: 9}, {Ordinal: 4, Leaving: true, Capacity: 9},
	}}
	w.Instances[1].IDs, w.Instances[2].IDs = protocol.NewIDs([]string{"a", "b", "c", "d", "e", "f"}), protocol.NewIDs([]string{"g"})
	p, err := plan.Make(w, plan.Options{Regime: plan.Periodic})
	require.NoError(t, err)
	sources := Sources(p, nil)
	require.Equal(t, []Source{{Ordinal: 1}, {Ordinal: 4, All: true}}, sources, "not the pool, nor what only receives")
	changed := map[int]orders.Changes{0: {Moved: 5, Deleted: 5}, 1: {Moved: 1, Deleted: 2}, 4: {Moved: 3, Deleted: 4}}
	g := Basis{Lists: Counted(sources, changed)}
	require.Equal(t, []List{
		{Ordinal: 1, Changes: orders.Changes{Moved: 1}}, {Ordinal: 4, All: true, Changes: orders.Changes{Moved: 3, Deleted: 4}},
	}, g.Lists)
	require.Equal(t, sources, g.Sources())
}

// fixed is a clock that stands.
func fixed(at time.Time) func() time.Time { return func() time.Time { return at } }

var (
	begin = time.Unix(1_800_000_000, 0)
	basis = Basis{Kind: "Thing", Epoch: 7, Change: ops.Change{Drain: ptr(1)}}
	never = func(Plan) (ops.Applied, error) { panic("it is not to be carried out") }
)

func TestAPlanIsAppliedOnceAndForTenMinutes(t *testing.T) {
	var s Store
	apply := func(id string, epoch int64, at time.Time, do func(Plan) (ops.Applied, error)) error {
		_, err := s.Apply(t.Context(), id, "ann", epoch, fixed(at), do)
		return err
	}
	done := func(p Plan) (ops.Applied, error) { return ops.Applied{ID: p.ID}, nil }
	p := s.Keep(basis, false, begin)
	require.Equal(t, begin.Add(10*time.Minute), p.Expires)
	require.ErrorIs(t, apply("7-ffff", 7, begin, never), ErrUnknown)
	require.ErrorIs(t, apply("bad", 7, begin, never), ErrUnknown)
	require.ErrorIs(t, apply("6-ffff", 7, begin, never), ErrGone, "of another epoch")

	failed := errors.New("ZooKeeper is away")
	require.ErrorIs(t, apply(p.ID, 7, begin, func(Plan) (ops.Applied, error) { return ops.Applied{}, failed }), failed)
	require.Panics(t, func() { _ = apply(p.ID, 7, begin, never) })
	require.NoError(t, apply(p.ID, 7, begin.Add(MaxAge-time.Nanosecond), done), "what failed can be tried again")
	err := apply(p.ID, 7, begin.Add(time.Second), never)
	require.ErrorIs(t, err, ErrChanged)
	require.ErrorContains(t, err, "was applied by ann at 2027-01-15T08:09:59Z")

	s.Keep(basis, false, begin.Add(time.Minute)) // what it did was undone, and it is shown again
	require.NoError(t, apply(p.ID, 7, begin.Add(MaxAge), done), "shown again, it is kept for longer")
	require.ErrorIs(t, apply(p.ID, 7, begin.Add(time.Minute+MaxAge), never), ErrGone)
	require.ErrorIs(t, apply(p.ID, 8, begin.Add(time.Minute+MaxAge), never), ErrGone)
	require.Empty(t, s.kept)
}

func TestTheStoreIsBounded(t *testing.T) {
	var s Store
	var first, last string
	for i := range 5000 {
		g := basis
		g.Change = ops.Change{Size: ptr(i)}
		last = s.Keep(g, false, begin.Add(time.Duration(i))).ID
		if i == 0 {
			first = last
		}
	}
	require.Len(t, s.kept, Most)
	require.Len(t, s.forgotten, mostForgotten)
	apply := func(id string) error {
		_, err := s.Apply(t.Context(), id, "ann", 7, fixed(begin), func(Plan) (ops.Applied, error) { return ops.Applied{}, nil })
		return err
	}
	require.NoError(t, apply(last))
	require.ErrorIs(t, apply(first), ErrUnknown)
	require.ErrorIs(t, apply(s.forgotten[0]), ErrGone)
}

// TestCallersAtOnce: one carries it out and all get its answer; where that fails, the next tries.
func TestCallersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Store
		p := s.Keep(basis, false, time.Now())
		var mu sync.Mutex
		tries := 0
		carryOut := func(Plan) (ops.Applied, error) {
			mu.Lock()
			tries++
			n := tries
			mu.Unlock()
			time.Sleep(time.Second)
			if n == 1 {
				return ops.Applied{}, errors.New("not this time")
			}
			return ops.Applied{ID: fmt.Sprint(n)}, nil
		}
		var all sync.WaitGroup
		failed, answered := 0, 0
		for range 10 {
			all.Go(func() {
				a, err := s.Apply(t.Context(), p.ID, "ann", 7, time.Now, carryOut)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failed++
					return
				}
				require.Equal(t, "2", a.ID)
				answered++
			})
		}
		synctest.Wait()
		hasty, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := s.Apply(hasty, p.ID, "bob", 7, time.Now, never)
		require.ErrorIs(t, err, orders.ErrOutcomeUnknown, "who gives up does not know")
		s.Keep(basis, false, time.Now())
		all.Wait()
		require.Equal(t, []int{2, 1, 9}, []int{tries, failed, answered})
	})
}
