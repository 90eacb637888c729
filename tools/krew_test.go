package tools_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// krew runs a command of the module of krew.
func krew(t *testing.T, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"-C", "krew"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestKrewInstallsThePlugin has krew itself check the manifest of this checkout, and install the
// archive and the manifest that a release would have.
func TestKrewInstallsThePlugin(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: building krew takes a while")
	}
	manifest, err := filepath.Abs("../manifests/krew/shardscaler.yaml")
	require.NoError(t, err)
	out, err := krew(t, nil, "tool", "validate-krew-manifest", "-skip-install", "-manifest", manifest)
	require.NoError(t, err, out)
	for _, system := range []string{"linux", "darwin", "windows"} {
		for _, arch := range []string{"amd64", "arm64"} {
			text, err := os.ReadFile(manifest)
			require.NoError(t, err)
			require.Contains(t, string(text), "{os: "+system+", arch: "+arch+"}")
		}
	}

	released, home := t.TempDir(), t.TempDir()
	out, err = krew(t, nil, "run", ".", "-version", "v1.2.3", "-out", released, "-only", runtime.GOOS+"/"+runtime.GOARCH)
	require.NoError(t, err, out)
	filled := filepath.Join(released, "shardscaler.yaml")
	out, err = krew(t, nil, "tool", "validate-krew-manifest", "-skip-install", "-manifest", filled)
	require.NoError(t, err, out)
	archives, err := filepath.Glob(filepath.Join(released, "kubectl-shardscaler_v1.2.3_*"))
	require.NoError(t, err)
	require.Len(t, archives, 1)
	install := func(manifest string) (string, error) {
		return krew(t, []string{"KREW_ROOT=" + home}, "tool", "krew", "install", "--manifest="+manifest, "--archive="+archives[0])
	}
	out, err = install(manifest)
	require.Error(t, err, "the zeros are no archive's sum")
	require.Contains(t, out, "checksum does not match")
	out, err = install(filled)
	require.NoError(t, err, out)
	version, err := exec.CommandContext(t.Context(), filepath.Join(home, "bin", "kubectl-shardscaler"), "--version").Output()
	require.NoError(t, err)
	require.Equal(t, "kubectl shardscaler version v1.2.3", strings.TrimSpace(string(version)))
	require.FileExists(t, filepath.Join(home, "store", "shardscaler", "v1.2.3", "LICENSE"))
}
