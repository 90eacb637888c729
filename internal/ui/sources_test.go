package ui_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// `npm run build` in internal/ui makes dist anew.
func TestThePageIsWhatItsSourcesMake(t *testing.T) {
	dir := servers.PageSources(t)
	api, err := filepath.Abs("../../docs/openapi.json")
	require.NoError(t, err)
	servers.RunNode(t, dir, []string{"OPENAPI=" + api}, "npm", "run", "build")
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
	dir := servers.PageSources(t)
	stories, err := filepath.Abs("../../scaler/decide/testdata/stories")
	require.NoError(t, err)
	servers.RunNode(t, dir, nil, "npm", "run", "check")
	servers.RunNode(t, dir, []string{"STORIES=" + stories}, "npm", "test")
}
