package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/shardscaler/shardscaler/internal/api"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// TestAcknowledgedHandOff scales up, spreads, deletes and drains with instances that acknowledge:
// by their own run logs nothing ever runs twice. Then it pauses through a restart, and finds
// nothing to roll back. It has the APIServices, without which a Warning would be due.
func TestAcknowledgedHandOff(t *testing.T) {
	w := start(t, func(_ *servers.Env, o *product.Options) {
		o.WorkloadFlags = append(o.WorkloadFlags, "--hand-off", "acknowledged")
		o.Config.Kinds[0].HandOff = config.HandOffAcknowledged
	})
	ctx := t.Context()
	things := product.IDs(3_600, 1)
	require.NoError(t, w.Platform.Import(ctx, thing, things[:1_800], 1))
	first := w.settled(thing, thingSet, 2, 1_800).Owners()
	require.NoError(t, w.Platform.Import(ctx, thing, things[1_800:], 2))
	w.settled(thing, thingSet, 4, len(things))
	w.runsWhatIsAssigned(thing)
	require.NoError(t, w.Platform.Remove(ctx, thing, things[:1_800]...))
	require.NoError(t, w.Platform.Publish(ctx, product.BulkDeleted(thing, things[:1_800])))
	last := w.settled(thing, thingSet, 2, 1_800)
	w.holds(last, things[1_800:])
	w.runsWhatIsAssigned(thing)

	runs, err := w.Runs()
	require.NoError(t, err)
	require.Empty(t, runs.Overlaps)
	require.Greater(t, runs.Started[thing], len(things), "something has moved")
	require.Len(t, first, 1_800)
	w.lostNothing(thing, things[:1_800])
	require.Positive(t, w.drainedFirst(thing, thingSet, thingInit))

	w.change(thing, func(k *config.Kind) { k.HandOff = config.HandOffImmediate })
	w.until("it says that the hand-off can be acknowledged", func(ctx context.Context) error {
		o, err := w.orchestration(ctx)
		if err == nil && o.HandOff != (api.HandOff{Mode: config.HandOffImmediate, Instances: 2, Acknowledging: 2, Hint: o.HandOff.Hint}) {
			err = fmt.Errorf("hand-off is %+v", o.HandOff)
		}
		return err
	})
	w.pausesThroughARestart()
	w.warnsOfNothing()
}

// warnsOfNothing requires that nothing was worth a Warning event: what was scaled up, was drained
// and found a new leader did so in the ordinary way.
func (w *world) warnsOfNothing() {
	w.t.Helper()
	events, err := w.Events(w.t.Context())
	require.NoError(w.t, err)
	reasons := map[string]bool{}
	for _, e := range events {
		if e.Source.Component != "shardscaler" {
			continue
		}
		reasons[e.Reason] = true
		require.NotEqual(w.t, corev1.EventTypeWarning, e.Type, "%s: %s", e.Reason, e.Message)
	}
	require.True(w.t, reasons["Scaled"] && reasons["Draining"], "the events are %v", reasons)
}

func (w *world) orchestration(ctx context.Context) (o api.Orchestration, err error) {
	err = w.Servers[0].REST(ctx, http.MethodGet, "/v1/api/orchestrations/Thing", "", nil, &o)
	return o, err
}

func (w *world) pausesThroughARestart() {
	w.t.Helper()
	ctx, server := w.t.Context(), w.Servers[0]
	token, err := w.OperatorToken(ctx)
	require.NoError(w.t, err)
	post := func(ctx context.Context, what string) error {
		return server.REST(ctx, http.MethodPost, "/v1/api/orchestrations/Thing/"+what, token, nil, nil)
	}
	w.until("nothing is being moved, and it says so", func(ctx context.Context) error {
		if err := post(ctx, "rollback"); statusOf(err) != http.StatusConflict {
			return fmt.Errorf("rollback: %w", err)
		}
		return nil
	})
	o, err := w.orchestration(ctx)
	require.NoError(w.t, err)
	require.Equal(w.t, api.PauseSetting{Source: "ConfigMap"}, o.Paused, "and so it was not paused either")

	w.until("it pauses", func(ctx context.Context) error { return post(ctx, "pause") })
	require.NoError(w.t, server.Kill())
	require.NoError(w.t, server.Start())
	require.NoError(w.t, w.AwaitReady(ctx, server))
	o, err = w.orchestration(ctx)
	require.NoError(w.t, err)
	require.Equal(w.t, api.PauseSetting{Value: true, Source: "override"}, o.Paused)
	w.until("the new process leads, and resumes", func(ctx context.Context) error { return post(ctx, "resume") })
	o, err = w.orchestration(ctx)
	require.NoError(w.t, err)
	require.Equal(w.t, api.PauseSetting{Source: "ConfigMap"}, o.Paused)
}
