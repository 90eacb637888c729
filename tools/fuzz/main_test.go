package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every target of the tree is found, in whichever module, and this file's own text is none.
func TestTargetsAreFound(t *testing.T) {
	found, err := find("../..")
	require.NoError(t, err)
	for _, want := range []target{
		{"adapter/heartbeat", "FuzzDecode"},
		{"adapter/metricsapi", "FuzzMetricSelector"},
		{"internal/config", "FuzzParse"},
		{"tools/bars/decide", "FuzzAgainstTheRealCalculator"},
	} {
		require.Contains(t, found, want)
	}
	require.Greater(t, len(found), 12)
	for _, target := range found {
		require.NotEqual(t, "tools/fuzz", target.dir)
	}
}

// A target of a module of its own is run there: executions are counted, and a fault it finds is a
// failure.
func TestTargetsOfOtherModulesRun(t *testing.T) {
	root := t.TempDir()
	for file, text := range map[string]string{
		"go.mod":         "module example.org/outer\n\ngo 1.24\n",
		"in/go.mod":      "module example.org/inner\n\ngo 1.24\n",
		"in/a/a_test.go": source("FuzzGood", ""),
		"in/a/b_test.go": source("FuzzBad", `t.Fatal("no good")`),
		".git/a_test.go": source("FuzzHidden", ""),
	} {
		file = filepath.Join(root, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	found, err := find(root)
	require.NoError(t, err)
	require.Equal(t, []target{{"in/a", "FuzzGood"}, {"in/a", "FuzzBad"}}, found)
	executions, err := found[0].fuzz(t.Context(), root, "100x")
	require.NoError(t, err)
	require.NotEqual(t, "0", executions)
	_, err = found[1].fuzz(t.Context(), root, "100x")
	require.ErrorContains(t, err, "no good")
}

// source is a test file with one target.
func source(name, body string) string {
	return "package a\n\nimport \"testing\"\n\nfunc " + name + "(f *testing.F) {\n\tf.Fuzz(func(t *testing.T, b []byte) {" + body + "})\n}\n"
}
