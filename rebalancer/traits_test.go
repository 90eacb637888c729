package rebalancer

import (
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/pins"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
)

var sites = []string{"", "lyon", "metz", "nice"}

func drawRow(rt *rapid.T, id string) observed.ResourceKnown {
	return row(id, rapid.SampledFrom([]float64{0, 1, 1, 2, 0.5, 7.25, 90}).Draw(rt, "weight"), rapid.SampledFrom(sites).Draw(rt, "site"))
}

// drawPins draws pins that overlap and contradict each other.
func drawPins(rt *rapid.T, ordinals int) (drawn []pins.Rule) {
	for i := range rapid.IntRange(0, 3).Draw(rt, "pins") {
		p := pins.Rule{
			Name:     fmt.Sprint("pin", i),
			Ordinals: rapid.SliceOfNDistinct(rapid.IntRange(0, ordinals), 1, 3, rapid.ID).Draw(rt, "ordinals"),
		}
		if rapid.Bool().Draw(rt, "labels") {
			p.Selector = selecting("", rapid.SampledFrom(sites[1:]).Draw(rt, "site")).Selector
		} else {
			for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 40), 1, 5, rapid.ID).Draw(rt, "ids") {
				p.IDs = append(p.IDs, fmt.Sprintf("id-%02d", n))
			}
		}
		drawn = append(drawn, p)
	}
	return drawn
}

// permitted is the plain meaning of pins: the ordinals of all that match, or all.
func permitted(rules []pins.Rule, r observed.ResourceKnown) func(ordinal int) bool {
	return func(ordinal int) bool {
		for _, p := range rules {
			matches := slices.Contains(p.IDs, r.ID) || p.Selector != nil && p.Selector.MatchLabels["site"] == r.Labels["site"]
			if matches && !slices.Contains(p.Ordinals, ordinal) {
				return false
			}
		}
		return true
	}
}

// TestTraitsSayWhatTheCatalogueSaid, for every row and for ids that it lacks, and keep only rows that differ from the rest.
func TestTraitsSayWhatTheCatalogueSaid(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := spec{weights: rapid.Bool().Draw(rt, "weights"), pins: drawPins(rt, 4)}
		var known []observed.ResourceKnown
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 60), 0, 40, rapid.ID).Draw(rt, "rows") {
			known = append(known, drawRow(rt, fmt.Sprintf("id-%02d", n)))
		}
		r := newReading(s, maphash.MakeSeed(), time.Time{})
		special, weights := map[string]bool{}, []plan.Weight(nil)
		for _, k := range known {
			r.add(k, maphash.String(r.seed, k.ID))
			weights = append(weights, plan.WeightOf(k.Weight))
			if s.weights && plan.WeightOf(k.Weight) != unit || matchesAny(s.pins, k) {
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
			k := row(fmt.Sprintf("id-%02d", n), 0, "")
			if i := slices.IndexFunc(known, func(o observed.ResourceKnown) bool { return o.ID == k.ID }); i >= 0 {
				k = known[i]
			}
			tr, _ := got.of(maphash.String(r.seed, k.ID))
			want := unit
			if s.weights {
				want = plan.WeightOf(k.Weight)
			}
			require.Equal(rt, want, tr.weight, k.ID)
			may := permitted(s.pins, k)
			for o := range 6 {
				require.Equal(rt, may(o), w.Allows(tr.pin, plan.Place(o)), "%+v on %d", k, o)
			}
		}
		if slices.Sort(weights); s.weights && len(weights) > 0 {
			require.Equal(rt, weights[len(weights)/2], got.median)
		}
	})
}

func matchesAny(rules []pins.Rule, r observed.ResourceKnown) bool {
	return slices.ContainsFunc(rules, func(p pins.Rule) bool {
		return slices.Contains(p.IDs, r.ID) || p.Selector != nil && p.Selector.MatchLabels["site"] == r.Labels["site"]
	})
}

// TestWhatAMessageCreatedIsUnheardUntilAReadBegunAfterIt.
func TestWhatAMessageCreatedIsUnheardUntilAReadBegunAfterIt(t *testing.T) {
	b := newBook()
	b.want(spec{weights: true})
	has := func(id string) bool { return b.fresh.has(maphash.String(b.seed, id)) }
	b.created("before")
	b.begin(time.Unix(1, 0))
	b.created("during")
	b.created("during and read")
	b.row(row("during and read", 0, ""))
	b.abort(time.Unix(2, 0))
	require.True(t, has("before"), "a read that failed proves nothing")
	require.Nil(t, b.now)
	b.begin(time.Unix(3, 0))
	b.created("later")
	b.end(b.reading, b.reading.done())
	require.NotNil(t, b.now)
	require.False(t, has("before"))
	require.False(t, has("during"))
	require.True(t, has("later"))
	b.begin(time.Unix(4, 0))
	b.end(b.reading, b.reading.done())
	require.False(t, has("later"))
}

