package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
)

// runPlan runs `shardscaler plan` and returns what it ends with.
func runPlan(t *testing.T, stdin string, args ...string) (out string, code int, err error) {
	t.Helper()
	c := newRootCommand()
	var stdout bytes.Buffer
	c.SetArgs(append([]string{"plan"}, args...))
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&stdout)
	err = c.Execute()
	return stdout.String(), exitCode(err), err
}

func TestPlanEndsWithWhatHappens(t *testing.T) {
	for name, c := range map[string]struct {
		stdin string
		args  []string
		code  int
		says  string // in the output, or in the error
	}{
		"something moves": {"", []string{"-f", "testdata/plan/growth.yaml"}, 1, "4 moves: required: 1, to spread or to make room: 3"},
		"nothing moves":   {"instances: [{ordinal: 0, resources: 3}]", []string{"-f", "-"}, 0, "nothing moves"},
		"every move":      {"", []string{"-f", "testdata/plan/growth.yaml", "--moves", "--check"}, 1, "new: the pool to 2, unassigned"},
		"from a file":     {"", []string{"-f", "testdata/plan/lines.yaml", "--check"}, 1, "2 moves"},
		"from a pipe":     {`{"id":"a"}`, []string{"-f", "testdata/plan/pipe.yaml", "--moves"}, 1, "a: the pool to 0"},
		"no file":         {"", nil, 2, "file: missing"},
		"no such file":    {"", []string{"-f", "testdata/plan/none.yaml"}, 2, "none.yaml"},
		"unknown field":   {"instances: []\nfoo: 1", []string{"-f", "-"}, 2, "foo"},
		"unknown format":  {"", []string{"-f", "-", "-o", "xml"}, 2, "xml"},
		"unknown flag":    {"", []string{"--force"}, 2, "--force"},
		"stdin twice":     {"instances: []\nresourcesFrom: '-'", []string{"-f", "-"}, 2, "standard input is the world itself"},
		"an argument":     {"", []string{"world.yaml"}, 2, "world.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			out, code, err := runPlan(t, c.stdin, c.args...)
			require.Equal(t, c.code, code, "%v", err)
			if c.code >= 2 {
				require.ErrorContains(t, err, c.says)
				require.Empty(t, out)
				return
			}
			require.Contains(t, out, c.says)
			if err != nil {
				require.Empty(t, err.Error(), "an exit code alone is no message")
			}
		})
	}
}

// TestPlanFormats: JSON and YAML say the same, and have every move.
func TestPlanFormats(t *testing.T) {
	asJSON, _, _ := runPlan(t, "", "-f", "testdata/plan/growth.yaml", "-o", "json")
	asYAML, _, _ := runPlan(t, "", "-f", "testdata/plan/growth.yaml", "-o", "yaml")
	var fromJSON, fromYAML struct {
		plan.Description
		MoveList []plan.NamedMove `json:"moveList"`
	}
	require.NoError(t, json.Unmarshal([]byte(asJSON), &fromJSON))
	require.NoError(t, yaml.Unmarshal([]byte(asYAML), &fromYAML))
	require.Empty(t, cmp.Diff(fromJSON, fromYAML))
	require.Len(t, fromJSON.MoveList, fromJSON.Moves)
	require.Equal(t, 4, fromJSON.Moves)
	require.Equal(t, plan.NamedMove{ID: "new", From: -1, To: 2, Why: plan.WhyUnassigned}, fromJSON.MoveList[0])
}
