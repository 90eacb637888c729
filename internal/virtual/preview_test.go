package virtual

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
)

// TestAPreviewIsWhatTheCoreDoes: what is previewed for each thing that a person may ask for is what
// the scaler, the engine and the instances then make of it, move by move counted and list by list.
func TestAPreviewIsWhatTheCoreDoes(t *testing.T) {
	d, err := NewDay(3, 1000, 8)
	require.NoError(t, err)
	p := d.Begin()
	w, after := p.World, 10*time.Minute
	play(t, after, p)
	one := func(n int) *int { return &n }
	carryOut := func(what string, c ops.Change) {
		t.Helper()
		require.NoError(t, w.Change(t.Context(), c), what)
		after += 6 * time.Minute // an hour is calm
		play(t, after, p)
		require.NoError(t, w.Settled(), what)
	}
	carryOut("six instances", ops.Change{Size: one(6)})
	id := w.leader.State().Instances[0].IDs.Strings()[0]
	const many = -1
	for _, c := range []struct {
		what        string
		change      ops.Change
		size, moves int
	}{
		{"drain one of six", ops.Change{Drain: one(2)}, 6, many},
		{"undrain it", ops.Change{Undrain: one(2)}, 6, many},
		{"a resource to another instance", ops.Change{Pin: &ops.PinRequest{Resource: id, Instance: 4}}, 6, 1},
		{"it is free", ops.Change{Unpin: id}, 6, 0},
		{"two more", ops.Change{Size: one(8)}, 8, many},
		{"three fewer", ops.Change{Size: one(5)}, 5, many},
		{"nothing", ops.Change{}, 5, 0},
	} {
		over, err := c.change.Put(ops.Over{Operator: w.leader.operator()}, w.leader.ground(), "ann", w.clock.Now())
		require.NoError(t, err)
		basis := w.leader.scaler.Basis()
		decided, o, ok := basis.Orders(w.cfg.Kind, over.Operator)
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
		if c.moves == many {
			require.Greater(t, moves, 50, c.what)
		} else {
			require.Equal(t, c.moves, moves, c.what)
		}
		before := w.leader.Progress().Moved
		carryOut(c.what, c.change)
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
