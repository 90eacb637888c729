package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/workload"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// TestLiveTuning changes thresholds in the ConfigMap and sees each in the decision, without a
// restart.
func TestLiveTuning(t *testing.T) {
	w := startBeside(t, nil)
	things := product.IDs(5_400, 1)
	require.NoError(t, w.Platform.Import(t.Context(), thing, things, 1))
	w.settled(thing, thingSet, 6, len(things))
	pid := w.Servers[0].Pid()

	w.change(thing, func(k *config.Kind) { k.TargetPerInstance = 1000 })
	w.decides("a raised target asks for fewer", func(d decide.Decision) bool {
		return d.TargetPerInstance == 1000 && d.Floor == 6 && d.Resources == 5_400
	})
	w.change(thing, func(k *config.Kind) { k.TargetPerInstance = 540 })
	w.decides("a lowered target asks for more", func(d decide.Decision) bool { return d.TargetPerInstance == 540 && d.Needed == 10 })
	w.settled(thing, thingSet, 10, len(things))

	w.change(thing, func(k *config.Kind) { k.Max = 8 })
	w.decides("a lowered max bounds the size", func(d decide.Decision) bool { return d.Max == 8 && d.Desired == 8 })
	w.holds(w.settled(thing, thingSet, 8, len(things)), things)

	w.change(thing, func(k *config.Kind) {
		k.Max, k.TargetPerInstance = 30, 900
		k.Memory = &config.ResourceTarget{TargetAverageValue: ptr.To(resource.MustParse("1Gi"))}
	})
	w.decides("the memory target is on", func(d decide.Decision) bool {
		return len(d.Signals) == 2 && d.Signals[1].Name == decide.ByMemory
	})
	w.settled(thing, thingSet, 6, len(things))
	// 900 Things use 88 MiB an instance; 14 times that is a little over the target of 1 GiB.
	w.load(thing, workload.Factors{CPU: 1, Memory: 14})
	w.decides("memory asks for a scale up", func(d decide.Decision) bool { return d.Reason == decide.ByMemory && d.Desired > 6 })

	require.Equal(t, pid, w.Servers[0].Pid(), "the server was restarted")
	require.Positive(t, w.drainedFirst(thing, thingSet, thingInit))
}

// decides waits for a decision about Things that is so.
func (w *world) decides(what string, so func(decide.Decision) bool) {
	w.t.Helper()
	w.until(what, func(ctx context.Context) error {
		var d decide.Decision
		if err := w.Servers[0].REST(ctx, http.MethodGet, "/v1/api/orchestrations/Thing/decision", "", nil, &d); err != nil {
			return err
		}
		if !so(d) {
			return fmt.Errorf("the decision is %s", d.Summary)
		}
		return nil
	})
}
