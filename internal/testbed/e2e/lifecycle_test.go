package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/story"
	"github.com/shardscaler/shardscaler/internal/testbed/workload"
)

// TestImportLoadAndScaleDown plays the story of the demonstration, Things and Rules at the same
// time, with load on both, and asks more of it: that exactly those ids are there, that the metrics
// API says so, that the decisions can be made again, and the same for memory.
func TestImportLoadAndScaleDown(t *testing.T) {
	w := start(t, nil)
	things := &story.Kind{Name: thing, Set: thingSet, Init: thingInit, Target: thingTarget, CPU: 0.5, IDs: product.IDs(20_000, 1)}
	rules := &story.Kind{Name: rule, Set: ruleSet, Init: ruleInit, Target: ruleTarget, CPU: 0.25, IDs: product.IDs(500, 2)}
	s := &story.Story{
		Stack: w.Stack, Kinds: []*story.Kind{things, rules},
		Do: func(ctx context.Context, text string, step func(context.Context) error) {
			w.t.Helper()
			require.NoError(w.t, step(ctx), text)
		},
		Await: func(_ context.Context, text string, step func(context.Context) error) { w.until(text, step) },
	}
	for _, act := range []struct {
		name string
		play func(ctx context.Context)
	}{
		{"import", func(ctx context.Context) {
			s.Import(ctx)
			for _, k := range s.Kinds {
				w.publishes(k.Name, k.Set, len(k.IDs), k.Size())
			}
			w.replays(w.leader(), thing, rule)
		}},
		{"cpu", func(ctx context.Context) {
			for _, k := range s.Kinds {
				w.change(k.Name, func(k *config.Kind) { k.CPU = &config.ResourceTarget{TargetUtilization: story.CPUTarget} })
			}
			s.Busy(ctx, 0.3, s.Kinds...)
		}},
		{"memory", func(ctx context.Context) { w.memoryRisesAndFalls(ctx, s) }},
		{"delete two thirds", func(ctx context.Context) {
			s.DeleteByID(ctx)
			s.DeleteByWhere(ctx)
			w.runsWhatIsAssigned(thing)
			w.runsWhatIsAssigned(rule)
			s.LookBack(ctx)
			w.drainedFirst(thing, thingSet, thingInit)
			w.drainedFirst(rule, ruleSet, ruleInit)
		}},
	} {
		ended := t.Run(act.name, func(t *testing.T) {
			w.t = t
			act.play(t.Context())
			for _, k := range s.Kinds {
				w.holds(w.settled(k.Name, k.Set, k.Size(), len(k.IDs)), k.IDs)
			}
		})
		if !ended {
			return
		}
	}
}

// size is what the count alone asks for.
func size(resources, target int) int { return (resources + target - 1) / target }

// publishes waits until the metrics API says of a settled kind what is true of it.
func (w *world) publishes(kind, set string, ids, size int) {
	w.t.Helper()
	w.until("the metrics API shows "+kind, func(ctx context.Context) error {
		for metric, want := range map[string]float64{"resources": float64(ids), "unassigned_resources": 0, "recommended_replicas": float64(size)} {
			got, err := w.MetricOf(ctx, "statefulsets.apps/"+set, metric)
			if err != nil {
				return err
			}
			if got != want {
				return fmt.Errorf("%s is %v, want %v", metric, got, want)
			}
		}
		a, err := w.Assignment(ctx, kind)
		if err != nil {
			return err
		}
		held, err := w.Metric(ctx, "pods/*", "resources_per_instance?labelSelector=app%3D"+set)
		if err != nil {
			return err
		}
		if len(held) != size {
			return fmt.Errorf("resources_per_instance has %d items, want %d", len(held), size)
		}
		for n, in := range a.Instances {
			if v := held[podName(set, n)]; v != float64(len(in.IDs)) {
				return fmt.Errorf("resources_per_instance of %d is %v, its list has %d", n, v, len(in.IDs))
			}
		}
		return nil
	})
}

// memoryRisesAndFalls turns the memory target on instead of the CPU's, raises the memory of both
// kinds and lets it go again.
func (w *world) memoryRisesAndFalls(ctx context.Context, s *story.Story) {
	const target, more = 1 << 30, 1.3 // 1Gi
	for _, k := range s.Kinds {
		w.change(k.Name, func(k *config.Kind) { k.CPU, k.Memory = nil, memoryTarget("1Gi") })
		average := 100 << 10 * float64(len(k.IDs)) / float64(k.Size()) // a resource uses 100Ki
		w.load(k.Name, workload.Factors{CPU: 1, Memory: more * target / average})
	}
	for _, k := range s.Kinds {
		w.settled(k.Name, k.Set, ceil(more*float64(k.Size())), len(k.IDs))
	}
	for _, k := range s.Kinds {
		w.load(k.Name, workload.Factors{CPU: 1, Memory: 1})
	}
	s.Settle(ctx)
	for _, k := range s.Kinds {
		w.change(k.Name, func(k *config.Kind) { k.Memory = nil })
	}
}

func (w *world) load(kind string, f workload.Factors) {
	w.t.Helper()
	require.NoError(w.t, w.Control.Load(w.t.Context(), kind, f))
}

func ceil(f float64) int {
	n := int(f)
	if float64(n) < f {
		n++
	}
	return n
}

func memoryTarget(average string) *config.ResourceTarget {
	return &config.ResourceTarget{TargetAverageValue: ptr.To(resource.MustParse(average))}
}
