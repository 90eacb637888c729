package app

import (
	"io"
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// The page's files are no secret: a browser has no token yet when it asks for them.
func TestThePageIsServedOverTLSAlone(t *testing.T) {
	d := openDoors(t, nil)
	get := func(path string) (*http.Response, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+d.secure+path, nil)
		require.NoError(t, err)
		resp, err := d.client("127.0.0.1").Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp, string(text)
	}
	resp, text := get("/ui/") //nolint:bodyclose // get has closed it
	require.Equal(t, http.StatusOK, resp.StatusCode, text)
	require.Contains(t, text, `data-mode="live"`)
	require.Contains(t, resp.Header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'")
	require.Equal(t, "no-cache", resp.Header.Get("Cache-Control"))
	script := regexp.MustCompile(`assets/[^"]+\.js`).FindString(text)
	resp, text = get("/ui/" + script) //nolint:bodyclose // get has closed it
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Greater(t, len(text), 1000)
	resp, _ = get("/v1/api/kinds") //nolint:bodyclose // get has closed it
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode, "what it shows is for those who may see it")

	status, text, err := d.call(http.MethodGet, "http://"+d.plain+"/ui/", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusForbidden, status)
	require.Contains(t, text, "https://", "the refusal names the address to use")
}
