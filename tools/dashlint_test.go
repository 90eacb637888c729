package tools_test

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDashlint runs the tests of dashlint, which hold the dashboards to the rules of Grafana's linter.
func TestDashlint(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: building Prometheus's parser takes a while")
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-mod=readonly", "-count=1", "-v", "./...")
	cmd.Dir = "dashlint"
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "--- PASS: TestDashboardsAreClean")
}
