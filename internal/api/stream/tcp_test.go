package stream

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/sets"
	genericfilters "k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/server/filters"

	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
)

// A reader that takes nothing costs a bounded amount of bytes and is cut off.
func TestASlowReaderIsCutOffByTheKernelsBuffers(t *testing.T) {
	w := things(500)
	cfg := w.config()
	cfg.SlowReader = 300 * time.Millisecond
	hub := New(cfg)
	address := strings.TrimPrefix(listen(t, server(handler(hub))), "http://")
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(8<<10))
	_, err = fmt.Fprintf(conn, "GET %s?watch=true HTTP/1.1\r\nHost: test\r\n\r\n", path)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return viewers(hub) == 1 }, 10*time.Second, time.Millisecond)
	defer changingAll(w)()
	require.Eventually(t, func() bool { return viewers(hub) == 0 }, 30*time.Second, 10*time.Millisecond)
	taken, _ := io.Copy(io.Discard, conn) // the connection is reset or ends
	t.Logf("the kernel has taken %d kB", taken>>10)
	require.Less(t, taken, int64(1<<20))
}

// changingAll changes each instance, again and again.
func changingAll(w *world) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ctx.Err() == nil; i++ {
			w.change(func(w *world) {
				w.kinds[0].Instances = kindOf("Thing", 500).Instances
				for n := range w.kinds[0].Instances {
					w.kinds[0].Instances[n].Health.Text = strings.Repeat(fmt.Sprint(i, " "), 100)
				}
			})
			time.Sleep(interval / 4)
		}
	}()
	return func() { cancel(); <-ended }
}

// A client that hangs up frees everything, also in the middle of an event.
func TestAClientThatHangsUpFreesEverything(t *testing.T) {
	w := things(500)
	hub := New(w.config())
	url := listen(t, server(handler(hub)))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 20 {
		s := open(t, client, url, "", "")
		_, err := io.CopyN(io.Discard, s.from, 10_000)
		require.NoError(t, err)
		s.close()
	}
	require.Eventually(t, func() bool { return viewers(hub) == 0 }, 10*time.Second, time.Millisecond)
	hub.mu.Lock()
	defer hub.mu.Unlock()
	require.Nil(t, hub.now)
	require.True(t, hub.share.Enter("another"), "the places are free")
}

// The other replica knows the id if it sees the same.
func TestAnotherReplicaGoesOnWhereTheFirstEnded(t *testing.T) {
	w := things(500)
	first, second := New(w.config()), New(w.config())
	a := server(handler(first))
	one, two := listen(t, a), listen(t, server(handler(second)))
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	s := open(t, client, one, "", "")
	id, _, _ := s.next()
	stopped := make(chan error)
	go func() {
		first.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		stopped <- a.Shutdown(ctx)
	}()
	_, name, _ := s.next()
	require.Equal(t, delta.EventBye, name)
	require.ErrorIs(t, s.ended(), io.EOF)
	require.NoError(t, <-stopped, "a stream does not hold up the server's end")
	s = open(t, client, two, "", id)
	again, name, data := s.next()
	require.Equal(t, []string{id, delta.EventChange}, []string{again, name})
	require.Contains(t, data, `"kinds":[]`)
	w.count(0, 3, 1)
	id, _, _ = s.next()
	s.close()
	w.count(0, 3, 2) // what the second showed is gone, and a third has never seen it
	third := listen(t, server(handler(New(w.config()))))
	_, name, _ = open(t, client, third, "", id).next()
	require.Equal(t, delta.EventState, name)
}

// Through the handlers that an API server is made of, and a proxy as the aggregation's, over
// HTTP/2: none of their timeouts and none of the server's ends a stream, and each event comes when
// it is sent.
func TestThroughTheAggregationOfKubernetes(t *testing.T) {
	w := things(500)
	cfg := w.config()
	cfg.SlowReader = 300 * time.Millisecond
	hub := New(cfg)
	backend := httptest.NewUnstartedServer(likeAnAPIServer(handler(hub), 300*time.Millisecond))
	backend.EnableHTTP2 = true
	backend.Config.ReadTimeout, backend.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
	backend.StartTLS()
	defer backend.Close()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: backend.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	to, err := url.Parse(backend.URL)
	require.NoError(t, err)
	front := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, Transport: transport, FlushInterval: 200 * time.Millisecond,
	})
	defer front.Close()
	s := open(t, front.Client(), front.URL, "", "")
	defer s.close()
	require.Equal(t, http.StatusOK, s.resp.StatusCode)
	id, name, _ := s.next()
	require.Equal(t, delta.EventState, name)
	for i := range 3 {
		changed := time.Now()
		w.count(0, 1, i)
		var data string
		id, name, data = s.next()
		require.Equal(t, delta.EventChange, name)
		require.Contains(t, data, fmt.Sprintf(`{"list":{"count":%d},"ordinal":1}`, i))
		require.Less(t, time.Since(changed), 10*time.Second)
	}
	s.close()
	_, name, data := open(t, front.Client(), front.URL, "", id).next()
	require.Equal(t, delta.EventChange, name, "the proxy passes Last-Event-ID on")
	require.Contains(t, data, `"kinds":[]`)
	hub.Close()
}

// likeAnAPIServer puts a handler of path behind those handlers of the library's chain that count
// the time of a request, as part of an API group.
func likeAnAPIServer(next http.Handler, limit time.Duration) http.Handler {
	const group = "/apis/ops.shardscaler.io/v1/namespaces/iota/"
	resolver := &request.RequestInfoFactory{APIPrefixes: sets.NewString("apis"), GrouplessAPIPrefixes: sets.NewString()}
	long := filters.BasicLongRunningRequestCheck(sets.NewString("watch"), sets.NewString())
	codecs := serializer.NewCodecFactory(runtime.NewScheme())
	outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner := r.Clone(r.Context())
		inner.URL.Path = "/v1/api/" + strings.TrimPrefix(r.URL.Path, group)
		next.ServeHTTP(w, inner)
	})
	chain := filters.WithTimeoutForNonLongRunningRequests(outer, long)
	chain = genericfilters.WithRequestDeadline(chain, nil, nil, long, codecs, limit)
	chain = filters.WithHTTPLogging(chain)
	chain = genericfilters.WithLatencyTrackers(chain)
	chain = genericfilters.WithRequestInfo(chain, resolver)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = group + strings.TrimPrefix(r.URL.Path, "/v1/api/")
		chain.ServeHTTP(w, r)
	})
}
