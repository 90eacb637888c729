package samesite

import (
	"cmp"
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

func TestForAnother(t *testing.T) {
	for name, tc := range map[string]struct {
		method string
		header []string
		want   bool
	}{
		"a program":                        {want: false},
		"our own page":                     {header: []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"}},
		"our own page, the Host rewritten": {header: []string{"Sec-Fetch-Site", "same-origin", "Origin", "https://scaler.example.com"}},
		"an address that a person types":   {header: []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}},
		"a link of another site":           {header: []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}},
		"a link, an older browser":         {header: []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "navigate"}},
		"a form of another site":           {method: "POST", header: []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, want: true},
		"a frame of another site":          {header: []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, want: true},
		"a script of another site":         {header: []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script"}, want: true},
		"fetch of a neighbour":             {header: []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"}, want: true},
		"node's fetch":                     {header: []string{"Sec-Fetch-Mode", "cors"}},
		"over plain HTTP, of another site": {header: []string{"Origin", "http://evil.example"}, want: true},
		"of another port of ours":          {header: []string{"Origin", "http://scaler:8081"}, want: true},
		"of no site":                       {header: []string{"Origin", "null"}, want: true},
		"no URL":                           {header: []string{"Origin", "://"}, want: true},
		"of ours":                          {header: []string{"Origin", "http://SCALER:8080"}},
	} {
		r := httptest.NewRequest(cmp.Or(tc.method, "GET"), "http://placeholder/", nil)
		r.Host = "scaler:8080"
		for i := 0; i < len(tc.header); i += 2 {
			r.Header.Set(tc.header[i], tc.header[i+1])
		}
		require.Equal(t, tc.want, ForAnother(r), name)
	}
}

func TestByBrowser(t *testing.T) {
	for name, tc := range map[string]struct {
		header http.Header
		want   bool
	}{
		"curl":        {header: http.Header{"User-Agent": {"curl/8.1"}, "Accept": {"*/*"}}},
		"go":          {header: http.Header{"User-Agent": {"Go-http-client/1.1"}, "Accept-Encoding": {"gzip"}}},
		"a probe":     {header: http.Header{"User-Agent": {"kube-probe/1.34"}, "Accept": {"*/*"}}},
		"Prometheus":  {header: http.Header{"User-Agent": {"Prometheus/3.5.0"}, "Accept": {"text/plain"}, "X-Prometheus-Scrape-Timeout-Seconds": {"10"}}},
		"nothing":     {header: http.Header{}},
		"a browser":   {header: http.Header{"User-Agent": {"Mozilla/5.0 (X11)"}}, want: true},
		"in disguise": {header: http.Header{"User-Agent": {"curl/8.1"}, "Accept-Language": {""}}, want: true},
		"node":        {header: http.Header{"User-Agent": {"node"}, "Accept-Language": {"*"}, "Sec-Fetch-Mode": {"cors"}}, want: true},
	} {
		require.Equal(t, tc.want, ByBrowser(tc.header), name)
	}
}
