package rebalancer

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/pins"
	"github.com/shardscaler/shardscaler/internal/pins/pinstest"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// read is one complete read of a catalogue that holds these rows; again says that another one is
// asked for.
func (r *rig) read(rows ...observed.ResourceKnown) (again bool) {
	r.t.Helper()
	r.e.BeginRead(time.Now())
	r.e.Rows(rows[:len(rows)/2])
	next, err := r.e.EndRead(r.t.Context(), rows[len(rows)/2:])
	require.NoError(r.t, err)
	return !next.IsZero()
}

// rows gives ids their weights in turn.
func rows(ids []string, weights ...float64) []observed.ResourceKnown {
	all := make([]observed.ResourceKnown, len(ids))
	for i, id := range ids {
		all[i] = pinstest.Row(id, weights[i%len(weights)], "")
	}
	return all
}

// heaviness is how far the farthest list is from the mean by the weights of these rows: 1 + |load −
// mean| / mean.
func heaviness(st *protocol.State, known []observed.ResourceKnown) float64 {
	weight := map[string]plan.Weight{}
	for _, k := range known {
		weight[k.ID] = plan.WeightOf(k.Weight)
	}
	var loads []float64
	total := 0.0
	for _, n := range st.Head.Open {
		load := 0.0
		for _, id := range st.Instances[n].IDs.All() {
			load += float64(weight[id])
		}
		loads, total = append(loads, load), total+load
	}
	mean := total / float64(len(loads))
	return 1 + max(slices.Max(loads)-mean, mean-slices.Min(loads))/mean
}

func byWeight(o *orders.Orders) { o.Balance = config.BalanceWeight }

// told is what the latest signal says.
func (r *rig) told() (a observed.Assignment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range slices.Backward(r.signals) {
		if a, ok := s.(observed.Assignment); ok {
			return a
		}
	}
	return a
}

// TestWeights goes once through the hysteresis: blind, uneven, within the band, between leave and
// enter, uneven again.
func TestWeights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble())
		r.order(byWeight)
		r.lead(0, 1, 2)
		ids := names("a", 90)
		r.create(ids...)
		r.wait(5 * time.Second)
		st := r.settled(ids)
		require.Equal(t, map[int]int{0: 30, 1: 30, 2: 30}, counts(st), "all weigh the same as far as is known")
		require.Equal(t, &observed.Weights{}, r.told().Weights, "what is not known is no number")

		// Everything on instance 0 weighs 9 times as much.
		heavy := rows(ids, 1)
		for i := range heavy {
			if slices.Contains(st.Instances[0].IDs.Strings(), heavy[i].ID) {
				heavy[i].Weight = 9
			}
		}
		was := times(st)
		r.wait(time.Minute)
		require.Equal(t, was, times(r.d.snapshot()), "without the catalogue's weights nothing is spread")
		require.False(t, r.read(heavy...))
		r.wait(30 * time.Second)
		st = r.settled(ids)
		require.LessOrEqual(t, heaviness(st, heavy), 1.05)
		told, sum := r.told(), 0.0
		require.InDelta(t, 30*9+60, told.Weights.Total, 1e-9)
		for n, l := range told.Lists {
			require.InDelta(t, 110, *l.Weight, 110*0.05, "instance %d", n)
			sum += *l.Weight
		}
		require.InDelta(t, told.Weights.Total, sum, 1e-9)

		constant := func(why string, known []observed.ResourceKnown) {
			was := times(r.d.snapshot())
			for range 5 {
				r.read(known...)
				r.wait(5 * time.Minute)
			}
			require.Equal(t, was, times(r.d.snapshot()), why)
		}
		constant("a constant state makes no move", heavy)

		// One resource grows: 10 % above the mean is between leave and enter.
		at := slices.IndexFunc(heavy, func(k observed.ResourceKnown) bool { return k.ID == st.Instances[0].IDs.Strings()[0] })
		heavy[at].Weight += 13
		require.Greater(t, heaviness(st, heavy), 1.05)
		require.Less(t, heaviness(st, heavy), 1.15)
		constant("what is within the enter ratio stays", heavy)

		// many small plans: what has begun goes on below the enter ratio
		r.order(func(o *orders.Orders) { o.Limits.MovesPerPlan = 1 })
		heavy[at].Weight += 20
		require.Greater(t, heaviness(st, heavy), 1.15)
		r.read(heavy...)
		r.wait(time.Minute)
		require.LessOrEqual(t, heaviness(r.settled(ids), heavy), 1.05, "what left the band is spread to the leave ratio")
		constant("and then it rests", heavy)
	})
}

func TestStaleWeightsMoveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble())
		r.order(func(o *orders.Orders) { byWeight(o); o.CatalogueMaxAge = 10 * time.Minute })
		r.lead(0, 1)
		ids := names("a", 40)
		r.read(rows(ids, 2)...)
		r.wait(11 * time.Minute)
		was := r.settled(ids)
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1, 2}, []int{0, 1, 2} })
		r.wait(time.Minute)
		require.Equal(t, times(was)[0], times(r.settled(ids))[0])
		require.Empty(t, r.d.snapshot().Instances[2].IDs.Strings())
		require.Contains(t, r.e.Progress().Blocked, "the catalogue's weights are 1")
		r.read(rows(ids, 2)...)
		r.wait(10 * time.Second)
		require.LessOrEqual(t, heaviness(r.settled(ids), rows(ids, 2)), 1.05)
	})
}

// TestANewResourceWeighsTheMedian until the catalogue has been read.
func TestANewResourceWeighsTheMedian(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble())
		r.order(byWeight)
		r.lead(0, 1)
		old := names("a", 21)
		r.read(rows(old, 5)...)
		r.wait(5 * time.Second)
		fresh := names("b", 9)
		r.create(fresh...)
		r.wait(25 * time.Second)
		require.InDelta(t, 30*5, r.told().Weights.Total, 1e-9)
		r.read(append(rows(old, 5), rows(fresh, 0)...)...)
		r.wait(25 * time.Second)
		require.InDelta(t, 21*5+9, r.told().Weights.Total, 1e-9, "a row without a weight weighs 1")
		r.order(func(o *orders.Orders) { o.Balance = config.BalanceCount })
		r.wait(10 * time.Second)
		require.Nil(t, r.told().Weights, "by count each weighs 1")
	})
}

// TestWhatIsInFlightWeighsWhereItGoes.
func TestWhatIsInFlightWeighsWhereItGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble())
		r.order(byWeight)
		r.lead(0, 1, 2)
		r.read(rows(names("a", 3), 50)...)
		r.wait(3 * time.Second)
		require.Equal(t, map[int]int{0: 1, 1: 1, 2: 1}, counts(r.d.snapshot()))
		r.order(func(o *orders.Orders) { o.Stay, o.Ready, o.Settle = []int{0, 1}, []int{0, 1}, 20*time.Second })
		r.wait(10 * time.Second)
		require.Equal(t, 1, r.d.snapshot().InFlight(), "one is on its way to 0")
		r.create("b")
		r.wait(5 * time.Second)
		require.Equal(t, map[int]int{0: 1, 1: 2, 2: 0}, counts(r.d.snapshot()))
		r.wait(time.Minute)
		require.Equal(t, map[int]int{0: 2, 1: 2, 2: 0}, counts(r.settled(append(names("a", 3), "b"))))
	})
}

func TestMovesPerPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1)
		ids := names("a", 300)
		r.create(ids...)
		r.wait(3 * time.Second)
		most := 0
		r.d.fail(func(d *double) {
			d.watch = func(_, st *protocol.State, _ protocol.Multi) { most = max(most, st.InFlight()) }
		})
		r.order(func(o *orders.Orders) { o.Stay, o.Ready, o.Limits.MovesPerPlan = []int{0, 1, 2}, []int{0, 1, 2}, 30 })
		r.wait(30 * time.Second)
		require.Equal(t, map[int]int{0: 100, 1: 100, 2: 100}, counts(r.settled(ids)))
		require.Equal(t, 30, most)
	})
}

