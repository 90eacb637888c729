package api

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatIsNoNewCallIsAnsweredWithAProblem(t *testing.T) {
	s := serve(t, &backend{})
	for call, allow := range map[string]string{
		"GET /v1/api/kinds/Thing/nothing":     "",
		"GET /v1/api/kinds/Thing/":            "",
		"GET /v1/api/kinds/":                  "",
		"POST /v1/api/nodes":                  "",
		"GET /v1/api/nodes/a/b":               "",
		"DELETE /v1/api/kinds/Thing":          "GET, HEAD",
		"OPTIONS /v1/api/kinds/Thing":         "GET, HEAD",
		"POST /v1/api/kinds":                  "GET, HEAD",
		"PATCH /v1/api/kinds/Thing/size":      "PUT, DELETE",
		"GET /v1/api/kinds/Thing/apply":       "POST",
		"PUT /v1/api/nodes/node-1":            "GET, HEAD",
		"POST /v1/api/kinds/Thing/instances":  "GET, HEAD",
		"GET /v1/api/kinds/Thing/drains/3":    "DELETE",
		"HEAD /v1/api/kinds/Thing/instances/": "",
	} {
		method, path, _ := strings.Cut(call, " ")
		req, err := http.NewRequest(method, s.URL+path, strings.NewReader("{}"))
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err, call)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err, call)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, allow, resp.Header.Get("Allow"), call)
		require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"), call)
		want := http.StatusNotFound
		if allow != "" {
			want = http.StatusMethodNotAllowed
		}
		require.Equal(t, want, resp.StatusCode, call)
		if method != http.MethodHead {
			require.Contains(t, string(body), `"detail":"/v1/api/`, call)
		}
	}
}
