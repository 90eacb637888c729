package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	tree, err := os.MkdirTemp("", "promtool-")
	if err != nil {
		return fmt.Errorf("fetch promtool: %w", err)
	}
	defer os.RemoveAll(tree)
	if err := unpackDebian(ctx, tree, "prometheus", false); err != nil {
		return fmt.Errorf("fetch promtool: %w", err)
	}
	binary, err := os.ReadFile(filepath.Join(tree, "usr/bin/promtool"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "promtool"), binary, 0o755)
	}
	if err != nil {
		return fmt.Errorf("fetch promtool: %w", err)
	}
	return nil
}
