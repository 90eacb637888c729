package kinds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/api/schemas"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// changed is a backend of kind Thing that notes what it is asked for.
type changed struct {
	Backend
	asked []string
	fails error
}

func (b *changed) Kinds() []string { return []string{"Thing"} }

func (b *changed) View(kind string) (*ops.View, bool) { return &ops.View{}, kind == "Thing" }

func (b *changed) Overrides(string) (ops.Overrides, bool) {
	return ops.Overrides{Items: []ops.Override{}, Version: "v1"}, true
}

func (b *changed) note(what string, v any, by string) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	b.asked = append(b.asked, fmt.Sprintf("%s %s by %s", what, text, by))
	return b.fails
}

func (b *changed) Change(_ context.Context, _ string, c ops.Change, by string) (ops.Applied, error) {
	if !ops.Matches(c.IfMatch, "v1") {
		return ops.Applied{}, ErrPrecondition
	}
	return ops.Applied{Kept: []ops.Override{}, Change: c, Version: "v2", Before: "nothing", After: "something"}, b.note("change", c, by)
}

func (b *changed) Rollback(_ context.Context, _, by string) (rebalancer.RolledBack, error) {
	return rebalancer.RolledBack{PlanID: "p1", Returned: 3}, b.note("rollback", nil, by)
}

func (b *changed) Confirm(_ context.Context, _ string, set, deletes int) error {
	return b.note("confirm", []int{set, deletes}, "")
}

func (b *changed) Reassign(_ context.Context, _ string, ordinal int, by string) (ops.AssumedDead, error) {
	return ops.AssumedDead{Instance: ordinal, Pod: "iota-dac-4", UID: "u", Left: 7}, b.note("reassign", ordinal, by)
}

