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

// Build builds the commands of this checkout into a folder, with more flags of `go build` for shardscaler: a test's tags, or an
// overlay. Go's own cache makes it quick when nothing has changed.
func Build(ctx context.Context, dir string, flags ...string) (Programs, error) {
	root, err := servers.ModuleRoot()
	if err != nil {
		return Programs{}, err
	}
	for _, what := range [][]string{append(flags, "./cmd/shardscaler"), {"./cmd/dacsim", "./cmd/prestop"}} {
		cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-o", dir + string(filepath.Separator)}, what...)...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			return Programs{}, fmt.Errorf("build %v: %w\n%s", what, err, out)
		}
	}
	return Programs{Shardscaler: filepath.Join(dir, "shardscaler"), Dacsim: filepath.Join(dir, "dacsim"), Prestop: filepath.Join(dir, "prestop")}, nil
}
