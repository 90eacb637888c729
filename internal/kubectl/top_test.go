package kubectl

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/api/stream"
	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
	"github.com/shardscaler/shardscaler/internal/ops"
)

// moving is a server whose kinds change, with the product's own stream of them.
type moving struct {
	*fixed
	hub   *stream.Hub
	mu    sync.Mutex
	kinds []delta.Seen
}

func newMoving(t *testing.T) *moving {
	m := &moving{fixed: newFixed(t), kinds: []delta.Seen{{Kind: thing(), Instances: instances()}, {Kind: rule()}}}
	m.hub = stream.New(stream.Config{Read: m.read, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(m.hub.Close)
	mux := http.NewServeMux()
	api := humago.New(mux, huma.DefaultConfig("test", "1"))
	list := huma.Operation{
		Method: http.MethodGet, Path: "/apis/ops.shardscaler.io/v1/namespaces/iota/kinds", OperationID: "list-kinds",
		Middlewares: huma.Middlewares{m.hub.Instead(api, nil)},
	}
	huma.Register(api, list, func(context.Context, *struct{}) (*struct{ Body any }, error) {
		document, _ := documents(http.MethodGet, "kinds", nil)
		return &struct{ Body any }{asObjects(document)}, nil
	})
	m.answer("GET kinds", mux.ServeHTTP)
	return m
}

func (m *moving) read(time.Time) []delta.Seen {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.kinds)
}

func (m *moving) change(kind int, by func(*delta.Seen)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := m.kinds[kind]
	seen.Instances = slices.Clone(seen.Instances)
	by(&seen)
	m.kinds[kind] = seen
}

func TestTopFollowsTheStream(t *testing.T) {
	server := newMoving(t)
	s := open(t, "top", "Thing", "--sort=-count", "--kubeconfig", kubeconfig(t, server.URL, "iota"))
	s.shows(t, "990/1000")
	require.Contains(t, s.text(), "\x1b[?1049h", "it draws on another page of the terminal")
	require.Contains(t, s.text(), "critical: Thing: instance 1 is silent")
	require.NotContains(t, s.text(), "Rule", "only the kind that is named")
	screen := s.text()[strings.LastIndex(s.text(), home):]
	require.Less(t, strings.Index(screen, "1050/1000"), strings.Index(screen, "990/1000"), "the largest come first: %q", screen)

	server.change(0, func(seen *delta.Seen) { seen.Instances[0].List.Count = 123 })
	s.shows(t, "123/1000")
	// An interrupt ends it, and gives the terminal back.
	_, err := io.WriteString(s, "\x03")
	require.NoError(t, err)
	require.Zero(t, s.ended(t), s.text())
	require.True(t, strings.HasSuffix(s.text(), leave), "%q", s.text())
}

func TestTopSaysThatTheConnectionIsLost(t *testing.T) {
	server := newMoving(t)
	s := open(t, "top", "--kubeconfig", kubeconfig(t, server.URL, "iota"))
	s.shows(t, "Rule")
	server.hub.Close()
	s.shows(t, "NO CONNECTION, this is ")
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(t, s.ended(t))
}

func TestTopIsShownOnceWithoutATerminal(t *testing.T) {
	server := newFixed(t)
	config := kubeconfig(t, server.URL, "iota")
	require.Equal(t, runAt(t, "status", "--kubeconfig", config), runAt(t, "top", "--kubeconfig", config))
	require.Equal(t, runAt(t, "status", "Thing", "--instances", "--kubeconfig", config), runAt(t, "top", "Thing", "--kubeconfig", config))
	got := runAt(t, "top", "Thing", "--sort", "name", "--kubeconfig", config)
	require.Equal(t, ExitError, got.code)
	require.Contains(t, got.err, `--sort: "name": want ordinal, count, lag, cpu or memory`)
}

// Each kind is a line, and then those that change; what changes by time alone is none.
func TestStatusWatchShowsALineForEachChange(t *testing.T) {
	server := newMoving(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "status", "--watch", "--kubeconfig", kubeconfig(t, server.URL, "iota"))
	cmd.Env = append(os.Environ(), asPlugin+"=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := newLines(out)
	require.Contains(t, lines.next(t), "KIND")
	require.Contains(t, lines.next(t), "Thing")
	require.Contains(t, lines.next(t), "Rule")
	server.change(0, func(seen *delta.Seen) { seen.Kind.WorstLag = &ops.WorstLag{Lag: "99s"} })
	time.Sleep(1100 * time.Millisecond) // the server looks once a second
	server.change(0, func(seen *delta.Seen) { seen.Kind.Resources.Unassigned = 7; seen.Kind.WorstLag = nil })
	line := lines.next(t)
	require.Equal(t, []string{"Thing", "2/3", "3", "2100", "7", "5", "-"}, strings.Fields(line)[:7])
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	require.NoError(t, cmd.Wait())

	server.answer("GET kinds", func(w http.ResponseWriter, _ *http.Request) { status(w, 403, "kinds is forbidden: cannot watch") })
	got := runAt(t, "status", "--watch", "--kubeconfig", kubeconfig(t, server.URL, "iota"))
	require.Equal(t, ExitError, got.code)
	require.Contains(t, got.err, "error: watch kinds: kinds is forbidden: cannot watch\nnext: ")
}

// watching starts a status that watches; stop ends it.
func watching(t *testing.T, server *moving, flags ...string) (out lines, stop func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{"status", "--watch", "--kubeconfig", kubeconfig(t, server.URL, "iota")}, flags...)...)
	cmd.Env = append(os.Environ(), asPlugin+"=1")
	from, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	return newLines(from), func() {
		require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
		require.NoError(t, cmd.Wait())
	}
}

