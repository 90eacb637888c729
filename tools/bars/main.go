// Command bars measures what this project promises about its speed and size, and prints a line a figure:
//
//	bar <name with its unit> <measured> <bound, or - for none> ok|short
//
// In: the programs of this checkout and the real servers of internal/testbed/servers, which it starts. Out: the lines on standard
// output, what is being done on standard error, and exit status 1 if any figure is short. A figure that could not be measured
// is short: it is never left out, and never a guess.
//
// A figure that compares two things is made from rounds in which they take turns, so that what else the machine does weighs
// on both alike.
package main

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"syscall"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

func main() {
	if servers.RunRole() {
		return
	}
	if len(os.Args) > 1 && os.Args[1] == serveCommand {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		mainServe(ctx, os.Args[2:])
		return
	}
	only := flag.String("only", "", "measure the figures whose names begin so; empty: all")
	cold := flag.Bool("cold", false, "measure the cold start as on a new machine: build everything into an empty cache folder (about 10 minutes)")
	list := flag.Bool("list", false, "list the figures and measure nothing")
	flag.Parse()
	groups := allGroups(*cold)
	if *list {
		printNames(os.Stdout, groups)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ok := run(ctx, groups, *only)
	stop()
	if !ok {
		os.Exit(1)
	}
}

// allGroups are the figures in the order in which they are measured. What a group has in common is measured in one go.
func allGroups(cold bool) []group {
	groups := []group{coldGroup(cold), warmGroup, createGroup}
	groups = append(groups, metricsGroup(1_000, 100), metricsGroup(10_000, 10), compareGroup, freshGroup, memoryPodsGroup, virtualGroup)
	for _, things := range []int{20_000, 350_000} {
		groups = append(groups, memoryGroup(things))
	}
	groups = append(groups, storeGroups()...)
	return append(groups, otherPrograms()...)
}

// run measures what is picked and says whether nothing was short.
func run(ctx context.Context, groups []group, only string) bool {
	b := newBench(os.Stderr)
	defer b.close()
	r := report{out: os.Stdout, only: only}
	for _, g := range groups {
		if !r.picksAny(g) {
			continue
		}
		b.tell("%s", g.name)
		if err := g.run(ctx, b, &r); err != nil {
			b.tell("%s: %v", g.name, err)
		}
	}
	if r.printed == 0 {
		b.tell("no figure's name begins with %q; -list lists them", only)
	}
	return r.printed > 0 && r.short == 0
}
