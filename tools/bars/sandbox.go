package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/gocmd"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

// measureWarm starts the sandbox that many times, when everything it needs is in the cache folder,
// and takes the median.
func measureWarm(starts int) measure {
	return func(ctx context.Context, b *bench) (map[string]float64, error) {
		if _, err := servers.Fetch(ctx, servers.AllParts, b.progress); err != nil {
			return nil, err
		}
		var took []float64
		for range starts {
			seconds, err := b.timeStart(ctx)
			if err != nil {
				return nil, err
			}
			b.tell("up after %s s", number(seconds))
			took = append(took, seconds)
		}
		return map[string]float64{"s": rounds.Median(took)}, nil
	}
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

// measureCold times the command of a person whose cache folder is empty, Go's build cache included,
// until all servers answer. Go's modules and Maven's repository stay: what they take is the
// network's time.
func measureCold(ctx context.Context, b *bench) (map[string]float64, error) {
	cache, err := os.MkdirTemp("", "shardscaler-cold-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(cache)
	root, err := servers.ModuleRoot()
	if err != nil {
		return nil, err
	}
	cmd := gocmd.Command(ctx, root, "run", "./cmd/sandbox", "exec", "--", "date", "+%s.%N")
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+cache, "GOCACHE="+filepath.Join(cache, "go-build"))
	cmd.Stderr = b.progress
	cmd.WaitDelay = time.Minute // the sandbox ends its servers
	began := time.Now()
	raw, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("start sandbox: %w", err)
	}
	at, err := strconv.ParseFloat(strings.TrimSpace(string(raw)), 64)
	return map[string]float64{"s": at - float64(began.UnixNano())/1e9}, err
}
