package kubectl

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/shardscaler/shardscaler/internal/ops"
)

// asPlugin has the test binary be the plugin.
const asPlugin = "SHARDSCALER_TEST_AS_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(Run(ctx, "v1.2.3", genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}, os.Args[1:]))
}

// screen is a terminal with the plugin at work in it.
type screen struct {
	*os.File
	cmd *exec.Cmd
	mu  sync.Mutex
	all bytes.Buffer
	end chan struct{} // closed when nothing more comes
}

func open(t *testing.T, args ...string) *screen {
	s := &screen{cmd: exec.CommandContext(t.Context(), os.Args[0], args...), end: make(chan struct{})}
	s.cmd.Env = append(os.Environ(), asPlugin+"=1", "TERM=xterm")
	var err error
	s.File, err = pty.StartWithSize(s.cmd, &pty.Winsize{Rows: 40, Cols: 100})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	go func() {
		defer close(s.end)
		buffer := make([]byte, 4096)
		for {
			n, err := s.Read(buffer)
			s.mu.Lock()
			s.all.Write(buffer[:n])
			s.mu.Unlock()
			if err != nil { // the plugin has ended
				return
			}
		}
	}()
	return s
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

// shows waits until the screen has shown a text.
func (s *screen) shows(t *testing.T, text string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !strings.Contains(s.text(), text) {
		require.True(t, time.Now().Before(deadline), "not shown: %q at the end of %q", text, s.text()[max(0, len(s.text())-3000):])
		time.Sleep(5 * time.Millisecond)
	}
}

// ended waits for the end and returns the exit status.
func (s *screen) ended(t *testing.T) int {
	t.Helper()
	err := s.cmd.Wait()
	select {
	case <-s.end:
	case <-time.After(time.Minute):
		t.Fatal("the terminal has no end")
	}
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return failed.ExitCode()
	}
	require.NoError(t, err)
	return 0
}

func TestWhatIsDangerousIsAskedForOnATerminal(t *testing.T) {
	server := newFixed(t)
	config := kubeconfig(t, server.URL, "iota")
	for line, want := range map[string]struct{ question, write string }{
		"drain Thing 1":                   {"Drain instance Thing 1? Its 40 resources move to other instances. [y/N]", `POST kinds/Thing/drains {"instance":1}`},
		"rollback Thing":                  {"Take back the running wave of Thing and pause voluntary moves? 40 of its 100 moves are done. [y/N]", "POST kinds/Thing/rollback"},
		"confirm Thing --set 3":           {"Delete the 1250 resources of Thing in set 3 (59.5% of all), which the catalogue has not had since 2026-03-01 10:00 UTC? [y/N]", `POST kinds/Thing/confirm {"deletes":1250,"set":3}`},
		"reassign Thing 1 --assume-dead":  {"Does nothing of the pod of instance Thing 1 run any more? If something does, its resources run twice. [y/N]", `POST kinds/Thing/reassign {"instance":1,"assumeDead":true}`},
		"drain Thing 1 --for 2h -o name ": {"Drain instance Thing 1 for 2h?", `POST kinds/Thing/drains {"instance":1,"for":"2h"}`},
	} {
		for answer, yes := range map[string]bool{"y\n": true, "Yes\n": true, "n\n": false, "\n": false, "yo\n": false, "\x04": false} {
			s := open(t, append(strings.Fields(line), "--kubeconfig", config)...)
			s.shows(t, want.question)
			require.Empty(t, server.wrote(), "nothing is done before the answer")
			_, err := io.WriteString(s, answer)
			require.NoError(t, err)
			code := s.ended(t)
			if yes {
				require.Zero(t, code, "%s %q: %s", line, answer, s.text())
				require.Equal(t, []string{want.write}, server.wrote(), line)
			} else {
				require.Equal(t, ExitError, code, "%s %q", line, answer)
				require.Contains(t, s.text(), "not confirmed: nothing was done")
				require.Empty(t, server.wrote(), "%s %q", line, answer)
			}
		}
	}
}

// drainingFrom has instance 1 own one resource less each time it is asked for.
func drainingFrom(server *fixed, count int) {
	var asked atomic.Int64
	server.answer("GET kinds/Thing/instances/1", func(w http.ResponseWriter, _ *http.Request) {
		i := instances()[1]
		i.List.Count, i.List.InFlight = max(0, count-int(asked.Add(1)-1)), 0
		write(w, 200, "application/json", i)
	})
}

