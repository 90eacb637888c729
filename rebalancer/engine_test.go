package rebalancer

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is an engine over a double, with a scaler that repeats its orders every second. It has listed
// the pods each time, unless PodsAt says when it did.
type rig struct {
	t       *testing.T
	d       *double
	e       *Engine
	mu      sync.Mutex
	orders  orders.Orders
	silent  bool // the scaler sends no orders
	signals []observed.Signal
	resyncs atomic.Int64 // how often a read of the catalogue was asked for
	stop    context.CancelFunc
	running sync.WaitGroup
	led     error
	metrics *prometheus.Registry
}

// metric returns the value of each series of a metric, by the labels beside the kind.
func (r *rig) metric(name string) map[string]float64 {
	families, err := r.metrics.Gather()
	require.NoError(r.t, err)
	values := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "shardscaler_rebalancer_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				if l.GetName() != "kind" {
					labels = append(labels, l.GetValue())
				}
			}
			values[strings.Join(labels, ",")] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

// newRig starts an engine that follows; lead makes it lead. It is stopped at the end of the test.
func newRig(t *testing.T, d *double) *rig { return newRigOver(t, d, d) }

func newRigOver(t *testing.T, d *double, store Store) *rig {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	r := &rig{t: t, d: d, metrics: prometheus.NewRegistry()}
	r.e = New(Config{Kind: "Thing", Holder: "pod", Resync: func() { r.resyncs.Add(1) }}, store, log, r.metrics)
	r.orders = orders.Orders{Capacity: 5000, HandOff: config.HandOffImmediate, Tick: time.Second, Catalogue: config.Catalogue{Lag: ptr(config.Duration(0))}}
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	r.running.Go(func() {
		require.NoError(t, r.e.Run(ctx, func(s observed.Signal) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.signals = append(r.signals, s)
		}))
	})
	r.running.Go(func() {
		for ctx.Err() == nil {
			r.send()
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	})
	t.Cleanup(r.halt)
	return r
}

// lead makes the engine lead with these ordinals staying and ready.
func (r *rig) lead(stay ...int) *rig {
	r.order(func(o *orders.Orders) { o.Stay, o.Ready = stay, stay })
	ctx, cancel := context.WithCancel(r.t.Context())
	stop := r.stop
	r.stop = func() { cancel(); stop() }
	r.running.Go(func() { r.led = r.e.Lead(ctx) })
	synctest.Wait()
	r.send()
	return r
}

func (r *rig) halt() {
	r.stop()
	r.running.Wait()
}

// order changes the orders and sends them.
func (r *rig) order(change func(o *orders.Orders)) {
	r.mu.Lock()
	change(&r.orders)
	r.mu.Unlock()
	r.send()
}

func (r *rig) send() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.silent {
		o := r.orders
		o.At = time.Now()
		if o.PodsAt.IsZero() {
			o.PodsAt = o.At
		}
		r.e.Order(o)
	}
}

// wait lets so much time pass, and everything that it leads to happen.
func (r *rig) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *rig) create(ids ...string) {
	r.t.Helper()
	require.NoError(r.t, r.e.Create(r.t.Context(), known(ids)))
}

func known(ids []string) []observed.ResourceKnown {
	rs := make([]observed.ResourceKnown, len(ids))
	for i, id := range ids {
		rs[i].ID = id
	}
	return rs
}

// names returns n ids that begin with prefix.
func names(prefix string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s-%05d", prefix, i)
	}
	return ids
}

// counts are the lengths of all lists, by ordinal.
func counts(st *protocol.State) map[int]int {
	c := map[int]int{}
	for n, in := range st.Instances {
		c[n] = in.IDs.Len()
	}
	return c
}

// all yields every id of st, also what is being deleted.
func all(st *protocol.State) iter.Seq[string] {
	ids, _ := inventory.Remaining(st)
	var every []string
	for id := range ids {
		every = append(every, strings.Clone(id))
	}
	for _, f := range st.Flight {
		for i, id := range f.IDs.All() {
			if f.Target(i) == protocol.ToDelete {
				every = append(every, id)
			}
		}
	}
	return slices.Values(every)
}

func everything(st *protocol.State) []string {
	return slices.Sorted(all(st))
}

// settled checks that all is well at rest: no resource lost or doubled, nothing in flight, `used`
// right, the engine agrees with ZooKeeper.
func (r *rig) settled(ids []string) *protocol.State {
	r.t.Helper()
	st := r.d.snapshot()
	require.NoError(r.t, r.d.violation())
	require.NoError(r.t, st.Check())
	require.Equal(r.t, slices.Sorted(slices.Values(ids)), everything(st))
	require.Empty(r.t, st.Flight)
	for n, in := range st.Instances {
		require.Equal(r.t, in.IDs.Len(), in.Used, "instance %d", n)
		require.LessOrEqual(r.t, in.IDs.Len(), in.Capacity, "instance %d", n)
	}
	require.Equal(r.t, everything(st), everything(r.e.State()))
	return st
}

