package rebalancer

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/pins"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// muteness is what an instance that does not acknowledge has at tmp/status, by what is said of it.
var muteness = map[string]protocol.Instance{
	"its status is absent":                                                   {},
	"its status is present and empty":                                        {StatusFault: "is present and empty", Live: true},
	"its status is present and unreadable":                                   {StatusFault: "is present and unreadable", Live: true},
	"its status is present and carries no times":                             {StatusFault: "is present and carries no times", Live: true},
	"its status is persistent":                                               {StatusFault: "is persistent"},
	`its status is of pod "former", and it is pod p`:                         {Status: &protocol.Status{Pod: "former", Times: 99}, Live: true},
	`its status is of pod "", and it is pod p`:                               {Status: &protocol.Status{Times: 99}, Live: true},
	"its status is of pod \"former\", and Kubernetes does not know this pod": {Status: &protocol.Status{Pod: "former", Times: 99}, Live: true},
}

// mute gives ordinals that in place of an acknowledging status.
func (r *rig) mute(what protocol.Instance, ns ...int) {
	r.d.edit(func(st *protocol.State) {
		for _, n := range ns {
			in := *st.Instances[n]
			in.Status, in.StatusFault, in.Live = what.Status, what.StatusFault, what.Live
			st.Instances[n] = &in
		}
	})
	r.wait(3 * time.Second)
}

// acknowledging is a rig with that many instances of 100 resources each, which have acknowledged
// everything.
func acknowledging(t *testing.T, size int) (*rig, []string) {
	stay := make([]int, size)
	for n := range stay {
		stay[n] = n
	}
	r := newRig(t, newDouble()).lead(stay...)
	ids := names("a", 100*size)
	r.create(ids...)
	r.wait(3 * time.Second)
	r.order(func(o *orders.Orders) {
		o.HandOff, o.Pods = config.HandOffAcknowledged, map[int]string{}
		for n := range 10 {
			o.Pods[n] = fmt.Sprintf("p%d", n)
		}
	})
	r.answering(stay...)
	return r, ids
}

// apply lets ordinals acknowledge all there is.
func (r *rig) apply(ns ...int) {
	for _, n := range ns {
		r.mu.Lock()
		pod := r.orders.Pods[n]
		r.mu.Unlock()
		r.status(n, &protocol.Status{Pod: pod, Times: r.d.snapshot().Instances[n].Times})
	}
	r.wait(3 * time.Second)
}

// untaken requires that nothing was taken from those ordinals since st.
func (r *rig) untaken(st *protocol.State, ns ...int) {
	r.t.Helper()
	now := r.d.snapshot()
	for _, n := range ns {
		require.Subset(r.t, now.Instances[n].IDs.Strings(), st.Instances[n].IDs.Strings(), "instance %d", n)
	}
	for _, f := range now.Flight {
		require.NotContains(r.t, ns, f.From)
	}
}

// Nothing voluntary is taken where no proof of release is to be expected, whatever asks for it.
func TestNothingVoluntaryIsTakenFromInstancesThatDoNotAcknowledge(t *testing.T) {
	for said, what := range muteness {
		for name, want := range map[string]func(o *orders.Orders){
			"growth": func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1, 2, 3, 4}, []int{0, 1, 2, 3, 4} },
			"a hot instance": func(o *orders.Orders) {
				o.Stay, o.Ready, o.Overloaded = []int{0, 1, 2, 3, 4}, []int{0, 1, 2, 3, 4}, []int{0}
			},
			"a lowered capacity": func(o *orders.Orders) {
				o.Stay, o.Ready, o.Capacity = []int{0, 1, 2, 3, 4}, []int{0, 1, 2, 3, 4}, 80
			},
			"a pin": func(o *orders.Orders) { o.Pins = []pins.Rule{{Name: "two", IDs: names("a", 300), Ordinals: []int{2}}} },
		} {
			t.Run(said+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r, ids := acknowledging(t, 3)
					r.order(func(o *orders.Orders) { withPods(o, said) })
					r.mute(what, 0, 1, 2)
					before, revokes := r.d.snapshot(), occurrences(r.d.did(), "revoke")
					r.order(want)
					r.wait(5 * time.Minute)
					require.Equal(t, revokes, occurrences(r.d.did(), "revoke"))
					r.untaken(before, 0, 1, 2)
					require.Empty(t, r.d.snapshot().Flight)

					r.order(func(o *orders.Orders) { o.HandOff, o.Capacity = config.HandOffImmediate, 5000 })
					r.wait(5 * time.Minute)
					require.Greater(t, occurrences(r.d.did(), "revoke"), revokes, "nothing was asked for: this shows nothing")
					require.ElementsMatch(t, ids, everything(r.d.snapshot()))
				})
			})
		}
	}
}

