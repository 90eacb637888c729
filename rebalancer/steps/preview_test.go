package steps

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/release"
)

// preview is what the mover would do under these orders.
func (s *story) preview(m *mover, o orders.Orders, asked bool) *Preview {
	s.t.Helper()
	v := s.v
	v.Orders, v.Refusal = &o, o.Refusal(s.v.Now)
	before := s.v.State.Clone()
	p, err := NewPreview(v, Remember(&s.v, m.spread, s.v.Orders.Stay), asked)
	require.NoError(s.t, err)
	require.Equal(s.t, before, s.v.State, "a preview changes nothing")
	return p
}

// moved counts a plan's moves by why, but for what no instance owned.
func moved(p *plan.Plan) (must, spread int) {
	if p == nil {
		return 0, 0
	}
	for _, f := range p.Describe().Flows {
		switch f.Why {
		case plan.WhySpread:
			spread += f.Count
		case plan.WhyLeaving, plan.WhyPin:
			must += f.Count
		}
	}
	return must, spread
}

// counting counts the moves that arrive from now on: those from ordinals that do not stay or of
// what pins forbid there, and the others.
func (s *story) counting(m *mover) (must, spread *int) {
	must, spread = new(int), new(int)
	arrived := m.grant.Granted
	m.grant.Granted = func(n int, parts []Part) {
		for _, part := range parts {
			var from int
			_, err := fmt.Sscanf(part.Flight, "%d-", &from)
			require.NoError(s.t, err)
			if s.v.Orders.Stays(from) {
				*spread += part.N
			} else {
				*must += part.N
			}
		}
		arrived(n, parts)
	}
	return must, spread
}

// rest asks the steps as the loop does, from the first again after each that did something, until
// none has anything to do.
func (s *story) rest(m *mover) {
	s.t.Helper()
	steps := []Step{m.open, m.back, m.grant, m.move, m.place, m.spread}
	for quiet := 0; quiet < 3; quiet++ {
		for i := 0; i < len(steps); i++ {
			if len(s.next(steps[i])) > 0 {
				i, quiet = -1, 0
			}
		}
		s.v.Now = s.v.Now.Add(time.Second)
		s.v.Orders.At = s.v.Now
	}
	require.Zero(s.t, s.v.State.InFlight())
}

// TestAPreviewIsWhatHappens: under any change of what stays, of the capacity or of the limits the
// steps make as many moves of each sort as the preview has said, and leave the lists that it shows.
func TestAPreviewIsWhatHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMover()
		all := []int{0, 1, 2, 3, 4, 5}
		s := filled(t, m, rapid.IntRange(0, 120).Draw(rt, "resources"), all[:rapid.IntRange(2, 5).Draw(rt, "instances")]...)
		if gone := rapid.IntRange(0, 40).Draw(rt, "deleted"); gone > 0 { // uneven lists
			s.hear(1, ids(gone)...)
			s.next(Delete{})
			s.next(m.grant)
		}
		m.open.Opened = func(_, before, added []int) { m.spread.Opened(s.v.State, before, added) }
		o := *s.v.Orders
		if most := rapid.SampledFrom([]int{0, 0, 7}).Draw(rt, "in flight"); most > 0 {
			o.Limits.MaxInFlight = most
		}
		if most := rapid.SampledFrom([]int{0, 0, 5}).Draw(rt, "per plan"); most > 0 {
			o.Limits.MovesPerPlan = most
		}
		o.Stay = rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, len(all), rapid.ID[int]).Draw(rt, "stay")
		slices.Sort(o.Stay)
		o.Ready, o.Capacity = o.Stay, rapid.SampledFrom([]int{100, 60, 25}).Draw(rt, "capacity")
		asked := rapid.Bool().Draw(rt, "asked")
		o.At = s.v.Now

		p := s.preview(m, o, asked)
		require.Empty(rt, p.Refused)
		must, spread := s.counting(m)
		s.v.Orders, m.spread.due = &o, m.spread.due || asked
		s.rest(m)

		a, b := moved(p.First)
		c, d := moved(p.Then)
		require.Equal(rt, a+c, *must, "what must move")
		require.Equal(rt, b+d, *spread, "what spreads")
		if s.v.State.Assigned() > len(o.Stay)*o.Capacity {
			return // which of those beyond their capacity keeps one more depends on the limits of a plan
		}
		last := p.First
		if p.Then != nil {
			last = p.Then
		}
		shown := map[int]int{}
		for _, in := range last.Describe().Instances {
			shown[in.Ordinal] = in.After
		}
		require.Equal(rt, sorted(s.sizes()), sorted(shown))
	})
}

