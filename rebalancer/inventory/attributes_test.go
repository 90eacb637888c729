package inventory

import (
	"fmt"
	"hash/maphash"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/pins"
	"github.com/shardscaler/shardscaler/internal/pins/pinstest"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
)

// TestAttributesSayWhatTheCatalogueSaid, for every row and for ids that it lacks, and keep only
// rows that differ from the rest.
func TestAttributesSayWhatTheCatalogueSaid(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := Needs{weights: rapid.Bool().Draw(rt, "weights"), pins: pinstest.DrawPins(rt, 4)}
		var known []observed.ResourceKnown
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 60), 0, 40, rapid.ID).Draw(rt, "rows") {
			known = append(known, pinstest.DrawRow(rt, fmt.Sprintf("id-%02d", n)))
		}
		r := newCatalogueRead(s, maphash.MakeSeed(), time.Time{})
		special, weights := map[string]bool{}, []plan.Weight(nil)
		for _, k := range known {
			r.add(k, maphash.String(r.seed, k.ID))
			weights = append(weights, plan.WeightOf(k.Weight))
			if s.weights && plan.WeightOf(k.Weight) != Unit || matchesAny(s.pins, k) {
				special[k.ID] = true
			}
		}
		for _, p := range s.pins {
			for _, id := range p.IDs {
				special[id] = true
			}
		}
		got := r.done()
		require.Len(rt, got.rows, len(special))
		w := plan.World{Pins: got.pins, Instances: make([]plan.Instance, 6)}
		for i := range w.Instances {
			w.Instances[i].Ordinal = i
		}
		for n := range 70 {
			k := pinstest.Row(fmt.Sprintf("id-%02d", n), 0, "")
			if i := slices.IndexFunc(known, func(o observed.ResourceKnown) bool { return o.ID == k.ID }); i >= 0 {
				k = known[i]
			}
			tr, _ := got.Of(maphash.String(r.seed, k.ID))
			want := Unit
			if s.weights {
				want = plan.WeightOf(k.Weight)
			}
			require.Equal(rt, want, tr.Weight, k.ID)
			may := pinstest.Permitted(s.pins, k)
			for o := range 6 {
				require.Equal(rt, may(o), w.Allows(tr.Pin, plan.InstanceIndex(o)), "%+v on %d", k, o)
			}
		}
		if slices.Sort(weights); s.weights && len(weights) > 0 {
			require.Equal(rt, weights[len(weights)/2], got.Median)
		}
	})
}

func matchesAny(rules []pins.Rule, r observed.ResourceKnown) bool {
	return slices.ContainsFunc(rules, func(p pins.Rule) bool { return pinstest.Matches(p, r) })
}

// TestWhatAMessageCreatedIsUnheardUntilAReadBegunAfterIt.
func TestWhatAMessageCreatedIsUnheardUntilAReadBegunAfterIt(t *testing.T) {
	b := newAttributeStore()
	b.want(Needs{weights: true})
	has := func(id string) bool { return b.notYetRead(maphash.String(b.seed, id)) }
	b.created("before")
	b.begin(time.Unix(1, 0))
	b.created("during")
	b.created("during and read")
	b.row(pinstest.Row("during and read", 0, ""))
	b.abort(time.Unix(2, 0))
	require.True(t, has("before"), "a read that failed proves nothing")
	require.Nil(t, b.now)
	b.begin(time.Unix(3, 0))
	b.created("later")
	b.end(b.read, b.read.done())
	require.NotNil(t, b.now)
	require.False(t, has("before"))
	require.False(t, has("during"))
	require.True(t, has("later"))
	b.begin(time.Unix(4, 0))
	b.end(b.read, b.read.done())
	require.False(t, has("later"))
}

func TestARowThatCannotBeReadLeavesWhatWasKnown(t *testing.T) {
	b := newAttributeStore()
	b.want(Needs{weights: true, pins: []pins.Rule{pinstest.Selecting("metz", "metz", 1), pinstest.Selecting("lyon", "lyon", 2, 3)}})
	unread := func(id string) observed.ResourceKnown { return observed.ResourceKnown{ID: id, Unread: true} }
	read := func(rows ...observed.ResourceKnown) {
		b.begin(time.Unix(1, 0))
		for _, r := range rows {
			b.row(r)
		}
		b.end(b.read, b.read.done())
	}
	says := func(id string) (pin plan.Pin, weight plan.Weight, heard bool) {
		hash := maphash.String(b.seed, id)
		tr, found := b.now.Of(hash)
		if tr.Pin > 0 {
			pin = b.now.pins[tr.Pin-1]
		}
		require.False(t, b.notYetRead(hash), "the read had it: there is nothing to ask for")
		return pin, tr.Weight, found || !b.now.Unreadable(hash)
	}
	heard := func(id string) bool { _, _, h := says(id); return h }

	read(pinstest.Row("a", 3, "lyon"), unread("b"), pinstest.Row("c", 1, "metz"))
	require.False(t, heard("b"), "nothing is known of it")
	lyon := plan.Pin{Name: "lyon", Ordinals: []int{2, 3}}
	for range 3 {
		read(unread("a"), unread("b"), pinstest.Row("c", 1, "lyon"), unread("new"))
		pin, weight, _ := says("a")
		require.Equal(t, lyon, pin)
		require.Equal(t, plan.WeightOf(3), weight)
		require.False(t, heard("b"))
		require.False(t, heard("new"))
		require.True(t, heard("c"))
	}
	b.created("a") // it was deleted and made again: what was known was of another one
	read(unread("a"), pinstest.Row("b", 2, ""), unread("c"))
	require.False(t, heard("a"))
	require.True(t, heard("b"))
	pin, _, _ := says("c")
	require.Equal(t, lyon, pin)

	b.want(Needs{weights: true, pins: []pins.Rule{pinstest.Selecting("lyon", "lyon", 4)}})
	read(unread("c"), pinstest.Row("b", 2, ""))
	require.False(t, heard("c"), "the pins have changed, and its labels were not kept")
}

func TestReadsAreAskedForOnceAndNotWhileTheCatalogueFails(t *testing.T) {
	b, at := newAttributeStore(), time.Unix(100, 0)
	b.want(Needs{weights: true})
	require.True(t, b.lacks())
	require.True(t, b.ask(at))
	require.False(t, b.ask(at), "asked already")
	b.begin(at)
	require.False(t, b.ask(at), "under way")
	b.abort(at)
	require.False(t, b.ask(at.Add(askPause-1)), "it tries again by itself")
	require.True(t, b.ask(at.Add(askPause)))
	b.begin(at)
	b.want(Needs{weights: true, pins: []pins.Rule{pinstest.Selecting("p", "lyon", 1)}})
	b.end(b.read, b.read.done())
	require.True(t, b.lacks(), "the read was under the former orders")
	b.begin(at)
	b.end(b.read, b.read.done())
	require.False(t, b.lacks())
	b.want(Needs{})
	require.Nil(t, b.now)
}
