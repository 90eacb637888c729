package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/api/kinds"
	"github.com/shardscaler/shardscaler/internal/api/packed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// fleet is a backend with many resources, whose state a test replaces.
type fleet struct {
	backend
	mu    sync.Mutex
	state *protocol.State
}

func newFleet(instances, each int) *fleet {
	f := &fleet{state: &protocol.State{Instances: map[int]*protocol.Instance{}}}
	for n := range instances {
		in := &protocol.Instance{Ordinal: n, Used: each, Capacity: 5000, Times: 1}
		for i := range each {
			in.IDs = protocol.NewIDs(append(in.IDs.Strings(), fmt.Sprintf("%08d-thing-of-instance-%d", i, n)))
		}
		f.state.Instances[n] = in
	}
	return f
}

func (f *fleet) Kind(name string) (KindView, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return KindView{
		Config: config.Default("Thing", "iota-dac"), State: f.state,
		Decision: &outcome.Report{Decision: decide.Decision{Kind: name, Verb: decide.NoChange, At: time.Now()}},
		Lookup:   func(string) (int, bool) { return 0, false },
	}, name == "Thing"
}

// change replaces one instance, as a transaction does.
func (f *fleet) change(n int, ids ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.state.Clone()
	in := *next.Instances[n]
	in.IDs, in.Times = protocol.NewIDs(ids), in.Times+1
	next.Instances[n] = &in
	f.state = next
}

const thing = "/v1/api/orchestrations/Thing"

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	length int64 // as the response says; -1: it does not
	body   []byte
}

func get(t *testing.T, url string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header, resp.ContentLength, body}
}

func serveFleet(t *testing.T, f *fleet, cfg Config) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	cfg.Guard = guarded()
	New(cfg, mux, f, nil, slog.New(slog.DiscardHandler))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func TestAnAnswerIsTheSamePlainAndCompressed(t *testing.T) {
	f := newFleet(12, 700)
	f.change(3)           // an empty list
	f.change(4, `<a&"b\`) // what JSON escapes, and what HTML would
	s := serveFleet(t, f, Config{})
	resp := get(t, s.URL+thing)
	plain := resp.body
	require.EqualValues(t, len(plain), resp.length)
	var o Orchestration
	require.NoError(t, json.Unmarshal(plain, &o))
	require.Len(t, o.Instances, 12)
	require.Equal(t, f.state.Instances[11].IDs.Strings(), o.Instances["11"].Resources.IDs)
	require.Equal(t, []string{`<a&"b\`}, o.Instances["4"].Resources.IDs)
	require.Contains(t, string(plain), `"3":{"data":{"used":700,"count":5000},"_reload":{"times":2},"resources":{"ids":[]}}`)
	require.Contains(t, string(plain), `<a&`)

	resp = get(t, s.URL+thing, "Accept-Encoding", "br, gzip;q=0.5")
	require.Equal(t, "gzip", resp.header.Get("Content-Encoding"))
	require.Less(t, len(resp.body), len(plain)/3)
	r, err := gzip.NewReader(bytes.NewReader(resp.body))
	require.NoError(t, err)
	r.Multistream(false) // one member: not every client reads more
	unpacked, err := io.ReadAll(r)
	require.NoError(t, err, "its checksum and length are right")
	require.Equal(t, withoutTimes(t, plain), withoutTimes(t, unpacked))
	for _, refuses := range []string{"gzip;q=0", "identity", "br"} {
		require.Empty(t, get(t, s.URL+thing, "Accept-Encoding", refuses).header.Get("Content-Encoding"), refuses)
	}
}

// withoutTimes is an orchestration without the time of the decision, which each request of the
// fleet makes anew.
func withoutTimes(t *testing.T, text []byte) Orchestration {
	t.Helper()
	var o Orchestration
	require.NoError(t, json.Unmarshal(text, &o))
	o.Decision = nil
	return o
}

func TestAnAnswerThatTheCallerHasIsNotSentAgain(t *testing.T) {
	f := newFleet(3, 2)
	s := serveFleet(t, f, Config{})
	tag := get(t, s.URL+thing).header.Get("ETag")
	require.Regexp(t, `^W/"[0-9a-f]{32}"$`, tag)
	resp := get(t, s.URL+thing, "If-None-Match", `"other", `+tag)
	require.Equal(t, http.StatusNotModified, resp.status, "only the times of looking differ")
	f.change(1, "a")
	resp = get(t, s.URL+thing, "If-None-Match", tag)
	require.Equal(t, http.StatusOK, resp.status)
	changed := resp.header.Get("ETag")
	require.NotEqual(t, tag, changed)
	require.Equal(t, changed, get(t, s.URL+thing).header.Get("ETag"))
}

func TestAnInstanceIsEncodedOnceWhileItIsUnchanged(t *testing.T) {
	f := newFleet(3, 2)
	var e encodings
	first, release := e.take("Thing", f.state)
	f.change(1, "a")
	second, releaseSecond := e.take("Thing", f.state)
	require.Same(t, first[0], second[0])
	require.NotSame(t, first[1], second[1])
	require.Same(t, first[2], second[2])
	require.EqualValues(t, len(first[1].Plain), e.outdated, "the older answer alone holds it")
	release()
	require.Zero(t, e.outdated)
	releaseSecond()
	e.dropAll()
	require.Zero(t, e.outdated, "what no answer holds is gone with the last look at it")
}

func TestReadersOfOlderStatesAreBounded(t *testing.T) {
	f := newFleet(1, 5000)
	var e encodings
	var releases []func()
	taken := 0
	for {
		f.change(0, f.state.Instances[0].IDs.Strings()...)
		if e.full() {
			break
		}
		_, release := e.take("Thing", f.state)
		releases = append(releases, release)
		taken += len(e.kinds["Thing"][0].Plain)
		require.Less(t, taken, maxOutdated+2<<20, "more is held than may be")
	}
	for _, release := range releases {
		release()
	}
	require.Zero(t, e.outdated)
	require.False(t, e.full())
	_, release := e.take("Thing", f.state)
	release()
}

// slowReader asks and then reads nothing.
func slowReader(t *testing.T, s *httptest.Server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4<<10))
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", thing)
	require.NoError(t, err)
	return conn
}

