package access

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/limits"
)

// reviews know users by tokens of their names, and what each may.
type reviews struct {
	rights   map[string][]string // by user; as Right prints itself
	formerly []string            // users
	fails    error
	asked    []string
	source   string // of the last question what a user may
}

func (v *reviews) Authenticate(_ context.Context, _, token, audience string) (User, error) {
	v.asked = append(v.asked, "token for "+audience)
	if _, known := v.rights[token]; !known && v.fails == nil {
		return User{}, limits.ErrRefused
	}
	return User{Name: token}, v.fails
}

func (v *reviews) Allowed(_ context.Context, source, _ string, user User, r Right) (bool, error) {
	v.source = source
	v.asked = append(v.asked, r.String())
	return slices.Contains(v.rights[user.Name], r.String()), v.fails
}

func (v *reviews) AllowedFormerly(_ context.Context, _, _ string, user User, _ string) (bool, error) {
	v.asked = append(v.asked, "formerly")
	return slices.Contains(v.formerly, user.Name), v.fails
}

// calls serves three operations through a guard, and says which kinds the caller sees.
func calls(t *testing.T, v *reviews) (*httptest.Server, *Guard, *strings.Builder) {
	t.Helper()
	log := &strings.Builder{}
	g := New(Config{Namespace: "iota", Audience: "shardscaler", Kinds: func() []string { return []string{"Thing", "Rule"} }},
		v, nil, slog.New(slog.NewTextHandler(log, nil)), prometheus.NewRegistry())
	mux := http.NewServeMux()
	api := humago.New(mux, huma.DefaultConfig("test", "1"))
	register := func(id, method, path string, middlewares ...func(huma.Context, func(huma.Context))) {
		huma.Register(api, huma.Operation{OperationID: id, Method: method, Path: path, Middlewares: middlewares},
			func(ctx context.Context, _ *struct{}) (*struct{ Body []string }, error) {
				out := []string{}
				for _, kind := range g.Kinds() {
					if Sees(ctx, kind) {
						out = append(out, kind)
					}
				}
				Audit(ctx, Note{Before: "running", After: "paused"})
				return &struct{ Body []string }{out}, nil
			})
	}
	register("list-kinds", http.MethodGet, "/v1/api/kinds", g.Let)
	register("pause-kind", http.MethodPost, "/v1/api/kinds/{kind}/pause", g.Let, g.Logged)
	register("drain-kind", http.MethodPost, "/v1/api/kinds/{kind}/drains", g.Let, g.Logged)
	s := httptest.NewServer(g.Secure(mux))
	t.Cleanup(s.Close)
	return s, g, log
}

