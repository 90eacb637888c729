package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// TestAPIServerAndMetricsServerAway cuts the product's way to the API server for 30 s, and then to
// metrics.k8s.io alone: without the first nothing is sized, restarted or moved, and what the
// platform said meanwhile is done afterwards; without the second nothing is scaled down, and the
// count still scales up.
func TestAPIServerAndMetricsServerAway(t *testing.T) {
	var api apiProxy
	w := startBeside(t, func(_ *servers.Env, o *product.Options) {
		o.Before = func(_ context.Context, s *product.Stack) error { return api.lead(t, s) }
		o.Sizes = map[string]int{thingSet: 3, ruleSet: ruleInit}
		k := &o.Config.Kinds[0]
		k.CPU = &config.ResourceTarget{TargetUtilization: 70}
		k.Freshness.Metrics = config.Duration(20 * time.Second) // a poll comes every 15 s
	})
	things := product.IDs(4_500, 1)
	require.NoError(t, w.Platform.Import(t.Context(), thing, things[:2_700], 1))
	w.settled(thing, thingSet, 3, 2_700)
	w.runsWhatIsAssigned(thing)

	t.Run("API server", func(t *testing.T) {
		w.t = t
		scaled, err := w.ScaleWrites()
		require.NoError(t, err)
		ran, err := w.Runs()
		require.NoError(t, err)
		api.freeze()
		back := time.Now().Add(30 * time.Second)
		imported := make(chan error, 1)
		go func() { imported <- w.Platform.Import(t.Context(), thing, things[2_700:3_600], 2) }()
		w.until("it is known to be away", func(ctx context.Context) error {
			text, err := w.ready(ctx)
			if err == nil && !strings.Contains(text, "thing-cluster degraded") {
				err = errors.New(text)
			}
			return err
		})
		time.Sleep(time.Until(back))
		meanwhile, err := w.ScaleWrites()
		require.NoError(t, err)
		require.Equal(t, scaled, meanwhile, "sizes were written")
		still, err := w.Runs()
		require.NoError(t, err)
		for id, places := range ran.Running[thing] {
			require.Equal(t, places, still.Running[thing][id], "%s moved", id)
		}
		w.onlyRestarted()
		api.heal()
		require.NoError(t, <-imported)
		w.holds(w.settled(thing, thingSet, 4, 3_600), things[:3_600])
		w.lostNothing(thing, nil)
	})
	if t.Failed() {
		return
	}

	t.Run("metrics-server", func(t *testing.T) {
		w.t = t
		w.until("the use of CPU is known", func(context.Context) error {
			d, err := w.decision(thing)
			if err == nil && d.holdsBy("missing-signal") != "" {
				err = fmt.Errorf("holds %+v", d.Holds)
			}
			return err
		})
		api.refuse("/apis/metrics.k8s.io/")
		w.until("it is missed", func(context.Context) error { return w.heldFor("cpu") })
		gone := things[1_700:3_600]
		require.NoError(t, w.Platform.Remove(t.Context(), thing, gone...))
		require.NoError(t, w.Platform.Publish(t.Context(), product.BulkDeleted(thing, gone)))
		// Held for longer than the window that would let the size fall.
		var since time.Time
		w.until("the size is held for want of the CPU's use", func(context.Context) error {
			d, err := w.decision(thing)
			if err != nil || d.Needed != 2 || d.Desired != 4 || !strings.Contains(d.holdsBy("missing-signal"), "cpu") {
				since = time.Time{}
				return fmt.Errorf("decision %+v: %w", d, err)
			}
			if since.IsZero() {
				since = d.At
			}
			if d.At.Sub(since) < 6*time.Second {
				return errors.New("not for long enough")
			}
			return nil
		})
		require.NoError(t, w.Platform.Import(t.Context(), thing, things[1_700:4_500], 3))
		w.settled(thing, thingSet, 5, 4_500)
		api.heal()
	})
}

// decided is what a test reads of a decision.
type decided struct {
	At      time.Time
	Needed  int `json:"wanted"`
	Desired int
	Blind   string
	Holds   []struct{ By, Text string }
	Lost    []struct {
		Ordinal  int
		Leaves   bool
		Unproven string
		Text     string
	}
}

// holdsBy is all that keeps the size from falling for this reason.
func (d *decided) holdsBy(reason string) (text string) {
	for _, h := range d.Holds {
		if h.By == reason {
			text += h.Text + "; "
		}
	}
	return text
}

func (w *world) decision(kind string) (d decided, err error) {
	err = w.Servers[0].REST(w.t.Context(), http.MethodGet, "/v1/api/orchestrations/"+kind+"/decision", "", nil, &d)
	return d, err
}

// heldFor is an error unless this signal is missing.
func (w *world) heldFor(signal string) error {
	d, err := w.decision(thing)
	if err == nil && !strings.Contains(d.holdsBy("missing-signal"), signal) {
		err = fmt.Errorf("holds %+v", d.Holds)
	}
	return err
}

// TestRollingRestartMovesNothing restarts twenty instances one after the other.
func TestRollingRestartMovesNothing(t *testing.T) {
	const size = 20
	w := startBeside(t, func(_ *servers.Env, o *product.Options) {
		o.Hooks = true
		o.Sizes = map[string]int{thingSet: size, ruleSet: ruleInit}
		k := &o.Config.Kinds[0]
		// else they are lowered while nothing has been imported, and hooks run for that
		k.Init = size
		k.TargetPerInstance, k.HandOff = 150, config.HandOffAcknowledged
	})
	things := product.IDs(150*size, 1)
	require.NoError(t, w.Platform.Import(t.Context(), thing, things, 1))
	before := w.settled(thing, thingSet, size, len(things))
	old, err := w.Pods(t.Context(), thingSet)
	require.NoError(t, err)

	patch := `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"now"}}}}}`
	_, err = w.Kube.AppsV1().StatefulSets(w.Namespace).Patch(t.Context(), thingSet, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(t, err)
	w.rolledOut(thingSet)
	pods, err := w.Pods(t.Context(), thingSet)
	require.NoError(t, err)
	for name, p := range pods {
		require.NotEqual(t, old[name].UID, p.UID, name)
	}
	w.runsWhatIsAssigned(thing)
	w.nothingMoved(before)
	w.onlyRestarted()
	hooks, err := w.Control.Hooks(t.Context())
	require.NoError(t, err)
	require.Len(t, hooks, size)
	for _, h := range hooks {
		require.Zero(t, h.ExitCode, "%+v", h)
	}
}
