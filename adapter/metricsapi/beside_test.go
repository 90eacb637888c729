package metricsapi

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// serveBeside serves own below /own/, and group as the group that operators call.
func serveBeside(t *testing.T, timeout time.Duration, own http.Handler) *served {
	t.Helper()
	return serveWith(t, func(s *Server) {
		s.besideTimeout = timeout
		s.cfg.Beside = Beside{
			Own: own, Owns: func(path string) bool { return strings.HasPrefix(path, "/own/") },
			Group:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "of the group") }),
			Version: schema.GroupVersion{Group: "ops.example.org", Version: "v1"},
		}
	})
}

// A caller that asks for what stands beside the metrics, and does not read it, is cut off.
func TestASlowReaderOfWhatStandsBesideIsCutOff(t *testing.T) {
	failed := make(chan error, 1)
	s := serveBeside(t, time.Second, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for range 1 << 10 { // far more than the sockets between us take
			if _, err = w.Write(make([]byte, 1<<20)); err != nil {
				break
			}
		}
		failed <- err
	}))
	conn, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // as above
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /own/all HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	select {
	case err = <-failed:
		require.Error(t, err)
	case <-time.After(time.Minute):
		require.Fail(t, "it still writes")
	}
}

// A deadline that one request sets on its connection does not count for the next one.
func TestADeadlineIsThatOfOneRequest(t *testing.T) {
	const short = 10 * time.Millisecond
	s := serveBeside(t, time.Minute, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/own/first" {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour))
			defer func() { _ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(short)) }()
			_, _ = io.WriteString(w, "first")
			_ = http.NewResponseController(w).Flush()
			return
		}
		_, _ = io.WriteString(w, "second")
	}))
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxConnsPerHost: 1} //nolint:gosec // as above
	defer transport.CloseIdleConnections()
	for _, path := range []string{"/own/first", "/own/second", "/apis/ops.example.org/v1/kinds"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "https://"+s.Addr().String()+path, nil) // PUT: not tried again by the client
		require.NoError(t, err)
		resp, err := transport.RoundTrip(r)
		require.NoError(t, err, path)
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err, path)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode, string(text))
		time.Sleep(2 * short)
	}
}

// The library would take tokens that are for the API server, with which whatever sees them could do
// all that the caller may.
func TestTheGroupTakesNoToken(t *testing.T) {
	s := serveBeside(t, time.Minute, http.NotFoundHandler())
	const path = "/apis/ops.example.org/v1/kinds"
	code, text := s.get(t, path, "")
	require.Equal(t, http.StatusOK, code, string(text))
	for _, proof := range []string{"Bearer of-the-api-server", "bearer x", "Basic eDp5"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.Addr().String()+path, nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", proof)
		resp, err := (&http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}).RoundTrip(r) //nolint:gosec // as above
		require.NoError(t, err)
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode, string(text))
		require.Contains(t, string(text), "no token is taken here")
	}
}
