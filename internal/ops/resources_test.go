package ops_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/internal/config"
	. "github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

func ids(all ...string) protocol.IDs { return protocol.NewIDs(all) }

func TestWhereAResourceIs(t *testing.T) {
	v := healthy(t, 3)
	v.State.Instances = map[int]*protocol.Instance{2: {Ordinal: 2, IDs: ids("a/b")}}
	v.State.Flight = map[string]*protocol.Flight{"1-7": {From: 1, IDs: ids("moving"), To: []int{2}}}
	v.State.Pool = map[string]*protocol.Piece{"1-0": {IDs: ids("waits")}}
	require.Equal(t, Resource{ID: "a/b", Instance: new(2), Pod: "iota-dac-2", Node: "node-2", Place: InList, Why: NotKept, Moves: []Move{}}, ResourceOf(v, "a/b", 2))
	require.Equal(t, Resource{ID: "moving", From: new(1), Pod: "iota-dac-1", Node: "node-1", Place: InFlight, Why: NotKept, Moves: []Move{}}, ResourceOf(v, "moving", -1))
	pinned, err := v.Operator.WithPin(config.OperatorPin{Resource: "a/b", Ordinal: 1, Said: config.Saying("ann", now, 0)})
	require.NoError(t, err)
	v.Operator = pinned
	require.Equal(t, []any{1, "ann"}, []any{ResourceOf(v, "a/b", 2).Pin.Instance, ResourceOf(v, "a/b", 2).Pin.By})
	v.Progress.Parked = []plan.RefusedGroup{{From: -1, Meaning: "no room", Count: 9, Examples: []string{"waits"}}}
	require.Equal(t, Resource{ID: "waits", Place: InPool, Why: NotKept, Parked: "no room", Moves: []Move{}}, ResourceOf(v, "waits", -1))
	require.Empty(t, ResourceOf(v, "another", -1).Parked, "the reason of another one is no reason of this one")
}

// The pages of any query together have each id that it picks once, ascending.
func TestPagesOfResources(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := &protocol.State{Instances: map[int]*protocol.Instance{}, Pool: map[string]*protocol.Piece{}, Flight: map[string]*protocol.Flight{}}
		all := map[int][]string{}
		names := rapid.SliceOfDistinct(rapid.StringMatching(`[ab/%é]{1,4}`), rapid.ID[string]).Draw(t, "ids")
		for _, id := range names {
			n := rapid.IntRange(-2, 3).Draw(t, "place")
			all[n] = append(all[n], id)
		}
		for n, list := range all {
			switch {
			case n >= 0:
				st.Instances[n] = &protocol.Instance{Ordinal: n, IDs: ids(list...)}
			case n == -1:
				st.Pool["1-0"] = &protocol.Piece{IDs: ids(list...)}
			default:
				st.Flight["0-1"] = &protocol.Flight{IDs: ids(list...)}
			}
		}
		q := ResourceQuery{Contains: rapid.SampledFrom([]string{"", "a", "é", "/%"}).Draw(t, "contains"), Limit: rapid.IntRange(1, 5).Draw(t, "limit")}
		if rapid.Bool().Draw(t, "of one") {
			q.Instance = new(rapid.IntRange(0, 4).Draw(t, "instance"))
		}
		if rapid.Bool().Draw(t, "one id") {
			q.ID = rapid.SampledFrom(append([]string{"none"}, names...)).Draw(t, "id")
		}
		var want []ResourceAt
		for n, list := range all {
			for _, id := range list {
				if strings.Contains(id, q.Contains) && (q.ID == "" || id == q.ID) && (q.Instance == nil || *q.Instance == n) {
					want = append(want, ResourceAt{ID: id, Instance: max(n, -1)})
				}
			}
		}
		slices.SortFunc(want, func(a, b ResourceAt) int { return strings.Compare(a.ID, b.ID) })
		var got []ResourceAt
		for {
			page, err := ResourcesOf(st, q)
			require.NoError(t, err)
			require.NotNil(t, page.Items)
			require.LessOrEqual(t, len(page.Items), q.Limit)
			got = append(got, page.Items...)
			if q.Continue = page.Continue; q.Continue == "" {
				break
			}
		}
		require.Equal(t, want, got)
	})
}

func TestAContinueOfAnotherListIsRefused(t *testing.T) {
	for _, text := range []string{"!", "e30", "bm8"} {
		_, err := ResourcesOf(&protocol.State{}, ResourceQuery{Continue: text})
		require.ErrorIs(t, err, ErrContinue, text)
	}
}

// large has n ids on 100 instances.
func large(n int) *protocol.State {
	st := &protocol.State{Instances: map[int]*protocol.Instance{}}
	for o := range 100 {
		var list []string
		for i := o; i < n; i += 100 {
			list = append(list, fmt.Sprintf("%08x-7a51-4c1e-9d36-%012x", uint32(i)*2654435761, i))
		}
		st.Instances[o] = &protocol.Instance{Ordinal: o, IDs: ids(list...)}
	}
	return st
}

// A page costs memory for itself, however many ids there are.
func TestAPageOfResourcesTakesMemoryForItselfAlone(t *testing.T) {
	st := large(50_000)
	per := testing.AllocsPerRun(3, func() {
		page, err := ResourcesOf(st, ResourceQuery{Contains: "7a51", Limit: 100})
		require.NoError(t, err)
		require.Len(t, page.Items, 100)
		for _, at := range page.Items {
			require.GreaterOrEqual(t, st.Instances[at.Instance].IDs.Index(at.ID), 0, "%s is where it is said to be", at.ID)
		}
	})
	require.Less(t, per, 3000.0)
}

func BenchmarkResourcesOf350000(b *testing.B) {
	st := large(350_000)
	for name, q := range map[string]ResourceQuery{
		"first page": {Limit: 100}, "contains": {Contains: "abc", Limit: 500}, "contains nothing": {Contains: "no such id", Limit: 100}, "of one instance": {Instance: new(7), Limit: 100},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ResourcesOf(st, q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
