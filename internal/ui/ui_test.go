package ui

import (
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func get(t *testing.T, h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestThePageIsNeverKeptAndItsAssetsForEver(t *testing.T) {
	h, err := Handler(Live)
	require.NoError(t, err)
	page := get(t, h, "/")
	require.Equal(t, http.StatusOK, page.Code)
	require.Equal(t, "no-cache", page.Header().Get("Cache-Control"))
	require.Contains(t, page.Body.String(), `data-mode="live"`)
	require.Equal(t, 404, get(t, h, "/nothing").Code)
	require.Equal(t, 404, get(t, h, "/assets/").Code, "folders are not listed")

	names, err := fs.Glob(dist, "dist/assets/*")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		path := strings.TrimPrefix(name, "dist")
		w := get(t, h, path)
		require.Contains(t, w.Header().Get("Cache-Control"), "immutable", path)
		require.Contains(t, w.Header().Get("Content-Type"), "charset=utf-8", path)
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"), path)
		require.NotContains(t, w.Header().Get("Content-Security-Policy"), "unsafe", path)
		plain, err := dist.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, string(plain), w.Body.String(), path)
	}

	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
}

func TestThePageIsSentPackedToThoseThatAcceptIt(t *testing.T) {
	h, err := Handler(Snapshot)
	require.NoError(t, err)
	w := get(t, h, "/", "Accept-Encoding", "br, gzip")
	require.Equal(t, "gzip", w.Header().Get("Content-Encoding"))
	z, err := gzip.NewReader(w.Body)
	require.NoError(t, err)
	text, err := io.ReadAll(z)
	require.NoError(t, err)
	require.Contains(t, string(text), `data-mode="snapshot"`)
	require.Empty(t, get(t, h, "/", "Accept-Encoding", "gzip;q=0").Header().Get("Content-Encoding"))
}

// What every view needs, in each language alone. A language is a file of its own; beside Chinese
// there is one with the faults that few ever see.
func TestThePageIsSmall(t *testing.T) {
	files, err := read(Live)
	require.NoError(t, err)
	all, languages := 0, map[string]int{} // bytes as sent
	for name, f := range files {
		size := min(len(f.plain), max(len(f.packed), 1))
		switch language, _, _ := strings.Cut(strings.TrimPrefix(name, "assets/"), "-"); language {
		case "en", "zh", "faults.zh", "pseudo":
			languages[language] = size
		default:
			all += size
		}
	}
	t.Logf("%d bytes, and %v", all, languages)
	require.Greater(t, all, 10<<10, "the test finds the files")
	require.Len(t, languages, 4)
	for _, language := range []string{"en", "zh"} {
		require.LessOrEqual(t, all+languages[language], 80_000, language)
	}
}