func TestPinsByLabel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		r := newRig(t, d)
		var asked atomic.Int32
		r.e.cfg.Resync = func() { asked.Add(1) }
		r.order(func(o *orders.Orders) { o.Pins = []pins.Rule{pinstest.Selecting("lyon", "lyon", 1, 2)} })
		r.lead(0, 1, 2)
		r.wait(time.Second)
		require.Positive(t, asked.Load(), "the labels are needed")
		r.create("early")
		r.wait(time.Minute)
		require.Equal(t, 1, r.d.snapshot().Unassigned(), "what may be bound goes nowhere by guess")
		require.Contains(t, r.e.Progress().Blocked, "labels have not been read yet")

		catalogue := []observed.ResourceKnown{pinstest.Row("early", 0, "lyon")}
		for i, id := range names("a", 60) {
			catalogue = append(catalogue, pinstest.Row(id, 0, []string{"lyon", "metz", ""}[i%3]))
		}
		r.read(catalogue...)
		r.wait(5 * time.Second)
		st := r.settled(idsOf(catalogue))
		require.Equal(t, map[int]int{0: 21, 1: 20, 2: 20}, counts(st), "pins and an even spread go together here")
		placedAsPinned(t, st, catalogue, "lyon", 1, 2)

		// A message creates one that is bound to lyon; only the catalogue says so.
		asked.Store(0)
		require.NoError(t, r.e.Create(t.Context(), []observed.ResourceKnown{pinstest.Row("new", 0, "")}))
		r.wait(2 * time.Second)
		require.Equal(t, 1, r.d.snapshot().Unassigned())
		require.Equal(t, []plan.RefusedGroup{{
			From: -1, Why: "labels-unknown", Meaning: "the catalogue has not told its labels yet, and pins go by labels", Count: 1, Examples: []string{"new"},
		}}, r.e.Progress().Parked)
		require.EqualValues(t, 1, asked.Load(), "a read is asked for at once, and once")
		catalogue = append(catalogue, pinstest.Row("new", 0, "lyon"))
		r.read(catalogue...)
		r.wait(3 * time.Second)
		placedAsPinned(t, r.settled(idsOf(catalogue)), catalogue, "lyon", 1, 2)
		require.Empty(t, r.e.Progress().Parked)

		// Another set of ordinals: the former pins hold until the catalogue has been read under the
		// new ones.
		was := times(r.d.snapshot())
		r.order(func(o *orders.Orders) { o.Pins = []pins.Rule{pinstest.Selecting("lyon", "lyon", 0)} })
		r.wait(time.Minute)
		require.Equal(t, was, times(r.d.snapshot()))
		r.read(catalogue...)
		r.wait(10 * time.Second)
		placedAsPinned(t, r.settled(idsOf(catalogue)), catalogue, "lyon", 0)

		// A label changes in the catalogue.
		catalogue[len(catalogue)-1] = pinstest.Row("new", 0, "metz")
		catalogue[1] = pinstest.Row(catalogue[1].ID, 0, "metz")
		r.read(catalogue...)
		r.wait(10 * time.Second)
		was = times(r.settled(idsOf(catalogue)))
		placedAsPinned(t, r.d.snapshot(), catalogue, "lyon", 0)
		r.read(catalogue...)
		r.wait(10 * time.Minute)
		require.Equal(t, was, times(r.d.snapshot()), "a constant state makes no move")
	})
}