// Readers at one address that do not read hold half of the places at most, and the other calls are
// answered.
func TestSlowReadersDoNotShutOthersOut(t *testing.T) {
	s := serveFleet(t, newFleet(100, 3500), Config{SlowReader: time.Hour})
	for range maxLarge/2 + 20 {
		slowReader(t, s)
	}
	busy := get(t, s.URL+thing)
	for try := 0; busy.status != http.StatusTooManyRequests && try < 10*maxLarge; try++ {
		slowReader(t, s) // our own call held a place while the last of them asked
		busy = get(t, s.URL+thing)
	}
	require.Equal(t, http.StatusTooManyRequests, busy.status, "the readers hold all the places of this address")
	require.Equal(t, "1", busy.header.Get("Retry-After"))
	require.Contains(t, string(busy.body), "16 for one address")
	require.Equal(t, http.StatusNotFound, get(t, s.URL+thing+"/x/instances").status, "other calls are answered")
	s.CloseClientConnections()
}

func TestReadersThatMakeNoProgressAreCutOff(t *testing.T) {
	s := serveFleet(t, newFleet(100, 3500), Config{SlowReader: 100 * time.Millisecond})
	for range maxLarge/2 + 20 {
		slowReader(t, s)
	}
	// An answer without a body: this reader, too, might be too slow for a whole one.
	free := func() bool { return get(t, s.URL+thing, "If-None-Match", "*").status == http.StatusNotModified }
	require.Eventually(t, free, 3*time.Minute, 20*time.Millisecond, "their places are free again though they have not read")
}

// lazyWriter takes its time for each piece, and counts those whose deadline had passed.
type lazyWriter struct {
	http.ResponseWriter
	each     time.Duration
	deadline time.Time
	late     int
	took     bytes.Buffer
}

func (w *lazyWriter) SetWriteDeadline(at time.Time) error {
	w.deadline = at
	return nil
}

func (w *lazyWriter) Write(b []byte) (int, error) {
	time.Sleep(w.each)
	if time.Now().After(w.deadline) || len(b) > sendChunk {
		w.late++
	}
	return w.took.Write(b)
}

func TestAReaderThatMakesProgressIsServedToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handlers{slowReader: 5 * time.Second}
		text := bytes.Repeat([]byte("x"), 10*sendChunk+1)
		w := &lazyWriter{each: h.slowReader - time.Millisecond}
		require.NoError(t, h.write(w, document{packed.Shared(text), comma}.plain))
		require.Zero(t, w.late, "each piece has the whole time for itself")
		require.Equal(t, string(text)+",", w.took.String())
	})
}

// crowded is a backend whose writes take so long that readers of older states hold all the memory
// they may when they are done.
type crowded struct {
	*backend
	encodings *encodings
}

func (c crowded) Orchestrate(ctx context.Context, kind string, most, each *int) (ops.Applied, error) {
	c.encodings.outdated = maxOutdated + 1
	return c.backend.Orchestrate(ctx, kind, most, each)
}

func TestWhatIsCarriedOutIsNotRefusedForWantOfRoom(t *testing.T) {
	b, most := &backend{}, 30
	h := &handlers{log: slog.New(slog.DiscardHandler), patience: time.Minute, audit: func(context.Context, kinds.Audited) {}}
	h.backend = crowded{b, &h.encodings}
	ask := &orchestrateInput{KindPath: KindPath{Kind: "Thing"}, Body: &OrchestrateRequest{MaxInstances: &most}}

	h.encodings.outdated = maxOutdated + 1
	_, err := h.orchestrate(t.Context(), ask)
	var refused huma.StatusError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusTooManyRequests, refused.GetStatus())
	require.Zero(t, b.calls, "refused before anything is carried out")

	h.encodings.outdated = 0
	_, err = h.orchestrate(t.Context(), ask)
	require.NoError(t, err, "carried out")
	require.Equal(t, 1, b.calls)
	require.Equal(t, 30, b.override.MaxInstances.Value)
}
