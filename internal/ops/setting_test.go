package ops_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	. "github.com/shardscaler/shardscaler/internal/ops"
)

func TestEachValueSaysWhereItComesFrom(t *testing.T) {
	v := healthy(t, 3)
	said := config.Saying("ann", now, time.Hour)
	v.Override = config.Override{MaxInstances: &config.OverrideValue[int]{Value: 50, Over: 100, Said: said}}
	v.Config, v.Override = v.Override.Apply(v.Base, now)
	v.Refused = "a newer one is wrong"
	s := SettingsOf(v)
	require.Equal(t, []any{int64(2), "77", "a newer one is wrong"}, []any{s.Generation, s.Version, s.Refused})
	of := map[string]Setting{}
	for _, item := range s.Items {
		require.NotContains(t, of, item.Path)
		of[item.Path] = item
	}
	for path, want := range map[string]Setting{
		"capacity":                               {Value: 5000, Source: "ConfigMap"},
		"max":                                    {Value: 50, Source: "override", Configured: 100, Said: said},
		"cpu.targetUtilization":                  {Value: int32(70), Source: "ConfigMap"},
		"memory":                                 {Source: "default"},
		"tolerance.up":                           {Value: 0.1, Source: "default"},
		"behavior.scaleDown.stabilizationWindow": {Value: "5m", Source: "default"},
		"behavior.scaleUp.policies":              {Value: []any{}, Source: "default"},
		"heartbeat.staleAfter":                   {Value: "1m30s", Source: "default"},
		"rebalance.movesPerMinute":               {Value: 0, Source: "ConfigMap"}, // the default, and written
		"rebalance.movesPerPlan":                 {Value: 0, Source: "default"},
		"replicas.owner":                         {Value: "shardscaler", Source: "default"},
		"catalogue.query":                        {Value: `SELECT id FROM "Thing"`, Source: "default"},
		"pins":                                   {Value: []any{}, Source: "default"},
		"paused":                                 {Value: false, Source: "default"},
	} {
		want.Path = path
		require.Equal(t, want, of[path])
	}
}

// A value that the configuration can have and that is not shown would be a secret.
func TestEveryFieldThatATextCanHaveIsASetting(t *testing.T) {
	v := healthy(t, 1)
	shown := map[string]bool{}
	for _, item := range SettingsOf(v).Items {
		shown[item.Path] = true
	}
	for path := range v.Written {
		part := false
		for other := range shown {
			part = part || len(other) > len(path) && other[:len(path)+1] == path+"."
		}
		require.True(t, shown[path] || part, path)
	}
}
