package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/api"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// TestPersonsDrainPinAndMove: an instance in the middle is drained, stays so over a restart of its
// pod and a new leader, and takes resources again when the drain ends; a resource is pinned and
// another one moved; and no size is written for any of that.
func TestPersonsDrainPinAndMove(t *testing.T) {
	const size = 3
	w := startBeside(t, func(_ *servers.Env, o *product.Options) {
		o.Replicas = 2
		o.Sizes = map[string]int{thingSet: size, ruleSet: ruleInit}
		o.Config.Kinds[0].Init = size
	})
	token, err := w.OperatorToken(t.Context())
	require.NoError(t, err)
	things := product.IDs(1_500, 1) // two instances have room for them
	require.NoError(t, w.Platform.Import(t.Context(), thing, things, 1))
	before := w.settled(thing, thingSet, size, len(things))
	writes, err := w.ScaleWrites()
	require.NoError(t, err)

	do := func(v *product.Server, method, below string, in any) (out ops.Applied) {
		t.Helper()
		w.until(method+" "+below, func(ctx context.Context) error {
			return v.REST(ctx, method, "/v1/api/kinds/Thing/"+below, token, in, &out)
		})
		return out
	}
	follower := func() *product.Server {
		leader := w.leader()
		return w.Servers[slices.IndexFunc(w.Servers, func(v *product.Server) bool { return v != leader })]
	}
	emptied := func(ctx context.Context) error {
		a, err := w.Assignment(ctx, thing)
		if err != nil {
			return err
		}
		if slices.Contains(a.Open, 1) || owned(a, 1) > 0 || a.Assigned() != len(things) {
			return fmt.Errorf("open are %v, instance 1 owns %d, assigned %d", a.Open, owned(a, 1), a.Assigned())
		}
		return nil
	}

	done := do(follower(), http.MethodPost, "drains", map[string]any{"instance": 1, "for": "1h"})
	require.Len(t, done.Kept, 1)
	require.Contains(t, done.Kept[0].By, ":operator")
	require.False(t, done.Kept[0].Until.IsZero())
	w.until("instance 1 is closed and empty", emptied)
	w.runsWhatIsAssigned(thing)

	w.restartPod(podName(thingSet, 1))
	victim := w.leader()
	require.NoError(t, victim.Kill())
	w.until("another replica leads", func(ctx context.Context) error {
		_, err := w.Leader(ctx)
		return err
	})
	require.NoError(t, victim.Start())
	require.NoError(t, w.AwaitReady(t.Context(), victim))
	w.until("the pod is ready again", func(ctx context.Context) error {
		got, err := w.Size(ctx, thingSet)
		if err == nil && got.Ready != size {
			err = fmt.Errorf("%+v", got)
		}
		return err
	})
	w.until("instance 1 is closed and empty", emptied)
	var hook api.PodDrain
	require.NoError(t, w.leader().REST(t.Context(), http.MethodGet, "/v1/api/drains/"+w.Namespace+"/"+podName(thingSet, 1), "", nil, &hook))
	require.Equal(t, api.DrainStays, hook.State, "its pod does not leave")

	err = w.leader().REST(t.Context(), http.MethodPost, "/v1/api/kinds/Thing/drains", token, map[string]any{"instance": 7}, nil)
	require.Equal(t, http.StatusUnprocessableEntity, statusOf(err))
	require.ErrorContains(t, err, "instance: 7: must be one of the instances there are, 0 to 2")
	do(follower(), http.MethodDelete, "drains/1", nil)
	err = w.leader().REST(t.Context(), http.MethodDelete, "/v1/api/kinds/Thing/drains/1", token, nil, nil)
	require.Equal(t, http.StatusNotFound, statusOf(err))
	w.settled(thing, thingSet, size, len(things))

	at := func(id string, n int) func(context.Context) error {
		return func(ctx context.Context) error {
			a, err := w.Assignment(ctx, thing)
			if err == nil && a.Owners()[id] != n {
				err = fmt.Errorf("it is on %d", a.Owners()[id])
			}
			return err
		}
	}
	pinned, moved := before.Instances[0].IDs[0], before.Instances[0].IDs[1]
	do(follower(), http.MethodPost, "pins", map[string]any{"resource": pinned, "instance": 2})
	w.until("the pinned resource is there", at(pinned, 2))
	do(follower(), http.MethodPost, "moves", map[string]any{"resource": moved, "instance": 1})
	w.until("the moved resource is there", at(moved, 1))
	w.until("the move has ended, and the pin has not", func(ctx context.Context) error {
		var o ops.Overrides
		if err := follower().REST(ctx, http.MethodGet, "/v1/api/kinds/Thing/overrides", token, nil, &o); err != nil {
			return err
		}
		if len(o.Items) != 1 || o.Items[0].What != "pin" || o.Items[0].Resource != pinned {
			return fmt.Errorf("there are %+v", o.Items)
		}
		return nil
	})
	do(follower(), http.MethodDelete, "pins?resource="+pinned, nil)

	w.holds(w.settled(thing, thingSet, size, len(things)), things)
	w.runsWhatIsAssigned(thing)
	w.lostNothing(thing, nil)
	after, err := w.ScaleWrites()
	require.NoError(t, err)
	require.Equal(t, writes, after, "no size was written")
}
