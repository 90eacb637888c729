package fetch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Debian returns a folder into which a package of Debian is unpacked, and with others those that it
// needs and this system lacks. Nothing is installed.
func Debian(ctx context.Context, p *Progress, name string, others bool) (string, error) {
	release, _ := os.ReadFile("/etc/os-release") // what the system has itself depends on it
	return Cached(p, name, [][]byte{[]byte("from Debian's package"), release}, func(dir string) error {
		return p.During("fetching Debian's package "+name, nothing, func() error {
			return unpackDebian(ctx, dir, name, others)
		})
	})
}

func unpackDebian(ctx context.Context, dir, name string, others bool) error {
	work, err := os.MkdirTemp("", "debian-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	a := apt{work: work}
	if err := a.download(ctx, name, others); err != nil { // the package lists are missing or old
		if again := a.update(ctx); again != nil {
			return errors.Join(err, again)
		}
		if err := a.download(ctx, name, others); err != nil {
			return err
		}
	}
	packages, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(packages) == 0 {
		return errors.New("apt-get download left nothing")
	}
	for _, file := range packages {
		if _, err := run(ctx, work, "dpkg-deb", "-x", file, dir); err != nil {
			return err
		}
	}
	return nil
}

// run runs a program of the package manager and returns what it said.
func run(ctx context.Context, dir string, line ...string) (string, error) {
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%v: %w\n%s", line, err, out)
	}
	return string(out), nil
}

// apt calls the package manager in a folder of its own, where it needs no right that its caller
// lacks.
type apt struct {
	work  string
	lists []string // options that name package lists in work instead of the system's
}

func (a *apt) get(ctx context.Context, args ...string) (string, error) {
	return run(ctx, a.work, slices.Concat([]string{"apt-get", "-q", "-o", "APT::Sandbox::User=root"}, a.lists, args)...)
}

func (a *apt) update(ctx context.Context) error {
	lists, cache := filepath.Join(a.work, "lists"), filepath.Join(a.work, "cache")
	for _, dir := range []string{lists, cache} {
		if err := os.MkdirAll(filepath.Join(dir, "partial"), 0o755); err != nil {
			return err
		}
	}
	a.lists = []string{"-o", "Dir::State::lists=" + lists, "-o", "Dir::Cache=" + cache}
	_, err := a.get(ctx, "update")
	return err
}

// download leaves the packages in work.
func (a *apt) download(ctx context.Context, name string, others bool) error {
	names := []string{name}
	if others {
		plan, err := a.get(ctx, "install", "--simulate", "--no-install-recommends", name)
		if err != nil {
			return err
		}
		for line := range strings.Lines(plan) {
			if what := strings.Fields(line); len(what) > 1 && what[0] == "Inst" && what[1] != name {
				names = append(names, what[1])
			}
		}
	}
	_, err := a.get(ctx, append([]string{"download"}, names...)...)
	return err
}
