package main

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "sandbox")
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	return program
}

func isGone(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func TestExecEndsAsTheCommandDid(t *testing.T) {
	program := build(t)
	var out bytes.Buffer
	cmd := exec.Command(program, "exec", "--only", "zookeeper", "--", "sh", "-c", `echo "$SHARDSCALER_SANDBOX"; sleep 1000 & test -s "$SHARDSCALER_SANDBOX" && exit 7`)
	cmd.Stdout = &out
	err := cmd.Run()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 7, exit.ExitCode())
	require.True(t, isGone(strings.TrimSpace(out.String())), out.String())
}

func TestUpStaysUntilItIsInterrupted(t *testing.T) {
	program := build(t)
	cmd := exec.Command(program, "--only", "mqtt,zookeeper")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var file string
	for lines := bufio.NewScanner(out); file == "" && lines.Scan(); {
		if _, after, found := strings.Cut(lines.Text(), "All addresses, credentials, logs and pids:"); found {
			file = strings.TrimSpace(after)
		}
	}
	require.FileExists(t, file)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.NoError(t, cmd.Wait())
	require.True(t, isGone(filepath.Dir(file)))
}

func TestTerminatedExecEndsItsCommand(t *testing.T) {
	program := build(t)
	cmd := exec.Command(program, "exec", "--only", "mqtt", "--", "sh", "-c", `echo $$; exec sleep 1000`)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	pid, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	require.Equal(t, 128+int(syscall.SIGTERM), exit.ExitCode())
	require.Eventually(t, func() bool { return isGone("/proc/" + strings.TrimSpace(pid)) }, time.Minute, 20*time.Millisecond)
}

func TestFlagsOutOfRangeAreNamed(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"up", "--nodes", "0"}, "--nodes is 0, must be from 1 to 1000"},
		{[]string{"up", "--zookeepers", "8"}, "--zookeepers is 8, must be from 1 to 7"},
		{[]string{"exec", "--only", "redis", "--", "true"}, `"redis" is none of`},
		{[]string{"exec"}, "requires at least 1 arg"},
	} {
		cmd := newCommand()
		cmd.SetArgs(test.args)
		require.ErrorContains(t, cmd.Execute(), test.want)
	}
}
