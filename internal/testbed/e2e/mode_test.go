package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// TestAProcessThatOnlyRecommendsWritesNothing runs beside the old orchestrator's tree: it says what
// it would do, and leaves no trace.
func TestAProcessThatOnlyRecommendsWritesNothing(t *testing.T) {
	old := newOldTree()
	w := startBeside(t, func(env *servers.Env, o *product.Options) {
		o.ServerEnv = []string{"SHARDSCALER_DISABLE=writes"}
		o.Config.Kinds[1].Mode = config.ModeObserve
		conn := env.ZooKeeper.Dial(t)
		o.Before = func(ctx context.Context, s *product.Stack) error { return old.write(ctx, s, conn) }
	})
	token, err := w.OperatorToken(t.Context())
	require.NoError(t, err)
	before := w.tree()
	w.change(thing, func(k *config.Kind) { k.TargetPerInstance = 200 })
	// The catalogue has 1,500 rows; 1,202 ids stand in the lists, and they count.
	w.recommends(7)
	require.Equal(t, "mode is observe", w.kind(rule).Blind)
	require.ErrorContains(t, w.Servers[0].REST(t.Context(), http.MethodPost, "/v1/api/orchestrations/Thing/orchestrate", token, map[string]int{"maxInstances": 9}, nil),
		"nothing is written for kind Thing: its mode, or that of the server, is recommend")
	time.Sleep(3 * time.Second) // several ticks in which it could write
	require.Equal(t, before, w.tree())
	w.nothingOfOurs()
	leases, err := w.Kube.CoordinationV1().Leases(w.Namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, leases.Items, 1, "the one that is installed")
	require.Empty(t, leases.Items[0].Spec, "it must not keep the Lease from who works")
}

// TestAKindIsGivenUpAndTakenUpAgain changes the mode of kinds while resources move: what is in flight
// is granted, after that nothing is written, and what came meanwhile has its place once they act again.
func TestAKindIsGivenUpAndTakenUpAgain(t *testing.T) {
	w := startBeside(t, func(_ *servers.Env, o *product.Options) { slowMoves(o.Config) })
	ids := product.IDs(2_400, 21)
	require.NoError(t, w.Platform.Import(t.Context(), thing, ids, 21))
	w.settled(thing, thingSet, 3, len(ids))
	w.change(thing, func(k *config.Kind) { k.TargetPerInstance, k.Rebalance.MovesPerPlan = 400, 50 })
	w.until("a plan runs", func(context.Context) error {
		if w.kind(thing).Progress.PlanID == "" {
			return errors.New("none does")
		}
		return nil
	})

	modes := func(mode config.Mode) {
		require.NoError(t, w.Configure(t.Context(), func(c *config.Config) {
			c.Kinds[0].Mode, c.Kinds[1].Mode = mode, mode
		}))
	}
	modes(config.ModeObserve)
	w.until("nothing is in flight, and no replica leads", func(ctx context.Context) error {
		if a := w.assignment(thing); a.InFlight() > 0 {
			return fmt.Errorf("%d are", a.InFlight())
		}
		if v, err := w.Leader(ctx); err == nil {
			return fmt.Errorf("%s does", v.Name)
		}
		return nil
	})
	time.Sleep(time.Second) // the leader has given up
	before := w.tree()
	late := product.IDs(600, 22)
	require.NoError(t, w.Platform.Import(t.Context(), thing, late, 22))
	time.Sleep(3 * time.Second)
	require.Equal(t, before, w.tree())
	require.Equal(t, []string{"mode"}, names(w.kind(thing).Alarms))

	modes(config.ModeRecommend)
	w.change(thing, func(k *config.Kind) { k.TargetPerInstance = 300 })
	w.recommends(8) // by what stands in the lists
	require.Equal(t, before, w.tree())

	w.change(thing, func(k *config.Kind) { k.SettleSeconds, k.Rebalance.MovesPerPlan = 0, 0 })
	modes(config.ModeAct)
	w.settled(thing, thingSet, 10, len(ids)+len(late))
	w.lostNothing(thing, nil)
	require.Empty(t, w.kind(thing).Alarms)
	w.runsWhatIsAssigned(thing)
}

func names(alarms []ops.Alarm) (all []string) {
	for _, a := range alarms {
		all = append(all, a.Name)
	}
	return all
}

// kind is the first replica's view.
func (w *world) kind(name string) (k ops.Kind) {
	w.t.Helper()
	token, err := w.OperatorToken(w.t.Context())
	require.NoError(w.t, err)
	require.NoError(w.t, w.Servers[0].REST(w.t.Context(), http.MethodGet, "/v1/api/kinds/"+name, token, nil, &k))
	return k
}

// recommends waits for the replica to say that it would scale Things to so many instances.
func (w *world) recommends(size int) {
	w.t.Helper()
	w.until("it says what it would do", func(ctx context.Context) error {
		var r outcome.Report
		err := w.Servers[0].REST(ctx, http.MethodGet, "/v1/api/orchestrations/Thing/decision", "", nil, &r)
		if act := r.Acted(); err == nil && (r.Desired != size || !act.DryRun || act.Done != outcome.WouldScale) {
			err = fmt.Errorf("the decision is %s, and it says %q", r.Summary, act.Text)
		}
		return err
	})
}

// nothingOfOurs requires that nothing of the product's is in Kubernetes.
func (w *world) nothingOfOurs() {
	w.t.Helper()
	writes, err := w.ScaleWrites()
	require.NoError(w.t, err)
	require.Empty(w.t, writes)
	w.onlyRestarted()
	events, err := w.Events(w.t.Context())
	require.NoError(w.t, err)
	for _, e := range events {
		require.NotEqual(w.t, "shardscaler", e.Source.Component, "%s", e.Message)
	}
}

// tree is the transaction by which each znode of the product's, and of its Things, has changed last.
// What instances write of themselves is left out.
func (w *world) tree() map[string]int64 {
	w.t.Helper()
	conn, all := w.Env.ZooKeeper.Dial(w.t), map[string]int64{}
	var read func(at string)
	read = func(at string) {
		children, stat, err := conn.Children(at)
		if errors.Is(err, zk.ErrNoNode) {
			return
		}
		require.NoError(w.t, err)
		all[at] = stat.Mzxid
		for _, child := range children {
			if child != "tmp" {
				read(path.Join(at, child))
			}
		}
	}
	read(path.Join("/", w.Chroot))
	return all
}
