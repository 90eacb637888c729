package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/plan/worldfile"
)

// offline is what `shardscaler plan` does with 500,000 resources in JSON Lines, with weight and owner: read, plan, describe. Only the
// start of the process is missing.
func offline(r *report) error {
	const name = "plan_offline_500k_json_lines_s"
	if !r.wants(name) {
		return nil
	}
	fmt.Fprintln(os.Stderr, "plan: 500k from JSON Lines")
	var lines bytes.Buffer
	random := rand.New(rand.NewPCG(3, 4))
	for _, id := range ids(500_000) {
		fmt.Fprintf(&lines, "{\"id\":%q,\"instance\":%d,\"weight\":%.3f}\n", id, min(99, int(random.ExpFloat64()*60)), random.ExpFloat64())
	}
	const world = "balance: weight\ninstances: [{ordinals: 0-99}]\nresourcesFrom: lines"
	results, err := takeTurns(3, planner{name: "offline", plan: func() (answer, error) {
		w, o, err := worldfile.Read(strings.NewReader(world), func(string) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(lines.Bytes())), nil
		})
		if err != nil {
			return nil, err
		}
		p, err := plan.Make(w, o)
		if err == nil {
			err = worldfile.Write(io.Discard, p, o, "text", false)
		}
		if w.Resources() != 500_000 {
			err = fmt.Errorf("read %d resources", w.Resources())
		}
		return func() (int, float64, error) { return len(p.Moves), 0, nil }, err
	}})
	if err != nil {
		return err
	}
	r.figure(name, results[0].ms/1000, "<=", 2)
	return nil
}