// TestARowWithBadLabelsMovesNothing: what runs stays, what waits goes nowhere by guess, and no read
// after the other is asked for.
func TestARowWithBadLabelsMovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		elsewhere := pins.Rule{Name: "elsewhere", Ordinals: []int{2}, Selector: &pins.Selector{
			MatchExpressions: []pins.Requirement{{Key: "site", Operator: pins.DoesNotExist}},
		}}
		pinned := func(o *orders.Orders) { o.Pins = []pins.Rule{pinstest.Selecting("lyon", "lyon", 1), elsewhere} }
		r := newRig(t, d)
		var asked atomic.Int32
		r.e.cfg.Resync = func() { asked.Add(1) }
		r.order(pinned)
		r.lead(0, 1, 2)
		catalogue := []observed.ResourceKnown{pinstest.Row("a", 0, "lyon"), pinstest.Row("b", 0, "metz"), pinstest.Row("c", 0, "lyon"), pinstest.Row("d", 0, "")}
		r.read(catalogue...)
		r.wait(3 * time.Second)
		r.settled(idsOf(catalogue))
		was := times(r.d.snapshot())
		for i := range catalogue {
			catalogue[i] = observed.ResourceKnown{ID: catalogue[i].ID, Unread: true}
		}
		catalogue = append(catalogue, observed.ResourceKnown{ID: "new", Unread: true})
		for range 2 {
			asked.Store(0)
			r.read(catalogue...)
			r.wait(time.Minute)
			require.Equal(t, was, times(r.d.snapshot()))
			require.Equal(t, 1, r.d.snapshot().Unassigned())
			require.Equal(t, []plan.RefusedGroup{{
				From: -1, Why: "labels-unreadable", Meaning: "the catalogue's row has a weight or labels that cannot be read, and pins go by labels",
				Count: 1, Examples: []string{"new"},
			}}, r.e.Progress().Parked)
			require.Zero(t, asked.Load(), "a read would tell nothing new")

			r.halt() // a successor has no former read to go by
			r = newRig(t, d)
			r.e.cfg.Resync = func() { asked.Add(1) }
			r.order(pinned)
			r.lead(0, 1, 2)
		}
		r.read(pinstest.Row("a", 0, "lyon"), pinstest.Row("b", 0, "metz"), pinstest.Row("c", 0, "lyon"), pinstest.Row("d", 0, ""), pinstest.Row("new", 0, "lyon"))
		r.wait(3 * time.Second)
		require.Contains(t, r.settled(idsOf(catalogue)).Instances[1].IDs.Strings(), "new")
	})
}

func idsOf(known []observed.ResourceKnown) (ids []string) {
	for _, k := range known {
		ids = append(ids, k.ID)
	}
	return ids
}

// placedAsPinned requires that all of a site are on these ordinals.
func placedAsPinned(t *testing.T, st *protocol.State, known []observed.ResourceKnown, site string, ordinals ...int) {
	t.Helper()
	sites := map[string]string{}
	for _, k := range known {
		sites[k.ID] = k.Labels["site"]
	}
	for n, in := range st.Instances {
		for _, id := range in.IDs.All() {
			if sites[id] == site {
				require.Contains(t, ordinals, n, "%s of %s", id, site)
			}
		}
	}
}

// TestASuccessorKnowsNoPinsBeforeItsFirstRead: it neither places nor empties by guess, and goes on
// when it knows.
func TestASuccessorKnowsNoPinsBeforeItsFirstRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		pinned := func(o *orders.Orders) { o.Pins = []pins.Rule{pinstest.Selecting("lyon", "lyon", 1)} }
		r := newRig(t, d)
		r.order(pinned)
		r.lead(0, 1, 2)
		var catalogue []observed.ResourceKnown
		for i, id := range names("a", 30) {
			catalogue = append(catalogue, pinstest.Row(id, 0, []string{"lyon", "", ""}[i%3]))
		}
		r.read(catalogue...)
		r.wait(3 * time.Second)
		r.settled(idsOf(catalogue))
		r.halt()

		r = newRig(t, d)
		r.order(pinned)
		r.lead(0, 1)
		r.wait(time.Minute)
		require.NotEmpty(t, d.snapshot().Instances[2].IDs.Strings())
		require.Contains(t, r.e.Progress().Blocked, "labels have not been read yet")
		r.read(catalogue...)
		r.wait(5 * time.Second)
		st := r.settled(idsOf(catalogue))
		require.Empty(t, st.Instances[2].IDs.Strings())
		placedAsPinned(t, st, catalogue, "lyon", 1)
	})
}

