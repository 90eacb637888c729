package kinds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/previews"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

func (b *changed) Preview(_ context.Context, _ string, c ops.Change) (ops.Plan, error) {
	return ops.Plan{ID: "7-abc", Change: c}, b.note("preview", c, "")
}

func (b *changed) Apply(_ context.Context, _, id, by string) (ops.Applied, error) {
	return ops.Applied{ID: id, Kept: []ops.Override{}, Version: "v2", Before: "nothing", After: "drain 3"}, b.note("apply", id, by)
}

func TestAPreviewIsAskedForAndNotAudited(t *testing.T) {
	for body, asked := range map[string]string{
		`{}`:                     `preview {} by `,
		`{"drain":3,"for":"2h"}`: `preview {"drain":3,"for":"2h"} by `,
		`{"size":12}`:            `preview {"size":12} by `,
		`{"capacity":900}`:       `preview {"capacity":900} by `,
		`{"pin":{"resource":"a/b%é","instance":0}}`: `preview {"pin":{"resource":"a/b%é","instance":0}} by `,
	} {
		b, audited := &changed{}, []Audited{}
		a := call(t, serve(t, b, &audited), "POST", "Thing/plans", body)
		require.Equal(t, http.StatusOK, a.status, a.body)
		require.Equal(t, []string{asked}, b.asked)
		require.Contains(t, a.body, `"id":"7-abc"`)
		require.Empty(t, audited)
	}
	for body, status := range map[string]int{`{"size":0}`: 422, `{"drain":-1}`: 422, `{"drian":1}`: 422, `{"capacity":5001}`: 422, `[]`: 422, `{`: 400, ``: 400} {
		b := &changed{}
		a := call(t, serve(t, b, new([]Audited)), "POST", "Thing/plans", body)
		require.Equal(t, status, a.status, "%s: %s", body, a.body)
		require.Empty(t, b.asked)
	}
	require.Equal(t, 404, call(t, serve(t, &changed{}, new([]Audited)), "POST", "Rule/plans", `{}`).status)
}

func TestApplyIsAudited(t *testing.T) {
	b, audited := &changed{}, []Audited{}
	a := call(t, serve(t, b, &audited), "POST", "Thing/apply", `{"plan":"7-abc"}`)
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Equal(t, []string{`apply "7-abc" by ann`}, b.asked)
	require.Equal(t, `"v2"`, a.header.Get("ETag"))
	require.Equal(t, []Audited{{User: "ann", Operation: "apply-plan", Kind: "Thing", Before: "nothing", After: "drain 3"}}, audited)
	require.Equal(t, 422, call(t, serve(t, b, &audited), "POST", "Thing/apply", `{}`).status)
}

// TestWhyAPlanIsNotApplied: each reason has its status, and what has changed is listed.
func TestWhyAPlanIsNotApplied(t *testing.T) {
	for _, c := range []struct {
		fails error
		want  int
	}{
		{fmt.Errorf("apply plan: %w", &previews.Changed{Reasons: []string{"epoch: 8, was 7", "open set: 0-1, was 0-2"}}), 409},
		{fmt.Errorf("%w: plan 7-abc was applied by bob", previews.ErrChanged), 409},
		{fmt.Errorf("%w: paused", previews.ErrRefused), 409},
		{fmt.Errorf("%w: older than ten minutes", previews.ErrGone), 410},
		{fmt.Errorf("%w: 7-abc", previews.ErrUnknown), 404},
		{fmt.Errorf("%w: an instance", ErrInvalid), 422},
		{fmt.Errorf("keep operator: %w", orders.ErrOutcomeUnknown), 504},
		{orders.ErrNotLeading, 503},
		{errors.New("zookeeper is away"), 503},
	} {
		a := call(t, serve(t, &changed{fails: c.fails}, new([]Audited)), "POST", "Thing/apply", `{"plan":"7-abc"}`)
		require.Equal(t, c.want, a.status, a.body)
		if errors.Is(c.fails, orders.ErrNotLeading) {
			require.Contains(t, a.body, "try again in a few seconds")
		} else if c.want != 504 {
			require.Contains(t, a.body, c.fails.Error())
		}
		if errors.As(c.fails, new(*previews.Changed)) {
			var doc struct{ Errors []struct{ Message string } }
			require.NoError(t, json.Unmarshal([]byte(a.body), &doc))
			require.Len(t, doc.Errors, 2)
			require.Equal(t, "open set: 0-1, was 0-2", doc.Errors[1].Message)
		}
	}
	busy := call(t, serve(t, &changed{fails: previews.ErrBusy}, new([]Audited)), "POST", "Thing/plans", `{}`)
	require.Equal(t, []any{429, "1"}, []any{busy.status, busy.header.Get("Retry-After")})
}
