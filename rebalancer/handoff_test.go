package rebalancer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// status sets what an instance says of itself; nil: its status is gone.
func (r *rig) status(n int, s *protocol.Status) {
	r.d.edit(func(st *protocol.State) {
		in := *st.Instances[n]
		in.Status, in.Live = s, s != nil
		st.Instances[n] = &in
	})
}

// answering gives ordinals the status of an instance that acknowledges, of its present pod, and has
// applied nothing yet.
func (r *rig) answering(ns ...int) {
	for _, n := range ns {
		r.mu.Lock()
		pod := r.orders.Pods[n]
		r.mu.Unlock()
		r.status(n, &protocol.Status{Pod: pod})
	}
	r.wait(3 * time.Second) // the leader has seen that
}

// emptying is a rig of two instances that acknowledge, with ten resources each, whose instance 1 is
// being emptied and has applied nothing. The revoke recorded its pod, "old".
func emptying(t *testing.T) *rig { return emptyingPods(t, map[int]string{0: "zero", 1: "old"}) }

// emptyingPods is the same where the leader knows of these pods. From an instance whose pod it does
// not know it takes nothing while a release must be proven: there the hand-off is an immediate one
// when it is taken.
func emptyingPods(t *testing.T, pods map[int]string) *rig {
	r := newRig(t, newDouble()).lead(0, 1)
	r.order(func(o *orders.Orders) { o.HandOff, o.Pods = config.HandOffAcknowledged, pods })
	r.create(names("a", 20)...)
	r.wait(3 * time.Second)
	r.answering(0, 1)
	r.order(func(o *orders.Orders) {
		o.Stay, o.Ready = []int{0}, []int{0}
		if pods[1] == "" {
			o.HandOff, o.Settle = config.HandOffImmediate, time.Hour
		}
	})
	r.wait(2 * time.Second)
	r.order(func(o *orders.Orders) { o.HandOff = config.HandOffAcknowledged })
	if pods[1] == "" {
		r.status(1, nil)
	}
	require.Equal(t, 10, r.d.snapshot().InFlight())
	return r
}

func TestASuccessorMayHaveReadTheOldListAndMustAcknowledgeToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := emptying(t)
		r.order(func(o *orders.Orders) {
			o.GonePods, o.Pods = map[string]bool{"old": true}, map[int]string{0: "zero", 1: "next"}
		})
		r.wait(time.Minute)
		require.Equal(t, 10, r.d.snapshot().InFlight(), "that the recorded pod is gone is not enough")
		require.Contains(t, r.e.Progress().Blocked, "its successor next has not said yet")
		revoked := r.d.snapshot().Instances[1].Times
		r.status(1, &protocol.Status{Times: revoked - 1, Pod: "next"})
		r.wait(time.Minute)
		require.Equal(t, 10, r.d.snapshot().InFlight(), "it runs what was taken")
		r.status(1, &protocol.Status{Times: revoked, Pod: "next"})
		r.wait(3 * time.Second)
		r.settled(names("a", 20))
	})
}

func TestAListOfThePodsFromBeforeTheRevokeReleasesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		pods   map[int]string
		change func(o *orders.Orders)
	}{
		"the pod is gone": {
			map[int]string{0: "zero", 1: "old"},
			func(o *orders.Orders) { o.GonePods, o.Pods = map[string]bool{"old": true}, map[int]string{0: "zero"} },
		},
		"no pod was known, and the ordinal has none": {map[int]string{0: "zero"}, func(o *orders.Orders) { o.Gone = []int{1} }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				before := time.Now()
				r := emptyingPods(t, c.pods)
				r.order(func(o *orders.Orders) { o.PodsAt = before; c.change(o) })
				r.wait(time.Minute)
				require.Equal(t, 10, r.d.snapshot().InFlight(), "a pod that has come since may run what was taken")
				r.order(func(o *orders.Orders) { o.PodsAt = time.Now() })
				r.wait(3 * time.Second)
				r.settled(names("a", 20))
			})
		})
	}
}