func times(st *protocol.State) map[int]int64 {
	m := map[int]int64{}
	for n, in := range st.Instances {
		m[n] = in.Times
	}
	return m
}

func occurrences(steps []string, name string) (n int) {
	for _, s := range steps {
		if s == name {
			n++
		}
	}
	return n
}

func TestCreatesAreDurableWhenTheyReturnAndThenPlacedEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1, 2)
		ids := names("a", 2000)
		var calls sync.WaitGroup
		for chunk := range slices.Chunk(ids, 50) {
			calls.Go(func() {
				require.NoError(t, r.e.Create(t.Context(), known(append(chunk, chunk[0]))))
				here := map[string]bool{}
				for id := range all(r.d.snapshot()) {
					here[id] = true
				}
				for _, id := range chunk {
					require.True(t, here[id], "%s was acknowledged and is nowhere", id)
				}
			})
		}
		calls.Wait()
		r.create(ids[:500]...)
		r.wait(3 * time.Second)
		require.Equal(t, map[int]int{0: 667, 1: 667, 2: 666}, counts(r.settled(ids)))
		n, ok := r.e.Lookup(ids[7])
		require.True(t, ok)
		require.Contains(t, r.d.snapshot().Instances[n].IDs.Strings(), ids[7])
	})
}

func TestACreateIsOneTransactionWhenIdleAndManyShareOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		begun := time.Now()
		r.create("first")
		require.Zero(t, time.Since(begun), "an idle create waits for nothing")
		var calls sync.WaitGroup
		for _, id := range names("a", 1000) {
			calls.Go(func() { r.create(id) })
		}
		calls.Wait()
		require.LessOrEqual(t, occurrences(r.d.did(), "create"), 4)
	})
}

func TestBadIDsAreRefusedAndTheOthersCreated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		err := r.e.Create(t.Context(), known([]string{"good", strings.Repeat("x", 257), ""}))
		require.ErrorIs(t, err, ErrBadID)
		require.ErrorContains(t, err, "256")
		r.wait(2 * time.Second)
		r.settled([]string{"good"})
	})
}

func TestOnlyTheLeaderWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble())
		synctest.Wait()
		require.ErrorIs(t, r.e.Create(t.Context(), known([]string{"a"})), orders.ErrNotLeading)
		require.ErrorIs(t, r.e.Delete(t.Context(), []string{"a"}), orders.ErrNotLeading)
		require.ErrorIs(t, r.e.Claim(t.Context(), []string{"a"}), orders.ErrNotLeading)
		require.ErrorIs(t, r.e.Keep(t.Context(), "x", orders.Replace(nil)), orders.ErrNotLeading)
		_, err := r.e.Drained(t.Context(), []int{0})
		require.ErrorIs(t, err, orders.ErrNotLeading)
		_, err = r.e.EndRead(t.Context(), nil)
		require.ErrorIs(t, err, orders.ErrNotLeading)
		require.Empty(t, r.d.did())
	})
}

func TestDeletesFromListPoolAndNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1)
		r.create(names("a", 100)...)
		r.wait(3 * time.Second)
		r.order(func(o *orders.Orders) { o.Suspended = "blind" })
		r.create(names("b", 10)...)
		before := times(r.d.snapshot())
		a := names("a", 100)
		// as many from each list
		gone, left := slices.Concat(a[:20], a[50:70]), slices.Concat(a[20:50], a[70:])
		require.NoError(t, r.e.Delete(t.Context(), append(gone, "b-00003", "nobody")))
		require.Equal(t, 9, r.d.snapshot().Unassigned())
		r.order(func(o *orders.Orders) { o.Suspended = "" })
		r.wait(5 * time.Second)
		st := r.settled(append(left, append(names("b", 3), names("b", 10)[4:]...)...))
		for n, was := range before {
			require.LessOrEqual(t, st.Instances[n].Times, was+2, "one write for the deletes and one for the pool")
		}
		_, ok := r.e.Lookup("a-00001")
		require.False(t, ok)
	})
}

func TestARecreateTurnsTheDeleteInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1)
		r.order(func(o *orders.Orders) {
			o.HandOff, o.Pods = config.HandOffAcknowledged, map[int]string{0: "p0", 1: "p1"}
		})
		r.create("a", "b")
		r.wait(3 * time.Second)
		require.NoError(t, r.e.Delete(t.Context(), []string{"a"}))
		r.wait(5 * time.Second)
		require.Len(t, r.d.snapshot().Flight, 1, "its instance has not released it")
		r.create("a")
		require.Equal(t, 1, occurrences(r.d.did(), "redirect"), "a re-create turns it, and is no create of its own")
		r.wait(5 * time.Second)
		require.Zero(t, r.d.snapshot().Unassigned(), "not before it is released")
		r.order(func(o *orders.Orders) { o.GonePods = map[string]bool{"p0": true, "p1": true} })
		r.wait(5 * time.Second)
		r.settled([]string{"a", "b"})
	})
}

func TestTheLastWordCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		r.create("a")
		r.wait(3 * time.Second)
		r.d.fail(func(d *double) { d.away = true })
		var calls sync.WaitGroup
		for range 3 {
			calls.Go(func() { require.NoError(t, r.e.Delete(t.Context(), []string{"a", "b"})) })
			synctest.Wait()
			calls.Go(func() { require.NoError(t, r.e.Create(t.Context(), known([]string{"a", "b"}))) })
			synctest.Wait()
		}
		calls.Go(func() { require.NoError(t, r.e.Delete(t.Context(), []string{"b"})) })
		synctest.Wait()
		r.d.fail(func(d *double) { d.away = false })
		calls.Wait()
		r.wait(5 * time.Second)
		r.settled([]string{"a"})
	})
}

func TestACreateBetweenTwoRoundsOfADeleteIsNotDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stay := make([]int, 3*steps.MaxJobs)
		for n := range stay {
			stay[n] = n
		}
		r := newRig(t, newDouble()).lead(stay...)
		ids := names("a", 10*len(stay))
		r.create(ids...)
		r.wait(3 * time.Second)
		last := r.d.snapshot().Instances[len(stay)-1].IDs.Strings()[0]
		var recreate *inventory.Request
		r.d.fail(func(d *double) {
			d.watch = func(_, _ *protocol.State, m protocol.Multi) {
				if m.Step == "revoke" && recreate == nil { // the first batch is under way
					var err error
					recreate, err = r.e.inventory.Callers.Hear(time.Now(), resync.Created, []string{last})
					require.NoError(t, err)
				}
			}
		})
		require.NoError(t, r.e.Delete(t.Context(), ids))
		r.wait(5 * time.Second)
		require.NoError(t, r.e.wait(t.Context(), recreate))
		r.settled([]string{last})
	})
}

func TestDrainEmptiesAndEachListIsWrittenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1, 2, 3)
		ids := names("a", 4000)
		r.create(ids...)
		r.wait(3 * time.Second)
		before := times(r.settled(ids))
		_, err := r.e.Drained(t.Context(), []int{2, 3})
		require.ErrorContains(t, err, "instance 2 still takes resources")

		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1}, []int{0, 1} })
		r.wait(3 * time.Second)
		st := r.settled(ids)
		require.Equal(t, map[int]int{0: 2000, 1: 2000, 2: 0, 3: 0}, counts(st))
		for n, was := range before {
			require.Equal(t, was+1, st.Instances[n].Times, "instance %d is told to reload once", n)
		}
		left, err := r.e.Drained(t.Context(), []int{2, 3})
		require.NoError(t, err)
		require.Equal(t, map[int]int{2: 0, 3: 0}, left)
		require.Equal(t, []int{0, 1}, st.Head.Open)

		r.order(func(o *orders.Orders) { o.Gone = []int{2, 3} })
		r.wait(3 * time.Second)
		require.Equal(t, map[int]int{0: 2000, 1: 2000}, counts(r.settled(ids)), "the znodes of empty ordinals without pod go")
	})
}

func TestSettleWaitsAndTheReceiverStillGetsAllInOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1, 2, 3)
		r.create(names("a", 400)...)
		r.wait(3 * time.Second)
		before := times(r.d.snapshot())
		r.order(func(o *orders.Orders) {
			o.Settle = 20 * time.Second
			o.Stay, o.Ready = []int{0}, []int{0}
		})
		r.wait(19 * time.Second)
		require.Equal(t, 300, r.d.snapshot().InFlight())
		require.Equal(t, map[int]int{1: 100, 2: 100, 3: 100}, r.e.Progress().Draining)
		r.wait(2 * time.Second)
		require.Equal(t, before[0]+1, r.settled(names("a", 400)).Instances[0].Times)
		require.Empty(t, r.e.Progress().Draining)
	})
}

func TestACancelledDrainComesHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1, 2)
		ids := names("a", 300)
		r.create(ids...)
		r.wait(3 * time.Second)
		owned := slices.Clone(r.d.snapshot().Instances[2].IDs.Strings())
		r.order(func(o *orders.Orders) { o.HandOff, o.Pods = config.HandOffAcknowledged, map[int]string{2: "p2"} })
		r.answering(2)
		r.order(func(o *orders.Orders) {
			o.Limits.MaxInFlight = 30
			o.Stay, o.Ready = []int{0, 1}, []int{0, 1}
		})
		r.wait(10 * time.Second)
		require.Equal(t, 30, r.d.snapshot().InFlight())
		require.Contains(t, r.e.Progress().Blocked, "has not released")

		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1, 2}, []int{0, 1, 2} })
		synctest.Wait()
		require.Equal(t, []int{0, 1, 2}, r.d.snapshot().Head.Open, "reopened at once")
		require.Len(t, r.d.snapshot().Instances[2].IDs.Strings(), 70, "and nothing more is taken")
		r.order(func(o *orders.Orders) { o.GonePods = map[string]bool{"p2": true} })
		r.wait(5 * time.Second)
		require.ElementsMatch(t, owned, r.settled(ids).Instances[2].IDs.Strings())
	})
}