// withPods makes the pods be those of which the text speaks.
func withPods(o *orders.Orders, said string) {
	o.Pods = maps.Clone(o.Pods)
	for n := range o.Pods {
		o.Pods[n] = "p"
		if said == "its status is of pod \"former\", and Kubernetes does not know this pod" {
			delete(o.Pods, n)
		}
	}
}

// One of four keeps what it has; the others give the fifth its share of theirs, and it receives
// like any other.
func TestOneOfFourThatDoesNotAcknowledgeKeepsWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ids := acknowledging(t, 4)
		r.mute(muteness["its status is present and empty"], 1)
		before := r.d.snapshot()
		r.order(func(o *orders.Orders) { o.Stay = []int{0, 1, 2, 3, 4} })
		r.wait(3 * time.Second)
		r.answering(4)
		r.order(func(o *orders.Orders) { o.Ready = []int{0, 1, 2, 3, 4} })
		r.wait(3 * time.Second)
		r.apply(0, 2, 3, 4)
		r.wait(time.Minute)
		require.Equal(t, map[int]int{0: 75, 1: 100, 2: 75, 3: 75, 4: 75}, counts(r.settled(ids)))
		r.untaken(before, 1)

		more := names("b", 100)
		r.create(more...)
		r.wait(3 * time.Second)
		require.Equal(t, map[int]int{0: 100, 1: 100, 2: 100, 3: 100, 4: 100}, counts(r.settled(append(ids, more...))))

		// What is taken from others may go there: it will run.
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1, 2, 3}, []int{0, 1, 2, 3} })
		r.wait(3 * time.Second)
		r.apply(4)
		require.Equal(t, map[int]int{0: 125, 1: 125, 2: 125, 3: 125, 4: 0}, counts(r.settled(append(ids, more...))))
	})
}

// A drain takes what will be released, and the rest goes on where it is until there is a way out.
func TestADrainTakesOnlyWhatWillBeReleased(t *testing.T) {
	for name, out := range map[string]func(r *rig){
		"immediate": func(r *rig) { r.order(func(o *orders.Orders) { o.HandOff = config.HandOffImmediate }) },
		"a version that acknowledges": func(r *rig) {
			r.order(func(o *orders.Orders) { o.Pods[3] = "upgraded" })
			r.answering(3)
			r.apply(3)
		},
		"its pod is gone for good": func(r *rig) {
			r.mute(protocol.Instance{}, 3)
			r.order(func(o *orders.Orders) { delete(o.Pods, 3); o.Gone = []int{3} })
		},
		"its pod has ended": func(r *rig) { r.order(func(o *orders.Orders) { o.GonePods = map[string]bool{"p3": true} }) },
		"a person's word":   func(r *rig) { r.order(func(o *orders.Orders) { o.AssumedDead = map[string]bool{"p3": true} }) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, ids := acknowledging(t, 4)
				r.mute(muteness["its status is present and empty"], 3)
				before := r.d.snapshot()
				r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1}, []int{0, 1} })
				r.wait(3 * time.Second)
				r.apply(2)
				r.wait(5 * time.Minute)
				require.Equal(t, map[int]int{0: 150, 1: 150, 2: 0, 3: 100}, counts(r.settled(ids)))
				r.untaken(before, 3)
				p := r.e.Progress()
				require.Equal(t, map[int]int{3: 100}, p.Draining, "so the size does not fall")
				for _, text := range []string{
					"instance 3 is leaving (resources left: 100): its status is present and empty", "handOff: immediate",
					"a version of the instance that acknowledges", "the end of its pod", "shardscaler reassign Thing 3 --assume-dead",
				} {
					require.Contains(t, p.Blocked, text)
				}
				left, err := r.e.Drained(t.Context(), []int{2, 3})
				require.NoError(t, err)
				require.Equal(t, map[int]int{2: 0, 3: 100}, left)

				// What stays behind holds up no other instance.
				r.order(func(o *orders.Orders) { o.Overloaded = []int{0} })
				require.NoError(t, r.e.Delete(t.Context(), r.d.snapshot().Instances[1].IDs.Strings()[:10]))
				r.apply(1)
				r.wait(3 * time.Second)
				r.apply(0)
				require.Equal(t, map[int]int{0: 145, 1: 145, 2: 0, 3: 100}, counts(r.d.snapshot()))

				out(r)
				r.wait(5 * time.Second)
				require.Zero(t, counts(r.d.snapshot())[3])
				require.Empty(t, r.d.snapshot().Flight)
				require.Empty(t, r.e.Progress().Blocked)
			})
		})
	}
}

