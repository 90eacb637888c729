// Package stream sends what changes of the kinds to its viewers, as Server-Sent Events.
//
// In: the documents that this replica sees, once a second while there are viewers; requests with
// watch=true. Out: events (docs/formats.md, "Stream"). Invariant: what viewers have in common is
// read, compared, encoded and compressed once; a viewer holds no queue, only what it has got, so a slow one
// misses what came between and costs as much as any other.
package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
	"github.com/shardscaler/shardscaler/internal/limits"
	"github.com/shardscaler/shardscaler/internal/ops"
)

// Config configures New. Only Read and Log are required.
type Config struct {
	// Read is what this replica sees now: each kind, in the order of the configuration.
	Read func(now time.Time) []delta.Seen
	// History are the entries of a kind after the one of that id, the oldest first. Ids order them.
	History func(kind, after string) []ops.Entry
	// May says whether the caller of a request, whose context that is, may see a kind. It is asked
	// when a stream begins, and again after each Recheck.
	May func(ctx context.Context, kind string) bool
	// Recheck says whether that caller may still watch. It is asked each minute; an error ends the
	// stream. ErrUnsure: that could not be found out, and the client may connect again.
	Recheck func(ctx context.Context) error
	// Source names what a request counts for. Default: the address that it came from.
	Source func(huma.Context) string
	// Streams is how many there may be at once, half of them for one source. Default 1000.
	Streams int
	// SlowReader is how long a reader may take nothing before it is cut off. Default 5s.
	SlowReader time.Duration
	Log        *slog.Logger
}

// ErrUnsure says that it could not be found out whether a caller may still watch.
var ErrUnsure = errors.New("whether you may still watch cannot be found out now")

const (
	defaultStreams = 1000
	// interval is the least time between two changes.
	interval = time.Second
	// quiet is how long a stream may be silent. Proxies commonly cut off after 30 or 60 s.
	quiet = 15 * time.Second
	// recheckEvery is the time between two Rechecks; up to a sixth less, so that streams which began
	// together do not ask together.
	recheckEvery   = time.Minute
	recheckTimeout = 10 * time.Second
	// firstFrame is how long a stream waits for the first documents.
	firstFrame = 5 * time.Second
)

// MaxMissed is how many history entries a client is sent at once: one that has missed more gets a
// full state.
const MaxMissed = 500

// Watching says whether a query asks for a stream, by Kubernetes' rule: watch is there and neither
// false nor 0.
func Watching(query url.Values) bool {
	values, ok := query["watch"]
	return ok && (len(values) == 0 || !slices.Contains([]string{"false", "0"}, strings.ToLower(values[0])))
}

// Serve answers a request with a stream, and returns when that ends.
func (h *Hub) Serve(api huma.API, ctx huma.Context) {
	r, w := humago.Unwrap(ctx)
	only, err := onlyKind(r.URL.Query())
	if err != nil {
		h.refuse(api, ctx, http.StatusBadRequest, err.Error())
		return
	}
	source := h.cfg.Source(ctx)
	if !h.share.Enter(source) {
		ctx.SetHeader("Retry-After", "5")
		h.refuse(api, ctx, http.StatusTooManyRequests, fmt.Sprintf("too many streams at once, limit %d for one address", h.share.Each()))
		return
	}
	defer h.share.Leave(source)
	f, leave := h.join(ctx.Context())
	defer leave()
	if f == nil {
		ctx.SetHeader("Retry-After", "1")
		h.refuse(api, ctx, http.StatusServiceUnavailable, "this replica has nothing to show now; try again in a second")
		return
	}
	bound(r)
	v := &viewer{hub: h, ctx: ctx.Context(), only: only}
	if status, why := v.refused(f); status != 0 {
		h.refuse(api, ctx, status, why)
		return
	}
	v.out = newOutput(w, r, h.cfg.SlowReader)
	err = v.begin(w.Header())
	if err == nil && r.Method != http.MethodHead {
		err = v.run(v.located(f, r.Header.Get("Last-Event-ID")))
	}
	h.cfg.Log.Debug("stream ended", "source", source, "error", err)
}

func (h *Hub) refuse(api huma.API, ctx huma.Context, status int, detail string) {
	if err := huma.WriteErr(api, ctx, status, detail); err != nil {
		h.cfg.Log.Debug("answer not written", "error", err)
	}
}

// onlyKind is the one kind that a query asks for; "": all.
func onlyKind(query url.Values) (string, error) {
	only := query.Get("kind")
	text := query.Get("fieldSelector")
	if text == "" {
		return only, nil
	}
	const field = "metadata.name"
	selector, err := fields.ParseSelector(text)
	if err != nil {
		return "", fmt.Errorf("fieldSelector: %w", err)
	}
	name, ok := selector.RequiresExactMatch(field)
	if !ok || len(selector.Requirements()) != 1 {
		return "", fmt.Errorf("fieldSelector %s: only %s=<kind> is taken", strconv.Quote(text), field)
	}
	if only != "" && only != name {
		return "", fmt.Errorf("kind %s contradicts fieldSelector %s", strconv.Quote(only), strconv.Quote(text))
	}
	return name, nil
}

// New returns a Hub that does nothing until the first stream.
func New(cfg Config) *Hub {
	cfg.Streams = cmp.Or(cfg.Streams, defaultStreams)
	cfg.SlowReader = cmp.Or(cfg.SlowReader, 5*time.Second)
	if cfg.Source == nil {
		cfg.Source = func(ctx huma.Context) string { return limits.Source(ctx.RemoteAddr()) }
	}
	if cfg.May == nil {
		cfg.May = func(context.Context, string) bool { return true }
	}
	if cfg.Recheck == nil {
		cfg.Recheck = func(context.Context) error { return nil }
	}
	if cfg.History == nil {
		cfg.History = func(string, string) []ops.Entry { return nil }
	}
	return &Hub{
		cfg: cfg, share: limits.NewShare(cfg.Streams), done: make(chan struct{}),
		changed: make(chan struct{}), rings: map[string]*delta.Ring{},
	}
}

// Instead is a middleware for the operation that lists kinds: a request for a stream passes let and
// gets one, any other goes on.
func (h *Hub) Instead(api huma.API, let huma.Middlewares) func(huma.Context, func(huma.Context)) {
	serve := let.Handler(func(ctx huma.Context) { h.Serve(api, ctx) })
	return func(ctx huma.Context, next func(huma.Context)) {
		u := ctx.URL()
		if Watching(u.Query()) {
			serve(ctx)
			return
		}
		next(ctx)
	}
}
