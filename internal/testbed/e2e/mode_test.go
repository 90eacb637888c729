package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// TestDryRunWritesNothing runs beside the old orchestrator's tree: it says what it would do, and
// leaves no trace.
func TestDryRunWritesNothing(t *testing.T) {
	old := newOldTree()
	w := startBeside(t, func(env *servers.Env, o *product.Options) {
		o.ServerFlags = []string{"--dry-run"}
		conn := env.ZooKeeper.Dial(t)
		o.Before = func(ctx context.Context, s *product.Stack) error { return old.write(ctx, s, conn) }
	})
	before := w.assignment(thing)
	w.change(thing, func(k *config.Kind) { k.TargetPerInstance = 200 })
	// 1,202 ids stand in the lists.
	w.until("it says that it would scale up", func(ctx context.Context) error {
		var r outcome.Report
		err := w.Servers[0].REST(ctx, http.MethodGet, "/v1/api/orchestrations/Thing/decision", "", nil, &r)
		if act := r.Acted(); err == nil && (r.Desired != 7 || !act.DryRun || act.Done != outcome.WouldScale) {
			err = fmt.Errorf("the decision is %s, and it says %q", r.Summary, act.Text)
		}
		return err
	})
	time.Sleep(3 * time.Second) // several ticks in which it could write
	w.nothingMoved(before)
	require.Equal(t, before.Open, w.assignment(thing).Open, "no head was written")
	writes, err := w.ScaleWrites()
	require.NoError(t, err)
	require.Empty(t, writes)
	w.onlyRestarted()
	leases, err := w.Kube.CoordinationV1().Leases(w.Namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, leases.Items, 1, "the one that is installed")
	require.Empty(t, leases.Items[0].Spec, "a dry run must not keep the Lease from who works")
	beats, _, err := w.Env.ZooKeeper.Dial(t).Exists(w.Chroot + protocol.BeatPath(w.Namespace+".shardscaler"))
	require.NoError(t, err)
	require.False(t, beats, "nor the beat")
	events, err := w.Events(t.Context())
	require.NoError(t, err)
	for _, e := range events {
		require.NotEqual(t, "shardscaler", e.Source.Component, "%s", e.Message)
	}
}
