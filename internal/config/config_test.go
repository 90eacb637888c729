package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBadConfigurationsAreRefusedNamingTheFault(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			want, err := os.ReadFile(strings.TrimSuffix(file, ".yml") + ".want")
			require.NoError(t, err)
			c, err := Parse(text)
			require.Nil(t, c)
			require.ErrorContains(t, err, strings.TrimSpace(string(want)))
		})
	}
}

func TestGoodConfigurationsAreReadWithDefaultsAndSurviveARoundTrip(t *testing.T) {
	text, err := os.ReadFile("testdata/good/formats.yml")
	require.NoError(t, err)
	c, err := Parse(text)
	require.NoError(t, err)

	thing, _ := c.Kind("Thing")
	require.Equal(t, 4500, thing.TargetPerInstance)
	require.Equal(t, 180*time.Second, thing.Heartbeat.RestartAfter.Std())
	require.EqualValues(t, 1<<30, thing.Memory.TargetAverageValue.Value())
	rule, _ := c.Kind("Rule")
	require.Nil(t, rule.Heartbeat, "a kind without heartbeat keeps none")
	require.Nil(t, rule.CPU)
	require.Equal(t, 100, rule.TargetPerInstance, "the default is the capacity")
	require.Equal(t, `SELECT id FROM "Rule"`, rule.Catalogue.Query)
	require.Equal(t, 10*time.Minute, rule.Catalogue.Lag.Std())
	require.Equal(t, 5, *rule.Catalogue.MaxDeletes)
	require.Equal(t, OwnerShardscaler, rule.Replicas.Owner)
	require.InDelta(t, 0.1, *rule.Tolerance.Down, 0)

	out, err := c.Marshal()
	require.NoError(t, err)
	again, err := Parse(out)
	require.NoError(t, err)
	require.Equal(t, c.Kinds[1], again.Kinds[1])
}

func TestEveryFieldIsReadAndSurvivesARoundTrip(t *testing.T) {
	text, err := os.ReadFile("testdata/good/all.yml")
	require.NoError(t, err)
	c, err := Parse(text)
	require.NoError(t, err)
	k := c.Kinds[0]
	require.Equal(t, ModeRecommend, k.Replicas.Mode)
	require.Equal(t, ModeRecommend, k.Mode)
	require.EqualValues(t, 95, k.CPU.Hottest.TargetUtilization)
	require.Equal(t, 3*time.Minute, k.CPU.Hottest.Patience.Std())
	require.EqualValues(t, 2<<30, k.Memory.Hottest.TargetValue.Value())
	require.InDelta(t, 0.05, *k.Tolerance.Up, 0, "behavior's way to write it")
	require.InDelta(t, 0.2, *k.Tolerance.Down, 0)
	require.Equal(t, 10*time.Minute, k.Behavior.ScaleDown.CoolDown.Std())
	require.Equal(t, 30*time.Second, k.Catalogue.Lag.Std())
	require.Equal(t, 3, *k.Catalogue.MaxDeletes)
	require.Equal(t, Health{Action: ActionReassign, ReassignAfter: new(Duration(15 * time.Minute))}, k.Health)

	out, err := c.Marshal()
	require.NoError(t, err)
	again, err := Parse(out)
	require.NoError(t, err)
	same, err := again.Marshal()
	require.NoError(t, err)
	require.Equal(t, string(out), string(same))
}

func TestEveryFaultIsReportedAtOnce(t *testing.T) {
	_, err := Parse([]byte("kinds:\n- {name: 7up, statefulSet: X, capacity: 0, init: 0, max: 0}\n"))
	for _, f := range []string{"name", "statefulSet", "capacity", "init", "max"} {
		require.ErrorContains(t, err, "kinds[0]."+f)
	}
}

func TestZeroIsAChoiceWhereItMeansSomething(t *testing.T) {
	c, err := Parse([]byte("kinds:\n- {name: T, statefulSet: t, capacity: 1, init: 1, max: 1, tolerance: {up: 0}, behavior: {scaleDown: {stabilizationWindow: 0s}}, catalogue: {maxDeleteShare: 0, lag: 0s}, handOff: acknowledged, health: {reassignAfter: 0s}}\n"))
	require.NoError(t, err)
	require.Zero(t, *c.Kinds[0].Tolerance.Up)
	require.Zero(t, *c.Kinds[0].Behavior.ScaleDown.StabilizationWindow)
	require.Zero(t, c.Kinds[0].Health.After())
	require.Zero(t, *c.Kinds[0].Catalogue.MaxDeleteShare)
	require.Zero(t, *c.Kinds[0].Catalogue.MaxDeletes, "no share means that every delete waits")
	require.Zero(t, *c.Kinds[0].Catalogue.Lag)
}

func FuzzParse(f *testing.F) {
	text, err := os.ReadFile("testdata/good/formats.yml")
	require.NoError(f, err)
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse(text)
		if err != nil {
			return
		}
		out, err := c.Marshal()
		require.NoError(t, err)
		_, err = Parse(out)
		require.NoError(t, err, "what was accepted is accepted again: %s", out)
	})
}

func TestADurationIsPrintedAsAPersonWritesIt(t *testing.T) {
	for text, want := range map[string]string{
		"0s": "0s", "250ms": "250ms", "1s": "1s", "60s": "1m", "330s": "5m30s", "10m": "10m", "29.6s": "30s",
		"1h": "1h", "1h0m10s": "1h", "65m": "1h5m", "24h": "24h", "-90s": "-1m30s",
	} {
		d, err := time.ParseDuration(text)
		require.NoError(t, err)
		require.Equal(t, want, Duration(d).String(), text)
	}
}
