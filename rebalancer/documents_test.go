package rebalancer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Of whatever a wave is full, it fits: ids that JSON could write longer, many donors, far destinations, a long reason, many moves before.
func TestEveryWaveFits(t *testing.T) {
	for name, id := range map[string]func(n, i int) string{
		"long ids":       func(n, i int) string { return fmt.Sprintf("%0256d", n*1000+i) },
		"short ids":      func(n, i int) string { return fmt.Sprintf("%x", n*1000+i) },
		"escaped ids":    func(n, i int) string { return fmt.Sprintf("%s%d-%d", strings.Repeat("<", 200), n, i) },
		"controlled ids": func(n, i int) string { return fmt.Sprintf("%s%d-%d", strings.Repeat("\x01", 200), n, i) },
	} {
		t.Run(name, func(t *testing.T) {
			r := revocations{ids: map[int][]string{}, to: map[int][]int{}}
			w := wave{Plan: "p", Reason: reasonDrain}
			for n := range 4000 {
				from := 1_000_000_000 + 2*n
				for i := range 12 {
					r.add(from, id(n, i), 1_000_000_001)
				}
			}
			w.Why = why(reasonDrain, planOf(t, ordinals(r.ids)))
			s := spreading{moved: manyMoves(time.Now(), 5000)}
			w.V, w.Window = waveSchema, s.recent(time.Now())
			w.Moves, w.Beyond = cut(r)
			data, err := w.encode()
			require.NoError(t, err)
			require.NotEmpty(t, w.Moves)
			require.LessOrEqual(t, len(data), protocol.MaxPlanBytes, "what is stored fits even if it does not shrink")
			require.Equal(t, 48_000, w.count()+w.Beyond)

			st := newDouble().st
			m, err := protocol.Lead(st, "pod/1")
			require.NoError(t, err)
			must(newDouble().commit(st, m))
			_, _, err = protocol.StorePlan(st, w.Plan, data)
			require.NoError(t, err)
			read, err := parseWave(data)
			require.NoError(t, err)
			require.Equal(t, w.count(), read.count())
		})
	}
}

// planOf is a plan of a world whose ordinals all leave, and have nowhere to go.
func planOf(t *testing.T, leave []int) *plan.Plan {
	t.Helper()
	w := &plan.World{}
	for _, n := range leave {
		w.Instances = append(w.Instances, plan.Instance{Ordinal: n, Leaving: true, Capacity: 1, List: plan.List{IDs: []string{fmt.Sprint(n)}}})
	}
	p, err := plan.Make(w, plan.Options{Regime: plan.Emergency})
	require.NoError(t, err)
	return p
}

// manyMoves are as many, each in a second of its own, by a clock that is ahead of ours.
func manyMoves(now time.Time, n int) (all []moved) {
	for i := range n {
		all = append(all, moved{At: now.Add(time.Duration(i) * time.Second).UTC(), N: 1_000_000})
	}
	return all
}

// What stays of a wave fits, also after clocks that differ: else the wave could not end.
func TestTheNoteOfMovesFits(t *testing.T) {
	now := time.Now()
	s := spreading{moved: manyMoves(now, 5000)}
	note, err := encodeNote(s.recent(now))
	require.NoError(t, err)
	st := newDouble().st
	m, err := protocol.Lead(st, "pod/1")
	require.NoError(t, err)
	must(newDouble().commit(st, m))
	_, err = protocol.ClearPlan(st, note)
	require.NoError(t, err)
	sum := 0
	for _, m := range s.moved {
		sum += m.N
	}
	require.Equal(t, 5000*1_000_000, sum, "none is forgotten before its time")
	require.True(t, slices.IsSortedFunc(s.moved, func(a, b moved) int { return a.At.Compare(b.At) }))
}

// The account of weights fits, however many ordinals others put into the tree.
func TestTheAccountOfWeightsFits(t *testing.T) {
	a := account{V: accountVersion, At: time.Now(), ByWeight: true, Total: 1.7976931348623157e+308, Lists: map[int]float64{}}
	for n := range 50_000 {
		a.Lists[1_000_000_000+n] = 1.2345678901234567e+300
	}
	data, err := a.encode()
	require.NoError(t, err)
	require.LessOrEqual(t, len(data), protocol.MaxDocBytes)
	require.Len(t, a.Lists, 50_000)
	st := protocol.NewState("Thing")
	st.Kept[accountName] = &protocol.Doc{Data: data}
	read, ok := accountOf(st)
	require.True(t, ok)
	require.NotEmpty(t, read.Lists)
	require.Equal(t, 50_000-len(read.Lists), read.LeftOut)
}