func TestBlindMeansStill(t *testing.T) {
	for name, blind := range map[string]func(r *rig){
		"hold":          func(r *rig) { r.order(func(o *orders.Orders) { o.Suspended = "the pods are stale" }) },
		"stale orders":  func(r *rig) { r.mu.Lock(); r.silent = true; r.mu.Unlock(); r.wait(4 * time.Second) },
		"no capacity":   func(r *rig) { r.order(func(o *orders.Orders) { o.Capacity = 0 }) },
		"no orders yet": func(r *rig) { r.mu.Lock(); r.silent = true; r.mu.Unlock(); r.e.Order(orders.Orders{}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, newDouble()).lead(0, 1)
				r.create(names("a", 100)...)
				r.wait(3 * time.Second)
				blind(r)
				was := times(r.d.snapshot())
				r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0}, []int{0} })
				r.create(names("b", 10)...)
				r.wait(time.Minute)
				require.Equal(t, was, times(r.d.snapshot()))
				require.Equal(t, 10, r.d.snapshot().Unassigned())
				require.NotEmpty(t, r.e.Progress().Blocked)
			})
		})
	}
}

func TestWhatHasNoRoomWaitsInThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble())
		r.order(func(o *orders.Orders) { o.Capacity = 100 })
		r.lead(0, 1)
		ids := names("a", 250)
		r.create(ids...)
		r.wait(3 * time.Second)
		st := r.settled(ids)
		require.Equal(t, map[int]int{0: 100, 1: 100}, counts(st))
		require.Equal(t, 50, st.Unassigned())
		require.Contains(t, r.e.Progress().Blocked, "resources without a place: 50")
		n, ok := r.e.Lookup(st.Pool[st.PoolNames()[0]].IDs.Strings()[0])
		require.True(t, ok)
		require.Equal(t, -1, n)

		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1, 2}, []int{0, 1, 2} })
		r.wait(3 * time.Second)
		require.Zero(t, r.settled(ids).Unassigned())
	})
}

func TestALoweredCapacityParksNothingThatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1)
		ids := names("a", 200)
		r.create(ids...)
		r.wait(3 * time.Second)
		r.order(func(o *orders.Orders) { o.Capacity = 50 })
		r.create("b")
		r.wait(5 * time.Second)
		st := r.d.snapshot()
		require.Equal(t, map[int]int{0: 100, 1: 100}, counts(st))
		require.Equal(t, 1, st.Unassigned())
	})
}

func TestANewOrdinalIsFilledWithTheFewestMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1, 2, 3)
		ids := names("a", 1000)
		r.create(ids...)
		r.wait(3 * time.Second)
		was := r.settled(ids)
		r.order(func(o *orders.Orders) { o.Stay = []int{0, 1, 2, 3, 4} })
		r.wait(3 * time.Second)
		require.Contains(t, r.d.snapshot().Instances, 4)
		require.Equal(t, []int{0, 1, 2, 3}, r.d.snapshot().Head.Open, "it is not ready")
		r.order(func(o *orders.Orders) { o.Ready, o.SpreadSuspended = []int{4}, "a rollout" })
		r.wait(3 * time.Second)
		require.Equal(t, []int{0, 1, 2, 3, 4}, r.d.snapshot().Head.Open, "open once means open")
		require.Zero(t, counts(r.d.snapshot())[4])
		r.order(func(o *orders.Orders) { o.SpreadSuspended = "" })
		r.wait(3 * time.Second)
		st := r.settled(ids)
		require.Equal(t, map[int]int{0: 200, 1: 200, 2: 200, 3: 200, 4: 200}, counts(st))
		moved := 0
		for n, in := range was.Instances {
			for _, id := range in.IDs.All() {
				if !slices.Contains(st.Instances[n].IDs.Strings(), id) {
					moved++
				}
			}
			require.Equal(t, in.Times+1, st.Instances[n].Times)
		}
		require.Equal(t, 200, moved)
	})
}

func TestAnOverloadedInstanceIsAReasonToSpreadLittleDifferences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1)
		ids := names("a", 1000)
		r.create(ids...)
		r.wait(3 * time.Second)
		require.NoError(t, r.e.Delete(t.Context(), r.d.snapshot().Instances[0].IDs.Strings()[:12]))
		r.wait(3 * time.Second)
		require.Equal(t, map[int]int{0: 488, 1: 500}, counts(r.d.snapshot()), "within the band: nothing moves")
		r.order(func(o *orders.Orders) { o.Overloaded = []int{1} })
		r.wait(3 * time.Second)
		st := r.d.snapshot()
		require.Equal(t, map[int]int{0: 494, 1: 494}, counts(st))
		r.wait(30 * time.Second)
		require.Equal(t, st.Instances[0].Times, r.d.snapshot().Instances[0].Times, "once even, it stays so, hot or not")
	})
}