func TestARowThatCannotBeReadLeavesWhatWasKnown(t *testing.T) {
	b := newBook()
	b.want(spec{weights: true, pins: []pins.Rule{selecting("metz", "metz", 1), selecting("lyon", "lyon", 2, 3)}})
	unread := func(id string) observed.ResourceKnown { return observed.ResourceKnown{ID: id, Unread: true} }
	read := func(rows ...observed.ResourceKnown) {
		b.begin(time.Unix(1, 0))
		for _, r := range rows {
			b.row(r)
		}
		b.end(b.reading, b.reading.done())
	}
	says := func(id string) (pin plan.Pin, weight plan.Weight, heard bool) {
		hash := maphash.String(b.seed, id)
		tr, found := b.now.of(hash)
		if tr.pin > 0 {
			pin = b.now.pins[tr.pin-1]
		}
		require.False(t, b.fresh.has(hash), "the read had it: there is nothing to ask for")
		return pin, tr.weight, found || !b.now.lacks(hash)
	}
	heard := func(id string) bool { _, _, h := says(id); return h }

	read(row("a", 3, "lyon"), unread("b"), row("c", 1, "metz"))
	require.False(t, heard("b"), "nothing is known of it")
	lyon := plan.Pin{Name: "lyon", Ordinals: []int{2, 3}}
	for range 3 {
		read(unread("a"), unread("b"), row("c", 1, "lyon"), unread("new"))
		pin, weight, _ := says("a")
		require.Equal(t, lyon, pin)
		require.Equal(t, plan.WeightOf(3), weight)
		require.False(t, heard("b"))
		require.False(t, heard("new"))
		require.True(t, heard("c"))
	}
	b.created("a") // it was deleted and made again: what was known was of another one
	read(unread("a"), row("b", 2, ""), unread("c"))
	require.False(t, heard("a"))
	require.True(t, heard("b"))
	pin, _, _ := says("c")
	require.Equal(t, lyon, pin)

	b.want(spec{weights: true, pins: []pins.Rule{selecting("lyon", "lyon", 4)}})
	read(unread("c"), row("b", 2, ""))
	require.False(t, heard("c"), "the pins have changed, and its labels were not kept")
}

func TestReadsAreAskedForOnceAndNotWhileTheCatalogueFails(t *testing.T) {
	b, at := newBook(), time.Unix(100, 0)
	b.want(spec{weights: true})
	require.True(t, b.lacks())
	require.True(t, b.ask(at))
	require.False(t, b.ask(at), "asked already")
	b.begin(at)
	require.False(t, b.ask(at), "under way")
	b.abort(at)
	require.False(t, b.ask(at.Add(askPause-1)), "it tries again by itself")
	require.True(t, b.ask(at.Add(askPause)))
	b.begin(at)
	b.want(spec{weights: true, pins: []pins.Rule{selecting("p", "lyon", 1)}})
	b.end(b.reading, b.reading.done())
	require.True(t, b.lacks(), "the read was under the former orders")
	b.begin(at)
	b.end(b.reading, b.reading.done())
	require.False(t, b.lacks())
	b.want(spec{})
	require.Nil(t, b.now)
}

// world of weights and pins, as the engine should make it.
type catalogueOf map[string]observed.ResourceKnown

func (c catalogueOf) rows() []observed.ResourceKnown {
	all := make([]observed.ResourceKnown, 0, len(c))
	for _, id := range slices.Sorted(maps.Keys(c)) {
		all = append(all, c[id])
	}
	return all
}

