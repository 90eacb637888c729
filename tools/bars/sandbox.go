package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

const (
	warmRounds = 3
	warmBound  = 15 // seconds
)

// warmGroup tells how long the sandbox takes until every server answers its own protocol, when everything it needs is in the
// cache folder.
var warmGroup = group{
	name:    "sandbox_warm",
	figures: []figure{{"sandbox_warm_s", atMost(warmBound)}},
	measure: func(ctx context.Context, b *bench) (map[string]float64, error) {
		if _, err := servers.Fetch(ctx, servers.AllParts, b.progress); err != nil {
			return nil, err
		}
		var took []float64
		for range warmRounds {
			seconds, err := b.timeStart(ctx)
			if err != nil {
				return nil, err
			}
			b.tell("up after %s s", number(seconds))
			took = append(took, seconds)
		}
		return map[string]float64{"sandbox_warm_s": median(took)}, nil
	},
}

func (b *bench) timeStart(ctx context.Context) (seconds float64, err error) {
	began := time.Now()
	env, err := servers.Start(ctx, servers.Options{Progress: b.progress})
	if err != nil {
		return 0, err
	}
	seconds = time.Since(began).Seconds()
	return seconds, env.Close()
}

// coldGroup tells how long the first start takes. That a cache folder is empty happens once on a machine, so a build into a fresh one
// is made only when asked for. Otherwise the figure is the run's first start with what is in the cache folder, and its name says so.
func coldGroup(build bool) group {
	if build {
		return group{
			name:    "sandbox_cold",
			figures: []figure{{name: "sandbox_cold_s"}},
			measure: func(ctx context.Context, b *bench) (map[string]float64, error) {
				seconds, err := b.timeCold(ctx)
				if err != nil {
					return nil, err
				}
				return map[string]float64{"sandbox_cold_s": seconds}, nil
			},
		}
	}
	const name = "sandbox_first_from_cache_s"
	return group{
		name:    "sandbox_first",
		figures: []figure{{name: name}},
		measure: func(ctx context.Context, b *bench) (map[string]float64, error) {
			b.tell("the build of the servers is not timed; -cold (make bars COLD=1) builds them into an empty cache folder")
			if _, err := servers.Fetch(ctx, servers.AllParts, b.progress); err != nil {
				return nil, err
			}
			seconds, err := b.timeStart(ctx)
			if err != nil {
				return nil, err
			}
			return map[string]float64{name: seconds}, nil
		},
	}
}

// timeCold times the command of a person whose cache folder is empty, Go's build cache included, until all servers answer. Go's
// modules and Maven's repository stay: what they take is the network's time.
func (b *bench) timeCold(ctx context.Context) (seconds float64, err error) {
	cache, err := os.MkdirTemp("", "shardscaler-cold-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(cache)
	root, err := servers.ModuleRoot()
	if err != nil {
		return 0, err
	}
	up := filepath.Join(cache, "up")
	cmd := exec.CommandContext(ctx, "go", "run", "./cmd/sandbox", "exec", "--", "sh", "-c", `date +%s.%N > "$0"`, up)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+cache, "GOCACHE="+filepath.Join(cache, "go-build"))
	cmd.Stdout, cmd.Stderr = b.progress, b.progress
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("start sandbox: %w", err)
	}
	raw, err := os.ReadFile(up)
	if err != nil {
		return 0, fmt.Errorf("start sandbox: %w", err)
	}
	at, err := strconv.ParseFloat(strings.TrimSpace(string(raw)), 64)
	return at - float64(began.UnixNano())/1e9, err
}
