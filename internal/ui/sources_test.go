package ui_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// workshop is a copy of the sources, with the packages that they need.
func workshop(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("a short run does without node and a browser")
	}
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
	api, err := filepath.Abs("../../docs/openapi.json")
	require.NoError(t, err)
	runIn(t, dir, []string{"OPENAPI=" + api}, "npm", "run", "build")
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
	stories, err := filepath.Abs("../../scaler/decide/testdata/stories")
	require.NoError(t, err)
	runIn(t, dir, nil, "npm", "run", "check")
	runIn(t, dir, []string{"STORIES=" + stories}, "npm", "test")
}