func TestNothingIsSpreadOntoWhatMaySoonLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1)
		ids := names("a", 300)
		r.create(ids...)
		r.wait(3 * time.Second)
		r.order(func(o *orders.Orders) {
			o.Stay, o.Ready, o.MayLeave = []int{0, 1, 2, 3}, []int{0, 1, 2, 3}, []int{3}
		})
		r.wait(time.Minute)
		require.Equal(t, map[int]int{0: 100, 1: 100, 2: 100, 3: 0}, counts(r.settled(ids)))
		r.create(names("b", 40)...)
		r.wait(3 * time.Second)
		require.Equal(t, 40, counts(r.d.snapshot())[3], "what is new goes where there is room")
		steps := len(r.d.did())
		r.wait(time.Minute)
		require.Len(t, r.d.did(), steps)
		r.order(func(o *orders.Orders) { o.MayLeave = nil })
		r.wait(time.Minute)
		require.Equal(t, map[int]int{0: 85, 1: 85, 2: 85, 3: 85}, counts(r.settled(append(ids, names("b", 40)...))))
	})
}

func TestSpreadingKeepsItsLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1)
		ids := names("a", 1000)
		r.create(ids...)
		r.wait(3 * time.Second)
		r.order(func(o *orders.Orders) {
			o.Stay, o.Ready = []int{0, 1, 2, 3}, []int{0, 1, 2, 3}
			o.Limits.MovesPerMinute, o.Limits.MaxInFlight = 120, 50
		})
		most := 0
		r.d.fail(func(d *double) {
			d.watch = func(_, st *protocol.State, _ protocol.Multi) { most = max(most, st.InFlight()) }
		})
		r.wait(50 * time.Second)
		c := counts(r.settled(ids))
		require.Equal(t, 120, c[2]+c[3])
		require.Equal(t, 50, most)
		r.order(func(o *orders.Orders) { o.Limits.Paused = true })
		r.wait(5 * time.Minute)
		require.Equal(t, c, counts(r.settled(ids)))
		require.Equal(t, "paused", r.e.Progress().Blocked)
		r.order(func(o *orders.Orders) { o.Limits.Paused = false })
		r.wait(5 * time.Minute)
		require.Equal(t, map[int]int{0: 250, 1: 250, 2: 250, 3: 250}, counts(r.settled(ids)))
	})
}

func TestAConstantStateMakesNoWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1, 2)
		r.create(names("a", 100)...)
		r.wait(5 * time.Second)
		steps := len(r.d.did())
		r.wait(10 * time.Minute)
		require.Len(t, r.d.did(), steps)
		require.NoError(t, r.e.Delete(t.Context(), names("a", 100)[:2]))
		r.wait(10 * time.Minute)
		require.NotContains(t, r.d.did()[steps:], "grant", "a delete is no reason to move anything")
	})
}

func TestListsChangeAtMostOnceASecondAndThePoolStaysSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1, 2)
		changed, pieces := map[int][]time.Time{}, 0
		r.d.fail(func(d *double) {
			d.check = false
			d.watch = func(old, st *protocol.State, _ protocol.Multi) {
				pieces = max(pieces, len(st.Pool))
				for n, in := range st.Instances {
					if was := old.Instances[n]; was != nil && was.Times != in.Times {
						changed[n] = append(changed[n], time.Now())
					}
				}
			}
		})
		ids := names("a", 5000)
		var calls sync.WaitGroup
		for i, id := range ids { // 1,000 a second, one by one, some deleted again
			calls.Go(func() { r.create(id) })
			if i%10 == 0 && i > 0 {
				calls.Go(func() { require.NoError(t, r.e.Delete(t.Context(), []string{ids[i-1]})) })
			}
			time.Sleep(time.Millisecond)
		}
		calls.Wait()
		r.wait(5 * time.Second)
		require.Len(t, everything(r.d.snapshot()), 5000-499)
		for n, at := range changed {
			require.Greater(t, len(at), 3)
			for i := 1; i < len(at); i++ {
				require.GreaterOrEqual(t, at[i].Sub(at[i-1]), time.Second, "instance %d", n)
			}
		}
		require.LessOrEqual(t, pieces, 250)
	})
}

