// Command fuzz gives every fuzz target of this checkout, modules of their own included, some time,
// and prints a line for each:
//
//	fuzz <package> <target> <executions> ok|failed
//
// In: the targets, found in the tests' source. Out: the lines on standard output, what `go test`
// says of a failure on standard error, and exit status 1 if there is one; the input that failed is
// then in the package's testdata/fuzz and fails the ordinary tests too.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

func main() {
	long := flag.String("time", "5m", "time for each target, or executions as in 1000x")
	only := flag.String("only", "", "targets whose package and name contain this; empty: all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ok := run(ctx, ".", *long, *only)
	stop()
	if !ok {
		os.Exit(1)
	}
}

// target is one fuzz function. Its folder and that of its module are below the root that was
// searched.
type target struct{ module, dir, name string }

func (t target) String() string { return "./" + t.dir + " " + t.name }

// pkg is the target's package as `go test` takes it in the module's folder.
func (t target) pkg() (string, error) {
	rel, err := filepath.Rel(t.module, t.dir)
	return "./" + filepath.ToSlash(rel), err
}

var declaration = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)

// find lists the targets below root, in the order of the tree.
func find(root string) (found []target, err error) {
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, match := range declaration.FindAllSubmatch(source, -1) {
			dir, err := filepath.Rel(root, filepath.Dir(path))
			if err != nil {
				return err
			}
			found = append(found, target{module: moduleOf(root, dir), dir: filepath.ToSlash(dir), name: string(match[1])})
		}
		return nil
	})
	return found, err
}

// moduleOf is the folder of the module that dir, below root, belongs to.
func moduleOf(root, dir string) string {
	for ; dir != "."; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(root, dir, "go.mod")); err == nil {
			break
		}
	}
	return filepath.ToSlash(dir)
}

func run(ctx context.Context, root string, long string, only string) (ok bool) {
	targets, err := find(root)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return false
	}
	ok = true
	tried := 0
	for _, t := range targets {
		if !strings.Contains(t.String(), only) || ctx.Err() != nil {
			continue
		}
		tried++
		executions, err := t.fuzz(ctx, root, long)
		verdict := "ok"
		if err != nil {
			verdict, ok = "failed", false
			fmt.Fprintf(os.Stderr, "%s: %v\n", t, err)
		}
		fmt.Printf("fuzz %s %s %s\n", t, executions, verdict)
	}
	if tried == 0 {
		fmt.Fprintf(os.Stderr, "no target contains %q\n", only)
	}
	return ok && tried > 0 && ctx.Err() == nil
}

var progress = regexp.MustCompile(`execs: (\d+) `)

// minimize is how many tries each new input gets to become smaller. Go's own limit, a minute, is
// longer than that of most targets here to find the next one, and where the same input does not
// always take the same way (keys are made) it is always used up.
const minimize = "50x"

// fuzz returns how often the target was executed, as `go test` last said.
func (t target) fuzz(ctx context.Context, root string, long string) (executions string, err error) {
	executions = "0"
	pkg, err := t.pkg()
	if err != nil {
		return executions, err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", long,
		"-fuzzminimizetime", minimize, pkg)
	cmd.Dir = filepath.Join(root, t.module)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if all := progress.FindAllSubmatch(out, -1); len(all) > 0 {
		executions = string(all[len(all)-1][1])
	}
	if err == nil && executions == "0" {
		err = errors.New("the time was not enough to execute it once")
	}
	if err != nil {
		return executions, fmt.Errorf("%w\n%s", err, bytes.TrimSpace(out))
	}
	return executions, nil
}
