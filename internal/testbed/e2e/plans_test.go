package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// TestAPlanIsPreviewedAndApplied: a drain is previewed, more resources come, and it is applied by
// its id, once, through whichever replica; a leader that ends takes its previews with it.
func TestAPlanIsPreviewedAndApplied(t *testing.T) {
	w := startBeside(t, func(_ *servers.Env, o *product.Options) { o.Replicas = 2 })
	things := product.IDs(1_200, 1)
	require.NoError(t, w.Platform.Import(t.Context(), thing, things[:1_000], 1))
	w.settled(thing, thingSet, 2, 1_000)
	token, err := w.OperatorToken(t.Context())
	require.NoError(t, err)
	call := func(ctx context.Context, v *product.Server, below string, in, out any) error {
		return v.REST(ctx, http.MethodPost, "/v1/api/kinds/"+thing+"/"+below, token, in, out)
	}
	preview := func(v *product.Server, c ops.Change) (doc ops.Plan) {
		w.until("a plan that may be applied", func(ctx context.Context) error {
			doc = ops.Plan{}
			if err := call(ctx, v, "plans", c, &doc); err != nil {
				return err
			}
			if doc.Refused != "" {
				return errors.New(doc.Refused)
			}
			return nil
		})
		return doc
	}
	apply := func(v *product.Server, id string) (a ops.Applied, err error) {
		return a, call(t.Context(), v, "apply", map[string]string{"plan": id}, &a)
	}

	leader, one, two := w.leader(), 1, 2
	other := w.Servers[0]
	if other == leader {
		other = w.Servers[1]
	}
	drain := preview(other, ops.Change{Drain: &one, For: "1h"})
	require.GreaterOrEqual(t, drain.Description.Moves, 500)
	require.Equal(t, []int{2, 3}, []int{drain.Size.Before, drain.Size.After}, "a drained instance is no capacity: %s", drain.Size.Why)
	require.NoError(t, w.Platform.Import(t.Context(), thing, things[1_000:], 1))
	w.until("the new ones are placed", func(context.Context) error {
		if n := w.assignment(thing).Assigned(); n != 1_200 {
			return fmt.Errorf("assigned: %d", n)
		}
		return nil
	})

	var all sync.WaitGroup
	answers, errs := make([]ops.Applied, 2), make([]error, 2)
	for i, v := range w.Servers {
		all.Go(func() { answers[i], errs[i] = apply(v, drain.ID) })
	}
	all.Wait()
	require.True(t, errs[0] == nil || errs[1] == nil, "%v", errs)
	for i, err := range errs {
		if err != nil { // it came when that was done
			require.Equal(t, http.StatusConflict, statusOf(err), "%v", err)
			require.ErrorContains(t, err, "was applied by ")
			continue
		}
		require.Equal(t, drain.ID, answers[i].ID)
		require.Len(t, answers[i].Kept, 1)
	}
	_, err = apply(other, drain.ID)
	require.Equal(t, http.StatusConflict, statusOf(err), "%v", err)
	w.until("instance 1 is drained", func(context.Context) error {
		if a := w.assignment(thing); owned(a, 1) > 0 || slices.Contains(a.Open, 1) || !slices.Contains(a.Open, two) {
			return fmt.Errorf("it owns %d, open: %v", owned(a, 1), a.Open)
		}
		return nil
	})

	undrain := preview(other, ops.Change{Undrain: &one})
	require.NoError(t, leader.Kill())
	w.until("the plan is gone with its leader", func(context.Context) error {
		if _, err := apply(other, undrain.ID); statusOf(err) != http.StatusGone {
			return fmt.Errorf("still not: %w", err)
		}
		return nil
	})
	_, err = apply(other, preview(other, ops.Change{Undrain: &one}).ID)
	require.NoError(t, err)
	w.until("instance 1 has its share", func(context.Context) error {
		if n := owned(w.assignment(thing), 1); n < 300 {
			return fmt.Errorf("it owns %d", n)
		}
		return nil
	})
	require.NoError(t, leader.Start())
	require.NoError(t, w.AwaitReady(t.Context(), leader))
	w.lostNothing(thing, nil)
	doc, err := described()
	require.NoError(t, err)
	require.Subset(t, doc.Seen(), []string{"preview-plan 200", "apply-plan 200"}, "answers are held to the document")
}
