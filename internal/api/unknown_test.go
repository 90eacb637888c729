package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/utils/ptr"

	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// writes are all operations that change something, with the member that shows it.
var writes = map[string][3]string{
	"orchestrate":          {`{"maxInstances":30}`, "/v1/api/orchestrations/Thing", "maxInstances and resourcePerInstance"},
	"pause":                {"", "/v1/api/orchestrations/Thing", "paused"},
	"resume":               {"", "/v1/api/orchestrations/Thing", "paused"},
	"rollback":             {"", "/v1/api/orchestrations/Thing", "paused and progress"},
	"reconcile/confirm":    {`{"deletes":12}`, "/v1/api/orchestrations/Thing", "waiting"},
	"instances/4/reassign": {`{"assumeDead":true}`, "/v1/api/orchestrations/Thing/decision", "lost"},
}

func TestOnlyAnUnknownOutcomeIsCalledUnknown(t *testing.T) {
	b := &backend{}
	s := serve(t, b)
	for what, w := range writes {
		path := "/v1/api/orchestrations/Thing/" + what
		b.fails = fmt.Errorf("keep override: %w: %w", orders.ErrOutcomeUnknown, context.DeadlineExceeded)
		status, body := call(t, s, http.MethodPost, path, "operator", w[0])
		requireUnknown(t, status, body, w)

		for _, b.fails = range []error{
			fmt.Errorf("keep override: %w: %w", orders.ErrNotSent, context.DeadlineExceeded),
			orders.ErrNotLeading,
		} {
			status, body = call(t, s, http.MethodPost, path, "operator", w[0])
			require.Equal(t, http.StatusServiceUnavailable, status, body)
			require.NotContains(t, body, "may have been carried out")
			require.NotContains(t, body, OutcomeUnknown)
		}
		b.fails = fmt.Errorf("%w: %w", orders.ErrOutcomeUnknown, orders.ErrNotLeading)
		status, body = call(t, s, http.MethodPost, path, "operator", w[0])
		requireUnknown(t, status, body, w)
	}
}

// requireUnknown requires the problem document that says so.
func requireUnknown(t *testing.T, status int, body string, w [3]string) {
	t.Helper()
	require.Equal(t, http.StatusGatewayTimeout, status, body)
	var p struct {
		Type, Title, Detail, See string
		Status                   int
	}
	require.NoError(t, json.Unmarshal([]byte(body), &p), body)
	require.Equal(t, "urn:shardscaler:outcome-unknown", p.Type)
	require.Equal(t, "Outcome unknown", p.Title)
	require.Equal(t, status, p.Status)
	require.Equal(t, w[1], p.See)
	require.Contains(t, p.Detail, "it may have been carried out or not: before you ask again, see "+w[2]+" of GET "+w[1])
}

// A leader that has taken a forwarded write and breaks off may have carried it out; one that cannot
// be reached has not.
func TestALeaderThatBreaksOffMayHaveCarriedOutWhatWasForwarded(t *testing.T) {
	breaksOff := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(breaksOff.Close)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	follower := &backend{follower: true}
	s := serve(t, follower)
	for what, w := range writes {
		follower.leaderAddr = breaksOff.URL
		status, body := call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/"+what, "operator", w[0])
		requireUnknown(t, status, body, w)
		follower.leaderAddr = "http://" + gone.Addr().String()
		status, body = call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/"+what, "operator", w[0])
		require.Equal(t, http.StatusServiceUnavailable, status, body)
		require.NotContains(t, body, OutcomeUnknown)
	}
}

// A leader that takes connections and does not prove itself, as one that is frozen, gets no request.
func TestWhatNoLeaderHasTakenIsNotCarriedOut(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, mute.Close()) })
	go func() {
		for {
			conn, err := mute.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	s := serve(t, &backend{follower: true, leaderAddr: "https://" + mute.Addr().String()})
	for what, w := range writes {
		status, body := call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/"+what, "operator", w[0])
		require.Equal(t, http.StatusServiceUnavailable, status, body)
		require.NotContains(t, body, OutcomeUnknown)
	}
}

// A leader that is frozen is not waited for once another one leads.
func TestAReplacedLeaderIsNotWaitedFor(t *testing.T) {
	thawed := make(chan struct{})
	b := &backend{follower: true}
	frozen := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		b.newLeader.Store(ptr.To("http://10.0.0.9:8080"))
		select { // it answers in the end
		case <-thawed:
		case <-time.After(20 * time.Second):
		}
	}))
	t.Cleanup(frozen.Close)
	t.Cleanup(func() { close(thawed) }) // first
	b.leaderAddr = frozen.URL
	w := writes["pause"]
	status, body := call(t, serve(t, b), http.MethodPost, "/v1/api/orchestrations/Thing/pause", "operator", w[0])
	requireUnknown(t, status, body, w)
}

func TestTheOutcomeOfAPreviewIsNeverUnknown(t *testing.T) {
	breaksOff := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(breaksOff.Close)
	s := serve(t, &backend{follower: true, leaderAddr: breaksOff.URL})
	for path, want := range map[string]int{"plans": http.StatusServiceUnavailable, "pause": http.StatusGatewayTimeout} {
		status, body := call(t, s, http.MethodPost, "/v1/api/kinds/Thing/"+path, "operator", "{}")
		require.Equal(t, want, status, body)
		require.Equal(t, want == http.StatusGatewayTimeout, strings.Contains(body, OutcomeUnknown), body)
	}
}

func TestEveryWriteSaysWhereToLook(t *testing.T) {
	_, body := call(t, serve(t, &backend{}), http.MethodGet, "/v1/api/openapi.json", "", "")
	var spec struct {
		Paths map[string]map[string]struct{ OperationID string }
	}
	require.NoError(t, json.Unmarshal([]byte(body), &spec))
	var posts []string
	for path, methods := range spec.Paths {
		if post, ok := methods["post"]; ok && strings.HasPrefix(path, "/v1/api/orchestrations/") {
			posts = append(posts, post.OperationID)
		}
	}
	require.Len(t, posts, len(looks))
	for _, post := range posts {
		require.Contains(t, looks, post)
	}
}
