package previews

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// led is a kind of three instances: its plans move what instance 1 owns, if that is drained, and
// spread else.
type led struct {
	head      orders.Head
	base      config.Kind
	over      ops.Over
	at        map[string]int
	changed   map[int]orders.Changes
	hindrance string
	refused   string
	current   int
}

func newLed() *led {
	return &led{
		head: orders.Head{Epoch: 7, Open: []int{0, 1, 2}}, at: map[string]int{"a": 1}, current: 3,
		base: config.Kind{Name: "Thing", Capacity: 10, TargetPerInstance: 10, Init: 1, Max: 9},
	}
}

func (l *led) Head() (orders.Head, bool)                { return l.head, true }
func (l *led) Standing() (config.Kind, ops.Over, error) { return l.base, l.over, nil }
func (l *led) Lookup(id string) (int, bool)             { n, ok := l.at[id]; return n, ok }
func (l *led) Changed() map[int]orders.Changes          { return l.changed }
func (l *led) Hindrance() string                        { return l.hindrance }
func (l *led) put(c ops.Change) func(ops.Over) (ops.Over, error) {
	return func(was ops.Over) (ops.Over, error) {
		switch {
		case c.Drain != nil:
			was.Operator = was.Operator.WithDrain(*c.Drain, config.Said{})
		case c.Size != nil:
			was.Operator.Size = &config.OperatorSize{Value: *c.Size}
		}
		return was, nil
	}
}

func (l *led) Orders(_ config.Kind, o config.Operator) (decide.Decision, orders.Orders, error) {
	d := decide.Decision{Desired: l.current, Current: &l.current, Summary: "no change"}
	if o.Size != nil {
		d.Desired, d.Summary = o.Size.Value, "a person has set the size"
	}
	out := orders.Orders{At: begin, Capacity: 10, Suspended: l.refused}
	for n := range d.Desired {
		if o.Drain(n) == nil {
			out.Stay = append(out.Stay, n)
		}
	}
	return d, out, nil
}

func (l *led) Preview(o orders.Orders, _ bool) (*steps.Preview, error) {
	w := &plan.World{}
	for n := range 3 {
		w.Instances = append(w.Instances, plan.Instance{Ordinal: n, Open: o.Stays(n), Leaving: !o.Stays(n), Capacity: 10})
		for i := range 1 + 2*(n%2) {
			w.Instances[n].IDs = w.Instances[n].IDs.With(fmt.Sprintf("%d-%d", n, i))
		}
	}
	first, err := plan.Make(w, plan.Options{Regime: plan.Periodic})
	return &steps.Preview{First: first, Refused: o.Refusal(begin)}, err
}

func (l *led) preview(t *testing.T, m *Maker, c ops.Change) ops.Plan {
	t.Helper()
	doc, err := m.Preview(l, c, l.put(c), begin)
	require.NoError(t, err)
	return doc
}

func TestAPreviewAsItIsShown(t *testing.T) {
	l, m := newLed(), NewMaker()
	drain := l.preview(t, m, ops.Change{Drain: ptr(1)})
	require.Equal(t, 3, drain.Description.Moves)
	require.Equal(t, begin.UTC(), drain.Made)
	require.Equal(t, 10*time.Minute, drain.Expires.Sub(drain.Made))
	require.Equal(t, "1s", drain.Takes)
	require.Nil(t, drain.Size)
	require.Empty(t, drain.Refused)
	require.Equal(t, drain, l.preview(t, m, ops.Change{Drain: ptr(1)}), "the same again has the same id")

	size := l.preview(t, m, ops.Change{Size: ptr(2)})
	require.Equal(t, &ops.SizeChange{Before: 3, After: 2, Why: "a person has set the size"}, size.Size)
	require.NotEqual(t, drain.ID, size.ID)

	for why, set := range map[string]func(){
		"the scaler is blind":        func() { l.refused = "the scaler is blind" },
		"a wave is under way":        func() { l.hindrance = "a wave is under way" },
		"voluntary moves are paused": func() { l.base.Rebalance.Paused = true },
	} {
		l = newLed()
		set()
		even := l.preview(t, m, ops.Change{})
		require.Contains(t, even.Refused, why)
		p := &Plan{Basis: Basis{}, Voluntary: true}
		err := Refused(l, p, l.put(ops.Change{}), begin)
		require.ErrorIs(t, err, ErrRefused)
		require.ErrorContains(t, err, why)
	}
	l = newLed()
	l.base.Rebalance.Paused = true
	require.NoError(t, Refused(l, &Plan{}, l.put(ops.Change{}), begin), "a pause stops no drain")
	require.Empty(t, l.preview(t, m, ops.Change{Drain: ptr(1)}).Refused)
}

// TestAGuardedUpdate is made on the basis of its plan alone, and again over its own text.
func TestAGuardedUpdate(t *testing.T) {
	l, m := newLed(), NewMaker()
	pin := ops.Change{Pin: &ops.PinRequest{Resource: "a", Instance: 2}}
	id := l.preview(t, m, pin).ID
	update := func([]byte) ([]byte, error) { return []byte("fresh"), nil }
	guarded := func() orders.Update {
		var found *Plan
		_, err := m.Apply(t.Context(), id, "ann", 7, fixed(begin), func(p Plan) (ops.Applied, error) {
			found = &p
			return ops.Applied{}, errors.New("later")
		})
		require.ErrorContains(t, err, "later")
		return Guarded(l, found, update)
	}
	u := guarded()
	fresh, err := u(nil)
	require.NoError(t, err)
	l.head.Epoch++ // the answer was lost, and another term has begun
	again, err := u(fresh)
	require.NoError(t, err, "it is done already")
	require.Equal(t, fresh, again)
	_, err = u([]byte("of another"))
	require.ErrorIs(t, err, ErrChanged)
	for says, change := range map[string]func(){
		"epoch":           func() { l.head.Epoch++ },
		"configuration":   func() { l.base.Max++ },
		"open set":        func() { l.head.Open = []int{0} },
		"overrides":       func() { l.over.Operator = l.over.Operator.WithDrain(2, config.Said{}) },
		"lists":           func() { l.changed = map[int]orders.Changes{1: {Moved: 1}} },
		"on instance 0":   func() { l.at["a"] = 0 },
		"no such resourc": func() { delete(l.at, "a") },
	} {
		*l = *newLed()
		u := guarded()
		change()
		_, err := u(nil)
		require.ErrorIs(t, err, ErrChanged)
		require.ErrorContains(t, err, says)
	}
	*l = *newLed()
	u = guarded()
	l.changed = map[int]orders.Changes{0: {Moved: 9, Deleted: 9}, 1: {Deleted: 3}}
	_, err = u(nil)
	require.NoError(t, err, "other lists, and deletes from one that gives some")
}

// TestTurns: so many previews of a kind are made at once; who waits too long is told so.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMaker()
		var leaves []func()
		for range atOnce {
			leave, err := m.Enter(t.Context())
			require.NoError(t, err)
			leaves = append(leaves, leave)
		}
		_, err := m.Enter(t.Context())
		require.ErrorIs(t, err, ErrBusy)
		entered := make(chan error)
		go func() {
			_, err := m.Enter(t.Context())
			entered <- err
		}()
		synctest.Wait()
		leaves[0]()
		require.NoError(t, <-entered)
	})
}