// TestAnUnsatisfiablePinHoldsUpNobodyElse, neither while it waits nor when it can be satisfied.
func TestAnUnsatisfiablePinHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble())
		r.order(func(o *orders.Orders) {
			o.Pins = []pins.Rule{{Name: "nine", IDs: names("p", 3), Ordinals: []int{9}}}
		})
		r.lead(0, 1)
		r.create(names("p", 3)...)
		r.wait(5 * time.Second)
		r.order(func(o *orders.Orders) { o.Tick = time.Hour })
		r.mu.Lock()
		r.silent = true // not even the next orders are needed
		r.mu.Unlock()
		r.wait(5 * time.Second)
		free := names("a", 20)
		r.create(free...)
		r.wait(5 * time.Second)
		r.mu.Lock()
		r.silent = false
		r.mu.Unlock()
		ids := append(names("p", 3), free...)
		st := r.settled(ids)
		require.Equal(t, 3, st.Unassigned(), "a pin by id needs no catalogue")
		require.Equal(t, map[int]int{0: 10, 1: 10}, counts(st))
		p := r.e.Progress()
		require.Equal(t, "resources without a place: 3 (3 pin-closed (nine))", p.Blocked)
		require.Len(t, p.Parked, 1)
		require.Equal(t, 3, p.Parked[0].Count)
		require.Equal(t, map[string]float64{"pin-closed": 3}, r.metric("parked_resources"))
		// A pin that forbids where something runs does not stop it while there is nowhere else.
		r.order(func(o *orders.Orders) {
			o.Pins = []pins.Rule{{Name: "nine", IDs: append(names("p", 3), st.Instances[0].IDs.Strings()[0]), Ordinals: []int{9}}}
		})
		was := times(st)
		r.wait(10 * time.Minute)
		require.Equal(t, was, times(r.d.snapshot()))
		require.Equal(t, "resources without a place: 4 (4 pin-closed (nine))", r.e.Progress().Blocked)

		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1, 9}, []int{0, 1, 9} })
		r.wait(10 * time.Second)
		st = r.settled(ids)
		require.Zero(t, st.Unassigned())
		require.Subset(t, st.Instances[9].IDs.Strings(), names("p", 3))
		require.Empty(t, r.e.Progress().Parked)
		require.Empty(t, r.metric("parked_resources"))
	})
}

// TestOthersMakeRoomForWhatIsPinned: the only ordinal of a pin is full of what may be elsewhere.
func TestOthersMakeRoomForWhatIsPinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble())
		r.order(func(o *orders.Orders) {
			o.Capacity, o.SpreadSuspended = 12, "a rollout"
			o.Pins = []pins.Rule{{Name: "zero", IDs: names("p", 6), Ordinals: []int{0}}}
		})
		r.lead(0, 1)
		ids := append(names("p", 6), names("a", 20)...)
		r.create(ids[6:]...)
		r.wait(3 * time.Second)
		r.create(ids[:6]...)
		r.wait(3 * time.Second)
		require.Equal(t, map[int]int{0: 12, 1: 10}, counts(r.settled(ids)))
		require.Contains(t, r.e.Progress().Blocked, "4 pin-full (zero)")
		r.order(func(o *orders.Orders) { o.SpreadSuspended = "" })
		r.wait(20 * time.Second)
		require.Equal(t, map[int]int{0: 12, 1: 12}, counts(r.settled(ids)))
		require.Contains(t, r.e.Progress().Blocked, "2 pin-full (zero)", "that is all the room there is")
	})
}