// sorted are the lengths of the lists: which of two that are alike is the longer one, nothing says.
func sorted(sizes map[int]int) (all []int) {
	for _, n := range sizes {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

// TestAPreviewWhereNothingMayBeDone moves nothing, and says why.
func TestAPreviewWhereNothingMayBeDone(t *testing.T) {
	m := newMover()
	s := filled(t, m, 90, 0, 1, 2)
	blind := orders.Orders{At: s.v.Now, Capacity: 100, Suspended: "nothing is decided or done: ZooKeeper is away"}
	p := s.preview(m, blind, true)
	require.Equal(t, blind.Suspended, p.Refused)
	require.Empty(t, p.First.Moves)
	require.Nil(t, p.Then)
	for _, in := range p.First.Describe().Instances {
		require.Equal(t, 30, in.After)
	}

	paused := *s.v.Orders
	paused.Stay, paused.Ready, paused.Limits.Paused = []int{0, 1, 2, 3}, []int{0, 1, 2, 3}, true
	p = s.preview(m, paused, false)
	require.Equal(t, "paused", p.Waits)
	require.Equal(t, 22, p.Voluntary(), "what would be spread is shown all the same")
	require.Len(t, p.First.World().Instances, 4, "the new instance is open")
	require.NotContains(t, s.v.State.Instances, 3, "and is not made")
}

// TestAPreviewKnowsWhatTheWriterRemembers: which instances keep what they have, and which are
// reassigned although they stay.
func TestAPreviewKnowsWhatTheWriterRemembers(t *testing.T) {
	m := newMover()
	s := filled(t, m, 90, 0, 1, 2)
	s.v.Orders.Pods, s.v.Orders.AssumedDead = map[int]string{1: "one"}, map[string]bool{"one": true}
	ordered := s.v.Orders.Stay
	s.v.Orders.Stay, _ = s.v.Releases.Reassign(&s.v.View)
	require.Equal(t, []int{0, 2}, s.v.Orders.Stay)
	o := *s.v.Orders
	o.Stay = ordered
	p, err := NewPreview(s.v, Remember(&s.v, m.spread, ordered), false)
	require.NoError(t, err)
	must, _ := moved(p.First)
	require.Equal(t, 30, must)
	s.v.Orders = &o
	p = s.preview(m, o, false)
	must, _ = moved(p.First)
	require.Zero(t, must, "without that memory it stays")
}

// TestHowLongMovesTake goes by each limit.
func TestHowLongMovesTake(t *testing.T) {
	for name, c := range map[string]struct {
		limit func(o *orders.Orders)
		takes time.Duration
	}{
		"a list a second":  {func(*orders.Orders) {}, time.Second},
		"settling":         {func(o *orders.Orders) { o.Settle = 20 * time.Second }, 20 * time.Second},
		"in flight":        {func(o *orders.Orders) { o.Limits.MaxInFlight = 5 }, 6 * time.Second},
		"moves per minute": {func(o *orders.Orders) { o.Limits.MovesPerMinute = 10 }, 2 * time.Minute},
		"moves per plan":   {func(o *orders.Orders) { o.Limits.MovesPerPlan = 10 }, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMover()
			s := filled(t, m, 60, 0, 1)
			o := *s.v.Orders
			o.Stay, o.Ready = []int{0, 1, 2, 3}, []int{0, 1, 2, 3} // 30 move
			c.limit(&o)
			p := s.preview(m, o, false)
			require.Equal(t, 30, p.Voluntary())
			require.Equal(t, c.takes, p.Takes(&o))
			o.Stay, o.Ready = []int{0, 1}, []int{0, 1}
			require.Zero(t, s.preview(m, o, false).Takes(&o))
		})
	}
}

// BenchmarkPreview is what a person waits for, and takes of one processor: the plan and its
// description, of 500,000 resources on 100 instances. Nothing else waits for it: what it looks at
// does not change.
func BenchmarkPreview(b *testing.B) {
	const resources, instances = 500_000, 100
	now := time.Unix(1000, 0)
	st, stay := even(b, resources, instances)
	inv := inventory.New(now, func(n int, work func(i int)) {
		for i := range n {
			work(i)
		}
	})
	_, err := inv.Lead(now, st)
	require.NoError(b, err)
	inv.Follow(st)
	require.True(b, inv.Indexed())
	inv.Need(inventory.NeedsOf(&orders.Orders{Balance: config.BalanceWeight}))
	inv.Catalogue.Begin(now)
	for _, in := range st.Instances {
		for i, id := range in.IDs.All() {
			inv.Catalogue.Rows([]observed.ResourceKnown{{ID: id, Weight: float64(1 + i%7)}})
		}
	}
	_, err = inv.Catalogue.End(b.Context(), now, resync.Limits{MaxShare: 1})
	require.NoError(b, err)
	weights := inv.Writer.Attributes()
	require.True(b, weights.Weighed())
	grown, drained := append(slices.Clone(stay), instances), slices.Delete(slices.Clone(stay), 42, 43)
	for _, c := range []struct {
		name    string
		stay    []int
		balance config.Balance
		known   *inventory.Attributes
	}{
		{"size=100→101", grown, config.BalanceCount, nil},
		{"drain=1", drained, config.BalanceCount, nil},
		{"weights/size=100→101", grown, config.BalanceWeight, weights},
		{"weights/drain=1", drained, config.BalanceWeight, weights},
		{"pin=1", stay, config.BalanceCount, inv.Writer.AttributesBy(map[string]int{st.Instances[7].IDs.Strings()[9]: 8})},
	} {
		b.Run(fmt.Sprintf("resources=%dk/%s", resources/1000, c.name), func(b *testing.B) {
			o := orders.Orders{At: now, Stay: c.stay, Ready: c.stay, Capacity: 10_000, HandOff: config.HandOffImmediate, Balance: c.balance}
			v := View{
				View: release.View{State: st, Orders: &o, Now: now}, Index: inv.Index, Requests: inv.Writer, Attributes: c.known,
				Releases: release.New(),
			}
			m := Remember(&v, &Spread{}, c.stay)
			b.ReportAllocs()
			for b.Loop() {
				p, err := NewPreview(v, m, false)
				require.NoError(b, err)
				require.Positive(b, p.First.Describe().Moves)
			}
		})
	}
}

// even is a State of resources on open instances, as many on each.
func even(b *testing.B, resources, instances int) (st *protocol.State, open []int) {
	st = protocol.NewState("Thing")
	commit := func(m protocol.Multi, err error) {
		require.NoError(b, err)
		m.Apply(st, m.Results(protocol.Result{}))
	}
	commit(protocol.Lead(st, "pod/1"))
	for n := range instances {
		commit(protocol.AddOrdinal(st, n, 10_000))
		list := make([]string, resources/instances)
		for i := range list {
			list[i] = fmt.Sprintf("%08x-1d5b-4f3a-9c11-%012x", n*2654435761, i)
		}
		in := *st.Instances[n]
		in.IDs = protocol.NewIDs(list)
		st.Instances[n], open = &in, append(open, n)
	}
	commit(protocol.SetOpen(st, open))
	return st, open
}
