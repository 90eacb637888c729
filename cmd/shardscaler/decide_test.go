package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// savedWorld is what a server would save of two kinds: Things that need 3 instances and have 2,
// Rules of which nothing is known.
func savedWorld(t *testing.T) (decide.Saved, string) {
	t.Helper()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	thing := config.Default("Thing", "iota-dac")
	thing.Capacity, thing.TargetPerInstance, thing.Init = 100, 100, 1
	seen := observed.Source{At: now}
	things := observed.Kind{
		Name: "Thing", Namespace: "iota", Assigned: 200, Unassigned: 50, Open: []int{0, 1},
		Workload: &observed.Workload{UID: "u", Replicas: 2, StatusReplicas: 2, ReadyReplicas: 2, UpdatedReplicas: 2},
		Sources:  observed.Sources{Store: seen, Cluster: seen, Metrics: seen, Catalogue: seen, Bus: &seen, Notify: seen},
	}
	saved := decide.Saved{At: now, Inputs: []decide.Input{
		{Now: now, Config: thing, Observed: things},
		{Now: now, Config: config.Default("Rule", "iota-rules-engine"), Observed: observed.Kind{Name: "Rule", Namespace: "iota"}},
	}}
	text, err := json.Marshal(saved)
	require.NoError(t, err)
	return saved, string(text)
}

func runDecide(stdin string, args ...string) (string, error) {
	c := newRootCommand()
	var out bytes.Buffer
	c.SetArgs(append([]string{"decide", "-f", "-"}, args...))
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&out)
	err := c.Execute()
	return out.String(), err
}

func TestDecideOfflineGivesTheServersDecision(t *testing.T) {
	saved, text := savedWorld(t)
	out, err := runDecide(text, "-o", "json")
	require.NoError(t, err)
	var got []decide.Decision
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.Len(t, got, 2)
	for i, in := range saved.Inputs {
		want, err := json.Marshal(decide.Decide(in))
		require.NoError(t, err)
		again, err := json.Marshal(got[i])
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(again))
	}
	require.Equal(t, 3, got[0].Desired)
	require.Equal(t, decide.Blind, got[1].Verb)
}

func TestDecideOfflineShowsOneKindAsText(t *testing.T) {
	_, text := savedWorld(t)
	out, err := runDecide(text, "--kind", "Thing")
	require.NoError(t, err)
	require.Contains(t, out, "scale up 2 -> 3")
	require.NotContains(t, out, "Rule")
}

func TestDecideOfflineRefusesWhatItCannotRead(t *testing.T) {
	_, text := savedWorld(t)
	for name, c := range map[string]struct {
		stdin string
		args  []string
		want  string
	}{
		"no such kind":            {text, []string{"--kind", "Nothing"}, `no kind "Nothing"`},
		"unknown field":           {strings.Replace(text, `"now"`, `"when"`, 1), nil, `unknown field "inputs[0].when"`},
		"a field in another case": {strings.Replace(text, `"capacity":100`, `"capacity":100,"Capacity":900`, 1), nil, `unknown field "inputs[0].config.Capacity"`},
		"a field twice":           {strings.Replace(text, `"capacity":100`, `"capacity":100,"capacity":900`, 1), nil, `"capacity" already set`},
		"bad capacity":            {strings.Replace(text, `"capacity":100`, `"capacity":0`, 1), nil, "capacity: Invalid value: 0"},
		"unknown output":          {text, []string{"-o", "xml"}, `output "xml": want text or json`},
		"no YAML":                 {"{", nil, "read decision input"},
	} {
		_, err := runDecide(c.stdin, c.args...)
		require.ErrorContains(t, err, c.want, name)
		require.Equal(t, 2, exitCode(err), name)
	}
}