func ask(t *testing.T, s *httptest.Server, method, path, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
	require.NoError(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

const (
	mayList  = "list kinds.ops.shardscaler.io in namespace iota"
	mayGet   = `get kinds.ops.shardscaler.io "Rule" in namespace iota`
	mayPause = `create kinds/pause.ops.shardscaler.io "Thing" in namespace iota`
)

func TestWhoMayListSomeKindsIsShownThose(t *testing.T) {
	v := &reviews{rights: map[string][]string{"all": {mayList}, "one": {mayGet}, "none": nil}}
	s, _, _ := calls(t, v)
	for token, want := range map[string]string{"all": `["Thing","Rule"]`, "one": `["Rule"]`} {
		status, text := ask(t, s, http.MethodGet, "/v1/api/kinds", token)
		require.Equal(t, 200, status, text)
		require.JSONEq(t, want, text)
	}
	status, text := ask(t, s, http.MethodGet, "/v1/api/kinds", "none")
	require.Equal(t, 403, status)
	require.Contains(t, text, `user \"none\" may not `+mayList)
	for kind, want := range map[string]int{"Rule": 200, "Thing": 403} {
		status, text := ask(t, s, http.MethodGet, "/v1/api/kinds?watch=true&fieldSelector=metadata.name%3D"+kind, "one")
		require.Equal(t, want, status, text)
	}
	v.asked = nil
	ask(t, s, http.MethodGet, "/v1/api/kinds", "all")
	require.Equal(t, []string{"token for shardscaler", mayList}, v.asked, "once for all kinds")
}

// The former right stands for what it stood for, and for nothing that is new.
func TestTheFormerRightStillCounts(t *testing.T) {
	v := &reviews{rights: map[string][]string{"former": nil, "new": {mayPause}}, formerly: []string{"former"}}
	s, g, log := calls(t, v)
	for _, c := range []struct {
		token, path string
		status      int
	}{
		{"former", "/v1/api/kinds/Thing/pause", 200},
		{"new", "/v1/api/kinds/Thing/pause", 200},
		{"new", "/v1/api/kinds/Rule/pause", 403},
		{"former", "/v1/api/kinds/Thing/drains", 403},
		{"", "/v1/api/kinds/Thing/pause", 401},
		{"forged", "/v1/api/kinds/Thing/pause", 401},
	} {
		status, text := ask(t, s, http.MethodPost, c.path, c.token)
		require.Equal(t, c.status, status, "%v: %s", c, text)
	}
	require.Equal(t, 2, strings.Count(log.String(), " before="), log.String())
	require.Equal(t, 4, strings.Count(log.String(), " refused="), log.String())
	require.Contains(t, log.String(), `user=new operation=pause-kind kind=Rule right="create kinds/pause.ops.shardscaler.io \"Rule\" in namespace iota" refused=forbidden status=403 door=secure source=127.0.0.1:`)
	require.Contains(t, log.String(), `user="" operation=pause-kind kind=Thing right="create kinds/pause.ops.shardscaler.io \"Thing\" in namespace iota" refused=token_invalid`)
	require.Contains(t, log.String(), "user=former operation=pause-kind kind=Thing before=running after=paused status=200 door=secure source=127.0.0.1:")
	for _, token := range []string{"Bearer", "forged"} {
		require.NotContains(t, log.String(), token)
	}
	for reason, want := range map[string]float64{refusedForbidden: 2, refusedNoToken: 1, refusedToken: 1} {
		require.InDelta(t, want, testutil.ToFloat64(g.refused.WithLabelValues("secure", reason)), 0, reason)
	}
}

func TestWhatCannotBeReviewedIsRefused(t *testing.T) {
	for err, want := range map[error]int{errors.New("connection refused"): 503, limits.ErrBusy: 429, context.DeadlineExceeded: 503} {
		s, _, log := calls(t, &reviews{rights: map[string][]string{"all": {mayList, mayPause}}, fails: err})
		status, text := ask(t, s, http.MethodGet, "/v1/api/kinds", "all")
		require.Equal(t, want, status, text)
		status, text = ask(t, s, http.MethodPost, "/v1/api/kinds/Thing/pause", "all")
		require.Equal(t, want, status, text)
		require.NotContains(t, log.String(), "msg=audit")
	}
}

// A stream asks again, and hears that its user may no longer.
func TestRecheckTellsOfARightThatIsGone(t *testing.T) {
	v := &reviews{rights: map[string][]string{"ann": {mayList}}}
	g := New(Config{Namespace: "iota", Kinds: func() []string { return nil }}, v, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	c := &caller{door: Secure}
	right := Right{Verb: "list", Resource: "kinds", Namespace: "iota"}
	require.Nil(t, g.check(t.Context(), c, credentials{authorization: "Bearer ann"}, right))
	ctx := with(t.Context(), c)
	require.NoError(t, Recheck(ctx))
	v.rights["ann"] = nil
	require.ErrorContains(t, Recheck(ctx), `user "ann" may not list kinds`)
	require.False(t, Unsure(Recheck(ctx)))
	delete(v.rights, "ann")
	require.ErrorContains(t, Recheck(ctx), "not valid")
	require.False(t, Unsure(Recheck(ctx)))
	for _, fails := range []error{limits.ErrBusy, io.ErrUnexpectedEOF} {
		v.fails = fails
		require.True(t, Unsure(Recheck(ctx)), "%v", fails)
	}
	require.False(t, Unsure(nil))
}

// All callers of the aggregated API have one address, the API server's: each has the reviews of a
// user.
func TestReviewsOfTheAggregatedAPICountForTheUser(t *testing.T) {
	v := &reviews{rights: map[string][]string{"ann": {mayList}}}
	g := New(Config{Namespace: "iota", Kinds: func() []string { return nil }}, v, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	right := Right{Verb: "list", Resource: "kinds", Namespace: "iota"}
	g.Aggregated(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), User{Name: "ann"}, right, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		require.NoError(t, Recheck(r.Context()))
		v.rights["ann"] = nil
		require.ErrorContains(t, Recheck(r.Context()), "may not list kinds")
	}))
	require.Equal(t, "user ann", v.source)
}

// A token for the API server alone is told from one that is forged by what it says of itself.
func TestATokenOfAnotherAudienceIsToldHowToMakeARightOne(t *testing.T) {
	count := 0
	r := NewReviewer(reviewer(&count), "iota", limits.NewReviews())
	jwt := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	}
	for claims, explained := range map[string]bool{
		`{"aud":["https://kubernetes.default.svc"]}`: true, `{"aud":"x"}`: true, `{"aud":{}}`: true,
		`{"aud":["shardscaler"]}`: false, `{"aud":"shardscaler"}`: false, `{}`: false, `no JSON`: false,
	} {
		_, err := r.Authenticate(t.Context(), "10.0.0.1:1", jwt(claims), "shardscaler")
		require.ErrorIs(t, err, limits.ErrRefused, claims)
		require.Equal(t, explained, strings.Contains(err.Error(), "kubectl -n iota create token NAME --audience shardscaler"), "%s: %v", claims, err)
		require.NotContains(t, err.Error(), jwt(claims))
	}
}

