package access

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

// Browsers are answered under names that no web page outside can have; programs under each.
func TestANameOfOthersThatLeadsHereShowsNothing(t *testing.T) {
	browser := http.Header{"User-Agent": {"Mozilla/5.0"}, "Accept-Language": {"en"}}
	program := http.Header{"User-Agent": {"Go-http-client/1.1"}}
	for _, tc := range []struct {
		host, namespace string
		browsers        int
	}{
		{"10.1.2.3:8080", "iota", 200},
		{"[fd00::1]:8080", "iota", 200},
		{"fd00::1", "iota", 200},
		{"localhost:8080", "iota", 200},
		{"shardscaler", "iota", 200},
		{"shardscaler-0:8080", "iota", 200},
		{"shardscaler.iota", "iota", 200},
		{"SHARDSCALER.iota:80", "iota", 200},
		{"shardscaler.iota.svc", "iota", 200},
		{"shardscaler.iota.svc.cluster.local", "iota", 200},
		{"shardscaler.iota.svc.cluster.local.:80", "iota", 200},
		{"10-1-2-3.iota.pod.cluster.local", "iota", 200},
		{"scaler.example.com", "iota", 200},
		{"Scaler.Example.com:8080", "iota", 200},
		{"rebound.example", "iota", 403},
		{"rebound.example:8080", "iota", 403},
		{"rebound.example.", "iota", 403},
		{"shardscaler.iota.svc.evil.example", "iota", 403},
		{"svc.evil.example", "iota", 403},
		{"10.1.2.3.nip.example", "iota", 403},
		{"x.scaler.example.com", "iota", 403},
		{"shardscaler.other", "iota", 403},
		{"shardscaler.dev", "dev", 403}, // it can be bought
		{"evil.er", "er", 403},          // as can names below all of its names
	} {
		reg := prometheus.NewRegistry()
		g := New(Config{Namespace: tc.namespace, AllowedHosts: []string{"scaler.example.com"}}, nil, nil, slog.New(slog.DiscardHandler), reg)
		door := g.Plain(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		for _, path := range []string{"/livez", "/readyz", "/metrics", Prefix + "drains/iota/iota-dac-0", Prefix + "orchestrations/Thing", Prefix + "snapshot"} {
			for _, as := range []struct {
				header http.Header
				want   int
			}{{program, 200}, {http.Header{}, 200}, {browser, tc.browsers}} {
				r := httptest.NewRequest(http.MethodGet, "http://placeholder"+path, nil)
				r.Host, r.Header = tc.host, as.header.Clone()
				w := httptest.NewRecorder()
				door.ServeHTTP(w, r)
				require.Equal(t, as.want, w.Code, "%s%s %v: %s", tc.host, path, as.header, w.Body)
				if w.Code == 403 {
					require.Contains(t, w.Body.String(), "--allowed-hosts")
				}
			}
		}
		if tc.browsers == 403 {
			require.InDelta(t, 6, testutil.ToFloat64(g.refused.WithLabelValues("plain", refusedHost)), 0)
		}
	}
}

// What browsers say of themselves counts on each path, under each name.
func TestAPageOfAnotherSiteReadsNothing(t *testing.T) {
	for _, insecure := range []bool{false, true} {
		g := New(Config{Namespace: "iota", Insecure: insecure}, nil, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		door := g.Plain(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		for _, tc := range []struct {
			header http.Header
			want   int
		}{
			{http.Header{"Origin": {"https://evil.example"}}, 403},
			{http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}}, 403},
			{http.Header{"Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"cors"}}, 200},
			{http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}, 200},
		} {
			for _, path := range []string{"/metrics", Prefix + "orchestrations/Thing"} {
				r := httptest.NewRequest(http.MethodGet, "http://localhost:8080"+path, nil)
				r.Header = tc.header.Clone()
				w := httptest.NewRecorder()
				door.ServeHTTP(w, r)
				require.Equal(t, tc.want, w.Code, "%s %v: %s", path, tc.header, w.Body)
			}
		}
	}
}
