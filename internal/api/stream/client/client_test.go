package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/shardscaler/shardscaler/internal/api/stream"
	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
	"github.com/shardscaler/shardscaler/internal/ops"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipe is a network to one server, in virtual time. While it is down, nothing connects.
type pipe struct {
	down   atomic.Bool
	conns  chan net.Conn
	done   chan struct{}
	latest net.Conn
	dials  []time.Time
}

func newPipe() *pipe { return &pipe{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipe) dial(context.Context, string, string) (net.Conn, error) {
	p.dials = append(p.dials, time.Now())
	if p.down.Load() {
		return nil, errors.New("connection refused")
	}
	client, server := net.Pipe()
	p.latest = server
	p.conns <- server
	return client, nil
}

// Accept implements net.Listener.
func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipe) Close() error { return nil }

// Addr implements net.Listener.
func (p *pipe) Addr() net.Addr { return &net.TCPAddr{} }

// watching runs a test beside Watch. The states are copies of what it is shown. What handler makes
// belongs to the bubble.
func watching(t *testing.T, handler func() http.Handler, test func(t *testing.T, p *pipe, shown func() State, result <-chan error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe()
		s := &http.Server{Handler: handler(), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
		go func() { _ = s.Serve(p) }()
		transport := &http.Transport{DialContext: p.dial}
		ctx, cancel := context.WithCancel(t.Context())
		var last atomic.Pointer[State]
		last.Store(&State{})
		result := make(chan error, 1)
		done := make(chan struct{})
		go func() {
			defer close(done)
			result <- Watch(ctx, Config{URL: "http://server/v1/api/kinds?kind=Thing", HTTP: &http.Client{Transport: transport}}, func(s *State) { copied := *s; last.Store(&copied) })
		}()
		defer func() {
			cancel()
			<-done
			transport.CloseIdleConnections()
			close(p.done)
			_ = s.Close()
		}()
		test(t, p, func() State { synctest.Wait(); return *last.Load() }, result)
	})
}

// fleet is what a hub shows: 3 instances of Thing, whose first has count resources.
type fleet struct{ count, opened, resumed atomic.Int64 }

func (f *fleet) seen(now time.Time) []delta.Seen {
	s := delta.Seen{Kind: ops.Kind{Name: "Thing", Alarms: []ops.Alarm{}, Sources: []ops.Source{{Name: "store", At: now}}}}
	for n := range 3 {
		s.Instances = append(s.Instances, ops.Instance{Ordinal: n, Beat: now.Truncate(time.Hour)})
	}
	s.Instances[0].List.Count = int(f.count.Load())
	return []delta.Seen{s}
}

func (f *fleet) handler() http.Handler {
	hub := stream.New(stream.Config{Read: f.seen, Log: slog.New(slog.DiscardHandler)})
	mux := http.NewServeMux()
	api := humago.New(mux, huma.DefaultConfig("test", "1"))
	op := huma.Operation{Method: http.MethodGet, Path: "/v1/api/kinds", OperationID: "list-kinds", Middlewares: huma.Middlewares{hub.Instead(api, nil)}}
	huma.Register(api, op, func(context.Context, *struct{}) (*struct{}, error) { return nil, nil })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.opened.Add(1)
		if r.Header.Get("Last-Event-ID") != "" {
			f.resumed.Add(1)
		}
		mux.ServeHTTP(w, r)
	})
}

func TestAClientFollowsAndComesBack(t *testing.T) {
	f := &fleet{}
	watching(t, f.handler, func(t *testing.T, p *pipe, shown func() State, _ <-chan error) {
		count := func() int {
			s := shown()
			kinds, err := s.Kinds(time.Now())
			require.NoError(t, err)
			require.Len(t, kinds[0].Instances, 3)
			return kinds[0].Instances[0].List.Count
		}
		require.Equal(t, 0, count())
		f.count.Store(7)
		time.Sleep(1001 * time.Millisecond)
		require.Equal(t, 7, count())
		s := shown()
		require.True(t, s.Known())
		require.NoError(t, s.Trouble)
		kinds, err := s.Kinds(time.Now().Add(90 * time.Second))
		require.NoError(t, err)
		require.Equal(t, "1m31s", kinds[0].Instances[0].Lag, "ages grow with the viewer's clock")
		require.Equal(t, "1m30s", kinds[0].Kind.Sources[0].Age)

		time.Sleep(5 * time.Minute)
		s = shown()
		require.LessOrEqual(t, s.Age(time.Now()), 15*time.Second, "a server with nothing new says so")
		require.EqualValues(t, 1, f.opened.Load())

		p.down.Store(true)
		p.latest.Close()
		time.Sleep(time.Minute)
		s = shown()
		require.Error(t, s.Trouble)
		require.GreaterOrEqual(t, s.Age(time.Now()), time.Minute)
		require.Equal(t, 7, count(), "what was seen stays, with its age")
		f.count.Store(8)
		p.down.Store(false)
		time.Sleep(31 * time.Second)
		s = shown()
		require.NoError(t, s.Trouble)
		require.Equal(t, 8, count())
		require.EqualValues(t, 1, f.resumed.Load())
	})
}

func TestPausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe()
		p.down.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		calls := 0
		err := Watch(ctx, Config{URL: "http://server", HTTP: &http.Client{Transport: &http.Transport{DialContext: p.dial}}}, func(s *State) {
			calls++
			require.ErrorContains(t, s.Trouble, "connection refused")
			require.False(t, s.Known())
		})
		require.NoError(t, err)
		require.Equal(t, calls, len(p.dials))
		for i := range p.dials[1:] {
			want := min(30*time.Second, time.Second<<i)
			pause := p.dials[i+1].Sub(p.dials[i])
			require.GreaterOrEqual(t, pause, want/2)
			require.LessOrEqual(t, pause, want)
		}
	})
}