// TestRandomCataloguesLeaveEverythingWhereItMayBe plays random rows, pins, balances, orders and takeovers, and demands at rest that
// nobody is lost, that whoever is somewhere may be there if there is room where he may be, that the weights are even as far as moving one resource goes,
// and that nothing moves any more.
func TestRandomCataloguesLeaveEverythingWhereItMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) {
			d, c := newDouble(), catalogueOf{}
			r := newRig(t, d)
			r.order(func(o *orders.Orders) { o.Capacity = 200 })
			r.lead(0, 1)
			defer func() { r.halt() }()
			var last orders.Orders
			change := func(f func(o *orders.Orders)) {
				synctest.Wait()
				r.order(f)
				last = r.orders
			}
			rt.Repeat(map[string]func(*rapid.T){
				"message": func(rt *rapid.T) {
					id := fmt.Sprintf("id-%02d", rapid.IntRange(0, 40).Draw(rt, "id"))
					if _, there := c[id]; !there {
						c[id] = drawRow(rt, id)
						require.NoError(rt, r.e.Create(t.Context(), []observed.ResourceKnown{row(id, 0, "")}))
					}
				},
				"rows": func(rt *rapid.T) {
					for range rapid.IntRange(1, 10).Draw(rt, "n") {
						id := fmt.Sprintf("id-%02d", rapid.IntRange(0, 40).Draw(rt, "id"))
						c[id] = drawRow(rt, id)
					}
				},
				"read": func(*rapid.T) { r.read(c.rows()...) },
				"orders": func(rt *rapid.T) {
					stay := rapid.SampledFrom([][]int{{0}, {0, 1}, {0, 1, 2}, {1, 3}}).Draw(rt, "stay")
					change(func(o *orders.Orders) { o.Stay, o.Ready = stay, stay })
				},
				"pins": func(rt *rapid.T) {
					pins := drawPins(rt, 3)
					change(func(o *orders.Orders) { o.Pins = pins })
				},
				"balance": func(rt *rapid.T) {
					by := rapid.SampledFrom([]config.Balance{config.BalanceCount, config.BalanceWeight}).Draw(rt, "by")
					change(func(o *orders.Orders) { o.Balance = by })
				},
				"takeover": func(*rapid.T) {
					before := r.orders
					r.halt()
					r = newRig(t, d)
					r.order(func(o *orders.Orders) { *o = before })
					r.lead(before.Stay...)
				},
				"wait": func(rt *rapid.T) { r.wait(time.Duration(rapid.IntRange(1, 3000).Draw(rt, "ms")) * time.Millisecond) },
				"":     func(rt *rapid.T) { require.NoError(rt, d.violation()) },
			})
			last = r.orders
			r.wait(time.Second)
			r.read(c.rows()...)
			r.wait(2 * time.Minute)
			atRest(rt, r, c, &last)
			was := times(d.snapshot())
			r.read(c.rows()...)
			r.wait(5 * time.Minute)
			require.Equal(rt, was, times(d.snapshot()), "a constant state makes no move")
		})
	})
}

func atRest(rt *rapid.T, r *rig, c catalogueOf, o *orders.Orders) {
	st := r.d.snapshot()
	require.NoError(rt, r.d.violation())
	require.Equal(rt, slices.Sorted(maps.Keys(c)), everything(st))
	require.Zero(rt, st.InFlight(), "%+v", r.e.Progress())
	load := map[int]float64{}
	for n, in := range st.Instances {
		for _, id := range in.IDs {
			load[n] += max(c[id].Weight, map[bool]float64{true: 1}[c[id].Weight == 0])
			may := permitted(o.Pins, c[id])
			require.True(rt, may(n) || !slices.ContainsFunc(o.Stay, may), "%s is on %d; pins %+v", id, n, o.Pins)
			require.True(rt, slices.Contains(o.Stay, n) || !slices.ContainsFunc(o.Stay, may), "%s is left on %d", id, n)
		}
	}
	for _, p := range st.Pool {
		for _, id := range p.IDs {
			require.False(rt, slices.ContainsFunc(o.Stay, permitted(o.Pins, c[id])), "%s waits; pins %+v", id, o.Pins)
		}
	}
	if o.Balance != config.BalanceWeight {
		return
	}
	mean, worst := 0.0, 0.0
	for _, n := range o.Stay {
		mean += load[n] / float64(len(o.Stay))
	}
	for _, n := range o.Stay {
		worst = max(worst, math.Abs(load[n]-mean)/max(mean, 1e-9))
	}
	if worst <= 0.15 {
		return
	}
	for _, from := range o.Stay {
		for _, to := range o.Stay {
			for _, id := range st.Instances[from].IDs {
				weight := float64(plan.WeightOf(c[id].Weight)) / 1000
				helps := load[from] > mean+1e-9 && load[to]+weight < load[from]-1e-9 && permitted(o.Pins, c[id])(to)
				require.False(rt, helps, "%s of weight %g could go from %d (%g) to %d (%g); %+v", id, weight, from, load[from], to, load[to], r.e.Progress())
			}
		}
	}
}
