package app

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

func TestALeaderThatHangsServesItsOwnDecisionForThreeTicksOnly(t *testing.T) {
	now := time.Now()
	cfg := &config.Config{SyncPeriod: config.Duration(2 * time.Second), Kinds: []config.Kind{{Name: "Thing", Mode: config.ModeAct}}}
	r := &runner{kind: "Thing", app: &App{live: &live{cfg: cfg, kinds: byName(cfg)}}, latest: decided{report: &outcome.Report{Decision: decide.Decision{Kind: "Thing", At: now}}}}
	d, err := r.served(now.Add(6 * time.Second))
	require.NoError(t, err)
	require.Same(t, r.latest.report, d)
	_, err = r.served(now.Add(7 * time.Second))
	require.ErrorContains(t, err, "7s old, more than 6s")
	cfg.Kinds[0].Mode = config.ModeObserve
	_, err = r.served(now.Add(6 * time.Second))
	require.EqualError(t, err, "mode is observe")
}

// During a roll-out the leader may be of another version than a follower.
func TestWhatALeaderTellsIsHeardAcrossVersions(t *testing.T) {
	for text, rows := range map[string]int{
		`{"v":1,"decision":{"kind":"Thing","desired":3}}`:                                   -1,
		`{"v":1,"decision":{"kind":"Thing","desired":3},"told":{"rows":"another form"}}`:    -1,
		`{"v":1,"decision":{"kind":"Thing","desired":3},"told":{"rows":7,"newer":{"a":1}}}`: 7,
	} {
		s, err := parseSaid([]byte(text))
		require.NoError(t, err)
		require.Equal(t, 3, s.report.Desired)
		if rows < 0 {
			require.Nil(t, s.told, text)
			continue
		}
		require.Equal(t, rows, s.told.Rows)
	}
	_, err := parseSaid(nil)
	require.Error(t, err)
}

func TestEveryOverrideFits(t *testing.T) {
	value := &config.OverrideValue[int]{Value: math.MinInt, Over: math.MinInt}
	doc, err := json.Marshal(config.Override{MaxInstances: value, ResourcePerInstance: value, Paused: &config.OverrideValue[bool]{}})
	require.NoError(t, err)
	require.LessOrEqual(t, len(doc), protocol.MaxDocBytes)
	fields := reflect.TypeFor[config.Override]()
	for i := range fields.NumField() {
		kind := fields.Field(i).Type.Elem()
		for k := range kind.NumField() {
			if kind.Field(k).Type == reflect.TypeFor[config.Said]() {
				continue // config.Saying bounds it
			}
			require.Contains(t, []reflect.Kind{reflect.Int, reflect.Bool}, kind.Field(k).Type.Kind(), "%s may have any length: bound it", fields.Field(i).Name)
		}
	}
}
