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
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/shardscaler/shardscaler/internal/testbed/gocmd"
)

func main() {
	long := flag.String("time", "5m", "time for each target, or executions as in 1000x")
	only := flag.String("only", "", "targets whose package and name contain this; empty: all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ok := run(gocmd.EndWithGoRun(ctx), *long, *only)
	stop()
	if !ok {
		os.Exit(1)
	}
}

// target is one fuzz function. Its folder is below the root that was searched.
type target struct{ dir, name string }

func (t target) String() string { return "./" + t.dir + " " + t.name }

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
			found = append(found, target{filepath.ToSlash(dir), string(match[1])})
		}
		return nil
	})
	return found, err
}

func run(ctx context.Context, long, only string) (ok bool) {
	targets, err := find(".")
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
		executions, err := t.fuzz(ctx, ".", long)
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
func (t target) fuzz(ctx context.Context, root, long string) (executions string, err error) {
	executions = "0"
	dir := filepath.Join(root, t.dir) // of whichever module
	out, err := gocmd.Command(ctx, dir, "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", long,
		"-fuzzminimizetime", minimize).CombinedOutput()
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
