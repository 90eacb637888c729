package servers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shardscaler/shardscaler/internal/testbed/servers/fetch"
)

// RequireDebianVar, set to 1, makes a test fail that would be skipped for want of Debian's
// packages.
const RequireDebianVar = "SHARDSCALER_REQUIRE_DEBIAN"

// Debian returns a folder into which a package of Debian is unpacked, with what it needs and this system
// lacks, and the environment in which its programs find their libraries. It lies in the user's cache
// folder; nothing is installed. Where it cannot be had, the test is skipped, saying why, or fails where
// RequireDebianVar is 1.
func Debian(t testing.TB, name string) (tree, libraryPath string) {
	t.Helper()
	tree, err := fetch.Debian(t.Context(), fetch.NewProgress(os.Stderr), name, true)
	if err != nil {
		lacking(t, RequireDebianVar, "needs Debian's package %s: %v", name, err)
	}
	dirs, _ := filepath.Glob(filepath.Join(tree, "usr", "lib", "*-linux-gnu*"))
	more, _ := filepath.Glob(filepath.Join(tree, "lib", "*-linux-gnu*"))
	return tree, "LD_LIBRARY_PATH=" + strings.Join(append(dirs, more...), ":")
}
