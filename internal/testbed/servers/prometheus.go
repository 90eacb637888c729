package servers

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/shardscaler/shardscaler/internal/testbed/servers/fetch"
)

// Prometheus returns a program of Prometheus, prometheus or promtool: the one on PATH, or one out of
// Debian's package in the user's cache folder. The package is not installed: that would start a
// Prometheus. Where it cannot be had, the test is skipped, or fails where RequireServersVar is 1.
func Prometheus(t testing.TB, program string) string {
	t.Helper()
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	dir, err := fetch.Debian(t.Context(), fetch.NewProgress(os.Stderr), "prometheus", false)
	if err != nil {
		lacking(t, RequireServersVar, "needs %s on PATH (it comes with Prometheus): %v", program, err)
	}
	return filepath.Join(dir, "usr", "bin", program)
}
