package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// otherPrograms are figures that compare us with libraries that the product does not need. Each program is named after its folder,
// prints lines of the same form, and is given ONLY.
func otherPrograms() []group {
	root, err := servers.ModuleRoot()
	if err != nil {
		return nil // the groups before these will say it
	}
	var groups []group
	for _, name := range []string{"decide", "plan"} {
		dir := filepath.Join(root, "tools", "bars", name)
		groups = append(groups, group{
			name: name,
			relay: func(ctx context.Context, b *bench, only string, say func(string)) error {
				return runModule(ctx, b, dir, only, say)
			},
		})
	}
	return groups
}

func runModule(ctx context.Context, b *bench, dir, only string, say func(string)) error {
	cmd := exec.CommandContext(ctx, "go", "run", ".")
	cmd.Dir, cmd.Stderr = dir, b.progress
	cmd.Env = append(os.Environ(), "ONLY="+only)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run %s: %w", filepath.Base(dir), err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		say(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("run %s: %w", filepath.Base(dir), err)
	}
	return nil
}