// An ordinal without a pod of its StatefulSet may have one that was orphaned: only the uid of the
// pod that was recorded proves anything.
func TestThatAnOrdinalHasNoPodIsNoProofThatThePodIsGone(t *testing.T) {
	for _, handOff := range []config.HandOff{config.HandOffAcknowledged, config.HandOffImmediate} {
		t.Run(string(handOff), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := emptying(t)
				r.order(func(o *orders.Orders) {
					o.HandOff, o.Settle = handOff, time.Hour
					o.Gone, o.Pods = []int{1}, map[int]string{0: "zero"}
				})
				r.wait(time.Minute)
				require.Equal(t, 10, r.d.snapshot().InFlight())
				r.order(func(o *orders.Orders) { o.GonePods = map[string]bool{"old": true} })
				r.wait(3 * time.Second)
				r.settled(names("a", 20))
			})
		})
	}
}

// Where no pod was recorded, a process of which nothing is known but its session may have been the
// one.
func TestALiveStatusSpeaksAgainstAnOrdinalWithoutAPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := emptyingPods(t, map[int]string{0: "zero"})
		r.status(1, &protocol.Status{})
		r.wait(3 * time.Second)
		r.order(func(o *orders.Orders) { o.Gone = []int{1} })
		r.wait(time.Minute)
		require.Equal(t, 10, r.d.snapshot().InFlight())
		r.status(1, nil)
		r.wait(3 * time.Second)
		r.settled(names("a", 20))
	})
}

func TestWhyThePodsAreNotKnownIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := emptying(t)
		r.order(func(o *orders.Orders) { o.PodsUnknown = "the pods could not be listed: forbidden" })
		r.wait(time.Minute)
		require.Contains(t, r.e.Progress().Blocked, "; the pods could not be listed: forbidden")
	})
}

// One look that takes long, as when a server was frozen, must not blind the leader for ten times as
// long.
func TestASlowLookDoesNotPutTheNextOneOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := emptying(t)
		r.d.fail(func(d *double) { d.slow = 5 * time.Second })
		r.status(0, &protocol.Status{Pod: "zero"})
		r.wait(5500 * time.Millisecond)
		r.d.fail(func(d *double) { d.slow = 0 })
		r.status(0, &protocol.Status{Times: 1, Pod: "zero"})
		r.wait(3 * time.Second)
		r.status(1, &protocol.Status{Times: r.d.snapshot().Instances[1].Times, Pod: "old"})
		r.wait(3 * time.Second)
		r.settled(names("a", 20))
	})
}

// What is revoked when no pod is recorded waits for the one that comes: it may have read the list
// before.
func TestWithoutARecordedPodThePresentOneIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1)
		r.create(names("a", 20)...)
		r.wait(3 * time.Second)
		r.order(func(o *orders.Orders) { o.Stay, o.Ready, o.Settle = []int{0}, []int{0}, time.Hour })
		r.wait(3 * time.Second)
		// from now on nothing would be taken
		r.order(func(o *orders.Orders) { o.HandOff = config.HandOffAcknowledged })
		r.wait(time.Minute)
		require.Equal(t, 10, r.d.snapshot().InFlight())
		r.order(func(o *orders.Orders) { o.Pods = map[int]string{1: "next"} })
		r.wait(time.Minute)
		require.Equal(t, 10, r.d.snapshot().InFlight())
		r.status(1, &protocol.Status{Times: r.d.snapshot().Instances[1].Times, Pod: "next"})
		r.wait(3 * time.Second)
		r.settled(names("a", 20))
	})
}

func TestAnAbsenceCountsFromTheRevoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1)
		r.order(func(o *orders.Orders) {
			o.HandOff, o.Pods = config.HandOffAcknowledged, map[int]string{0: "zero", 1: "old"}
		})
		r.create(names("a", 20)...)
		r.wait(3 * time.Second)
		r.status(1, &protocol.Status{Times: r.d.snapshot().Instances[1].Times, Pod: "old", Fences: true, SessionMs: 20_000})
		r.wait(3 * time.Second)
		r.status(1, nil)
		r.wait(time.Minute) // longer than its session, and before anything is taken
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0}, []int{0} })
		r.wait(20 * time.Second)
		require.Equal(t, 10, r.d.snapshot().InFlight(), "it may have come, read the list and lost its session in between")
		r.wait(6 * time.Second)
		r.settled(names("a", 20))
	})
}