// TestWhatAPinForbidsLeavesInOneWave, however little may be in flight at a time, and although its
// sources stay.
func TestWhatAPinForbidsLeavesInOneWave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1, 2)
		ids := names("a", 90)
		r.create(ids...)
		r.wait(3 * time.Second)
		bound, steps := r.settled(ids).Instances[0].IDs.Strings(), len(r.d.did())
		r.order(func(o *orders.Orders) {
			o.Limits.MaxInFlight, o.Limits.Paused, o.SpreadSuspended = 8, true, "a rollout"
			o.Pins = []pins.Rule{{Name: "two", IDs: bound, Ordinals: []int{2}}}
		})
		r.wait(2 * time.Second)
		p := r.e.Progress()
		require.Equal(t, "pins forbid where resources run", p.Why, "a pin is a promise, not a spread: it waits for no pause")
		require.Equal(t, []any{"pin", 30}, []any{p.Reason, p.Moves})
		r.wait(time.Minute)
		require.Equal(t, map[int]int{0: 0, 1: 30, 2: 60}, counts(r.settled(ids)))
		require.Equal(t, 1, occurrences(r.d.did()[steps:], "store-plan"))
		require.InDelta(t, 30, r.metric("moves_total")["pin"], 0)
	})
}

// TestListsThatAreFullInBytes: ids of the greatest length fill the znode before the count does.
func TestListsThatAreFullInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble())
		r.order(byWeight)
		r.lead(0)
		var known []observed.ResourceKnown
		for i := range 4200 {
			known = append(known, pinstest.Row(strings.Repeat("x", 250)+fmt.Sprintf("%06d", i), 2, ""))
		}
		r.read(known...)
		r.wait(30 * time.Second)
		st := r.settled(idsOf(known))
		require.LessOrEqual(t, st.Instances[0].Bytes, protocol.MaxListBytes)
		require.Positive(t, st.Unassigned())
		require.Contains(t, r.e.Progress().Blocked, "bytes-full")
	})
}

// TestACountBalancedKindKeepsNothingOfTheCatalogue.
func TestACountBalancedKindKeepsNothingOfTheCatalogue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1)
		r.create("b")
		r.read(pinstest.Row("b", 3, "lyon"), pinstest.Row("c", 4, "metz"))
		r.wait(30 * time.Second)
		r.settled([]string{"b", "c"})
		require.Nil(t, r.e.inventory.Writer.Attributes())
		require.NotContains(t, r.d.snapshot().Kept, "weights")
		require.Nil(t, r.told().Weights)
	})
}

// TestADrainThatAPinBlocksDoesNotHoldUpTheSpread.
func TestADrainThatAPinBlocksDoesNotHoldUpTheSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble())
		r.order(func(o *orders.Orders) { o.Pins = []pins.Rule{{Name: "two", IDs: []string{"p"}, Ordinals: []int{2}}} })
		r.lead(0, 1, 2)
		ids := append(names("a", 59), "p")
		r.create(ids...)
		r.wait(5 * time.Second)
		require.Contains(t, r.settled(ids).Instances[2].IDs.Strings(), "p")
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1}, []int{0, 1} })
		r.wait(10 * time.Second)
		require.Equal(t, map[int]int{0: 30, 1: 29, 2: 1}, counts(r.settled(ids)))
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1, 3}, []int{0, 1, 3} })
		r.wait(30 * time.Second)
		require.Equal(t, map[int]int{0: 20, 1: 20, 2: 1, 3: 19}, counts(r.settled(ids)))
		require.Equal(t, map[int]int{2: 1}, r.e.Progress().Draining)
		require.Equal(t, "resources without a place: 1 (1 pin-closed (two))", r.e.Progress().Blocked, "a drain says what blocks it")
	})
}
