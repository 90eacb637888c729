package product

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/shardscaler/shardscaler/internal/testbed/gocmd"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// Programs are the files of built commands.
type Programs struct {
	Shardscaler, Dacsim, Prestop string
}

// Build builds the commands of this checkout into a folder, with more flags of `go build` for
// shardscaler: a test's tags, or an overlay.
func Build(ctx context.Context, dir string, flags ...string) (Programs, error) {
	root, err := servers.ModuleRoot()
	if err != nil {
		return Programs{}, err
	}
	for _, what := range [][]string{
		slices.Concat(flags, []string{"./cmd/shardscaler"}), {"./cmd/dacsim", "./cmd/prestop"},
	} {
		args := append([]string{"build", "-o", dir + string(filepath.Separator)}, what...)
		if out, err := gocmd.Command(ctx, root, args...).CombinedOutput(); err != nil {
			return Programs{}, fmt.Errorf("build %v: %w\n%s", what, err, out)
		}
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	return Programs{Shardscaler: file("shardscaler"), Dacsim: file("dacsim"), Prestop: file("prestop")}, nil
}

// ErrNoHistory says that a commit is not in this checkout: it is a shallow clone, or no clone.
var ErrNoHistory = errors.New("the checkout has not the history of the commit")

// BuildCommit builds shardscaler into a file as it was at a commit of this checkout's history, with
// the flags of Build.
func BuildCommit(ctx context.Context, commit, program string) error {
	root, err := servers.ModuleRoot()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "shardscaler-source-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	archive := filepath.Join(dir, "source.tar")
	if out, err := exec.CommandContext(ctx, "git", "-C", root, "archive", "-o", archive, commit).CombinedOutput(); err != nil {
		return fmt.Errorf("%w %s: git archive: %w: %s", ErrNoHistory, commit, err, out)
	}
	if out, err := exec.CommandContext(ctx, "tar", "-xf", archive, "-C", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("unpack commit %s: %w\n%s", commit, err, out)
	}
	if out, err := gocmd.Command(ctx, dir, "build", "-o", program, "./cmd/shardscaler").CombinedOutput(); err != nil {
		return fmt.Errorf("build commit %s: %w\n%s", commit, err, out)
	}
	return nil
}

// RunTests is what TestMain does in a package whose tests share programs, which are built once.
// Without servers nothing is built: every test says what it lacks.
func RunTests(m *testing.M, programs *Programs, flags ...string) (code int) {
	if servers.RunRole() {
		return 0
	}
	if os.Getenv(servers.FileVar) == "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "shardscaler-programs-")
	if err == nil {
		defer os.RemoveAll(dir)
		*programs, err = Build(context.Background(), dir, flags...)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
