// Package gocmd is for programs that `go run` starts, and that start the go command themselves:
// who ends one of them, by a signal to `make` for example, ends all of it.
package gocmd

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// EndWithGoRun is done also when `go run`, if that started this program, is gone. For the person
// who typed it, that is this program, and neither a kill -9 of it nor a signal to the make that
// started it reaches us.
func EndWithGoRun(ctx context.Context) context.Context {
	self, err := os.Executable()
	if err != nil || !strings.Contains(self, "/go-build") {
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	parent := os.Getppid()
	go func() {
		defer cancel()
		for os.Getppid() == parent && ctx.Err() == nil {
			time.Sleep(500 * time.Millisecond)
		}
	}()
	return ctx
}

// Command is the go command in dir. When ctx ends, what it has started (the binary of a test) is
// interrupted with it, which `go test` alone does not do, and killed 10 s later.
func Command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}
