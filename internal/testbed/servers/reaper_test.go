package servers

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/servers/proc"
)

// startElsewhere starts a sandbox in another process, which the test may kill.
func startElsewhere(t *testing.T, part string) (starter *exec.Cmd, dir string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), starterVar+"="+part)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, "the starter ended before its sandbox was up")
	dir = strings.TrimSpace(line)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		require.NoError(t, reap(dir))
	})
	return cmd, dir
}

func gone(dir string) bool {
	_, err := os.Stat(dir)
	return errors.Is(err, fs.ErrNotExist) && len(proc.Owned(dir)) == 0
}

func TestNothingOutlivesAKilledStarter(t *testing.T) {
	t.Parallel()
	starter, dir := startElsewhere(t, "all")
	// What a test starts within the sandbox ends with it, too, and a frozen server as well.
	env, err := Attach(filepath.Join(dir, "sandbox.json"))
	require.NoError(t, err)
	workload := env.Command(t.Context(), "sleep", "3600")
	require.NoError(t, workload.Start())
	t.Cleanup(func() { _ = workload.Wait() })
	require.NoError(t, env.ZooKeeper.Servers[0].Freeze())
	var before []proc.ID
	require.Eventually(t, func() bool { // a process in the midst of exec shows no environment
		before = proc.Owned(dir)
		return len(before) > len(env.Servers())
	}, time.Minute, 10*time.Millisecond)
	for _, server := range env.Servers() {
		require.NotZero(t, server.Pid(), "%s: %v; the end of its log:\n%s", server.Name, server.ID(), server.Tail(15))
	}

	require.NoError(t, starter.Process.Signal(syscall.SIGKILL))
	require.Eventually(t, func() bool { return gone(dir) }, time.Minute, 50*time.Millisecond, "left behind: %v", proc.Owned(dir))
	for _, id := range before {
		require.False(t, id.Alive(), "process %d is still there", id.Pid)
	}
}

func TestNextStartCleansUpWhenTheReaperWasKilledToo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // where no other sandbox that starts now can come first
	starter, dir := startElsewhere(t, string(PartZooKeeper))
	require.NotEmpty(t, proc.Owned(dir))
	require.False(t, abandoned(dir))
	require.NoError(t, reaperOf(t, dir).Signal(syscall.SIGKILL))
	require.NoError(t, starter.Process.Signal(syscall.SIGKILL))
	_ = starter.Wait()
	require.NotEmpty(t, proc.Owned(dir), "no process is left to end")
	require.True(t, abandoned(dir))

	require.NoError(t, RemoveAbandoned())
	require.True(t, gone(dir))
}

// reaperOf finds the reaper of a sandbox by its environment.
func reaperOf(t *testing.T, dir string) proc.ID {
	t.Helper()
	for _, file := range must(filepath.Glob("/proc/[0-9]*/environ")) {
		environ, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(environ), reaperDirVar+"="+dir+"\x00") {
			continue
		}
		if id, alive := proc.Identify(must(strconv.Atoi(filepath.Base(filepath.Dir(file))))); alive {
			return id
		}
	}
	t.Fatalf("no reaper of %s", dir)
	return proc.ID{}
}

func TestDownEndsASandboxOfAnotherProcess(t *testing.T) {
	t.Parallel()
	_, dir := startElsewhere(t, string(PartMQTT))
	require.NoError(t, Down(dir))
	require.True(t, gone(dir))
}

func TestStateFolderOfOnesOwn(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	env := start(t, Options{Only: []Part{PartMQTT}, StateDir: dir})
	require.FileExists(t, filepath.Join(dir, "sandbox.json"))
	require.Contains(t, must(Sandboxes()), env.Dir)
	_, err := Start(t.Context(), Options{Only: []Part{PartMQTT}, StateDir: dir})
	require.ErrorContains(t, err, "is not empty")
	require.NoError(t, env.Close())
	require.NoDirExists(t, dir)
	require.NotContains(t, must(Sandboxes()), env.Dir)
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