// Of several that stay behind some are named.
func TestManyInstancesThatStayBehindAreSaidInOneSentence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := acknowledging(t, 7)
		r.mute(muteness["its status is persistent"], 1, 2, 3, 4, 5, 6)
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0}, []int{0} })
		r.wait(10 * time.Second)
		require.Contains(t, r.e.Progress().Blocked, "instance 3 is leaving")
		require.NotContains(t, r.e.Progress().Blocked, "instance 4 is leaving")
		require.Contains(t, r.e.Progress().Blocked, "and more that keep what they have: 3")
	})
}

// A pin that forbids what an instance keeps is said, and moves nothing.
func TestAPinThatForbidsWhatAnInstanceKeepsIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ids := acknowledging(t, 3)
		r.mute(muteness["its status is absent"], 0, 1, 2)
		before := times(r.d.snapshot())
		r.order(func(o *orders.Orders) { o.Pins = []pins.Rule{{Name: "two", IDs: ids[:90], Ordinals: []int{2}}} })
		r.wait(2 * time.Minute)
		require.Equal(t, before, times(r.d.snapshot()))
		require.Contains(t, r.e.Progress().Blocked, "keeps what pins forbid there (resources: 90): its status is absent")
		require.Contains(t, r.e.Progress().Blocked, "handOff: immediate")
		r.answering(0)
		r.wait(3 * time.Second)
		require.Positive(t, r.d.snapshot().InFlight(), "it acknowledges now")
	})
}

// An instance that loses its session for a moment is not one that never acknowledges: it is waited
// for, and no help is asked for.
func TestALostSessionIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ids := acknowledging(t, 3)
		r.mute(protocol.Instance{}, 2)
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1}, []int{0, 1} })
		r.wait(10 * time.Second)
		require.Equal(t, 100, counts(r.settled(ids))[2])
		require.Contains(t, r.e.Progress().Blocked, "waiting for it to come back")
		require.NotContains(t, r.e.Progress().Blocked, "ways out")
		r.answering(2)
		r.apply(2)
		require.Zero(t, counts(r.settled(ids))[2])
		require.Empty(t, r.e.Progress().Blocked)
	})
	synctest.Test(t, func(t *testing.T) {
		r, _ := acknowledging(t, 3)
		r.mute(protocol.Instance{}, 2)
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1}, []int{0, 1} })
		r.wait(2 * time.Minute)
		require.Contains(t, r.e.Progress().Blocked, "ways out", "it is no moment any more")
	})
}

// Nothing is spread onto an instance that has lost its session, and when it is back it gets its
// share.
func TestNothingIsSpreadOntoALostSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ids := acknowledging(t, 2)
		r.order(func(o *orders.Orders) { o.Stay = []int{0, 1, 2} })
		r.wait(3 * time.Second)
		r.answering(2)
		r.mute(protocol.Instance{}, 2)
		before := times(r.d.snapshot())
		r.order(func(o *orders.Orders) { o.Ready = []int{0, 1, 2} })
		r.wait(5 * time.Minute)
		require.Equal(t, before, times(r.d.snapshot()))
		r.answering(2)
		r.apply(0, 1)
		r.wait(3 * time.Second)
		require.Equal(t, map[int]int{0: 67, 1: 67, 2: 66}, counts(r.settled(ids)))
	})
}

// What a wave has not taken yet stays where it is when its instance ceases to acknowledge, under
// whichever leader.
func TestAStoredWaveTakesNothingFromAnInstanceThatCeasedToAcknowledge(t *testing.T) {
	for name, successor := range map[string]bool{"the same leader": false, "a new leader": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := acknowledging(t, 3)
				r.order(func(o *orders.Orders) { o.Limits.MaxInFlight, o.Stay, o.Ready = 10, []int{0, 1}, []int{0, 1} })
				r.wait(3 * time.Second)
				require.Equal(t, 10, r.d.snapshot().InFlight())
				require.NotNil(t, r.d.snapshot().Plan)
				if successor {
					r.halt()
				}
				r.mute(muteness["its status is present and empty"], 2)
				before := r.orders
				if successor {
					r = newRig(t, r.d)
					r.order(func(o *orders.Orders) { *o = before })
					r.lead(0, 1)
				}
				r.order(func(o *orders.Orders) { o.Limits.MaxInFlight = 0 })
				r.wait(5 * time.Minute)
				require.Equal(t, 10, r.d.snapshot().InFlight(), "and nothing more")
				r.order(func(o *orders.Orders) { o.HandOff = config.HandOffImmediate })
				r.wait(5 * time.Second)
				require.Zero(t, counts(r.d.snapshot())[2])
			})
		})
	}
}

