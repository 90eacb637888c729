package wave

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/stretchr/testify/require"
)

// led is a State with a head.
func led(t *testing.T) *protocol.State {
	t.Helper()
	st := protocol.NewState("Thing")
	m, err := protocol.Lead(st, "pod/1")
	require.NoError(t, err)
	m.Apply(st, make([]protocol.Result, len(m.Ops)))
	return st
}

// Of whatever a wave is full, it fits: ids that JSON could write longer, many sources, far
// destinations, a long reason, many moves before.
func TestEveryWaveFits(t *testing.T) {
	for name, id := range map[string]func(n, i int) string{
		"long ids":       func(n, i int) string { return fmt.Sprintf("%0256d", n*1000+i) },
		"short ids":      func(n, i int) string { return fmt.Sprintf("%x", n*1000+i) },
		"UUIDs":          func(n, i int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", n, i) },
		"escaped ids":    func(n, i int) string { return fmt.Sprintf("%s%d-%d", strings.Repeat("<", 200), n, i) },
		"controlled ids": func(n, i int) string { return fmt.Sprintf("%s%d-%d", strings.Repeat("\x01", 200), n, i) },
	} {
		t.Run(name, func(t *testing.T) {
			all := Gathering{}
			w := Wave{Plan: "p", Reason: Drain}
			for n := range 4000 {
				from := 1_000_000_000 + 2*n
				for i := range 12 {
					all.Add(from, id(n, i), 1_000_000_001)
				}
			}
			moves := all.Moves()
			w.Why = why(Drain, planOf(t, moves.Sources()))
			now, window := time.Now(), manyMoves(time.Now(), 5000)
			data, err := w.Fill(moves, window.Recent(now), now)
			require.NoError(t, err)
			require.NotEmpty(t, w.Moves)
			require.LessOrEqual(t, len(data), protocol.MaxPlanBytes, "what is stored fits even if it does not shrink")
			require.Equal(t, 48_000, Begin(&w).Total+w.Beyond)

			st := led(t)
			_, _, err = protocol.StorePlan(st, w.Plan, data)
			require.NoError(t, err)
			read, err := Parse(data)
			require.NoError(t, err)
			require.Equal(t, Begin(&w).Total, Begin(read).Total)
		})
	}
}

// planOf is a plan of a world whose ordinals all leave, and have nowhere to go.
func planOf(t *testing.T, leave []int) *plan.Plan {
	t.Helper()
	w := &plan.World{}
	for _, n := range leave {
		w.Instances = append(w.Instances, plan.Instance{Ordinal: n, Leaving: true, Capacity: 1, List: plan.List{IDs: protocol.NewIDs([]string{fmt.Sprint(n)})}})
	}
	p, err := plan.Make(w, plan.Options{Regime: plan.Emergency})
	require.NoError(t, err)
	return p
}

// manyMoves are as many, each in a second of its own, by a clock that is ahead of ours.
func manyMoves(now time.Time, n int) (all Window) {
	for i := range n {
		all = append(all, Moved{At: now.Add(time.Duration(i) * time.Second).UTC(), N: 1_000_000})
	}
	return all
}

// What stays of a wave fits, also after clocks that differ: else the wave could not end.
func TestTheNoteOfMovesFits(t *testing.T) {
	now := time.Now()
	window := manyMoves(now, 5000)
	recent := window.Recent(now)
	_, err := protocol.ClearPlan(led(t), recent.Note())
	require.NoError(t, err)
	sum := 0
	for _, m := range window {
		sum += m.N
	}
	require.Equal(t, 5000*1_000_000, sum, "none is forgotten before its time")
	require.True(t, slices.IsSortedFunc(window, func(a, b Moved) int { return a.At.Compare(b.At) }))
}

func TestAWaveHoldsAtMostSoManyBytes(t *testing.T) {
	all := Gathering{}
	for n := range 80 {
		for i := range 300 {
			all.Add(n, fmt.Sprintf("%0240d-%05d", n, i), 9)
		}
	}
	moves, beyond, shared := all.Moves().cut()
	require.Equal(t, []int{9}, shared, "more goes there")
	for _, d := range moves {
		require.Equal(t, 300, d.IDs.Len(), "no source is divided")
	}
	w := Wave{V: schema, Moves: moves}
	require.Equal(t, 24_000, Begin(&w).Total+beyond)
	require.Positive(t, beyond)
	data, err := w.encode()
	require.NoError(t, err)
	require.Less(t, len(data), protocol.MaxPlanBytes)
	require.Greater(t, len(data), protocol.MaxPlanBytes*9/10)
}

func TestAWaveHasOneMeaning(t *testing.T) {
	_, err := Parse([]byte(`{"v":1,"plan":"p","moves":[{"from":1,"ids":["a"],"to":[2],"to":[3]}]}`))
	require.ErrorContains(t, err, `duplicate field "moves[0].to"`)
	w, err := Parse([]byte(`{"v":1,"plan":"p","moves":[{"from":1,"ids":["a"],"to":[2],"To":[3]}],"newer":1}`))
	require.NoError(t, err)
	require.Equal(t, []SourceMoves{{From: 1, IDs: protocol.NewIDs([]string{"a"}), To: []int{2}}}, w.Moves)
}

func FuzzParseWave(f *testing.F) {
	f.Add([]byte(`{"v":1,"plan":"p","reason":"drain","why":"x","begun":"2026-03-01T12:00:00Z","moves":[{"from":1,"ids":["a"],"to":[2]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		w, err := Parse(data)
		if err != nil {
			return
		}
		again, err := w.encode()
		require.NoError(t, err)
		same, err := Parse(again)
		require.NoError(t, err)
		require.Equal(t, Begin(w).Total, Begin(same).Total)
		require.True(t, slices.EqualFunc(w.Moves, same.Moves, func(a, b SourceMoves) bool {
			return a.From == b.From && slices.Equal(a.IDs.Strings(), b.IDs.Strings()) && slices.Equal(a.To, b.To)
		}))
	})
}
