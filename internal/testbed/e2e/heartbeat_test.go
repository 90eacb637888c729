package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/shardscaler/shardscaler/internal/testbed/httpcall"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// podsOf selects the pods of a StatefulSet in a metric's path.
func podsOf(metric, set string) string { return metric + "?labelSelector=app%3D" + set }

// TestSilentInstanceAndSilentBus: one instance that stops beating while its session lives is
// reported; when the session has ended too, it is restarted, once, and nothing moves. While Kafka
// is silent no instance is restarted, and only the metric that comes from it is missing.
func TestSilentInstanceAndSilentBus(t *testing.T) {
	w := start(t, func(env *servers.Env, o *product.Options) {
		o.Kafka = env.NewKafka(t, "", "")
		o.Sizes = map[string]int{thingSet: 4, ruleSet: ruleInit}
		// their status is empty, and shows their session all the same
		o.WorkloadFlags = append(o.WorkloadFlags, "--hand-off", "immediate")
	})
	things := product.IDs(3_000, 1)
	require.NoError(t, w.Platform.Import(t.Context(), thing, things, 1))
	before := w.settled(thing, thingSet, 4, len(things))
	w.until("every instance has a lag", func(ctx context.Context) error {
		lags, err := w.Metric(ctx, "pods/*", podsOf("heartbeat_lag_seconds", thingSet))
		if err == nil && len(lags) != 4 {
			err = fmt.Errorf("lags %v", lags)
		}
		return err
	})
	_, err := w.Metric(t.Context(), "pods/*", podsOf("heartbeat_lag_seconds", ruleSet))
	require.Error(t, err, "Rules do not beat, so they have no lag, and surely not 0")

	t.Run("an instance stops beating", func(t *testing.T) {
		w.t = t
		old, err := w.Pods(t.Context(), thingSet)
		require.NoError(t, err)
		silent := podName(thingSet, 2)
		require.NoError(t, w.Control.Fault(t.Context(), thing, 2, "mute", 0))
		w.until("its lag shows", func(ctx context.Context) error {
			lag, err := w.MetricOf(ctx, "pods/"+silent, "heartbeat_lag_seconds")
			if err == nil && lag < 4 {
				err = fmt.Errorf("lag %v", lag)
			}
			return err
		})
		verdict := func(condition decide.Condition, by decide.Evidence) func(decide.Decision) bool {
			return func(d decide.Decision) bool {
				return slices.ContainsFunc(d.Health.Verdicts, func(v decide.Verdict) bool {
					return v.Ordinal == 2 && v.Condition == condition && v.By == by && v.Lag != nil && *v.Lag > 10*time.Second
				})
			}
		}
		w.decides("beyond the time of a restart its session still speaks for it", verdict(decide.Stale, decide.BySession))
		w.onlyRestarted()
		// no ping either: its session expires
		require.NoError(t, w.Control.Fault(t.Context(), thing, 2, "hang", 0))
		w.until("its pod is restarted", func(ctx context.Context) error {
			pods, err := w.Pods(ctx, thingSet)
			if err != nil {
				return err
			}
			if p, ok := pods[silent]; !ok || p.UID == old[silent].UID || p.Status.Phase != "Running" {
				return fmt.Errorf("pod %s is %s", p.UID, p.Status.Phase)
			}
			return nil
		})
		w.until("its successor beats", func(ctx context.Context) error {
			lag, err := w.MetricOf(ctx, "pods/"+silent, "heartbeat_lag_seconds")
			if err == nil && lag > 3 {
				err = fmt.Errorf("lag %v", lag)
			}
			return err
		})
		w.runsWhatIsAssigned(thing)
		w.onlyRestarted(silent)
		w.nothingMoved(before)
	})
	if t.Failed() {
		return
	}

	t.Run("Kafka stops", func(t *testing.T) {
		w.t = t
		require.NoError(t, w.Kafka.Kill())
		w.until("the lag is an error", func(ctx context.Context) error {
			lags, err := w.Metric(ctx, "pods/*", podsOf("heartbeat_lag_seconds", thingSet))
			if err == nil {
				return fmt.Errorf("it is still %v", lags)
			}
			return nil
		})
		_, err := w.MetricOf(t.Context(), "pods/"+podName(thingSet, 1), "heartbeat_lag_seconds")
		require.Error(t, err, "by name as well")
		// Longer than any beat may be late: a product that takes Kafka's silence for that of the
		// instances acts within this.
		quiet := time.Now().Add(15 * time.Second)
		for time.Now().Before(quiet) {
			require.NoError(t, product.Until(t.Context(), product.Patience, func(ctx context.Context) error {
				held, err := w.Metric(ctx, "pods/*", podsOf("resources_per_instance", thingSet))
				if apierrors.IsServiceUnavailable(err) {
					return err // the API server's word: it did not reach the adapter
				}
				require.NoError(t, err)
				require.Len(t, held, 4)
				return nil
			}))
			text, err := w.ready(t.Context())
			require.NoError(t, err, "/readyz stays up")
			require.Contains(t, text, "thing-heartbeats degraded")
			time.Sleep(500 * time.Millisecond)
		}
		w.onlyRestarted(podName(thingSet, 2))
		w.nothingMoved(before)
		require.NoError(t, w.Kafka.Start(t.Context()))
		w.until("the lag is back", func(ctx context.Context) error {
			lags, err := w.Metric(ctx, "pods/*", podsOf("heartbeat_lag_seconds", thingSet))
			if err == nil && len(lags) != 4 {
				err = fmt.Errorf("lags %v", lags)
			}
			return err
		})
		w.onlyRestarted(podName(thingSet, 2))
	})
}

// ready returns what /readyz of the first replica says; an error if it is not ready.
func (w *world) ready(ctx context.Context) (string, error) {
	text, err := w.Servers[0].Text(ctx, "/readyz")
	var status *httpcall.StatusError
	if errors.As(err, &status) && status.Code == http.StatusServiceUnavailable {
		return status.Body, err
	}
	return text, err
}

// nothingMoved requires that no list was written since.
func (w *world) nothingMoved(before *product.Assignment) {
	w.t.Helper()
	now := w.assignment(before.Kind)
	require.Equal(w.t, before.Ordinals(), now.Ordinals())
	for n, in := range before.Instances {
		require.Equal(w.t, in.Changed, now.Instances[n].Changed, "the list of %d was written", n)
		require.Equal(w.t, in.Times, now.Instances[n].Times, "%d was told to reload", n)
	}
	require.Empty(w.t, now.Pool)
	require.Empty(w.t, now.Flight)
}
