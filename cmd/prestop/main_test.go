package main

import (
	"context"
	"debug/elf"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// build builds the program as the release does.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "prestop")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return program
}

// It runs in containers of others: it needs nothing of them, and is small.
func TestTheProgramIsStaticAndSmall(t *testing.T) {
	program := build(t)
	file, err := elf.Open(program)
	require.NoError(t, err)
	defer file.Close()
	libraries, err := file.ImportedLibraries()
	require.NoError(t, err)
	require.Empty(t, libraries)
	require.Nil(t, file.Section(".interp"))
	info, err := os.Stat(program)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(8<<20))
	deps, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	require.NoError(t, err)
	require.Len(t, strings.Fields(string(deps)), 3, "this command, its package and how our programs end: %s", deps)
}

func TestInstallAndExitCodes(t *testing.T) {
	shared := t.TempDir()
	require.NoError(t, exec.CommandContext(t.Context(), build(t), "install", shared).Run())
	var leaving atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		state := "empty"
		if leaving.Load() {
			state = "leaving"
		}
		_, _ = w.Write([]byte(`{"state":"` + state + `","left":3}`))
	}))
	defer server.Close()
	hook := func(args ...string) (int, string) {
		cmd := exec.CommandContext(context.Background(), filepath.Join(shared, "prestop"), args...)
		cmd.Env = []string{"POD_NAME=iota-dac-3", "POD_NAMESPACE=iota", "SHARDSCALER_SERVER=" + server.URL}
		out, _ := cmd.CombinedOutput()
		return cmd.ProcessState.ExitCode(), string(out)
	}
	code, out := hook()
	require.Zero(t, code, out)
	leaving.Store(true)
	code, out = hook("--grace", "1s", "--margin", "500ms")
	require.Equal(t, 1, code)
	require.Contains(t, out, "resources left: 3")
	code, out = hook("--grace", "5s")
	require.Equal(t, 2, code)
	require.Contains(t, out, "grace 5s: must be greater than the margin of 10s")
	code, out = hook("unstall")
	require.Equal(t, 2, code)
	require.Contains(t, out, `unexpected argument "unstall"`)
}
