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
	"github.com/shardscaler/shardscaler/internal/testbed/workload"
)

// TestImportLoadAndShrink plays a fleet's life, Things and Rules at the same time: an import, load that comes and goes,
// and the deletion of two thirds.
func TestImportLoadAndShrink(t *testing.T) {
	w := start(t, nil)
	things, rules := product.IDs(20_000, 1), product.IDs(500, 2)
	thingSize, ruleSize := size(len(things), thingTarget), size(len(rules), ruleTarget)

	t.Run("import", func(t *testing.T) {
		w.t = t
		require.NoError(t, w.Platform.Import(t.Context(), thing, things, 1))
		require.NoError(t, w.Platform.Import(t.Context(), rule, rules, 2))
		w.holds(w.settled(thing, thingSet, thingSize, len(things)), things)
		w.holds(w.settled(rule, ruleSet, ruleSize, len(rules)), rules)
		w.runsWhatIsAssigned(thing)
		w.runsWhatIsAssigned(rule)
		w.publishes(thing, thingSet, len(things), thingSize)
		w.publishes(rule, ruleSet, len(rules), ruleSize)
		w.replays(w.leader(), thing, rule)
	})
	if t.Failed() {
		return
	}

	t.Run("cpu and memory", func(t *testing.T) {
		w.t = t
		w.loadGrowsAndShrinks(len(things), len(rules), thingSize, ruleSize)
	})
	if t.Failed() {
		return
	}

	t.Run("delete two thirds", func(t *testing.T) {
		w.t = t
		goneThings, goneRules := things[:len(things)*2/3], rules[:len(rules)*2/3]
		w.deleteHalfByIDAndHalfByWhere(thing, goneThings)
		w.deleteHalfByIDAndHalfByWhere(rule, goneRules)
		keptThings, keptRules := without(things, goneThings), without(rules, goneRules)
		w.holds(w.settled(thing, thingSet, size(len(keptThings), thingTarget), len(keptThings)), keptThings)
		w.holds(w.settled(rule, ruleSet, size(len(keptRules), ruleTarget), len(keptRules)), keptRules)
		w.runsWhatIsAssigned(thing)
		w.runsWhatIsAssigned(rule)
		w.lostNothing(thing, goneThings)
		w.lostNothing(rule, goneRules)
		require.Positive(t, w.drainedFirst(thing, thingSet, thingInit), "Things never shrank")
		require.Positive(t, w.drainedFirst(rule, ruleSet, ruleInit), "Rules never shrank")
	})
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

// loadGrowsAndShrinks turns the CPU and then the memory target on, raises the load of both kinds and lets it go again.
func (w *world) loadGrowsAndShrinks(things, rules, thingSize, ruleSize int) {
	// A resource uses 50u of CPU and 100Ki of memory: per instance of 870 Things 43m of 500m and 85Mi, of 72 Rules 4m of
	// 250m and 7Mi. The factors bring that to 1.2 times what the targets allow.
	const cpuPercent = 70
	w.change(thing, func(k *config.Kind) { k.CPU = &config.ResourceTarget{TargetUtilization: cpuPercent} })
	w.change(rule, func(k *config.Kind) { k.CPU = &config.ResourceTarget{TargetUtilization: cpuPercent} })
	w.load(thing, workload.Factors{CPU: 1.2 * cpuPercent / 100 * 0.5 / (0.00005 * float64(things) / float64(thingSize)), Memory: 1})
	w.load(rule, workload.Factors{CPU: 1.2 * cpuPercent / 100 * 0.25 / (0.00005 * float64(rules) / float64(ruleSize)), Memory: 1})
	w.settled(thing, thingSet, ceil(1.2*float64(thingSize)), things)
	w.settled(rule, ruleSet, ceil(1.2*float64(ruleSize)), rules)
	w.load(thing, workload.Factors{CPU: 1, Memory: 1})
	w.load(rule, workload.Factors{CPU: 1, Memory: 1})
	w.settled(thing, thingSet, thingSize, things)
	w.settled(rule, ruleSet, ruleSize, rules)

	const target = 1 << 30 // 1Gi
	average := func(resources, size int) float64 { return 100 << 10 * float64(resources) / float64(size) }
	for _, kind := range []string{thing, rule} {
		w.change(kind, func(k *config.Kind) {
			k.CPU, k.Memory = nil, memoryTarget("1Gi")
		})
	}
	w.load(thing, workload.Factors{CPU: 1, Memory: 1.3 * target / average(things, thingSize)})
	w.load(rule, workload.Factors{CPU: 1, Memory: 1.3 * target / average(rules, ruleSize)})
	w.settled(thing, thingSet, ceil(1.3*float64(thingSize)), things)
	w.settled(rule, ruleSet, ceil(1.3*float64(ruleSize)), rules)
	w.load(thing, workload.Factors{CPU: 1, Memory: 1})
	w.load(rule, workload.Factors{CPU: 1, Memory: 1})
	w.settled(thing, thingSet, thingSize, things)
	w.settled(rule, ruleSet, ruleSize, rules)
	for _, kind := range []string{thing, rule} {
		w.change(kind, func(k *config.Kind) { k.Memory = nil })
	}
}

func (w *world) load(kind string, f workload.Factors) {
	w.t.Helper()
	require.NoError(w.t, w.Control.Load(w.t.Context(), kind, f))
}

// deleteHalfByIDAndHalfByWhere deletes ids: the first half named in messages, one by one and in bulk, the second half said
// only by an empty `where`, which a person has to confirm.
func (w *world) deleteHalfByIDAndHalfByWhere(kind string, ids []string) {
	w.t.Helper()
	ctx := w.t.Context()
	named, unnamed := ids[:len(ids)/2], ids[len(ids)/2:]
	require.NoError(w.t, w.Platform.Remove(ctx, kind, named...))
	var messages []product.Notification
	for _, id := range named[:len(named)/2] {
		messages = append(messages, product.Deleted(kind, id))
	}
	messages = append(messages, product.BulkDeleted(kind, named[len(named)/2:]))
	require.NoError(w.t, w.Platform.Publish(ctx, messages...))
	require.NoError(w.t, w.Platform.Remove(ctx, kind, unnamed...))
	require.NoError(w.t, w.Platform.Publish(ctx, product.DeletedWhere(kind)))
	w.confirm(kind, len(unnamed))
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
