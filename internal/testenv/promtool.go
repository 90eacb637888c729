package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// Promtool returns Prometheus's checker of rules: the one on PATH, or one taken out of Debian's package into the user's cache
// folder. The package is not installed: that would start a Prometheus.
func Promtool(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("promtool"); err == nil {
		return path
	}
	p := newProgress(os.Stderr)
	dir, err := cached(p, "promtool", [][]byte{[]byte("from Debian's package prometheus")}, func(dir string) error {
		return p.during("fetching promtool", nothing, func() error { return unpackPromtool(t.Context(), dir) })
	})
	if err != nil {
		lacking(t, "needs promtool on PATH (it comes with Prometheus): %v", err)
	}
	return filepath.Join(dir, "promtool")
}

func unpackPromtool(ctx context.Context, dir string) error {
	work, err := os.MkdirTemp("", "promtool-")
	if err != nil {
		return fmt.Errorf("fetch promtool: %w", err)
	}
	defer os.RemoveAll(work)
	run := func(line ...string) error {
		cmd := exec.CommandContext(ctx, line[0], line[1:]...)
		cmd.Dir = work
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("fetch promtool: %v: %w\n%s", line, err, out)
		}
		return nil
	}
	download := []string{"apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", "prometheus"}
	if err := run(download...); err != nil { // the package lists are missing or old
		become, allowed := asRoot(ctx)
		if !allowed {
			return err
		}
		if err := run(slices.Concat(become, []string{"apt-get", "update", "-q"})...); err != nil {
			return err
		}
		if err := run(download...); err != nil {
			return err
		}
	}
	packages, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(packages) != 1 {
		return fmt.Errorf("fetch promtool: apt-get download left %v, want one package", packages)
	}
	if err := run("dpkg-deb", "-x", packages[0], "unpacked"); err != nil {
		return err
	}
	binary, err := os.ReadFile(filepath.Join(work, "unpacked/usr/bin/promtool"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "promtool"), binary, 0o755)
	}
	if err != nil {
		return fmt.Errorf("fetch promtool: %w", err)
	}
	return nil
}
