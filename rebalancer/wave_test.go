package rebalancer

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/wave"
)

func TestAWaveIsStoredBeforeAnythingIsRevokedAndClearedWhenAllIsGranted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1, 2)
		ids := names("a", 300)
		r.create(ids...)
		r.wait(3 * time.Second)
		owned := r.d.snapshot().Instances[2].IDs.Strings()
		steps, revokes := len(r.d.did()), 0
		r.d.fail(func(d *double) {
			d.watch = func(old, _ *protocol.State, m protocol.Multi) {
				if m.Step != "revoke" {
					return
				}
				revokes++
				require.NotNil(t, old.Plan)
				w, err := wave.Parse(old.Plan.Data)
				require.NoError(t, err)
				require.Equal(t, old.Plan.ID, w.Plan)
				require.Equal(t, "instances leaving: 2", w.Why)
				require.Len(t, w.Moves, 1)
				require.ElementsMatch(t, owned, w.Moves[0].IDs.Strings())
			}
		})
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1}, []int{0, 1} })
		r.wait(3 * time.Second)
		r.settled(ids)
		require.Equal(t, 1, revokes)
		did, times := r.d.did()[steps:], map[string]int{}
		for _, step := range did {
			times[step]++
		}
		require.Subset(t, []string{"open", "store-plan", "revoke", "grant", "clear-plan"}, did)
		require.Equal(t, []int{1, 1}, []int{times["store-plan"], times["clear-plan"]}, "%v: two writes more than the moves take", did)
		require.Less(t, slices.Index(did, "store-plan"), slices.Index(did, "revoke"), did)
		require.Equal(t, "clear-plan", did[len(did)-1], did)
		require.Nil(t, r.d.snapshot().Plan)
		require.Empty(t, r.e.Progress().PlanID)
	})
}

func TestALargePlanRunsInWaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		lists, stay, all := map[int][]string{}, []int{}, []string{}
		for n := range 11 {
			lists[n] = names(fmt.Sprint("r", n), 5000)
			all = append(all, lists[n]...)
		}
		for n := 11; n < 23; n++ {
			lists[n], stay = nil, append(stay, n)
		}
		d.adopted(lists)
		d.check = false
		var sizes []int
		d.watch = func(_, st *protocol.State, m protocol.Multi) {
			if m.Step == "store-plan" {
				w, err := wave.Parse(st.Plan.Data)
				require.NoError(t, err)
				sizes = append(sizes, wave.Begin(w).Total, w.Beyond)
				require.Less(t, len(st.Plan.Data), protocol.MaxPlanBytes)
			}
		}
		r := newRig(t, d).lead(stay...)
		r.wait(20 * time.Second)
		require.Equal(t, []int{50_000, 5_000, 5_000, 0}, sizes)
		st := r.settled(all)
		for n := range 11 {
			require.Empty(t, st.Instances[n].IDs.Strings())
		}
	})
}

// Whatever transaction was a leader's last, its successor rolls every move forward, by the wave it
// finds.
func TestASuccessorFinishesTheWave(t *testing.T) {
	for kind, resize := range map[string]func(o *orders.Orders){
		"drain":  func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1}, []int{0, 1} },
		"spread": func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1, 2, 3, 4}, []int{0, 1, 2, 3, 4} },
	} {
		for last := 1; last <= 12; last++ {
			t.Run(fmt.Sprintf("%s/%d", kind, last), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := newDouble()
					first := newRig(t, d).lead(0, 1, 2, 3)
					ids := names("a", 400)
					first.create(ids...)
					first.wait(3 * time.Second)
					count, owned := 0, map[int][]string{}
					for n, in := range d.snapshot().Instances {
						owned[n] = in.IDs.Strings()
					}
					d.fail(func(d *double) {
						d.watch = func(_, _ *protocol.State, _ protocol.Multi) {
							if count++; count == last {
								d.away = true
							}
						}
					})
					first.order(resize)
					first.wait(3 * time.Second)
					first.halt()
					d.fail(func(d *double) { d.away, d.watch = false, nil })
					stored := d.snapshot().Plan
					stay := first.orders.Stay
					second := newRig(t, d)
					var resumed string
					second.order(func(o *orders.Orders) { o.Suspended = "not yet" })
					second.lead(stay...)
					second.wait(3 * time.Second)
					if resumed = second.e.Progress().PlanID; stored != nil {
						require.Equal(t, stored.ID, resumed)
						require.Equal(t, kind, second.e.Progress().Reason)
					}
					second.order(func(o *orders.Orders) { o.Suspended = "" })
					second.wait(10 * time.Second)
					st := second.settled(ids)
					require.Nil(t, st.Plan)
					away := 0
					for n, in := range st.Instances {
						for _, id := range in.IDs.All() {
							if !slices.Contains(owned[n], id) {
								away++
							}
						}
					}
					require.Equal(t, map[string]int{"drain": 200, "spread": 80}[kind], away, "no more moves than the least")
					even := 400 / len(stay)
					for _, n := range stay {
						require.InDelta(t, even, st.Instances[n].IDs.Len(), 1, "instance %d", n)
					}
					if kind == "drain" {
						require.Zero(t, st.Instances[2].IDs.Len()+st.Instances[3].IDs.Len())
					}
				})
			})
		}
	}
}

