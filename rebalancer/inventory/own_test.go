package inventory

import (
	"fmt"
	"hash/maphash"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/pins"
	"github.com/shardscaler/shardscaler/internal/pins/pinstest"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
)

// Whatever the rules and the rows: a resource that a person has bound may be where the rules allow
// it and the person wants it, all others where the rules allow them, and each weighs what it did.
func TestWhatAPersonBindsIsBoundBesideTheRules(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b, rules := newAttributeStore(), pinstest.DrawPins(rt, 4)
		needs := Needs{weights: rapid.Bool().Draw(rt, "weights"), pins: rules}
		own := rapid.MapOf(rapid.Map(rapid.IntRange(0, 60), func(n int) string { return fmt.Sprintf("id-%02d", n) }), rapid.IntRange(0, 5)).Draw(rt, "own")
		b.want(needs)
		var known []observed.ResourceKnown
		b.begin(time.Unix(1, 0))
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 60), 0, 40, rapid.ID).Draw(rt, "rows") {
			known = append(known, pinstest.DrawRow(rt, fmt.Sprintf("id-%02d", n)))
			b.row(known[len(known)-1])
		}
		before := rapid.Bool().Draw(rt, "bound before the read ends")
		if needs.own = own; before {
			b.want(needs)
		}
		if b.read != nil {
			b.end(b.read, b.read.done())
		}
		b.want(needs)
		require.False(rt, b.lacks(), "no read is needed to bind")
		if b.now == nil {
			require.Empty(rt, own)
			return
		}
		require.Equal(rt, len(rules)+len(own) > 0, b.now.Pinned())
		require.True(rt, slices.IsSortedFunc(b.now.rows, byHash))
		w := plan.World{Pins: b.now.pins, Instances: make([]plan.Instance, 6)}
		for i := range w.Instances {
			w.Instances[i].Ordinal = i
		}
		for n := range 70 {
			k := pinstest.Row(fmt.Sprintf("id-%02d", n), 1, "")
			if i := slices.IndexFunc(known, func(o observed.ResourceKnown) bool { return o.ID == k.ID }); i >= 0 && needs.reads() {
				k = known[i]
			}
			a, _ := b.now.Of(maphash.String(b.seed, k.ID))
			may := pinstest.Permitted(rules, k)
			to, bound := own[k.ID]
			for o := range 6 {
				require.Equal(rt, may(o) && (!bound || o == to), w.Allows(a.Pin, plan.InstanceIndex(o)), "%+v on %d, bound to %d: %t", k, o, to, bound)
			}
			if needs.weights && slices.ContainsFunc(known, func(o observed.ResourceKnown) bool { return o.ID == k.ID }) {
				require.Equal(rt, plan.WeightOf(k.Weight), a.Weight)
			}
		}
	})
}

func TestBindingIsEndedWithoutARead(t *testing.T) {
	b := newAttributeStore()
	b.want(Needs{own: map[string]int{"a": 3}})
	require.True(t, b.now.Pinned())
	a, found := b.now.Of(b.now.Hash("a"))
	require.True(t, found)
	require.Equal(t, plan.Pin{Name: "a person's pin to 3", Ordinals: []int{3}}, b.now.pins[a.Pin-1])
	bound := b.now
	b.want(Needs{own: map[string]int{"a": 3}})
	require.Same(t, bound, b.now, "the same again makes nothing anew")
	b.want(Needs{})
	require.Nil(t, b.now)
}

func TestBindsSaysWhatTheRulesSayAlone(t *testing.T) {
	s := New(time.Unix(1, 0), func(n int, work func(int)) {})
	s.Need(Needs{pins: []pins.Rule{{Name: "lyon", IDs: []string{"a"}, Ordinals: []int{2, 1}}}, own: map[string]int{"a": 1, "b": 1}})
	rules, ordinals := s.Binds("a")
	require.Equal(t, "lyon", rules)
	require.Equal(t, []int{1, 2}, ordinals)
	rules, _ = s.Binds("b")
	require.Empty(t, rules)
}
