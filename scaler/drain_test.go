package scaler

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// phases lets s look until there is no drain any more, and returns the phases it went through.
func (w *world) phases(s *Scaler) (all []outcome.Phase) {
	w.t.Helper()
	for range 60 {
		d := w.tick(s, 2*second)
		if p := d.Phase(); p != "" && (len(all) == 0 || all[len(all)-1] != p) {
			all = append(all, p)
		} else if p == "" && len(all) > 0 {
			return all
		}
	}
	w.t.Fatalf("the drain never ended: %v", all)
	return nil
}

func TestADrainGoesThroughItsPhases(t *testing.T) {
	w, s := led(t, 4, 400)
	for n := range 4 {
		w.lists[n] = 40
	}
	w.perStep = 15
	require.Equal(t, []outcome.Phase{outcome.Closing, outcome.Emptying, outcome.Ending}, w.phases(s))
	require.Equal(t, 2, w.size)
}

func TestTheDrainIsKeptOverLeaders(t *testing.T) {
	w, s := led(t, 4, 400)
	for n := range 4 {
		w.lists[n] = 30
	}
	w.perStep = 5
	var d outcome.Report
	for d.Phase() != outcome.Emptying {
		d = w.tick(s, 2*second)
	}
	began, since := d.Drain.Since, d.Drain.PhaseSince
	require.Equal(t, []int{2, 3}, d.Drain.Ordinals)
	require.Positive(t, d.Drain.Left)
	w.holder, w.epoch = "two/b", 2
	s = w.scaler(Config{})
	w.tick(s, 5*second)
	d = w.tick(s, 2*second)
	require.Equal(t, outcome.Emptying, d.Phase())
	require.Equal(t, began, d.Drain.Since)
	require.Equal(t, since, d.Drain.PhaseSince)

	data, _ := w.Kept(KeptName)
	served, err := ParseKept(data)
	require.NoError(t, err)
	require.Equal(t, d.Drain, served.Drain, "every replica can say so")
}

func TestWhatBlocksADrainIsSaidInEachPhase(t *testing.T) {
	w, s := led(t, 3, 300)
	w.cfg.Max, w.blocked, w.perStep = 1, "2 resources have no place: pinned to zone b", 0
	w.tick(s, 2*second)
	d := w.tick(s, 2*second)
	require.Equal(t, outcome.Emptying, d.Phase())
	require.Equal(t, w.blocked, d.Drain.Blocked)
	require.Equal(t, 200, d.Drain.Left)

	w.fail[observed.SourceStore] = true
	d = w.tick(s, 2*second)
	require.Equal(t, outcome.Emptying, d.Phase(), "no better is known")
	require.Contains(t, d.Drain.Blocked, "ZooKeeper")
	clear(w.fail)

	clear(w.lists)
	w.drainErr = errors.New("no answer from the ensemble")
	d = w.tick(s, 2*second)
	require.Equal(t, outcome.Verifying, d.Phase())
	require.Contains(t, d.Drain.Blocked, "no answer")

	w.drainErr, w.onDrained = nil, func() { w.rev++ }
	d = w.tick(s, 2*second)
	require.Equal(t, outcome.Lowering, d.Phase())
	require.Contains(t, d.Drain.Blocked, "changed meanwhile")

	w.onDrained, w.terminating = nil, map[int]time.Time{2: w.now.Add(10 * second)}
	w.tick(s, 2*second)
	d = w.tick(s, 2*second)
	require.Equal(t, outcome.Ending, d.Phase())
	require.Equal(t, []int{2}, d.Drain.Ordinals)
	require.Empty(t, d.Drain.Blocked)
	d = w.tick(s, 90*second)
	require.Contains(t, d.Drain.Blocked, "pod iota-dac-2 is stuck: terminating")
	clear(w.terminating)
	w.tick(s, 2*second)
	d = w.tick(s, 2*second)
	require.Nil(t, d.Drain)
}

