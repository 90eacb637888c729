package fetch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// NodePackages returns a folder whose node_modules has what the package-lock.json in folder (from
// the module's root) names. It takes node 20 or later, and npm, from the PATH.
func NodePackages(ctx context.Context, p *Progress, folder string) (string, error) {
	if err := findNode(ctx); err != nil {
		return "", err
	}
	files := []string{"package.json", "package-lock.json", ".npmrc"}
	source, contents, err := readSources(folder, files...)
	if err != nil {
		return "", err
	}
	return Cached(p, "node-packages", contents, func(dir string) error {
		return p.During("fetching the packages of "+folder, nothing, func() error {
			for i, name := range files {
				if err := os.WriteFile(filepath.Join(dir, name), contents[i], 0o644); err != nil {
					return err
				}
			}
			_, err := run(ctx, dir, "npm", "ci", "--ignore-scripts")
			if err != nil {
				return fmt.Errorf("install the packages of %s: %w", source, err)
			}
			return nil
		})
	})
}

// findNode is an error unless the PATH has node 20 or later, and npm.
func findNode(ctx context.Context) error {
	if _, err := exec.LookPath("npm"); err != nil {
		return err
	}
	version, err := exec.CommandContext(ctx, "node", "--version").Output()
	if err != nil {
		return fmt.Errorf("ask node for its version: %w", err)
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(version)), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < 20 {
		return errors.New("node on the PATH is " + strings.TrimSpace(string(version)) + ", 20 or later is needed")
	}
	return nil
}