// One user who asks without end is told to wait, and another one is not.
func TestTheCallsOfAUserHaveARate(t *testing.T) {
	s, g, _ := calls(t, &reviews{rights: map[string][]string{"greedy": {mayList}, "ann": {mayList}}})
	status, _ := ask(t, s, http.MethodGet, "/v1/api/kinds", "greedy")
	require.Equal(t, 200, status)
	for range 100 { // as many calls take 400 s
		g.calls.of("greedy").ReserveN(time.Now(), callsAtOnce)
	}
	status, text := ask(t, s, http.MethodGet, "/v1/api/kinds", "greedy")
	require.Equal(t, http.StatusTooManyRequests, status, text)
	status, _ = ask(t, s, http.MethodGet, "/v1/api/kinds", "ann")
	require.Equal(t, 200, status)
}

// What a request asks for beside its path is asked for the same user, whichever way they came.
func TestWhatAPathDoesNotTellIsAskedForToo(t *testing.T) {
	v := &reviews{rights: map[string][]string{"one": {mayPause}, "none": nil}}
	_, g, _ := calls(t, v)
	pause := Right{Verb: "create", Resource: "kinds", Subresource: "pause", Name: "Thing"}
	as := func(user string) context.Context {
		return with(t.Context(), &caller{door: Aggregated, user: User{Name: user}, vouched: true})
	}
	require.NoError(t, g.May(as("one"), pause))
	require.NoError(t, g.May(as(insecureLocal), pause))
	for name, ctx := range map[string]context.Context{"none": as("none"), "": t.Context()} {
		var answer huma.StatusError
		require.ErrorAs(t, g.May(ctx, pause), &answer)
		require.Equal(t, http.StatusForbidden, answer.GetStatus(), name)
		require.ErrorContains(t, answer, "may not "+mayPause)
	}
	v.fails = errors.New("down")
	var answer huma.StatusError
	require.ErrorAs(t, g.May(as("one"), pause), &answer)
	require.Equal(t, http.StatusServiceUnavailable, answer.GetStatus(), "it fails closed")
}
