package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ended notes whether a body was read to its end.
type ended struct {
	io.ReadCloser
	whole *atomic.Bool
}

func (e ended) Read(p []byte) (int, error) {
	n, err := e.ReadCloser.Read(p)
	if err == io.EOF {
		e.whole.Store(true)
	}
	return n, err
}

// TestAShortBodyIsHeardBeforeTheAnswer: over HTTP/2 a refusal that reads nothing goes out when the
// body has come, however late; one whose body never ends, or is long, goes out all the same.
func TestAShortBodyIsHeardBeforeTheAnswer(t *testing.T) {
	var whole atomic.Bool
	answers := map[string]http.HandlerFunc{
		"/status":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"/text":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("a reason")) },
		"/nothing": func(http.ResponseWriter, *http.Request) {},
		"/closed": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_ = r.Body.Close()
			w.WriteHeader(http.StatusConflict)
		},
	}
	under := heard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answers[r.URL.Path](w, r) }), 50*time.Millisecond)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = ended{r.Body, &whole}
		under.ServeHTTP(w, r)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	post := func(path string, body io.Reader) int {
		whole.Store(false)
		answer, err := server.Client().Post(server.URL+path, "application/json", body)
		require.NoError(t, err)
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, answer.Body)
		require.NoError(t, err)
		require.Equal(t, 2, answer.ProtoMajor)
		return answer.StatusCode
	}
	for path, status := range map[string]int{"/status": 401, "/text": 200, "/nothing": 200, "/closed": 409} {
		require.Equal(t, status, post(path, strings.NewReader(`{"instance":1}`)), path)
		require.True(t, whole.Load(), path)
	}
	late, sender := io.Pipe()
	go func() {
		_, _ = sender.Write([]byte(`{"instance":`))
		time.Sleep(10 * time.Millisecond)
		_, _ = sender.Write([]byte(`1}`))
		_ = sender.Close()
	}()
	require.Equal(t, 401, post("/status", late))
	require.True(t, whole.Load())
	endless, never := io.Pipe()
	t.Cleanup(func() { _ = never.Close() })
	require.Equal(t, 401, post("/status", endless))
	require.False(t, whole.Load())
	require.Equal(t, 401, post("/status", strings.NewReader(strings.Repeat(" ", heardBytes+1))))
}
