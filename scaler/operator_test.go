package scaler

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// put is what persons have put over a kind, in short: drained ordinals.
func put(drains ...int) (o config.Operator) {
	for _, n := range drains {
		o = o.WithDrain(n, config.Said{By: "ann"})
	}
	return o
}

func TestADrainedInstanceIsEmptiedAndTheSizeGrowsByIt(t *testing.T) {
	w, s := led(t, 3, 290) // 3 of 100 are needed
	s.Put(put(1))
	for range 20 {
		w.tick(s, 2*second)
	}
	require.Equal(t, []string{"replicas 3 -> 4"}, w.took())
	require.Zero(t, w.lists[1])
	require.False(t, w.open[1])
	require.Equal(t, []int{0, 2, 3}, w.orders.Stay)
	require.NotEmpty(t, w.pods[1], "its pod stays")
	require.Equal(t, 290, w.lists[0]+w.lists[2]+w.lists[3])

	s.Put(put())
	d := w.tick(s, 2*second)
	require.Equal(t, []int{0, 1, 2, 3}, w.orders.Stay)
	require.Contains(t, w.orders.Ready, 1, "it is opened again")
	require.NotContains(t, d.Summary, "drained")
	for range 20 {
		w.tick(s, 2*second)
	}
	require.Equal(t, []string{"replicas 4 -> 3"}, w.took(), "one instance fewer is needed than with a drained one")
	require.Equal(t, 290, w.lists[0]+w.lists[1]+w.lists[2])
}

func TestTheHighestInstanceIsNotRemovedForBeingDrained(t *testing.T) {
	w, s := led(t, 3, 290)
	w.lists = map[int]int{0: 70, 1: 60, 2: 60} // 2 are needed
	s.Put(put(2))
	for range 20 {
		w.tick(s, 2*second)
	}
	require.Empty(t, w.took())
	require.Zero(t, w.lists[2])

	w.lists[0], w.lists[1] = 90, 0
	for range 20 {
		w.tick(s, 2*second)
	}
	require.Equal(t, []string{"replicas 3 -> 1"}, w.took(), "it leaves with the size like any other")
}

func TestADrainOfAPersonAndOneOfTheSizeDoNotDisturbEachOther(t *testing.T) {
	w, s := led(t, 5, 480)
	for n := range 5 {
		w.lists[n] = 38 // 190: 2 and the drained one are needed
	}
	w.perStep = 10
	s.Put(put(0))
	for range 60 {
		if d := w.tick(s, 2*second); d.Drain != nil {
			require.NotContains(t, d.Drain.Ordinals, 0, "it does not leave")
		}
	}
	require.Equal(t, []string{"replicas 5 -> 3"}, w.took())
	require.Equal(t, []int{0, 100, 90}, []int{w.lists[0], w.lists[1], w.lists[2]})
}

func TestASizeThatAPersonSetsCountsUntilItEnds(t *testing.T) {
	w, s := led(t, 3, 290)
	until := w.now.Add(time.Minute)
	over := func(size int) config.Operator {
		o, err := config.Operator{}.WithSize(&w.cfg, size, config.Said{By: "ann", Until: until})
		require.NoError(t, err)
		return o
	}
	o := over(7)
	s.Put(o.Standing(w.now))
	d := w.tick(s, 2*second)
	require.Equal(t, []string{"replicas 3 -> 7"}, w.took())
	require.Equal(t, decide.BySet, d.Reason)
	require.Contains(t, d.Summary, "a person set the size to 7 (ann) until 2026-03-01T12:01:")
	require.Equal(t, 3, d.Needed, "what the signals ask for is still said")
	for w.now.Add(2 * second).Before(until) {
		s.Put(o.Standing(w.now))
		w.tick(s, 2*second)
	}
	require.Empty(t, w.took(), "no window ends it")
	for range 20 {
		s.Put(o.Standing(w.now))
		w.tick(s, 2*second)
	}
	require.Equal(t, []string{"replicas 7 -> 3"}, w.took(), "it has ended by itself")

	until = w.now.Add(time.Hour)
	s.Put(over(2)) // there is no room for 290 on 2
	for range 5 {
		d = w.tick(s, 2*second)
	}
	require.Empty(t, w.took(), "no scale down before what leaves is empty")
	require.Equal(t, outcome.Draining, d.Act.Done)
	require.Contains(t, d.Summary, "resources too many for 2 instances of capacity 100: 90")
}

func TestASetSizeIsKeptWithinTheBoundsAndFallsOnlyWhenNothingHoldsIt(t *testing.T) {
	w, s := led(t, 3, 290)
	o := config.Operator{Size: &config.OperatorSize{Value: 50}}
	s.Put(o)
	d := w.tick(s, 2*second)
	require.Equal(t, []string{"replicas 3 -> 20"}, w.took())
	require.Equal(t, decide.ByMax, d.Reason)

	o.Size.Value = 4
	s.Put(o)
	w.fail["notify"] = true
	d = w.tick(s, 2*second)
	require.Equal(t, 20, d.Desired)
	require.Equal(t, decide.ByMissingSignal, d.Reason)
	require.Empty(t, w.took())
}

func TestAMoveEndsWhenItsResourceHasArrivedOrIsNoMore(t *testing.T) {
	w, s := led(t, 3, 290)
	var o config.Operator
	for id, move := range map[string]bool{"a": true, "b": true, "c": true, "d": false} {
		var err error
		o, err = o.WithPin(config.OperatorPin{Resource: id, Ordinal: 1, Move: move, Said: config.Said{By: "ann", At: w.now}})
		require.NoError(t, err)
	}
	w.where = map[string]int{"a": 1, "b": 0, "d": 1} // c is no more
	var err error
	w.docs[OperatorName], err = json.Marshal(o)
	require.NoError(t, err)
	s.Put(o)
	w.tick(s, 2*second)
	require.Equal(t, map[string]int{"a": 1, "b": 1, "c": 1, "d": 1}, w.orders.Own)
	kept, err := ParseOperator(w.docs[OperatorName])
	require.NoError(t, err)
	require.Equal(t, map[string]int{"b": 1, "d": 1}, kept.Pinned())
}

func TestWhateverIsDrainedTheOthersTakeAllAndTheSizeIsTheLeast(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, rapid.IntRange(1, 8).Draw(rt, "size"))
		w.place(rapid.IntRange(0, 100*w.size).Draw(rt, "resources"))
		s := w.scaler(Config{})
		for range 8 {
			w.tick(s, 2*second)
		}
		drains := rapid.SliceOfNDistinct(rapid.IntRange(0, w.size-1), 0, min(5, w.size-1), rapid.ID).Draw(rt, "drains")
		slices.Sort(drains)
		s.Put(put(drains...))
		for range 60 {
			w.tick(s, 2*second)
		}
		total, work := 0, 0
		for _, n := range slices.Sorted(maps.Keys(w.lists)) {
			total += w.lists[n]
		}
		for _, n := range drains {
			require.Zero(rt, w.lists[n], "instance %d is drained", n)
		}
		for n := range w.size {
			if !slices.Contains(drains, n) {
				work++
			}
		}
		needed := max(w.cfg.Init, (total+99)/100)
		require.GreaterOrEqual(rt, work*100, total)
		require.True(rt, work == (total+99)/100 || w.size == needed, "size %d, drained %v, %d resources", w.size, drains, total)
	})
}
