package rebalancer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/pins"
	"github.com/shardscaler/shardscaler/internal/pins/pinstest"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// ordered are the orders that a scaler would send now.
func (r *rig) ordered(change func(o *orders.Orders)) orders.Orders {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.orders
	o.At, o.PodsAt = time.Now(), time.Now()
	change(&o)
	return o
}

// TestWhatCountsAsAChangeOfAList: what is taken out of it or moved into it, by us or by another
// client, and not what is created and placed into it.
func TestWhatCountsAsAChangeOfAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1, 2)
		ids := names("a", 90)
		r.create(ids...)
		r.wait(3 * time.Second)
		for i := range 50 {
			r.create(names("b", 30*(i+1))...)
			r.wait(100 * time.Millisecond)
		}
		r.wait(3 * time.Second)
		require.Empty(t, r.e.Changed(), "1,590 creates")

		gone := r.d.snapshot().Instances[1].IDs.Strings()[:3]
		require.NoError(t, r.e.Delete(t.Context(), gone))
		r.wait(3 * time.Second)
		require.Equal(t, map[int]orders.Changes{1: {Deleted: 1}}, r.e.Changed())

		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1}, []int{0, 1} })
		r.wait(5 * time.Second)
		require.Equal(t, map[int]orders.Changes{0: {Moved: 1}, 1: {Moved: 1, Deleted: 1}, 2: {Moved: 1}}, r.e.Changed())

		r.d.edit(func(st *protocol.State) {
			in := *st.Instances[0]
			in.IDs = protocol.NewIDs(in.IDs.Strings()[1:])
			in.ListVersion++
			st.Instances[0] = &in
			r.d.versions[protocol.ResourcesPath("Thing", 0)]++
		})
		r.wait(5 * time.Second)
		require.GreaterOrEqual(t, r.e.Changed()[0].Moved, int64(2), "another client's")
		require.EqualValues(t, 1, r.e.Changed()[1].Moved)
	})
}

// TestAPreviewIsTheLeaders and needs a pass of its loop; it changes nothing, whatever it shows.
func TestAPreviewIsTheLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		r := newRig(t, d)
		more := func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1, 2}, []int{0, 1, 2} }
		_, err := r.e.Preview(r.ordered(more), false)
		require.ErrorIs(t, err, orders.ErrNotLeading)
		r.lead(0, 1)
		r.create(names("a", 90)...)
		r.wait(3 * time.Second)
		before, did := d.snapshot(), len(d.did())
		p, err := r.e.Preview(r.ordered(more), false)
		require.NoError(t, err)
		require.Equal(t, 30, p.Voluntary())
		r.wait(10 * time.Second)
		require.Equal(t, times(before), times(d.snapshot()))
		require.Len(t, d.did(), did, "nothing was written")
		require.Empty(t, r.e.Hindrance())

		r.order(func(o *orders.Orders) { more(o); o.Settle = time.Minute })
		r.wait(5 * time.Second)
		require.Contains(t, r.e.Hindrance(), "a wave is under way: plan ")
		r.halt()
		_, err = r.e.Preview(r.ordered(more), false)
		require.ErrorIs(t, err, orders.ErrNotLeading)
	})
}

// TestAPreviewOfAPin binds a resource as orders with that pin do, over the pins of the catalogue.
func TestAPreviewOfAPin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble())
		r.order(func(o *orders.Orders) { o.Pins = []pins.Rule{pinstest.Selecting("lyon", "lyon", 1, 2)} })
		r.lead(0, 1, 2)
		known := rows(names("a", 30), 1)
		for i := range 10 {
			known[i] = pinstest.Row(known[i].ID, 0, "lyon")
		}
		r.read(known...)
		r.wait(5 * time.Second)
		id := r.d.snapshot().Instances[0].IDs.Strings()[0]
		own := func(o *orders.Orders) { o.Own = map[string]int{id: 2} }
		p, err := r.e.Preview(r.ordered(own), false)
		require.NoError(t, err)
		moves := p.First.Named()
		require.Len(t, moves, 1)
		require.Equal(t, [3]any{id, 0, 2}, [3]any{moves[0].ID, moves[0].From, moves[0].To})
		none, err := r.e.Preview(r.ordered(func(*orders.Orders) {}), false)
		require.NoError(t, err)
		require.Empty(t, none.First.Moves, "the preview has bound nothing")
		r.order(own)
		r.wait(5 * time.Second)
		require.Contains(t, r.d.snapshot().Instances[2].IDs.Strings(), id)
	})
}

// TestASpreadThatIsAskedFor is made however little the lists differ, once, and waits for what keeps
// spreading.
func TestASpreadThatIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1)
		ids := names("a", 100)
		r.create(ids...)
		r.wait(3 * time.Second)
		gone := r.d.snapshot().Instances[0].IDs.Strings()[:2]
		require.NoError(t, r.e.Delete(t.Context(), gone))
		r.wait(10 * time.Second)
		require.Equal(t, map[int]int{0: 48, 1: 50}, counts(r.d.snapshot()), "within the band")
		p, err := r.e.Preview(r.ordered(func(*orders.Orders) {}), true)
		require.NoError(t, err)
		require.Equal(t, 1, p.Voluntary())

		r.order(func(o *orders.Orders) { o.Limits.Paused = true })
		r.e.Spread()
		r.wait(10 * time.Second)
		require.Equal(t, 48, counts(r.d.snapshot())[0])
		require.Equal(t, "paused", r.e.Progress().Blocked)
		r.order(func(o *orders.Orders) { o.Limits.Paused = false })
		r.wait(10 * time.Second)
		require.Equal(t, map[int]int{0: 49, 1: 49}, counts(r.d.snapshot()))
		gone = r.d.snapshot().Instances[0].IDs.Strings()[:2]
		require.NoError(t, r.e.Delete(t.Context(), gone))
		r.wait(10 * time.Second)
		require.Equal(t, map[int]int{0: 47, 1: 49}, counts(r.d.snapshot()), "it was asked for once")
	})
}
