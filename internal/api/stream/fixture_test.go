package stream

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
	"github.com/shardscaler/shardscaler/internal/ops"
)

// world is what replicas see.
type world struct {
	mu      sync.Mutex
	kinds   []delta.Seen
	entries []ops.Entry // of every kind
	reads   int
	broken  bool
}

func (w *world) read(now time.Time) []delta.Seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reads++; w.broken {
		panic("cannot read")
	}
	kinds := slices.Clone(w.kinds)
	for i := range kinds {
		kinds[i].Kind.At = now
		kinds[i].Kind.Sources = []ops.Source{{Name: "store", At: now, Age: "0s"}}
		if n := len(w.entries); n > 0 {
			kinds[i].Newest = w.entries[n-1].ID
		}
	}
	return kinds
}

func (w *world) history(_, after string) (entries []ops.Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.entries {
		if e.ID > after {
			entries = append(entries, e)
		}
	}
	return entries
}

func (w *world) change(f func(w *world)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w)
}

// count sets what an instance of a kind owns. The versions before are not changed by it.
func (w *world) count(kind, ordinal, n int) {
	w.change(func(w *world) {
		w.kinds[kind].Instances = slices.Clone(w.kinds[kind].Instances)
		w.kinds[kind].Instances[ordinal].List.Count = n
	})
}

// kindOf has n instances.
func kindOf(name string, n int) delta.Seen {
	s := delta.Seen{Kind: ops.Kind{Name: name, Alarms: []ops.Alarm{}, Overrides: []ops.Override{}}}
	for i := range n {
		ratio := 0.625
		s.Instances = append(s.Instances, ops.Instance{
			Ordinal: i, StatefulSet: "iota-dac", Pod: fmt.Sprintf("iota-dac-%d", i), UID: fmt.Sprintf("0b8a1f6e-5d0c-4f5e-9f5d-%012d", i),
			Node: fmt.Sprintf("node-%d", i%40), State: "open", Health: ops.Health{Condition: "Healthy", By: "heartbeat"},
			List: ops.List{Count: 4500, Capacity: 5000}, CPU: &ops.Load{Usage: 500, Request: 500, Ratio: &ratio}, Memory: &ops.Load{Usage: 1 << 29, Request: 1 << 30},
		})
	}
	return s
}

func things(n int) *world { return &world{kinds: []delta.Seen{kindOf("Thing", n)}} }

func (w *world) config() Config {
	return Config{Read: w.read, History: w.history, Log: slog.New(slog.DiscardHandler)}
}

const path = "/v1/api/kinds"

// handler serves the hub's streams at path, and "listed" where none is asked for.
func handler(hub *Hub) http.Handler {
	mux := http.NewServeMux()
	api := humago.New(mux, huma.DefaultConfig("test", "1"))
	op := huma.Operation{Method: http.MethodGet, Path: path, OperationID: "list-kinds", Middlewares: huma.Middlewares{hub.Instead(api, nil)}}
	Describe(api, &op)
	huma.Register(api, op, func(context.Context, *struct{}) (*struct{ Body string }, error) {
		return &struct{ Body string }{"listed"}, nil
	})
	return mux
}

// server is the product's, with its limits on a request.
func server(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 60 * time.Second,
		IdleTimeout: 2 * time.Minute, ConnContext: ConnContext, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0),
	}
}

// listen serves over TCP until the test ends.
func listen(t testing.TB, s *http.Server) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

// stream is a reader of one.
type stream struct {
	t    testing.TB
	resp *http.Response
	from *bufio.Reader
}

// open asks for a stream. query begins with & or is empty.
func open(t testing.TB, c *http.Client, url, query, lastID string) *stream {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path+"?watch=true"+query, http.NoBody)
	require.NoError(t, err)
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := c.Do(r) //nolint:bodyclose // close does, at the latest when the test ends
	require.NoError(t, err)
	s := &stream{t, resp, bufio.NewReader(resp.Body)}
	t.Cleanup(s.close)
	return s
}

func (s *stream) close() { _ = s.resp.Body.Close() }

// block is what comes up to an empty line.
func (s *stream) block() (string, error) {
	var b strings.Builder
	for {
		line, err := s.from.ReadString('\n')
		if b.WriteString(line); line == "\n" || err != nil {
			return b.String(), err
		}
	}
}

// next is the next event: comments and pauses are passed over.
func (s *stream) next() (id, name, data string) {
	s.t.Helper()
	for {
		text, err := s.block()
		require.NoError(s.t, err)
		for line := range strings.Lines(text) {
			field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch field {
			case "id":
				id = value
			case "event":
				name = value
			case "data":
				data = value
			}
		}
		if name != "" {
			return id, name, data
		}
	}
}

// drain reads until the stream is closed.
func (s *stream) drain() { go func() { _, _ = io.Copy(io.Discard, s.from) }() }

// ended is the error that the stream ends with; io.EOF when it ends as it should.
func (s *stream) ended() error {
	_, err := io.Copy(io.Discard, s.from)
	if err == nil {
		return io.EOF
	}
	return err
}
