package servers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shardscaler/shardscaler/internal/testbed/servers/fetch"
)

// RequireDebianVar, set to 1, makes a test fail that would be skipped for want of Debian's packages.
const RequireDebianVar = "SHARDSCALER_REQUIRE_DEBIAN"

// debianTree returns a folder into which a package of Debian is unpacked, with what it needs and this
// system lacks. It lies in the user's cache folder; nothing is installed. Where it cannot be had, the
// test is skipped, saying why, or fails where RequireDebianVar is 1.
func debianTree(t testing.TB, name string) string {
	t.Helper()
	dir, err := fetch.Debian(t.Context(), fetch.NewProgress(os.Stderr), name, true)
	if err != nil {
		lacking(t, RequireDebianVar, "needs Debian's package %s: %v", name, err)
	}
	return dir
}

// libraryPath is an environment in which a program of a debianTree finds its libraries.
func libraryPath(tree string) string {
	dirs, _ := filepath.Glob(filepath.Join(tree, "usr", "lib", "*-linux-gnu*"))
	more, _ := filepath.Glob(filepath.Join(tree, "lib", "*-linux-gnu*"))
	return "LD_LIBRARY_PATH=" + strings.Join(append(dirs, more...), ":")
}

// Promtool returns Prometheus's checker of rules: the one on PATH, or one out of Debian's package in the user's cache
// folder. The package is not installed: that would start a Prometheus.
func Promtool(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("promtool"); err == nil {
		return path
	}
	dir, err := fetch.Debian(t.Context(), fetch.NewProgress(os.Stderr), "prometheus", false)
	if err != nil {
		lacking(t, RequireServersVar, "needs promtool on PATH (it comes with Prometheus): %v", err)
	}
	return filepath.Join(dir, "usr", "bin", "promtool")
}