// An undone drain leaves nothing closed, in whatever phase the load returned.
func TestLoadReturnsInEveryPhase(t *testing.T) {
	for _, at := range []outcome.Phase{outcome.Closing, outcome.Emptying, outcome.Verifying, outcome.Lowering, outcome.Ending} {
		w, s := led(t, 4, 400)
		for n := range 4 {
			w.lists[n] = 30
		}
		w.perStep = 20
		switch at {
		case outcome.Verifying:
			w.drainErr = errors.New("no answer")
		case outcome.Lowering:
			w.onDrained = func() { w.rev++ }
		}
		var d outcome.Report
		for range 60 {
			if d = w.tick(s, 2*second); d.Phase() == at {
				break
			}
		}
		require.Equal(t, at, d.Phase())
		w.onDrained, w.pool = nil, 280 // drainErr stays: nothing needs to be verified to stay
		d = w.tick(s, 2*second)
		require.NotEqual(t, decide.ScaleDown, d.Verb, at)
		require.Equal(t, []int{0, 1, 2, 3}, w.orders.Stay, at)
		w.tick(s, 2*second)
		require.True(t, w.open[2] && w.open[3], at)
		require.Equal(t, 4, w.size, at)
		d = w.tick(s, 2*second)
		require.Nil(t, d.Drain, at)
		require.Zero(t, w.pool, at)
	}
}

func TestOrdinalsMayStartAnywhere(t *testing.T) {
	w := newWorld(t, 0)
	w.start = 5
	w.setSize(4)
	w.settlePods()
	for n := 5; n < 9; n++ {
		w.open[n], w.lists[n] = true, 30
	}
	s := w.scaler(Config{})
	w.tick(s, 2*second)
	require.Equal(t, []int{5, 6, 7, 8}, w.orders.Stay)
	require.Equal(t, []outcome.Phase{outcome.Closing, outcome.Ending}, w.phases(s))
	require.Equal(t, 2, w.size)
	require.Equal(t, []int{5, 6}, w.orders.Stay)
	require.Equal(t, 120, w.lists[5]+w.lists[6])
	w.pool = 200
	w.tick(s, 2*second)
	require.Equal(t, 4, w.size)
	require.Equal(t, []int{5, 6, 7, 8}, w.orders.Stay)
}

// byHPA is a led world whose size an HPA owns.
func byHPA(t *testing.T, size, each int) (*world, *Scaler) {
	w := newWorld(t, size)
	w.cfg.Replicas.Owner = config.OwnerHPA
	for n := range size {
		w.lists[n] = each
	}
	s := w.scaler(Config{})
	for range 8 {
		w.tick(s, 2*second)
	}
	w.took()
	return w, s
}

func TestWhatAnHPATakesIsEmptiedWhileItsPodsAreHeld(t *testing.T) {
	w, s := byHPA(t, 4, 90)
	w.cfg.Capacity, w.perStep = 300, 50
	w.setSize(2) // the HPA follows another metric
	ends := w.now.Add(600 * second)
	w.terminating = map[int]time.Time{2: ends, 3: ends}
	d := w.tick(s, 2*second)
	require.Equal(t, []int{0, 1}, w.orders.Stay)
	require.Empty(t, w.orders.Gone, "their processes run: what they own is released by them")
	require.Equal(t, []int{2, 3}, d.Drain.Ordinals)
	require.True(t, d.Drain.Taken)
	require.Contains(t, w.events, "TakenWithResources")
	for d.Phase() != outcome.Ending {
		d = w.tick(s, 2*second)
		require.Contains(t, []outcome.Phase{outcome.Closing, outcome.Emptying, outcome.Ending}, d.Phase())
	}
	require.Zero(t, d.Drain.Left)
	clear(w.terminating) // the hook has returned
	w.tick(s, 2*second)
	d = w.tick(s, 2*second)
	require.Nil(t, d.Drain)
	require.NotContains(t, w.events, "EndedWithResources")
	require.Empty(t, w.took(), "replicas are the HPA's")
}

func TestAnInstanceThatEndsWithResourcesIsReported(t *testing.T) {
	w, s := byHPA(t, 3, 90)
	w.perStep = 0
	w.setSize(2)
	w.terminating = map[int]time.Time{2: w.now.Add(60 * second)}
	for range 15 {
		w.tick(s, 2*second)
	}
	require.NotContains(t, w.events, "EndedWithResources")
	w.tick(s, 20*second)
	require.Equal(t, 1, count(w.events, "EndedWithResources"), "its grace is nearly over")
	delete(w.terminating, 2)
	w.settlePods()
	w.tick(s, 2*second)
	require.Equal(t, 2, count(w.events, "EndedWithResources"), "and now it is gone")
}

func TestAPodThatEndsWithinTheSizeMovesNothing(t *testing.T) {
	w, s := byHPA(t, 3, 90)
	w.ready[1], w.terminating = false, map[int]time.Time{1: w.now.Add(600 * second)}
	for range 20 {
		d := w.tick(s, 2*second)
		require.Equal(t, []int{0, 1, 2}, w.orders.Stay)
		require.Nil(t, d.Drain)
	}
	require.Equal(t, map[int]int{0: 90, 1: 90, 2: 90}, w.lists)
}
