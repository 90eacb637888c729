package access

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/danielgtaylor/huma/v2/humatest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

// A change that panics has its line, and the panic goes on.
func TestAPanicIsAudited(t *testing.T) {
	for name, tc := range map[string]struct {
		note Note
		want string
	}{
		"before it noted anything": {want: `before="" after="unknown: the call panicked" status=500`},
		"after":                    {note: Note{"running", "paused"}, want: `before=running after=paused status=500`},
	} {
		log := &strings.Builder{}
		g := New(Config{Namespace: "iota", Insecure: true}, nil, nil, slog.New(slog.NewTextHandler(log, nil)), prometheus.NewRegistry())
		mux := http.NewServeMux()
		huma.Register(humago.New(mux, huma.DefaultConfig("test", "1")),
			huma.Operation{OperationID: "pause-kind", Method: http.MethodPost, Path: "/v1/api/kinds/{kind}/pause", Middlewares: huma.Middlewares{g.Let, g.Logged}},
			func(ctx context.Context, _ *struct{}) (*struct{}, error) {
				if tc.note != (Note{}) {
					Audit(ctx, tc.note)
				}
				panic("a fault of ours")
			})
		r := httptest.NewRequest(http.MethodPost, "http://localhost/v1/api/kinds/Thing/pause", nil)
		require.PanicsWithValue(t, "a fault of ours", func() { g.Plain(mux).ServeHTTP(httptest.NewRecorder(), r) }, name)
		require.Equal(t, 1, strings.Count(log.String(), "msg=audit"), log.String())
		require.Contains(t, log.String(), "user=insecure-local operation=pause-kind kind=Thing "+tc.want, name)
	}
}

// TestAnAnswerWithoutAStatusIsAuditedAs200: a handler that writes a body alone has said so.
func TestAnAnswerWithoutAStatusIsAuditedAs200(t *testing.T) {
	log := &strings.Builder{}
	g := New(Config{Namespace: "iota", Insecure: true}, nil, nil, slog.New(slog.NewTextHandler(log, nil)), prometheus.NewRegistry())
	mux := http.NewServeMux()
	huma.Register(humago.New(mux, huma.DefaultConfig("test", "1")),
		huma.Operation{OperationID: "orchestrate", Method: http.MethodPost, Path: "/v1/api/kinds/{kind}/orchestrate", Middlewares: huma.Middlewares{g.Let, g.Logged}},
		func(context.Context, *struct{}) (*huma.StreamResponse, error) {
			return &huma.StreamResponse{Body: func(ctx huma.Context) { _, _ = ctx.BodyWriter().Write([]byte("{}")) }}, nil
		})
	answer := httptest.NewRecorder()
	g.Plain(mux).ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "http://localhost/v1/api/kinds/Thing/orchestrate", nil))
	require.Equal(t, http.StatusOK, answer.Code)
	require.Contains(t, log.String(), "status=200")
}

// What a door refuses before anything is known of it has a line too, if it would change something.
func TestWhatADoorRefusesIsAudited(t *testing.T) {
	log := &strings.Builder{}
	g := New(Config{Namespace: "iota"}, nil, nil, slog.New(slog.NewTextHandler(log, nil)), prometheus.NewRegistry())
	unreached := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("let through") })
	ask := func(door http.Handler, method, path, origin string) {
		r := httptest.NewRequest(method, "http://localhost"+path, nil)
		r.RemoteAddr = "10.0.0.7:1"
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		require.Equal(t, http.StatusForbidden, w.Code)
	}
	ask(g.Plain(unreached), http.MethodPost, "/v1/api/kinds/Thing/pause", "")
	ask(g.Plain(unreached), http.MethodGet, "/v1/api/kinds", "")
	ask(g.Secure(unreached), http.MethodDelete, "/v1/api/kinds/Thing/size", "https://evil.example")
	ask(g.Plain(unreached), http.MethodPost, "/v1/api/kinds/"+strings.Repeat("é", 500), "")
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	require.Len(t, lines, 3, log.String())
	require.Contains(t, lines[0], `user="" operation="POST /v1/api/kinds/Thing/pause" refused=plain_http status=403 door=plain source=10.0.0.7:1`)
	require.Contains(t, lines[1], `operation="DELETE /v1/api/kinds/Thing/size" refused=foreign_page status=403 door=secure`)
	require.Less(t, len(lines[2]), 400)
}

// A hostile caller fills neither the log nor the place of another; what is left out is told.
func TestRefusedChangesCannotFloodTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &strings.Builder{}
		r := newRefusals(slog.New(slog.NewTextHandler(log, nil)), prometheus.NewRegistry())
		right := Right{Verb: "create", Resource: "kinds", Subresource: "pause", Name: "Thing", Namespace: "iota"}
		op := &huma.Operation{OperationID: "pause-kind"}
		ctx := humatest.NewContext(op, httptest.NewRequest(http.MethodPost, "/", nil), httptest.NewRecorder())
		no := &refusal{status: http.StatusUnauthorized, reason: refusedToken}
		for n := range 1000 {
			r.note(ctx, &caller{door: Secure, source: fmt.Sprintf("10.0.%d.%d:1", n/250, n%250)}, right, no)
		}
		require.Equal(t, refusalsAtOnce, strings.Count(log.String(), "msg=audit"), "of all who are not known, wherever they are")
		require.InDelta(t, 990, testutil.ToFloat64(r.omitted), 0)
		r.note(ctx, &caller{user: User{Name: "ann"}}, right, &refusal{status: http.StatusForbidden, reason: refusedForbidden})
		require.Contains(t, log.String(), "user=ann operation=pause-kind")
		require.NotContains(t, log.String(), "left out")
		time.Sleep(toldAfter)
		synctest.Wait()
		require.Equal(t, 1, strings.Count(log.String(), "count=990"), log.String())
		r.note(ctx, &caller{}, right, no)
		require.Equal(t, 12, strings.Count(log.String(), "msg=audit "), "there is room again")
		time.Sleep(2 * toldAfter)
		synctest.Wait()
		require.Equal(t, 1, strings.Count(log.String(), "left out"), "nothing more was")

		before := log.String()
		r.note(ctx, &caller{user: User{Name: "bob"}}, Right{Verb: "get", Resource: "kinds"}, no)
		r.note(ctx, &caller{user: User{Name: "bob"}}, right, &refusal{status: http.StatusTooManyRequests, reason: refusedBusy})
		require.Equal(t, before, log.String(), "neither a read, nor a caller who could not be checked")
	})
}