// A resource that waits for its list to become writable has a place already: what is planned
// without it would make the lists uneven.
func TestNothingIsSpreadWhileNewResourcesWaitForTheirPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1, 2)
		r.create(names("a", 270)...)
		r.wait(3 * time.Second)
		r.create("first") // that list is not written again for a second
		r.create(names("b", 29)...)
		spread := 0
		r.d.fail(func(d *double) {
			d.watch = func(old, _ *protocol.State, m protocol.Multi) {
				if m.Step == "store-plan" {
					spread++
					require.Empty(t, old.Pool)
				}
			}
		})
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1, 2, 3}, []int{0, 1, 2, 3} })
		for i := range 100 {
			r.create(fmt.Sprint("c-", i))
			time.Sleep(50 * time.Millisecond)
		}
		r.wait(5 * time.Second)
		require.Positive(t, spread, "a trickle of creates does not keep it from spreading for ever")
		require.Equal(t, map[int]int{0: 100, 1: 100, 2: 100, 3: 100}, counts(r.d.snapshot()))
	})
}

func TestTheLimitOfMovesSurvivesANewLeader(t *testing.T) {
	for name, inFlight := range map[string]int{"after the wave": 0, "in mid-wave": 50} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDouble()
				first := newRig(t, d).lead(0, 1)
				ids := names("a", 1000)
				first.create(ids...)
				first.wait(3 * time.Second)
				first.order(func(o *orders.Orders) {
					o.Pods, o.Stay = map[int]string{0: "p0", 1: "p1", 2: "p2", 3: "p3"}, []int{0, 1, 2, 3}
				})
				first.wait(time.Second)
				first.answering(0, 1, 2, 3)
				grow := func(o *orders.Orders) {
					o.Stay, o.Ready = []int{0, 1, 2, 3}, []int{0, 1, 2, 3}
					o.Limits.MovesPerMinute = 120
					if inFlight > 0 { // none of them has applied anything yet
						o.HandOff, o.Limits.MaxInFlight = config.HandOffAcknowledged, inFlight
					}
				}
				first.order(grow)
				first.wait(10 * time.Second)
				moved := func() int {
					st := d.snapshot()
					return st.InFlight() + st.Instances[2].IDs.Len() + st.Instances[3].IDs.Len()
				}
				already := moved()
				require.Equal(t, map[int]int{0: 120, 50: 50}[inFlight], already)
				first.halt()
				second := newRig(t, d)
				second.order(func(o *orders.Orders) { grow(o); o.HandOff, o.Limits.MaxInFlight = config.HandOffImmediate, 0 })
				second.lead(0, 1, 2, 3)
				second.wait(40 * time.Second)
				require.LessOrEqual(t, moved(), 120, "within a minute, under each leader")
				second.wait(60 * time.Second)
				require.Greater(t, moved(), 120)
				second.wait(10 * time.Minute)
				require.Equal(t, map[int]int{0: 250, 1: 250, 2: 250, 3: 250}, counts(second.settled(ids)))
			})
		})
	}
}

// spreadHalf is a rig in the middle of a spread from 0 and 1 to 2: what came from 0 has arrived, 1
// has released nothing.
func spreadHalf(t *testing.T) (r *rig, ids []string, before map[int][]string) {
	r = newRig(t, newDouble()).lead(0, 1)
	ids = names("a", 300)
	r.create(ids...)
	r.wait(3 * time.Second)
	before = map[int][]string{}
	for n, in := range r.d.snapshot().Instances {
		before[n] = in.IDs.Strings()
	}
	r.order(func(o *orders.Orders) {
		o.HandOff, o.Pods = config.HandOffAcknowledged, map[int]string{0: "zero", 1: "one", 2: "two"}
		o.Stay, o.GonePods = []int{0, 1, 2}, map[string]bool{"zero": true}
	})
	r.wait(time.Second)
	r.answering(0, 1, 2)
	r.order(func(o *orders.Orders) { o.Ready = []int{0, 1, 2} })
	r.wait(3 * time.Second)
	return r, ids, before
}

func TestProgressShowsHowFarAWaveIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ids, _ := spreadHalf(t)
		p := r.e.Progress()
		require.NotEmpty(t, p.PlanID)
		require.Equal(t, "spread", p.Reason)
		require.Contains(t, p.Why, "moves that make them even: 100")
		require.Equal(t, []int{100, 50, 50, 50}, []int{p.Moves, p.Done, p.Acknowledged, p.Left})
		require.Positive(t, p.PerMinute)
		require.True(t, p.EstimatedEnd.After(time.Now()))
		r.order(func(o *orders.Orders) {
			o.GonePods = map[string]bool{"one": true}
			o.Limits.ListInterval = new(config.Duration(time.Minute))
		})
		synctest.Wait()
		p = r.e.Progress()
		require.Equal(t, []int{100, 50, 100, 50}, []int{p.Moves, p.Done, p.Acknowledged, p.Left}, "released, and the receiver's list was changed a moment ago")
		r.wait(2 * time.Minute)
		r.settled(ids)
		require.Empty(t, r.e.Progress().PlanID)
	})
}

func TestARollbackTakesEverythingOfTheWaveBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ids, before := spreadHalf(t)
		plan := r.e.Progress().PlanID
		r.order(func(o *orders.Orders) { o.Limits.Paused = true })
		done, err := r.e.Rollback(t.Context(), "override", orders.Replace(nil))
		require.NoError(t, err)
		require.Equal(t, RolledBack{PlanID: plan, Returned: 50, Undone: 50}, done)
		require.Equal(t, "undo", r.e.Progress().Reason)
		r.order(func(o *orders.Orders) { o.GonePods = map[string]bool{"one": true, "two": true} })
		r.wait(10 * time.Second)
		st := r.settled(ids)
		for n := range 2 {
			require.ElementsMatch(t, before[n], st.Instances[n].IDs.Strings(), "instance %d", n)
		}
		require.Nil(t, st.Plan)
		_, err = r.e.Rollback(t.Context(), "override", orders.Replace(nil))
		require.ErrorIs(t, err, ErrNothingToRollBack)
		r.wait(5 * time.Minute)
		require.Equal(t, times(st), times(r.d.snapshot()), "it is paused")
		r.order(func(o *orders.Orders) { o.Limits.Paused, o.HandOff = false, config.HandOffImmediate })
		r.wait(5 * time.Minute)
		require.Equal(t, map[int]int{0: 100, 1: 100, 2: 100}, counts(r.settled(ids)))
	})
}

func TestARollbackOfADrainReturnsNothingToWhatIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := emptying(t)
		done, err := r.e.Rollback(t.Context(), "override", orders.Replace(nil))
		require.NoError(t, err)
		require.Equal(t, 10, done.Kept)
		require.Zero(t, done.Returned+done.Undone)
		r.order(func(o *orders.Orders) { o.GonePods, o.Pods = map[string]bool{"old": true}, nil })
		r.wait(3 * time.Second)
		require.Zero(t, counts(r.settled(names("a", 20)))[1])
	})
}

func TestABlindEngineRollsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, _ := spreadHalf(t)
		r.order(func(o *orders.Orders) { o.Suspended = "the pods are stale" })
		steps := len(r.d.did())
		_, err := r.e.Rollback(t.Context(), "override", orders.Replace(nil))
		require.ErrorContains(t, err, "the pods are stale")
		require.Len(t, r.d.did(), steps)
	})
}

func TestAStoredWaveThatCannotBeReadIsPutAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		first := newRig(t, d).lead(0, 1)
		ids := names("a", 10)
		first.create(ids...)
		first.wait(3 * time.Second)
		first.halt()
		d.edit(func(st *protocol.State) { st.Plan = &protocol.StoredPlan{ID: "x", Data: []byte(`{"v":9}`)} })
		second := newRig(t, d).lead(0, 1)
		second.wait(3 * time.Second)
		require.Nil(t, second.settled(ids).Plan)
	})
}

// A rollback whose pause is kept has been carried out in part: its caller is not told that it was
// not.
func TestARollbackThatFailsHalfWayIsNotToldToHaveFailed(t *testing.T) {
	for name, c := range map[string]struct {
		refusal error
		then    func(r *rig)
		want    string
	}{
		"what follows the pause is refused": {fmt.Errorf("%w: a quota", protocol.ErrRefused), func(*rig) {}, "a quota"},
		"blind when it is tried again": {
			fmt.Errorf("%w: a znode", protocol.ErrConflict), func(r *rig) { r.order(func(o *orders.Orders) { o.Suspended = "the pods are stale" }) }, "the pods are stale",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _, _ := spreadHalf(t)
				r.d.fail(func(d *double) {
					d.refuse = func(m protocol.Multi) error {
						if m.Step == "redirect" {
							return c.refusal
						}
						return nil
					}
				})
				failed := make(chan error)
				go func() {
					_, err := r.e.Rollback(t.Context(), "override", orders.Replace([]byte("{}")))
					failed <- err
				}()
				r.wait(time.Second)
				c.then(r)
				err := <-failed
				require.ErrorContains(t, err, c.want)
				require.Equal(t, "{}", string(r.d.snapshot().Kept["override"].Data), "it is paused")
				require.ErrorIs(t, err, orders.ErrOutcomeUnknown)
			})
		})
	}
}
