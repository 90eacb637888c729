package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"golang.org/x/perf/benchfmt"

	"github.com/shardscaler/shardscaler/internal/testbed/gocmd"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// benchmark measures by a Go benchmark of a package below this folder, or a case of one, which
// reports each figure under its name. It makes that many rounds in one run.
func benchmark(dir, name string, rounds int) measure {
	return func(ctx context.Context, b *bench) (map[string]float64, error) {
		root, err := servers.ModuleRoot()
		if err != nil {
			return nil, err
		}
		cmd := gocmd.Command(ctx, filepath.Join(root, "tools", "bars"), "test", "-run", "^$", "-bench", name,
			"-benchtime", fmt.Sprintf("%dx", rounds), "-timeout", "0", "./"+dir)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, b.progress), b.progress
		failed := cmd.Run()
		measured, err := readMetrics(&out)
		return measured, errors.Join(failed, err)
	}
}

// readMetrics reads what a benchmark reports, by unit. Lines that are no results are for the reader
// of the progress.
func readMetrics(out io.Reader) (map[string]float64, error) {
	measured := map[string]float64{}
	lines := benchfmt.NewReader(out, "go test")
	for lines.Scan() {
		if result, ok := lines.Result().(*benchfmt.Result); ok {
			for _, v := range result.Values {
				measured[v.Unit] = v.Value
				if v.OrigUnit != "" { // MB has become B
					measured[v.OrigUnit] = v.OrigValue
				}
			}
		}
	}
	return measured, lines.Err()
}
