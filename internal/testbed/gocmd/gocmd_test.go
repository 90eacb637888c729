package gocmd

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// `go test` leaves the binary that it runs behind when it is interrupted alone.
func TestWhatTheGoCommandStartedEndsWithIt(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.org/sleeper\n\ngo 1.24\n",
		"a_test.go": `package a

import (
	"os"
	"strconv"
	"testing"
	"time"
)

func TestSleep(t *testing.T) {
	if err := os.WriteFile("pid.new", []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename("pid.new", "pid"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Hour)
}
`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := Command(ctx, dir, "test", "-run", "TestSleep", ".")
	require.NoError(t, cmd.Start())
	var pid int
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "pid"))
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(string(text))
		return err == nil
	}, 2*time.Minute, 50*time.Millisecond)
	require.NoError(t, syscall.Kill(pid, 0))
	cancel()
	require.Error(t, cmd.Wait())
	require.Eventually(t, func() bool { return syscall.Kill(pid, 0) != nil }, time.Minute, 50*time.Millisecond)
}