// A rollback does not take back what has arrived on an instance that does not acknowledge. One that
// has lost its session is waited for.
func TestARollbackTakesNothingFromAnInstanceThatDoesNotAcknowledge(t *testing.T) {
	for name, c := range map[string]struct {
		status protocol.Instance
		undone int
	}{
		"never":        {muteness["its status is present and empty"], 0},
		"lost session": {protocol.Instance{}, 50},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, ids, before := spreadHalf(t)
				arrived := slices.Clone(r.d.snapshot().Instances[2].IDs.Strings())
				require.Len(t, arrived, 50)
				r.mute(c.status, 2)
				r.order(func(o *orders.Orders) { o.Limits.Paused = true })
				done, err := r.e.Rollback(t.Context(), "override", orders.Replace(nil))
				require.NoError(t, err)
				require.Equal(t, []int{50, c.undone, 50 - c.undone}, []int{done.Returned, done.Undone, done.Kept})
				r.apply(1)
				r.wait(5 * time.Second)
				require.ElementsMatch(t, arrived, r.d.snapshot().Instances[2].IDs.Strings())
				r.answering(2)
				r.apply(2)
				r.wait(5 * time.Second)
				st := r.settled(ids)
				require.Nil(t, st.Plan)
				require.ElementsMatch(t, before[1], st.Instances[1].IDs.Strings())
				require.Len(t, st.Instances[2].IDs.Strings(), 50-c.undone)
			})
		})
	}
}

// A rolling update replaces the pods of instances that are to leave, or to give: they are taken
// from when the new pod speaks.
func TestAReplacedPodIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ids := acknowledging(t, 3)
		r.order(func(o *orders.Orders) { o.Pods[2], o.GonePods = "new", map[string]bool{"p2": true} })
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1}, []int{0, 1} })
		r.wait(10 * time.Second)
		require.Equal(t, 100, counts(r.settled(ids))[2], "the status is the former pod's")
		r.mute(protocol.Instance{}, 2)
		require.Equal(t, 100, counts(r.settled(ids))[2], "and now it is gone")
		r.answering(2)
		require.Equal(t, 100, r.d.snapshot().InFlight())
		r.apply(2)
		require.Zero(t, counts(r.settled(ids))[2])
	})
}

// What is in flight when its instance ceases to acknowledge says the ways out, and what is so.
func TestWhatIsInFlightFromAnInstanceThatCeasedToAcknowledgeSaysTheWaysOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := emptying(t)
		require.NotContains(t, r.e.Progress().Blocked, "ways out")
		r.mute(muteness["its status is present and empty"], 1)
		require.Contains(t, r.e.Progress().Blocked, "instance 1 has not released what was revoked (resources: 10): the status is present and empty, which proves nothing")
		require.Contains(t, r.e.Progress().Blocked, "ways out: handOff: immediate")
		r.order(func(o *orders.Orders) { o.HandOff = config.HandOffImmediate })
		r.wait(3 * time.Second)
		r.settled(names("a", 20))
	})
}

// Since when a status is of the same pod, or none: what it says beside that changes nothing, nor
// does what else changes.
func TestItIsToldSinceWhenAStatusIsOfWhom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		r.wait(3 * time.Second)
		since := func() time.Time {
			r.wait(3 * time.Second)
			return r.told().Lists[0].StatusSince
		}
		first := since()
		require.NotZero(t, first)
		r.create("a")
		require.Equal(t, first, since())
		r.status(0, &protocol.Status{Pod: "a"})
		spoke := since()
		require.True(t, spoke.After(first))
		r.status(0, &protocol.Status{Pod: "a", Times: 7})
		require.Equal(t, spoke, since())
		r.status(0, &protocol.Status{Pod: "b"})
		replaced := since()
		require.True(t, replaced.After(spoke))
		r.mute(muteness["its status is present and empty"], 0)
		require.True(t, since().After(replaced))
		require.Equal(t, "is present and empty", r.told().Lists[0].StatusFault)
	})
}
