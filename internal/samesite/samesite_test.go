package samesite

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPagesOfOtherSitesAreRefused(t *testing.T) {
	reached := 0
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ })
	for _, tc := range []struct {
		name, method, host string
		header             [2]string
		local              bool
		status             int
	}{
		{"a command line", "POST", "127.0.0.1:8080", [2]string{}, true, 200},
		{"by name", "POST", "localhost:8080", [2]string{}, true, 200},
		{"by name, in capitals", "POST", "LOCALHOST:8080", [2]string{}, true, 200},
		{"by name, without a port", "GET", "LocalHost", [2]string{}, true, 200},
		{"a name below it", "GET", "localhost.rebound.example", [2]string{}, true, 403},
		{"IPv6", "POST", "[::1]:8080", [2]string{}, true, 200},
		{"without a port", "GET", "[::1]", [2]string{}, true, 200},
		{"a browser, another site", "POST", "127.0.0.1:8080", [2]string{"Sec-Fetch-Site", "cross-site"}, true, 403},
		{"an old browser, another site", "POST", "127.0.0.1:8080", [2]string{"Origin", "http://evil.example"}, true, 403},
		{"the page itself", "POST", "127.0.0.1:8080", [2]string{"Origin", "http://127.0.0.1:8080"}, true, 200},
		{"a name that leads here", "GET", "rebound.example:8080", [2]string{}, true, 403},
		{"no name", "GET", "", [2]string{}, true, 403},
		{"another address", "GET", "10.1.2.3:8080", [2]string{}, true, 403},
		{"in a cluster, by its Service", "GET", "shardscaler.iota", [2]string{}, false, 200},
		{"in a cluster, another site", "POST", "shardscaler.iota", [2]string{"Sec-Fetch-Site", "cross-site"}, false, 403},
		{"a follower that forwards", "POST", "10.1.2.3:8080", [2]string{"X-Shardscaler-Forwarded", "true"}, false, 200},
	} {
		before := reached
		r := httptest.NewRequest(tc.method, "http://placeholder/v1", strings.NewReader(""))
		r.Host = tc.host
		if tc.header[0] != "" {
			r.Header.Set(tc.header[0], tc.header[1])
		}
		w := httptest.NewRecorder()
		Only(next, tc.local).ServeHTTP(w, r)
		require.Equal(t, tc.status, w.Code, tc.name)
		require.Equal(t, tc.status == 200, reached > before, tc.name)
		if tc.status == 403 {
			body, err := io.ReadAll(w.Body)
			require.NoError(t, err)
			require.Contains(t, string(body), `"status":403`, tc.name)
		}
	}
}