// A program that reads documents gets one of each kind, and then one for each change.
func TestStatusWatchPrintsADocumentForEachChange(t *testing.T) {
	server := newMoving(t)
	out, stop := watching(t, server, "-o", "json")
	document := func() (k ops.Kind) {
		text := ""
		for line := ""; line != "}"; {
			line = out.next(t)
			text += line
		}
		require.NoError(t, json.Unmarshal([]byte(text), &k))
		return k
	}
	require.Equal(t, "Thing", document().Name)
	require.Equal(t, "Rule", document().Name)
	server.change(0, func(seen *delta.Seen) { seen.Kind.Resources.Unassigned = 7 })
	changed := document()
	require.Equal(t, []any{"Thing", 7}, []any{changed.Name, changed.Resources.Unassigned})
	stop()

	out, stop = watching(t, server, "-o", "name", "Thing")
	require.Equal(t, "kind.ops.shardscaler.io/Thing", out.next(t))
	stop()
	out, stop = watching(t, server, "-o", "yaml", "Thing")
	for line := ""; line != "name: Thing"; {
		line = out.next(t)
	}
	stop()
}

func TestStatusWatchesAllInstallations(t *testing.T) {
	server := newMoving(t)
	out, stop := watching(t, server, "-A")
	require.Equal(t, "NAMESPACE", strings.Fields(out.next(t))[0])
	require.Equal(t, []string{"iota", "Thing"}, strings.Fields(out.next(t))[:2])
	require.Equal(t, []string{"iota", "Rule"}, strings.Fields(out.next(t))[:2])
	server.change(1, func(seen *delta.Seen) { seen.Kind.Resources = &ops.Resources{Unassigned: 3} })
	require.Equal(t, []string{"iota", "Rule"}, strings.Fields(out.next(t))[:2])
	stop()

	server.answer("GET kinds", func(w http.ResponseWriter, _ *http.Request) { status(w, 403, "kinds is forbidden: cannot watch") })
	got := runAt(t, "status", "--watch", "-A", "--kubeconfig", kubeconfig(t, server.URL, "iota"))
	require.Equal(t, ExitError, got.code)
	require.Contains(t, got.err, "error: watch kinds in namespace iota: kinds is forbidden: cannot watch\nnext: ")
}

// lines are what a command prints, as it does.
type lines chan string

func newLines(from io.Reader) lines {
	l := make(lines, 100)
	go func() {
		defer close(l)
		var rest string
		buffer := make([]byte, 4096)
		for {
			n, err := from.Read(buffer)
			rest += string(buffer[:n])
			for line, after, ok := strings.Cut(rest, "\n"); ok; line, after, ok = strings.Cut(rest, "\n") {
				l <- line
				rest = after
			}
			if err != nil {
				return
			}
		}
	}()
	return l
}

func (l lines) next(t *testing.T) string {
	t.Helper()
	select {
	case line := <-l:
		return line
	case <-time.After(20 * time.Second):
		t.Fatal("no line comes")
		return ""
	}
}

func TestWhatHasNoRoomOnATerminalIsCounted(t *testing.T) {
	require.Equal(t, home+"abcd"+toEnd+"\n"+"xyz"+toEnd+below, fitted("abcd\nxyz\n", 4, 2))
	require.Equal(t, home+"abcdefghijklmnopqr…"+toEnd+"\n"+"… and 2 lines more"+toEnd+below, fitted("abcdefghijklmnopqrstuvw\nx\ny\n", 19, 2))
}
