package product

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// Programs are the files of built commands.
type Programs struct {
	Shardscaler, Dacsim, Prestop string
}

// BuildProgram builds one command of this checkout into a file, with more flags of `go build`: a test's tags, or an overlay.
func BuildProgram(ctx context.Context, command, file string, flags ...string) error {
	root, err := servers.ModuleRoot()
	if err != nil {
		return err
	}
	args := append(append([]string{"build"}, flags...), "-o", file, "./cmd/"+command)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s %v: %w\n%s", command, flags, err, out)
	}
	return nil
}

// Build builds the commands of this checkout into a folder; Go's own cache makes it quick when nothing has changed.
func Build(ctx context.Context, dir string) (Programs, error) {
	root, err := servers.ModuleRoot()
	if err != nil {
		return Programs{}, err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator), "./cmd/shardscaler", "./cmd/dacsim", "./cmd/prestop")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return Programs{}, fmt.Errorf("build commands: %w\n%s", err, out)
	}
	return Programs{Shardscaler: filepath.Join(dir, "shardscaler"), Dacsim: filepath.Join(dir, "dacsim"), Prestop: filepath.Join(dir, "prestop")}, nil
}
