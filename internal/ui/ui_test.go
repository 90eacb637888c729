package ui

import (
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
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

// What every view needs, in one language. The other languages are files of their own.
func TestThePageIsSmall(t *testing.T) {
	files, err := read(Live)
	require.NoError(t, err)
	sum, languages := 0, 0
	for name, f := range files {
		if strings.HasPrefix(name, "assets/zh-") || strings.HasPrefix(name, "assets/pseudo-") {
			languages++
			continue
		}
		sum += min(len(f.plain), max(len(f.packed), 1))
	}
	require.Equal(t, 2, languages)
	t.Logf("%d bytes", sum)
	require.LessOrEqual(t, sum, 80<<10)
	require.Greater(t, sum, 10<<10, "the test finds the files")
}

// workshop is a copy of the sources, with the packages that they need.
func workshop(t *testing.T) string {
	t.Helper()
	packages := servers.NodePackages(t, "internal/ui")
	dir := t.TempDir()
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == "dist" || name == "node_modules" || name == "saved":
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(dir, name), 0o755)
		case strings.HasSuffix(name, ".go"):
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), text, 0o600)
	})
	require.NoError(t, err)
	require.NoError(t, os.Symlink(filepath.Join(packages, "node_modules"), filepath.Join(dir, "node_modules")))
	return dir
}

func runIn(t *testing.T, dir string, env []string, line ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%v\n%s", line, out)
	if testing.Verbose() {
		t.Logf("%v\n%s", line, out)
	}
}

// `npm run build` in internal/ui makes dist anew.
func TestThePageIsWhatItsSourcesMake(t *testing.T) {
	dir := workshop(t)
	runIn(t, dir, nil, "npm", "run", "build")
	require.Equal(t, tree(t, os.DirFS(filepath.Join(dir, "dist"))), tree(t, os.DirFS("dist")), "run `npm run build` in internal/ui")
}

func tree(t *testing.T, of fs.FS) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, fs.WalkDir(of, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(of, name)
		files[name] = string(text)
		return err
	}))
	require.NotEmpty(t, files)
	return files
}

// Lint, format, and the tests of the sources: catalogues, texts outside of them, durations.
func TestTheSourcesOfThePage(t *testing.T) {
	dir := workshop(t)
	runIn(t, dir, nil, "npm", "run", "check")
	runIn(t, dir, nil, "npm", "test")
}
