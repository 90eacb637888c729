package app

import (
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/api/kinds"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
	"github.com/shardscaler/shardscaler/scaler"
)

// seen has a replica see a StatefulSet of four.
func (r *replica) seen() {
	r.app.state.Apply(observed.Cluster{Kind: "Thing", At: time.Now(), Workload: &observed.Workload{UID: "set", Replicas: 4}})
}

func TestOfChangesThatSawTheSameOneIsCarriedOut(t *testing.T) {
	r := startReplica(t, observedtest.Patience)
	r.seen()
	o := operators{r.app}
	before, ok := o.Overrides("Thing")
	require.True(t, ok)
	paused, most, n := true, 40, 2
	var all sync.WaitGroup
	answers := make([]error, 12)
	for i := range answers { // of both documents
		c := []ops.Change{{Paused: &paused}, {MaxInstances: &most}, {Drain: &n}}[i%3]
		c.IfMatch = `"` + before.Version + `"`
		all.Go(func() { _, answers[i] = o.Change(t.Context(), "Thing", c, "ann") })
	}
	all.Wait()
	done := 0
	for _, err := range answers {
		if err == nil {
			done++
			continue
		}
		require.ErrorIs(t, err, kinds.ErrPrecondition)
	}
	require.Equal(t, 1, done)
	after, _ := o.Overrides("Thing")
	require.Len(t, after.Items, 1)
	require.NotEqual(t, before.Version, after.Version)
	require.Equal(t, "ann", after.Items[0].By)

	applied, err := o.Change(t.Context(), "Thing", ops.Change{Drain: &n, For: "1h", IfMatch: `"` + after.Version + `"`}, "bob")
	require.NoError(t, err)
	require.Contains(t, applied.After, "drain 2 by bob until ")
	require.NotContains(t, applied.Before, "bob")
}

func TestAChangeThatIsTriedAgainOverItsOwnTextIsTheSame(t *testing.T) {
	r := startReplica(t, observedtest.Patience)
	r.seen()
	o, n := operators{r.app}, 1
	cfg, _ := r.app.live.current()
	base, _ := cfg.Kind("Thing")
	applied, err := o.Change(t.Context(), "Thing", ops.Change{Drain: &n}, "ann")
	require.NoError(t, err)

	stored, _ := r.runner.engine.Kept(scaler.OperatorName)
	undrain := r.runner.changing(cfg, base, ops.Change{Undrain: &n, IfMatch: `"` + applied.Version + `"`}, "ann")
	require.Equal(t, operatorName, undrain.name)
	made, err := undrain.update(stored)
	require.NoError(t, err)
	again, err := undrain.update(made) // the answer was lost, and it was carried out
	require.NoError(t, err, "there is nothing to end any more, and that is its own doing")
	require.Equal(t, made, again)
	_, err = undrain.update([]byte(`{"drains":[{"ordinal":1,"by":"bob"}]}`))
	require.ErrorIs(t, err, kinds.ErrPrecondition, "another one was faster")
}

func TestWhatIsRefusedIsRefusedAtOnce(t *testing.T) {
	r := startReplica(t, observedtest.Patience)
	r.seen()
	o, far, size := operators{r.app}, 4, 99
	r.away()
	for want, c := range map[error]ops.Change{
		kinds.ErrInvalid: {Drain: &far}, kinds.ErrNotFound: {EndSize: true}, kinds.ErrPrecondition: {Size: &size, IfMatch: `"other"`},
	} {
		_, err := o.Change(t.Context(), "Thing", c, "ann")
		require.ErrorIs(t, err, want, "ZooKeeper is away, and is not waited for")
	}
	_, err := o.Change(t.Context(), "Nothing", ops.Change{}, "ann")
	require.True(t, errors.Is(err, errors.ErrUnsupported))
}

// The leader asks for the right of a plan's change when it is applied: only then it is known.
func TestAPlanIsAppliedOnlyByWhoMayMakeItsChange(t *testing.T) {
	r := startReplica(t, observedtest.Patience)
	r.seen()
	reviews, n := &one{}, 2
	r.app.guard = access.New(access.Config{Namespace: "iota"}, reviews, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	o := operators{r.app}
	var plan ops.Plan
	r.until("a preview", func() bool {
		var err error
		plan, err = o.Preview(t.Context(), "Thing", ops.Change{Drain: &n})
		return err == nil
	})
	var answer huma.StatusError
	_, err := o.Apply(t.Context(), "Thing", plan.ID, "ann")
	require.ErrorAs(t, err, &answer)
	require.Equal(t, http.StatusForbidden, answer.GetStatus())
	after, _ := o.Overrides("Thing")
	require.Empty(t, after.Items)

	reviews.right = access.Right{Verb: "create", Resource: "kinds", Subresource: "drains", Name: "Thing", Namespace: "iota"}
	_, err = o.Apply(t.Context(), "Thing", plan.ID, "ann")
	require.False(t, errors.As(err, &answer), "%v", err)
}