func TestAWaitShowsABarOnATerminalUntilItIsDone(t *testing.T) {
	server := newFixed(t)
	config := kubeconfig(t, server.URL, "iota")
	drainingFrom(server, 2)
	s := open(t, "drain", "Thing", "1", "--yes", "--wait", "--kubeconfig", config)
	s.shows(t, "(1/2)")
	require.Zero(t, s.ended(t), s.text())
	require.Contains(t, s.text(), "draining")
	require.Contains(t, s.text(), "100%")

	drainingFrom(server, 2)
	got := runAt(t, "drain", "Thing", "1", "--yes", "--wait", "--kubeconfig", config)
	require.Zero(t, got.code)
	require.Equal(t, "Thing: instance 1 is drained\n", got.out)
	require.Empty(t, got.err, "without a terminal there is no bar")
}

func TestAnInterruptEndsTheWaitAndNotTheDrain(t *testing.T) {
	server := newFixed(t)
	drainingFrom(server, 1000)
	s := open(t, "drain", "Thing", "1", "--yes", "--wait", "--kubeconfig", kubeconfig(t, server.URL, "iota"))
	s.shows(t, "/1000)")
	_, err := io.WriteString(s, "\x03")
	require.NoError(t, err)
	require.Equal(t, ExitError, s.ended(t))
	require.Contains(t, s.text(), "was asked to stop waiting")
	require.Contains(t, s.text(), "it goes on: kubectl shardscaler top")
	require.Equal(t, []string{`POST kinds/Thing/drains {"instance":1}`}, server.wrote())
}

func TestATimeoutEndsTheWait(t *testing.T) {
	server := newFixed(t)
	config := kubeconfig(t, server.URL, "iota")
	got := runAt(t, "move", "Thing", "device/17", "--to", "2", "--wait", "--timeout", "10ms", "--kubeconfig", config)
	require.Equal(t, ExitError, got.code)
	require.Contains(t, got.err, "waited as long as --timeout says")

	server.answer("GET kinds/Thing/resource", func(w http.ResponseWriter, _ *http.Request) {
		write(w, 200, "application/json", ops.Resource{ID: "device/17", Instance: ptr(2), Place: "list"})
	})
	got = runAt(t, "move", "Thing", "device/17", "--to", "2", "--wait", "--kubeconfig", config)
	require.Zero(t, got.code, got.err)
}

func TestTheShimOfKubectlCompletes(t *testing.T) {
	server := newFixed(t)
	folder := t.TempDir()
	plugin, err := filepath.Abs(os.Args[0])
	require.NoError(t, err)
	require.NoError(t, os.Symlink(plugin, filepath.Join(folder, "kubectl-shardscaler")))
	t.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("KUBECONFIG", kubeconfig(t, server.URL, "iota"))

	got := runAt(t, "completion", "install")
	require.Equal(t, ExitError, got.code, "it asks where the folder is not named")
	got = runAt(t, "completion", "install", "--yes")
	require.Zero(t, got.code, got.err)
	require.Empty(t, got.err)
	shim := filepath.Join(folder, shimName)
	require.Equal(t, "installed "+shim+"\n", got.out)

	var asked atomic.Int64
	server.answer("GET kinds", func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		document, _ := documents("GET", "kinds", r)
		write(w, 200, "application/json", asObjects(document))
	})
	completed := func(words ...string) []string {
		cmd := exec.CommandContext(t.Context(), shim, words...)
		cmd.Env = append(os.Environ(), asPlugin+"=1")
		out, err := cmd.Output()
		require.NoError(t, err)
		var names []string
		for line := range strings.Lines(string(out)) {
			name, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			names = append(names, name)
		}
		return names
	}
	const noFiles = ":4"
	require.Equal(t, []string{"Thing", "Rule", noFiles}, completed("status", ""))
	require.Equal(t, []string{"Thing", noFiles}, completed("why", "T"))
	require.EqualValues(t, 1, asked.Load(), "the second answer is remembered")
	require.Equal(t, []string{"1", noFiles}, completed("drain", "Thing", "1"))
	require.Equal(t, []string{"device/17", "device-18", noFiles}, completed("pin", "Thing", "dev"))
	require.Equal(t, []string{"0", "1", "2", noFiles}, completed("pin", "Thing", "device/17", "--to", ""))
	require.Equal(t, []string{"drain", noFiles}, completed("dr"))
	server.Close()
	require.Equal(t, []string{noFiles}, completed("drain", "Rule", ""), "without a server nothing is completed, and nothing said")
}
