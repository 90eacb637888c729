// Package tools_test has the module of the figures built and tested with everything else: `./...`
// ends where a module begins.
package tools_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBars runs what bars tests without measuring, among it the comparison of 20,000 random worlds
// with the HPA's own calculator. The settings are those of the tests here, so that what both
// modules need is compiled once; a go.mod that lacks something is a failure.
func TestBars(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: building the HPA's calculator takes a while")
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-mod=readonly", "-count=1", "-v", "./...")
	cmd.Dir = "bars"
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Run(), "%s", &out)
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "against the HPA's calculator: ") {
			t.Log(line)
			if folder := os.Getenv("SHARDSCALER_REPORTS"); folder != "" {
				require.NoError(t, os.WriteFile(filepath.Join(folder, "differential.txt"), []byte(line), 0o600))
			}
			return
		}
	}
	t.Fatalf("the comparison says nothing:\n%s", &out)
}
