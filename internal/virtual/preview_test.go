package virtual

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/scaler"
)

// TestAPreviewIsWhatTheCoreDoes: what is previewed for each thing that a person may ask for is what
// the scaler, the engine and the instances then make of it, move by move counted and list by list.
func TestAPreviewIsWhatTheCoreDoes(t *testing.T) {
	d, err := NewDay(3, 1000, 8)
	require.NoError(t, err)
	p := d.Begin()
	w, after := p.World, 10*time.Minute
	play(t, after, p)
	size := func(n int) *config.OperatorSize { return &config.OperatorSize{Value: n} }
	carryOut := func(what string, o config.Operator) {
		t.Helper()
		data, err := json.Marshal(o)
		require.NoError(t, err)
		require.NoError(t, w.leader.Keep(t.Context(), scaler.OperatorName, orders.Replace(data)))
		after += 6 * time.Minute // an hour is calm
		play(t, after, p)
		require.NoError(t, w.Settled(), what)
	}
	carryOut("six instances", config.Operator{Size: size(6)})
	id := slices.Sorted(slices.Values(w.leader.State().Instances[0].IDs.Strings()))[0]
	for _, c := range []struct {
		what  string
		o     config.Operator
		size  int
		moves int // 0: not said here
	}{
		{"drain one of six", config.Operator{Size: size(6), Drains: []config.OperatorDrain{{Ordinal: 2}}}, 6, 0},
		{"undrain it", config.Operator{Size: size(6)}, 6, 0},
		{"a resource to another instance", config.Operator{Size: size(6), Pins: []config.OperatorPin{{Resource: id, Ordinal: 4}}}, 6, 1},
		{"two more", config.Operator{Size: size(8)}, 8, 0},
		{"three fewer", config.Operator{Size: size(5)}, 5, 0},
		{"nothing", config.Operator{Size: size(5)}, 5, -1},
	} {
		basis := w.leader.scaler.Basis()
		decided, o, ok := basis.Orders(w.cfg.Kind, c.o)
		require.True(t, ok)
		require.Equal(t, c.size, decided.Desired, c.what)
		preview, err := w.leader.Preview(o, false)
		require.NoError(t, err)
		require.Empty(t, preview.Refused, c.what)
		last := preview.First
		moves := len(last.Moves)
		if preview.Then != nil {
			last = preview.Then
			moves += len(last.Moves)
		}
		if c.moves != 0 {
			require.Equal(t, max(0, c.moves), moves, c.what)
		} else {
			require.Greater(t, moves, 50, c.what)
		}
		before := w.leader.Progress().Moved
		carryOut(c.what, c.o)
		require.EqualValues(t, moves, w.leader.Progress().Moved-before, c.what)
		require.Equal(t, shown(last), lists(w), c.what)
	}
}

// shown are the lengths of the lists that are not empty after a plan, sorted: of two instances that
// are alike nothing says which has one more.
func shown(p *plan.Plan) (all []int) {
	for _, in := range p.Describe().Instances {
		if in.After > 0 {
			all = append(all, in.After)
		}
	}
	slices.Sort(all)
	return all
}

// lists are the lengths of those that there are.
func lists(w *World) (all []int) {
	for _, in := range w.leader.State().Instances {
		if in.IDs.Len() > 0 {
			all = append(all, in.IDs.Len())
		}
	}
	slices.Sort(all)
	return all
}
