package app

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
)

func TestAProbeFailsOnlyOnAFailedCheckAndAlwaysSaysWhy(t *testing.T) {
	probe := func(checks ...check) (int, string) {
		w := httptest.NewRecorder()
		serveChecks("readyz", func() []check { return checks })(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		return w.Code, w.Body.String()
	}
	status, body := probe(check{name: "store"}, check{name: "thing-heartbeats", detail: "last read 31s ago: broker gone"})
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "[+]store ok\n[!]thing-heartbeats degraded: last read 31s ago: broker gone\nreadyz check passed\n", body)

	status, body = probe(check{name: "store", failed: true, detail: "not read yet"})
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "[-]store failed: not read yet\nreadyz check failed\n", body)
}

func TestASourceOnceReadDegradesButDoesNotFailTheProbe(t *testing.T) {
	now := time.Unix(1000, 0)
	require.True(t, required("store", observed.Source{}, now).failed)
	gone := required("store", observed.Source{At: now.Add(-time.Minute), Error: "connection refused", ErrorAt: now}, now)
	require.False(t, gone.failed)
	require.Equal(t, "last read 1m ago: connection refused", gone.detail)
	require.Empty(t, required("store", observed.Source{At: now}, now).detail)
}