func TestARefusalIsFinalOrNot(t *testing.T) {
	for _, tc := range []struct {
		status      int
		body, after string
		detail      string
		final       bool
	}{
		{http.StatusForbidden, `{"title":"Forbidden","status":403,"detail":"may not watch kinds"}`, "", "may not watch kinds", true},
		{http.StatusUnauthorized, `{"kind":"Status","message":"Unauthorized"}`, "", "Unauthorized", true},
		{http.StatusNotFound, "404 page not found\n", "", "404 page not found", true},
		{http.StatusTooManyRequests, `{"detail":"too many streams"}`, "100", "too many streams", false},
		{http.StatusServiceUnavailable, ``, "-1", "", false},
		{http.StatusBadGateway, strings.Repeat("x", 100_000), "", strings.Repeat("x", maxRefusal), false},
	} {
		var asked []time.Time
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, time.Now())
			require.Equal(t, "kind=Thing&watch=true", r.URL.RawQuery)
			if tc.after != "" {
				w.Header().Set("Retry-After", tc.after)
			}
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, tc.body)
		})
		watching(t, func() http.Handler { return h }, func(t *testing.T, _ *pipe, shown func() State, result <-chan error) {
			time.Sleep(4 * time.Minute)
			refused := (*Refused)(nil)
			if tc.final {
				require.ErrorAs(t, <-result, &refused)
				require.Len(t, asked, 1)
			} else {
				s := shown()
				require.ErrorAs(t, s.Trouble, &refused)
				require.Greater(t, len(asked), 2)
				if tc.after == "100" {
					require.GreaterOrEqual(t, asked[1].Sub(asked[0]), 100*time.Second)
				}
			}
			require.Equal(t, tc.status, refused.Status)
			require.Equal(t, tc.detail, refused.Detail)
		})
	}
}

const empty = `{"full":true,"at":"2026-11-30T07:00:00Z","names":[],"kinds":[],"dated":{}}`

// requests are the Last-Event-IDs of those that have come.
type requests struct {
	mu  sync.Mutex
	ids []string
}

// add returns how many came before.
func (r *requests) add(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = append(r.ids, id)
	return len(r.ids) - 1
}

func (r *requests) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ids)
}

// script answers the n-th request with the n-th text, and then says nothing.
func script(asked *requests, texts ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.add(r.Header.Get("Last-Event-ID"))
		if n < len(texts) {
			_, _ = io.WriteString(w, texts[n])
		}
		_ = http.NewResponseController(w).Flush()
		if n >= len(texts)-1 {
			<-r.Context().Done()
		}
	})
}

func TestWhatCannotBeReadIsAskedForAnew(t *testing.T) {
	var ids requests
	h := script(&ids,
		"id: a\nevent: state\ndata: "+empty+"\n\nid: b\nevent: change\ndata: {\n\n",
		"id: c\nevent: state\ndata: "+empty+"\n\nevent: bye\ndata: {\"reason\":\"shutdown\",\"text\":\"it ends\"}\n\n",
		": a comment\nretry: 10\n\nid: d\nevent: something new\ndata: 1\n\nid: e\nevent: history\ndata: {\"kind\":\"Thing\",\n"+
			"data: \"items\":[{\"id\":\"7\",\"at\":\"2026-11-30T07:00:00Z\",\"type\":\"gap\"}]}\n\n",
	)
	watching(t, func() http.Handler { return h }, func(t *testing.T, _ *pipe, shown func() State, _ <-chan error) {
		s := shown()
		require.ErrorContains(t, s.Trouble, "read update")
		time.Sleep(time.Second) // one pause of half a second to one, and not two
		s = shown()
		require.ErrorContains(t, s.Trouble, "the server ended the stream (shutdown): it ends")
		time.Sleep(1100 * time.Millisecond)
		s = shown()
		require.NoError(t, s.Trouble)
		require.Equal(t, "7", s.News.Items[0].ID)
		time.Sleep(39 * time.Second)
		require.Equal(t, []string{"", "", "c"}, ids.all())
		time.Sleep(2 * time.Second)
		s = shown()
		require.ErrorIs(t, s.Trouble, errSilent, "a connection that says nothing is no connection")
		time.Sleep(2 * time.Second)
		require.Equal(t, []string{"", "", "c", "e"}, ids.all())
	})
}

// However a stream is cut into lines, nothing panics, and data comes as it was sent.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("id: a\nevent: state\ndata: {}\n\n"), "x")
	f.Add([]byte("retry: 99999999999999\n:\ndata\ndata:\n\n\n"), "")
	f.Fuzz(func(t *testing.T, noise []byte, text string) {
		if strings.ContainsAny(text, "\r\n") {
			return
		}
		var got []event
		take := func(e *event) error { got = append(got, *e); return nil }
		stream := io.MultiReader(bytes.NewReader(noise), strings.NewReader("\n\n"), strings.NewReader(fmt.Sprintf("id: 7\nevent: x\ndata: %s\n\n", text)))
		require.ErrorIs(t, events(stream, func() {}, take), errEnded)
		last := got[len(got)-1]
		require.Equal(t, event{id: "7", name: "x", data: append([]byte(nil), text...)}.String(), last.String())
	})
}

func (e event) String() string { return fmt.Sprintf("%s %s %q", e.id, e.name, e.data) }