func TestThePoolIsMergedWhileNothingCanBePlaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		r.order(func(o *orders.Orders) { o.Suspended = "blind" })
		r.d.fail(func(d *double) { d.check = false })
		for _, id := range names("a", 2000) {
			r.create(id)
			time.Sleep(5 * time.Millisecond)
			require.LessOrEqual(t, len(r.d.snapshot().Pool), protocol.MaxPool)
		}
		r.order(func(o *orders.Orders) { o.Suspended = "" })
		r.wait(3 * time.Second)
		require.Equal(t, map[int]int{0: 2000}, counts(r.settled(names("a", 2000))))
	})
}

func TestAdoption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		a, b, c := names("a", 30), names("b", 20), names("c", 10)
		b = append(b, "a-00003") // twice
		d.adopted(map[int][]string{0: a, 1: b, 5: c})
		d.edit(func(st *protocol.State) { st.Instances[1].Used = 7 })
		was := times(d.snapshot())
		r := newRig(t, d)
		r.order(func(o *orders.Orders) { o.Gone = []int{5} })
		r.lead(0, 1, 2, 3)
		r.wait(30 * time.Second)
		st := r.settled(append(append(slices.Clone(a), b[:20]...), c...))
		require.Subset(t, st.Instances[0].IDs.Strings(), a, "what is in one list does not move")
		require.Subset(t, st.Instances[1].IDs.Strings(), b[:20])
		require.Equal(t, was[0], st.Instances[0].Times, "count is corrected without a reload")
		require.Equal(t, 5000, st.Instances[0].Capacity)
		require.Equal(t, was[1]+1, st.Instances[1].Times, "it lost a duplicate")
		require.NotContains(t, st.Instances, 5)
		require.Equal(t, []protocol.Duplicate{{ID: "a-00003", Stayed: "0", Removed: "1"}}, r.e.Progress().Duplicates)
		require.Equal(t, map[int]int{0: 30, 1: 20, 2: 5, 3: 5}, counts(st), "only the orphans of 5 were placed")
		r.wait(6 * time.Minute)
		require.Equal(t, map[int]int{0: 15, 1: 15, 2: 15, 3: 15}, counts(r.settled(everything(st))), "later it is evened")
	})
}

func TestAnUnreadableListStopsTheKindAndNotWhatIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1)
		r.create(names("a", 10)...)
		r.wait(3 * time.Second)
		steps := len(r.d.did())
		r.d.edit(func(st *protocol.State) {
			in := *st.Instances[1]
			in.Fault, in.ListVersion = "resources of instance 1: missing", -1
			st.Instances[1] = &in
		})
		r.wait(3 * time.Second)
		require.Contains(t, r.e.Progress().Alarm, "missing")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		require.ErrorIs(t, r.e.Create(ctx, known([]string{"b"})), context.DeadlineExceeded)
		require.NoError(t, r.e.Keep(t.Context(), "scaler", orders.Replace([]byte("{}"))))
		require.Equal(t, []string{"keep"}, r.d.did()[steps:])
		r.d.edit(func(st *protocol.State) {
			in := *st.Instances[1]
			in.Fault, in.ListVersion = "", r.d.versions["/iota/orchestration/Thing/1/resources"]
			st.Instances[1] = &in
		})
		r.wait(5 * time.Second)
		require.Empty(t, r.e.Progress().Alarm)
		r.settled(append(names("a", 10), "b"))
	})
}

func TestZooKeeperAwayAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1)
		ids := names("a", 100)
		r.create(ids...)
		r.wait(3 * time.Second)
		r.d.fail(func(d *double) { d.away = true })
		r.wait(3 * time.Second)
		read := r.e.State().ReadAt
		was, at := times(r.d.snapshot()), time.Now()
		r.mu.Lock()
		r.signals = nil
		r.mu.Unlock()
		created := make(chan error, 1)
		go func() { created <- r.e.Create(t.Context(), known([]string{"b"})) }()
		r.wait(20 * time.Second)
		require.Equal(t, read, r.e.State().ReadAt, "its age must show")
		require.Empty(t, created, "not acknowledged")
		r.mu.Lock()
		for _, s := range r.signals {
			require.IsType(t, observed.Failed{}, s)
		}
		require.GreaterOrEqual(t, len(r.signals), 15)
		r.mu.Unlock()
		r.d.fail(func(d *double) { d.away = false })
		require.NoError(t, <-created)
		r.wait(5 * time.Second)
		st := r.settled(append(ids, "b"))
		require.Equal(t, was[0]+was[1]+1, st.Instances[0].Times+st.Instances[1].Times)
		require.True(t, r.e.State().ReadAt.After(at.Add(20*time.Second)))
	})
}

func TestALostReplyIsNeverTakenForAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1, 2)
		ids := names("a", 300)
		for i, chunk := range slices.Collect(slices.Chunk(ids, 20)) {
			r.d.fail(func(d *double) {
				if i%2 == 0 {
					d.after = 1
				} else {
					d.before = 1
				}
			})
			r.create(chunk...)
			r.d.fail(func(d *double) { d.after = i % 3 })
			r.wait(1500 * time.Millisecond)
			if i == 10 {
				r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1}, []int{0, 1} })
			}
		}
		r.wait(20 * time.Second)
		require.Zero(t, counts(r.settled(ids))[2])
	})
}

func TestTheOlderLeaderStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		first := newRig(t, d).lead(0)
		first.create("a")
		second := newRig(t, d).lead(0)
		second.create("b")
		first.wait(5 * time.Second)
		require.ErrorIs(t, first.led, protocol.ErrFenced)
		require.ErrorIs(t, first.e.Create(t.Context(), known([]string{"c"})), orders.ErrNotLeading)
		second.settled([]string{"a", "b"})
		require.Equal(t, everything(d.snapshot()), everything(first.e.State()), "it goes on following")
	})
}

// line is one engine's connection to the double.
type line struct {
	*double
	cut atomic.Bool
}

func (l *line) Read(ctx context.Context, kind string, s *protocol.State) (*protocol.State, bool, error) {
	if l.cut.Load() {
		return nil, false, protocol.ErrUnavailable
	}
	return l.double.Read(ctx, kind, s)
}

func (l *line) ReadOnce(ctx context.Context, s *protocol.State) (*protocol.State, bool, error) {
	return l.Read(ctx, s.Kind, s)
}

func TestALeaderThatWasCutOffDoesNotTakeTheHeadBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		connection := &line{double: d}
		first := newRigOver(t, d, connection).lead(0)
		first.create("a")
		connection.cut.Store(true)
		first.wait(5 * time.Second)
		second := newRig(t, d).lead(0)
		second.create("b")
		connection.cut.Store(false)
		first.wait(5 * time.Second)
		require.ErrorIs(t, first.led, protocol.ErrFenced)
		second.create("c")
		second.wait(3 * time.Second)
		second.settled([]string{"a", "b", "c"})
	})
}

// unaware is a connection over which looks show nothing new: a leader that is deposed does not see
// it.
type unaware struct {
	*double
	blind atomic.Bool
}

func (u *unaware) Read(ctx context.Context, kind string, s *protocol.State) (*protocol.State, bool, error) {
	if u.blind.Load() {
		return s.Clone(), false, nil
	}
	return u.double.Read(ctx, kind, s)
}

func TestADeposedLeaderAnswersForNothing(t *testing.T) {
	for name, ask := range map[string]func(e *Engine, ctx context.Context) error{
		"a create of what its successor has deleted": func(e *Engine, ctx context.Context) error { return e.Create(ctx, known([]string{"a"})) },
		"a delete of what its successor has created": func(e *Engine, ctx context.Context) error { return e.Delete(ctx, []string{"b"}) },
		"a claim of what its successor has created":  func(e *Engine, ctx context.Context) error { return e.Claim(ctx, []string{"b"}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDouble()
				connection := &unaware{double: d}
				first := newRigOver(t, d, connection).lead(0)
				first.create("a")
				first.wait(3 * time.Second)
				require.NoError(t, first.e.Create(t.Context(), known([]string{"a"})), "while it leads it may say so")
				require.NoError(t, first.e.Delete(t.Context(), []string{"b"}))
				connection.blind.Store(true)
				second := newRig(t, d).lead(0)
				require.NoError(t, second.e.Delete(t.Context(), []string{"a"}))
				second.create("b")
				require.ErrorIs(t, ask(first.e, t.Context()), orders.ErrNotLeading)
				second.wait(3 * time.Second)
				second.settled([]string{"b"})
			})
		})
	}
}

func TestWhatIsSoAlreadyIsAnsweredByOneReadForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		ids := names("a", 1000)
		r.create(ids...)
		r.wait(3 * time.Second)
		steps, reads := len(r.d.did()), r.d.reads
		var calls sync.WaitGroup
		for _, id := range ids {
			calls.Go(func() { r.create(id) })
			calls.Go(func() { require.NoError(t, r.e.Delete(t.Context(), []string{"no-" + id})) })
		}
		calls.Wait()
		require.Len(t, r.d.did(), steps, "nothing is written")
		require.Positive(t, r.d.reads-reads)
		require.Less(t, r.d.reads-reads, 40)
	})
}

func TestForeignEditsAreReadAgainAndTooManyStopTheKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1)
		r.create(names("a", 10)...)
		r.wait(3 * time.Second)
		edit := func(id string) {
			r.d.edit(func(st *protocol.State) {
				in := *st.Instances[0]
				in.IDs = protocol.NewIDs(append(slices.Clone(in.IDs.Strings()), id))
				in.Used++
				in.ListVersion++
				r.d.versions["/iota/orchestration/Thing/0/resources"]++
				st.Instances[0] = &in
			})
		}
		edit("x-0")
		r.create("b")
		r.wait(3 * time.Second)
		r.settled(append(names("a", 10), "b", "x-0"))
		for i := range 3 {
			edit(fmt.Sprint("y-", i))
			r.wait(time.Second)
		}
		require.Contains(t, r.e.Progress().Alarm, "4 edits by another client")
		steps := len(r.d.did())
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0}, []int{0} })
		r.wait(5 * time.Minute)
		require.Len(t, r.d.did(), steps)
		r.wait(6 * time.Minute)
		require.Empty(t, r.e.Progress().Alarm, "ten minutes later it is forgiven")
		require.Zero(t, counts(r.d.snapshot())[1])
	})
}

func TestAFollowerSeesAndAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		leader, follower := newRig(t, d).lead(0, 1), newRig(t, d)
		leader.create(names("a", 10)...)
		require.NoError(t, leader.e.Keep(t.Context(), "scaler", orders.Replace([]byte(`{"size":2}`))))
		leader.wait(4 * time.Second)
		_, ok := follower.e.Lookup("a-00001")
		require.True(t, ok)
		require.NoError(t, leader.e.Delete(t.Context(), []string{"a-00001"}))
		leader.wait(4 * time.Second)
		_, ok = follower.e.Lookup("a-00001")
		require.False(t, ok)
		kept, _ := follower.e.Kept("scaler")
		require.JSONEq(t, `{"size":2}`, string(kept))
		follower.mu.Lock()
		defer follower.mu.Unlock()
		var last observed.Assignment
		for _, s := range follower.signals {
			if a, ok := s.(observed.Assignment); ok {
				last = a
			}
		}
		require.Equal(t, 9, last.Assigned)
		require.Equal(t, []int{0, 1}, slices.Sorted(maps.Keys(last.Lists)))
	})
}

func TestTheCatalogueCreatesAndDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1)
		ids := names("a", 100)
		read := func(ids []string) bool {
			r.e.BeginRead(time.Now())
			r.e.Rows(known(ids[:len(ids)/2]))
			next, err := r.e.EndRead(t.Context(), known(ids[len(ids)/2:]))
			require.NoError(t, err)
			return !next.IsZero()
		}
		require.False(t, read(ids))
		r.wait(3 * time.Second)
		r.settled(ids)

		require.True(t, read(ids[:95]), "something is missing: read again")
		r.wait(3 * time.Second)
		r.settled(ids)
		require.False(t, read(ids[:95]))
		r.wait(3 * time.Second)
		r.settled(ids[:95])

		require.True(t, read(ids[:50]))
		read(ids[:50])
		read(ids[:50])
		r.wait(3 * time.Second)
		r.settled(ids[:95])
		require.Equal(t, 45, r.e.Waiting().Count)
		require.ErrorContains(t, r.e.Confirm(t.Context(), 0, 44), "45 wait")
		require.NoError(t, r.e.Confirm(t.Context(), 0, 45))
		require.Nil(t, r.e.Waiting())
		r.wait(3 * time.Second)
		r.settled(ids[:50])
	})
}

func TestWhatWaitsForAPersonIsCountedAnewWhenItGoesByAnotherWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		ids := names("a", 100)
		r.create(ids...)
		r.wait(3 * time.Second)
		for range 2 {
			r.e.BeginRead(time.Now())
			_, err := r.e.EndRead(t.Context(), known(ids[:50]))
			require.NoError(t, err)
		}
		require.Equal(t, 50, r.e.Waiting().Count)
		require.NoError(t, r.e.Delete(t.Context(), ids[50:60]))
		require.Equal(t, 40, r.e.Waiting().Count, "a message deleted them")
		r.d.edit(func(st *protocol.State) { // another client takes ten more out of the list by hand
			in := *st.Instances[0]
			in.IDs = protocol.NewIDs(slices.DeleteFunc(slices.Clone(in.IDs.Strings()), func(id string) bool { return slices.Contains(ids[60:70], id) }))
			in.ListVersion++
			r.d.versions["/iota/orchestration/Thing/0/resources"]++
			st.Instances[0] = &in
		})
		r.wait(3 * time.Second)
		require.Equal(t, 30, r.e.Waiting().Count)
		require.ErrorContains(t, r.e.Confirm(t.Context(), 0, 40), "30 wait")
		require.NoError(t, r.e.Confirm(t.Context(), 0, 30))
		r.wait(3 * time.Second)
		r.settled(ids[:50])
	})
}

func TestWhatWaitedIsNotCarriedIntoALaterLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		first := newRig(t, d).lead(0)
		ids := names("a", 100)
		first.create(ids...)
		for range 2 {
			first.e.BeginRead(time.Now())
			_, err := first.e.EndRead(t.Context(), known(ids[:50]))
			require.NoError(t, err)
		}
		require.Equal(t, 50, first.e.Waiting().Count)
		second := newRig(t, d).lead(0)
		first.wait(3 * time.Second)
		require.Nil(t, first.e.Waiting(), "the other one hears now what is said of them")
		second.settled(ids)
	})
}
