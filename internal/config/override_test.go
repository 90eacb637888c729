package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestOverrideRefusesWhatIsOutOfRange(t *testing.T) {
	k := Default("Thing", "iota-dac")
	for _, c := range []struct {
		name       string
		max, perIn int
		want       string
	}{
		{"max below 3", 2, 10, "maxInstances: Invalid value: 2: must be between 10 and 100"},
		{"max over the ceiling", 101, 10, "maxInstances: Invalid value: 101: must be between 10 and 100"},
		{"per instance 0", 10, 0, "resourcePerInstance: Invalid value: 0: must be between 1 and 5000"},
		{"per instance over 5000", 10, 5001, "resourcePerInstance: Invalid value: 5001: must be between 1 and 5000"},
	} {
		_, err := Override{}.Set(&k, 100, &c.max, &c.perIn, Said{})
		require.ErrorContains(t, err, c.want, c.name)
	}
}

func TestOverrideEndsWhenTheConfigMapChangesThatKeyAlone(t *testing.T) {
	k := Default("Thing", "iota-dac")
	most, each := 20, 1000
	o, err := Override{}.Set(&k, 100, &most, &each, Said{})
	require.NoError(t, err)

	got, left := o.Apply(k, now)
	require.Equal(t, []int{20, 1000, 1000}, []int{got.Max, got.Capacity, got.TargetPerInstance})
	require.Equal(t, o, left)

	k.Max = 50
	got, left = o.Apply(k, now)
	require.Equal(t, []int{50, 1000}, []int{got.Max, got.Capacity})
	require.Nil(t, left.MaxInstances)
	require.NotNil(t, left.ResourcePerInstance)
}

// Nothing is put over the same value: what is in force has one source.
func TestAnOverrideOfTheValueThatThereIsEndsTheFormerOne(t *testing.T) {
	k := Default("Thing", "iota-dac")
	most, each := k.Max-1, k.Capacity-1
	o, err := Override{}.Set(&k, 100, &most, &each, Said{})
	require.NoError(t, err)
	o, err = o.Set(&k, 100, &k.Max, &k.Capacity, Said{})
	require.NoError(t, err)
	require.Zero(t, o)

	o.MaxInstances = &OverrideValue[int]{Value: k.Max, Over: k.Max} // as a former build has kept it
	_, left := o.Apply(k, now)
	require.Zero(t, left)
}

func TestOverrideKeepsAChosenTargetUnlessTheCapacityFallsBelowIt(t *testing.T) {
	k := Default("Thing", "iota-dac")
	k.TargetPerInstance = 4500
	for value, want := range map[int]int{4800: 4500, 100: 100} {
		o, err := Override{}.Set(&k, 100, nil, &value, Said{})
		require.NoError(t, err)
		got, _ := o.Apply(k, now)
		require.Equal(t, want, got.TargetPerInstance)
	}
}

func TestAPauseStandsUntilTheConfigMapSaysSomethingElse(t *testing.T) {
	k := Default("Thing", "iota-dac")
	o := Override{}.SetPaused(&k, true, Said{})
	require.NotZero(t, o)
	got, left := o.Apply(k, now)
	require.True(t, got.Rebalance.Paused)
	require.Equal(t, o, left)
	require.Zero(t, o.SetPaused(&k, false, Said{}), "resumed: as the ConfigMap has it")

	k.Rebalance.Paused = true
	_, left = o.Apply(k, now)
	require.Zero(t, left, "the ConfigMap says it itself now")
	got, _ = Override{}.SetPaused(&k, false, Said{}).Apply(k, now)
	require.False(t, got.Rebalance.Paused)
}
