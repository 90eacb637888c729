package plan_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/plan/worldfile"
)

// TestStories plays testdata/*.txt: worlds, and the plans for them. Commands:
//
//	plan [moves]    the plan, checked; with every move
//	due [changed]   whether a server would spread
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			w, o, err := worldfile.Read(strings.NewReader(d.Input), func(string) (io.ReadCloser, error) {
				return nil, errors.New("stories are in one file")
			})
			if err != nil {
				return err.Error()
			}
			switch d.Cmd {
			case "plan":
				return story(w, o, d.HasArg("moves"))
			case "due":
				due, why := plan.ShouldRebalance(w, d.HasArg("changed"), o)
				return fmt.Sprintf("%v: %s", due, why)
			}
			return "unknown command " + d.Cmd
		})
	})
}

func story(w *plan.World, o plan.Options, moves bool) string {
	p, err := plan.Make(w, o)
	if err == nil {
		err = plan.Check(w, p, o)
	}
	if err != nil {
		return err.Error()
	}
	out := p.Describe().String()
	if moves {
		for _, m := range p.Named() {
			out += fmt.Sprintf("  %s\n", m)
		}
	}
	return out
}
