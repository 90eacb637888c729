// Command bars measures what this project promises about its speed and size, and prints a line a
// figure:
//
//	bar <name with its unit> <measured> <bound, or - for none> ok|short
//
// In: the table of this folder; what one process can measure is a Go benchmark of a package below
// it, which is run for its figures; the rest are programs of this checkout on the real servers of
// internal/testbed/servers, which are started. Out: the lines on standard output, what is being
// done on standard error, and exit status 1 if any figure is short. A figure that could not be
// measured is short: it is never left out, and never a guess. docs/bars.md says how each is got.
//
// With -soak it measures nothing, lets a fleet live with one fault after the other, and says what
// was lost, doubled or grew.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/shardscaler/shardscaler/internal/testbed/gocmd"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

func main() {
	if servers.RunRole() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if len(os.Args) == 3 && os.Args[1] == serveCommand {
		if err := serveMetrics(ctx, os.Args[2]); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	only := flag.String("only", "", "measure the figures whose names begin so; empty: all")
	cold := flag.Bool("cold", false, "measure the cold start as on a new machine: build everything into an empty cache folder (about 10 minutes)")
	soak := flag.Duration("soak", 0, "instead of measuring, let a fleet of 500,000 resources live that long with a fault each 10 s")
	list := flag.Bool("list", false, "list the figures and measure nothing")
	flag.Parse()
	groups := table(*cold)
	if *list {
		for _, g := range groups {
			for _, f := range g.figures {
				fmt.Println(g.name+"_"+f.name, f.printed())
			}
		}
		return
	}
	ctx = gocmd.EndWithGoRun(ctx)
	ok := false
	if *soak > 0 {
		b := newBench(os.Stderr)
		ok = runSoak(ctx, b, soakThings, *soak, os.Stdout)
		b.close()
	} else {
		ok = run(ctx, groups, *only)
	}
	stop()
	if !ok {
		os.Exit(1)
	}
}

// run measures what is picked and says whether nothing was short.
func run(ctx context.Context, groups []group, only string) bool {
	b := newBench(os.Stderr)
	defer b.close()
	ok := true
	r := report{out: os.Stdout, only: only}
	for _, g := range groups {
		if !r.picksAny(g) {
			continue
		}
		b.tell("%s", g.name)
		if err := g.run(ctx, b, &r); err != nil {
			b.tell("%s: %v", g.name, err)
			ok = false
		}
	}
	if r.printed == 0 {
		b.tell("no figure's name begins with %q; -list lists them", only)
	}
	return ok && r.printed > 0 && r.short == 0
}
