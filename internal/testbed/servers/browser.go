package servers

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shardscaler/shardscaler/internal/testbed/servers/fetch"
)

// Browser returns Debian's Chromium, unpacked, and the environment that it needs, with a font for
// Chinese. The test is skipped or fails as with Debian.
func Browser(t testing.TB) (program string, env []string) {
	t.Helper()
	tree, libraries := Debian(t, "chromium")
	for _, dir := range strings.Split(strings.TrimPrefix(libraries, "LD_LIBRARY_PATH="), ":") {
		libraries += ":" + filepath.Join(dir, "pulseaudio") // where Debian keeps a library of a library
	}
	fonts, _ := Debian(t, "fonts-wqy-microhei")
	latin, _ := Debian(t, "fonts-dejavu-core")
	dir := t.TempDir()
	settings := filepath.Join(dir, "fonts.conf")
	text := fmt.Sprintf(`<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>%s/usr/share/fonts</dir><dir>%s/usr/share/fonts</dir><cachedir>%s/cache</cachedir></fontconfig>`, latin, fonts, dir)
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(tree, "usr", "lib", "chromium", "chromium"), []string{libraries, "FONTCONFIG_FILE=" + settings, "DBUS_SESSION_BUS_ADDRESS="}
}

// NodePackages returns a folder whose node_modules has what the package-lock.json in folder (from
// the module's root) names. Without node the test is skipped or fails as with Debian.
func NodePackages(t testing.TB, folder string) string {
	t.Helper()
	dir, err := fetch.NodePackages(t.Context(), fetch.NewProgress(os.Stderr), folder)
	if err != nil {
		lacking(t, RequireDebianVar, "needs the packages of %s: %v", folder, err)
	}
	return dir
}

// page is the folder of the page's sources, from the module's root.
const page = "internal/ui"

// PageSources returns a copy of the page's sources, with the packages that they need. The test is
// skipped or fails as with Debian, and a short run does without.
func PageSources(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("a short run does without node and a browser")
	}
	packages := NodePackages(t, page)
	dir := t.TempDir()
	root, err := ModuleRoot()
	if err == nil {
		err = copySources(filepath.Join(root, page), dir)
	}
	if err == nil {
		err = os.Symlink(filepath.Join(packages, "node_modules"), filepath.Join(dir, "node_modules"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// copySources leaves out Go, and what is made of the sources.
func copySources(from, to string) error {
	return filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		at := filepath.Join(to, below)
		switch {
		case below == "dist" || below == "node_modules" || below == "saved":
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(at, 0o755)
		case strings.HasSuffix(name, ".go"):
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(at, text, 0o600)
	})
}

// RunNode runs a command in a folder that PageSources made; it must succeed.
func RunNode(t testing.TB, dir string, env []string, line ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v", line, err)
	}
}

// RunBrowser runs one of the page's scripts, which tries a page in a real browser; env says where it
// is.
func RunBrowser(t testing.TB, script string, env ...string) {
	t.Helper()
	dir := PageSources(t)
	program, needs := Browser(t)
	RunNode(t, dir, append(append(needs, "BROWSER="+program), env...), "node", "--test", "--test-reporter=spec", script)
}
