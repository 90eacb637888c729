package servers

import (
	"fmt"
	"os"
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
