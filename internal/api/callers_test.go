package api

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/testbed/servers/certs"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// ofThing are users who may get Thing, and nothing else.
type ofThing struct{ tokens }

func (ofThing) Allowed(_ context.Context, _, _ string, _ access.User, r access.Right) (bool, error) {
	return r == access.Right{Verb: "get", Resource: "kinds", Name: "Thing", Namespace: "iota"}, nil
}

// serveClosed serves the secure door to users of Thing; old reads need a token.
func serveClosed(t *testing.T, b *backend) *httptest.Server {
	t.Helper()
	files, err := certs.Write(t.TempDir(), "shardscaler")
	require.NoError(t, err)
	cert, err := os.ReadFile(files.ServerCert)
	require.NoError(t, err)
	key, err := os.ReadFile(files.ServerKey)
	require.NoError(t, err)
	read := func() ([]byte, []byte, error) { return cert, key, nil }
	cfg := access.Config{Namespace: "iota", OldReadsClosed: true, Kinds: func() []string { return []string{"Thing", "Rule"} }}
	guard := access.New(cfg, ofThing{}, access.NewPeers(read), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	mux := http.NewServeMux()
	New(Config{Version: "test", Guard: guard, Peers: http.DefaultTransport}, mux, b, nil, slog.New(slog.DiscardHandler))
	s := httptest.NewServer(guard.Secure(mux))
	t.Cleanup(s.Close)
	return s
}

func TestASnapshotShowsTheKindsThatTheCallerMaySee(t *testing.T) {
	s := serveClosed(t, &backend{saved: func() decide.Saved {
		return decide.Saved{
			At: time.Unix(1, 0).UTC(), Inputs: []decide.Input{{Config: config.Kind{Name: "Thing"}}, {Config: config.Kind{Name: "Rule"}}},
			Configured: []decide.Configured{{Kind: "Thing"}, {Kind: "Rule"}},
		}
	}})
	status, text := call(t, s, http.MethodGet, "/v1/api/snapshot", "operator", "")
	require.Equal(t, 200, status, text)
	require.Contains(t, text, `"name":"Thing"`)
	require.NotContains(t, text, `Rule`)
	require.Contains(t, text, `"configured":[{"kind":"Thing"`)
	status, _ = call(t, s, http.MethodGet, "/v1/api/orchestrations/Thing", "operator", "")
	require.Equal(t, 200, status)
}

// The old calls that change something are noted as the new ones are: in the audit log, and in the
// kind's history.
func TestOldChangesAreNoted(t *testing.T) {
	for path, want := range map[string][4]string{ // body, operation, before and after
		"orchestrate":          {`{"maxInstances":30}`, "orchestrate", "nothing", "maxInstances 30"},
		"pause":                {"", "pause", "nothing", "paused true"},
		"rollback":             {"", "rollback", "plan p", "paused; of it 0 stayed, 3 returned, 4 undone, 0 kept"},
		"reconcile/confirm":    {`{"deletes":12}`, "confirm-deletes", "12 deletes wait", "they are carried out"},
		"instances/4/reassign": {`{"assumeDead":true}`, "reassign", "instance 4", "pod iota-dac-4 () is assumed dead; 0 resources go to others"},
	} {
		b := &backend{}
		log, recorded := &strings.Builder{}, []ops.ChangeEntry{}
		guard := access.New(access.Config{Namespace: "iota", Audience: "shardscaler", Kinds: b.Kinds}, tokens{}, nil, slog.New(slog.NewTextHandler(log, nil)), prometheus.NewRegistry())
		mux := http.NewServeMux()
		New(Config{Version: "test", Guard: guard, Peers: http.DefaultTransport, Record: func(kind string, c ops.ChangeEntry) {
			require.Equal(t, "Thing", kind)
			recorded = append(recorded, c)
		}}, mux, b, nil, slog.New(slog.DiscardHandler))
		s := httptest.NewServer(guard.Secure(mux))
		t.Cleanup(s.Close)
		status, text := call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/"+path, "operator", want[0])
		require.Equal(t, 200, status, text)
		require.Equal(t, []ops.ChangeEntry{{By: "operator", What: want[1], Before: want[2], After: want[3]}}, recorded)
		require.Equal(t, 1, strings.Count(log.String(), "msg=audit"), log.String())
		require.Contains(t, log.String(), fmt.Sprintf("before=%s after=%s", quoted(want[2]), quoted(want[3])))

		b.fails = orders.ErrOutcomeUnknown
		status, text = call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/"+path, "operator", want[0])
		require.Equal(t, http.StatusGatewayTimeout, status, text)
		require.Len(t, recorded, 2, "it may have been done")
		require.Contains(t, recorded[1].After, "unknown: ")
		b.fails = orders.ErrNotSent
		call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/"+path, "operator", want[0])
		require.Len(t, recorded, 2, "nothing was done")
	}
}

// quoted is a value as a text log has it.
func quoted(text string) string {
	if strings.ContainsAny(text, " ;=") {
		return strconv.Quote(text)
	}
	return text
}

// What begins a session is a token that was reviewed, not what stands beside a cookie.
func TestOnlyAReviewedTokenBeginsASession(t *testing.T) {
	s := serveClosed(t, &backend{})
	begin := func(header map[string]string) (int, []*http.Cookie) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/v1/api/session", http.NoBody)
		require.NoError(t, err)
		for name, value := range header {
			r.Header.Set(name, value)
		}
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode, resp.Cookies()
	}
	status, cookies := begin(map[string]string{"Authorization": "Bearer operator"})
	require.Equal(t, 200, status)
	require.Len(t, cookies, 1)
	cookie := access.CookieName + "=" + cookies[0].Value
	for _, proof := range []string{"Basic never-reviewed", "never-reviewed", "Bearer"} {
		status, cookies = begin(map[string]string{"Authorization": proof, "Cookie": cookie})
		require.Equal(t, 422, status, proof)
		require.Empty(t, cookies, proof)
	}
}

// silent is a leader that takes no connection, or gives no answer.
type silent struct{ fails error }

func (l silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, l.fails
}

// A leader that is lost without a word holds no caller for longer than a change may take.
func TestALeaderThatIsSilentIsNotWaitedForForEver(t *testing.T) {
	for _, c := range []struct {
		fails  error
		status int
	}{
		{&net.OpError{Op: "dial", Err: context.DeadlineExceeded}, http.StatusServiceUnavailable}, {context.DeadlineExceeded, http.StatusGatewayTimeout},
	} {
		synctest.Test(t, func(t *testing.T) {
			guard := guarded()
			mux := http.NewServeMux()
			New(Config{Version: "test", Guard: guard, Peers: silent{c.fails}}, mux, &backend{follower: true, leaderAddr: "https://10.0.0.9:8443"}, nil, slog.New(slog.DiscardHandler))
			r := httptest.NewRequest(http.MethodPost, "/v1/api/orchestrations/Thing/pause", http.NoBody)
			r.Header.Set("Authorization", "Bearer operator")
			w, begun := httptest.NewRecorder(), time.Now()
			guard.Secure(mux).ServeHTTP(w, r)
			require.Equal(t, c.status, w.Code, w.Body.String())
			require.Equal(t, patience+forwardSlack, time.Since(begun))
		})
	}
}
