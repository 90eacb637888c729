package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// asBrowsers escapes an id as encodeURIComponent does, and dots, which clients would take away.
func asBrowsers(id string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(id), "+", "%20"), ".", "%2E")
}

// Any text may be an id: words of paths, what separates, escapes or cleans paths, and other
// scripts. The one exception is "/" alone: http.ServeMux takes the segment %2F for a path's end.
// The new call has ids in its query, and finds it.
func TestAnyIDIsFound(t *testing.T) {
	ids := []string{
		"instances", "reservations", "decision", "orchestrate", "pause", "reconcile", "resource", "kinds",
		"a/b", "//", "a//b/", "/instances", "a/instances", "%", "%2F", "100%", "%zz", ".", "..", "../..", "a/../b", "./a",
		"größe", "温度传感器-7", "🌡", "a b", "a+b", "?x=1", "#f", "a;b", "a&b=c", `a"b\c`, "a\tb", "é", // e and an accent
		strings.Repeat("x", 256),
	}
	at := map[string]int{}
	for i, id := range ids {
		at[id] = i
	}
	s := serve(t, &backend{trouble: func(v *KindView) {
		v.Lookup = func(id string) (int, bool) { n, ok := at[id]; return n, ok }
	}})
	for _, id := range ids {
		path := orchestrations + "Thing/" + asBrowsers(id) + "/instances"
		status, body := call(t, s, http.MethodGet, path, "", "")
		require.Equal(t, 200, status, "%q by %s: %s", id, path, body)
		require.JSONEq(t, fmt.Sprintf(`{"runIn":"%d"}`, at[id]), body, id)
		if escaped := url.PathEscape(id); id != "." && id != ".." {
			status, _ = call(t, s, http.MethodGet, orchestrations+"Thing/"+escaped+"/instances", "", "")
			require.Equal(t, 200, status, "%q as Go escapes it", id)
		}
	}
	status, body := call(t, s, http.MethodGet, orchestrations+"Thing/b/instances", "", "")
	require.Equal(t, 404, status, body)
}
