// Command prestop is a preStop hook: it holds a pod that ends until it owns nothing, or until its
// grace is nearly over. It is small and static, so that it can be copied into any container:
// `prestop install DIR` does that from an init container.
//
// Exit codes: 0 the pod may end; 1 it ends owning something, or that is unknown; 2 bad flags.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/shardscaler/shardscaler/internal/ending"
	"github.com/shardscaler/shardscaler/internal/prestop"
)

func main() {
	ctx, stop := ending.OnSignal()
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ended := func(code int, err error) int {
		if err == nil {
			return 0
		}
		fmt.Fprintln(stderr, "prestop:", err)
		return code
	}
	if len(args) == 2 && args[0] == "install" {
		return ended(1, install(args[1]))
	}
	c := prestop.Default()
	f := flag.NewFlagSet("prestop", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&c.Server, "server", os.Getenv("SHARDSCALER_SERVER"), "URL of shardscaler (default $SHARDSCALER_SERVER)")
	f.StringVar(&c.Namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the pod (default $POD_NAMESPACE)")
	f.StringVar(&c.Pod, "pod", os.Getenv("POD_NAME"), "the pod (default $POD_NAME)")
	f.DurationVar(&c.Grace, "grace", c.Grace, "the pod's terminationGracePeriodSeconds")
	f.DurationVar(&c.Margin, "margin", c.Margin, "part of the grace period kept for the process to stop after the hook")
	f.DurationVar(&c.Patience, "patience", c.Patience, "time without any answer from shardscaler after which the hook gives up")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	if f.NArg() > 0 {
		return ended(2, fmt.Errorf("unexpected argument %q; want flags, or: prestop install DIR", f.Arg(0)))
	}
	if err := c.Validate(); err != nil {
		return ended(2, err)
	}
	return ended(1, prestop.Hold(ctx, c, stdout))
}

// install copies this program into a folder that the pod's containers share.
func install(dir string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		return fmt.Errorf("read this program: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "prestop"), program, 0o755); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	return nil
}