// serve serves b; audited gets each line of the audit log.
func serve(t *testing.T, b Backend, audited *[]Audited) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	described := huma.DefaultConfig("test", "1")
	described.Components.Schemas = schemas.New()
	Register(Config{
		API: humago.New(mux, described), Backend: b, Log: slog.New(slog.DiscardHandler),
		User:  func(context.Context) string { return "ann" },
		Audit: func(_ context.Context, a Audited) { *audited = append(*audited, a) },
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

type answered struct {
	status int
	body   string
	header http.Header
}

func call(t *testing.T, s *httptest.Server, method, path, body string, header ...string) answered {
	t.Helper()
	req, err := http.NewRequest(method, s.URL+"/v1/api/kinds/"+path, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answered{resp.StatusCode, string(text), resp.Header}
}

// requests are all calls that change something: method, path, body, and what the backend is asked.
var requests = [][4]string{
	{"POST", "Thing/drains", `{"instance":3,"for":"2h"}`, `change {"drain":3,"for":"2h"} by ann`},
	{"DELETE", "Thing/drains/3", "", `change {"undrain":3} by ann`},
	{"POST", "Thing/pins", `{"resource":"a/b%é","instance":0}`, `change {"pin":{"resource":"a/b%é","instance":0}} by ann`},
	{"DELETE", "Thing/pins?resource=a%2Fb%25%C3%A9", "", `change {"unpin":"a/b%é"} by ann`},
	{"POST", "Thing/moves", `{"resource":"a","instance":1}`, `change {"move":{"resource":"a","instance":1}} by ann`},
	{"PUT", "Thing/size", `{"size":12,"for":"90m"}`, `change {"size":12,"for":"90m"} by ann`},
	{"DELETE", "Thing/size", "", `change {"endSize":true} by ann`},
	{"PUT", "Thing/limits", `{"maxInstances":20}`, `change {"maxInstances":20} by ann`},
	{"PUT", "Thing/limits", `{"maxInstances":20,"resourcePerInstance":9}`, `change {"capacity":9,"maxInstances":20} by ann`},
	{"POST", "Thing/orchestrate", "", `change {} by ann`},
	{"POST", "Thing/pause", "", `change {"paused":true} by ann`},
	{"POST", "Thing/pause", `{"for":"2h"}`, `change {"paused":true,"for":"2h"} by ann`},
	{"DELETE", "Thing/pause", "", `change {"paused":false} by ann`},
	{"POST", "Thing/rollback", "", `rollback null by ann`},
	{"POST", "Thing/confirm", `{"deletes":12,"set":2}`, `confirm [2,12] by `},
	{"POST", "Thing/reassign", `{"instance":4,"assumeDead":true}`, `reassign 4 by ann`},
}

func TestEachChangeIsAskedForAndAuditedOnce(t *testing.T) {
	for _, r := range requests {
		b, audited := &changed{}, []Audited{}
		a := call(t, serve(t, b, &audited), r[0], r[1], r[2])
		require.Equal(t, http.StatusOK, a.status, "%v: %s", r, a.body)
		require.Equal(t, []string{r[3]}, b.asked, r)
		require.Len(t, audited, 1, r)
		require.Equal(t, [2]string{"ann", "Thing"}, [2]string{audited[0].User, audited[0].Kind}, r)
		require.NotEmpty(t, audited[0].Operation, r)
		require.NotEmpty(t, audited[0].Before, r)
		require.NotEmpty(t, audited[0].After, r)
	}
}

func TestWhatIsRefusedIsNotAuditedAndWhatIsUnknownIs(t *testing.T) {
	for _, c := range []struct {
		fails error
		want  int
	}{
		{fmt.Errorf("%w: size: 99: must be between 1 and 20", ErrInvalid), 422},
		{fmt.Errorf("keep operator: %w", orders.ErrTooLarge), 422},
		{ErrNotFound, 404},
		{ErrPrecondition, 412},
		{ErrConflict, 409},
		{fmt.Errorf("keep: %w: %w", orders.ErrNotSent, context.DeadlineExceeded), 503},
		{errors.New("zookeeper is away"), 503},
		{fmt.Errorf("keep: %w: %w", orders.ErrOutcomeUnknown, context.DeadlineExceeded), 504},
	} {
		for _, r := range requests {
			b, audited := &changed{fails: c.fails}, []Audited{}
			a := call(t, serve(t, b, &audited), r[0], r[1], r[2])
			require.Equal(t, c.want, a.status, "%v: %s", r, a.body)
			require.Contains(t, a.header.Get("Content-Type"), "problem+json")
			if c.want != 504 {
				require.Empty(t, audited, r)
				continue
			}
			require.Len(t, audited, 1, r)
			require.Contains(t, audited[0].After, "unknown: ")
			var p UnknownOutcome
			require.NoError(t, json.Unmarshal([]byte(a.body), &p))
			require.Equal(t, OutcomeUnknown, p.Type)
			require.True(t, strings.HasPrefix(p.See, "/v1/api/kinds/Thing"), p.See)
			require.Contains(t, p.Detail, p.See)
		}
	}
}

func TestWhatMakesNoSenseNeverReachesTheBackend(t *testing.T) {
	for _, r := range [][4]string{
		{"POST", "Thing/drains", `{}`, "instance"},
		{"POST", "Thing/drains", `{"instance":-1}`, "instance"},
		{"POST", "Thing/drains", `{"instance":1,"until":"2h"}`, "until"},
		{"DELETE", "Thing/drains/03", "", "ordinal"},
		{"POST", "Thing/pins", `{"resource":"","instance":1}`, "resource"},
		{"POST", "Thing/pins", `{"resource":"` + strings.Repeat("x", 257) + `","instance":1}`, "resource"},
		{"DELETE", "Thing/pins", "", "resource"},
		{"PUT", "Thing/size", `{"size":0}`, "size"},
		{"PUT", "Thing/limits", `{}`, "maxInstances and resourcePerInstance"},
		{"POST", "Thing/reassign", `{"instance":4,"assumeDead":false}`, "assumeDead"},
	} {
		b, audited := &changed{}, []Audited{}
		a := call(t, serve(t, b, &audited), r[0], r[1], r[2])
		require.Equal(t, 422, a.status, "%v: %s", r, a.body)
		require.Contains(t, a.body, r[3])
		require.Empty(t, b.asked, r)
		require.Empty(t, audited, r)
	}
	b, audited := &changed{}, []Audited{}
	a := call(t, serve(t, b, &audited), "POST", "Nothing/drains", `{"instance":1}`)
	require.Equal(t, 404, a.status)
	require.Contains(t, a.body, "there are Thing")
	require.Empty(t, b.asked)
}

func TestOverridesHaveAnETagThatChangesHonour(t *testing.T) {
	b, audited := &changed{}, []Audited{}
	s := serve(t, b, &audited)
	a := call(t, s, "GET", "Thing/overrides", "")
	require.Equal(t, 200, a.status, a.body)
	require.Equal(t, `"v1"`, a.header.Get("ETag"))
	require.JSONEq(t, `{"items":[],"version":"v1"}`, withoutSchema(t, a.body))
	require.Equal(t, 404, call(t, s, "GET", "Nothing/overrides", "").status)
	a = call(t, s, "GET", "Thing/overrides", "", "If-None-Match", `"v0", "v1"`)
	require.Equal(t, 304, a.status)
	require.Empty(t, a.body)
	require.Equal(t, `"v1"`, a.header.Get("ETag"))
	require.Equal(t, 200, call(t, s, "GET", "Thing/overrides", "", "If-None-Match", `"v0"`).status)

	require.Equal(t, 412, call(t, s, "PUT", "Thing/size", `{"size":3}`, "If-Match", `"v0"`).status)
	require.Equal(t, 412, call(t, s, "PUT", "Thing/size", `{"size":3}`, "If-Match", `W/"v1"`).status, "a weak tag is none to change by")
	require.Empty(t, b.asked)
	for _, match := range []string{`"v1"`, `"v0", "v1"`, "*"} {
		a = call(t, s, "PUT", "Thing/size", `{"size":3}`, "If-Match", match)
		require.Equal(t, 200, a.status, match)
		require.Equal(t, `"v2"`, a.header.Get("ETag"))
	}
}

// withoutSchema is a document without the member by which the library's default names its schema.
func withoutSchema(t *testing.T, text string) string {
	t.Helper()
	var doc map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &doc))
	delete(doc, "$schema")
	out, err := json.Marshal(doc)
	require.NoError(t, err)
	return string(out)
}

// What panics half-way may be done: the audit log and the history have it, and the panic goes on.
func TestAChangeThatPanicsIsNoted(t *testing.T) {
	var noted []Audited
	a := Audited{User: "ann", Operation: "drain", Kind: "Thing"}
	require.PanicsWithValue(t, "half-way", func() {
		_ = Noted(a, func(a Audited) { noted = append(noted, a) }, func() (before, after string, err error) { panic("half-way") })
	})
	a.After = "unknown: it panicked, a part of it may be done"
	require.Equal(t, []Audited{a}, noted)
}
