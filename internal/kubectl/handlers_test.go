package kubectl

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/api/kinds"
	"github.com/shardscaler/shardscaler/internal/api/schemas"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/history"
	"github.com/shardscaler/shardscaler/internal/ops/opstest"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
)

// things is what is behind the product's own handlers: 700 Things, more than a page holds.
type things struct {
	view *ops.View
	said []string
}

func (*things) Kinds() []string { return []string{"Thing"} }

func (b *things) View(kind string) (*ops.View, bool) { return b.view, kind == "Thing" }

func (*things) Resource(_, id string) (ops.Resource, bool) {
	return ops.Resource{ID: id, Instance: ptr(3), Place: "list", Why: "spread", Moves: []ops.Move{}}, id == "a/b%ü c"
}

func (*things) Overrides(string) (ops.Overrides, bool) { return ops.Overrides{}, true }

func (b *things) Change(_ context.Context, _ string, c ops.Change, by string) (ops.Applied, error) {
	if c.Drain != nil && *c.Drain > 699 {
		return ops.Applied{}, fmt.Errorf("%w: instance: %d: must be one of the instances there are, 0 to 699", kinds.ErrInvalid, *c.Drain)
	}
	long := ""
	if c.For != "" {
		long = " for " + c.For
	}
	name := "change"
	switch {
	case c.Drain != nil:
		name = fmt.Sprint("drain ", *c.Drain)
	case c.Undrain != nil:
		name = fmt.Sprint("undrain ", *c.Undrain)
	case c.Pin != nil:
		name = fmt.Sprint("pin ", *c.Pin)
	case c.Move != nil:
		name = fmt.Sprint("move ", *c.Move)
	case c.Unpin != "":
		name = "unpin " + c.Unpin
	case c.Size != nil:
		name = fmt.Sprint("size ", *c.Size)
	case c.EndSize:
		name = "end size"
	case c.Paused != nil:
		name = fmt.Sprint("paused ", *c.Paused)
	}
	b.said = append(b.said, name+long+" by "+by)
	return ops.Applied{Change: c, Kept: []ops.Override{}}, nil
}

func (b *things) Rollback(context.Context, string, string) (rebalancer.RolledBack, error) {
	return rebalancer.RolledBack{}, fmt.Errorf("%w: nothing is being moved", kinds.ErrConflict)
}

func (b *things) Confirm(context.Context, string, int, int) error { return nil }

func (b *things) Reassign(_ context.Context, _ string, ordinal int, by string) (ops.AssumedDead, error) {
	return ops.AssumedDead{Instance: ordinal, Pod: "iota-dac-7", UID: "u", By: by, Left: 12}, nil
}

func (b *things) Preview(_ context.Context, _ string, c ops.Change) (ops.Plan, error) {
	return ops.Plan{ID: "plan-1", Change: c, Description: plan.Description{Moves: 7, Summary: "7 moves", Instances: []plan.InstanceChange{}}}, nil
}

func (b *things) Apply(_ context.Context, _, id, by string) (ops.Applied, error) {
	b.said = append(b.said, "apply "+id+" by "+by)
	return ops.Applied{ID: id, Change: ops.Change{Drain: ptr(3)}, Kept: []ops.Override{}}, nil
}

func (*things) History(_ string, q history.Query) ops.EntryList {
	return ops.EntryList{Items: []ops.Entry{{ID: "1", At: noon, Type: "change", Change: &ops.ChangeEntry{By: "ann", What: "drain"}}}}
}

func (*things) Decided(string, string) (ops.Decision, bool) { return ops.Decision{}, false }

// newThings serves them by the product's own handlers.
func newThings(t *testing.T) (*things, *httptest.Server) {
	t.Helper()
	view, err := opstest.View(700)
	require.NoError(t, err)
	b := &things{view: view}
	mux := http.NewServeMux()
	described := huma.DefaultConfig("test", "1")
	described.Components.Schemas = schemas.New()
	described.CreateHooks = nil
	kinds.Register(kinds.Config{
		API: humago.New(mux, described), Backend: b, Log: slog.New(slog.DiscardHandler),
		User: func(context.Context) string { return "ann" }, Audit: func(context.Context, kinds.Audited) {}, Patience: time.Second,
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return b, server
}

// TestTheProductsOwnHandlersUnderstandThePlugin: each command asks for what the server has, with
// parameters and bodies that it takes.
func TestTheProductsOwnHandlersUnderstandThePlugin(t *testing.T) {
	b, server := newThings(t)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"status"}, 0, "Thing   700/700"},
		{[]string{"status", "Thing"}, 0, "\n699        "},
		{[]string{"status", "Thing", "--instances", "--state", "open,leaving", "--health", "Healthy", "--sort=-count", "-o", "name"}, 0, "instance.ops.shardscaler.io/699"},
		{[]string{"status", "Thing", "--instances", "--sort", "name"}, 2, "query.sort"},
		{[]string{"status", "Nothing"}, 2, `kind "Nothing" is not configured; there are Thing`},
		{[]string{"top", "Thing", "-o", "name"}, 0, "instance.ops.shardscaler.io/0"},
		{[]string{"why", "Thing"}, 0, "Thing"},
		{[]string{"config", "Thing", "-o", "wide"}, 0, "targetPerInstance"},
		{[]string{"find", "a/b%ü c"}, 0, "Instance:  3 "},
		{[]string{"find", "iota-dac-12"}, 0, "Thing   12"},
		{[]string{"find", "node-1", "-o", "name"}, 0, "instance.ops.shardscaler.io/iota-dac-1"},
		{[]string{"find", "nowhere"}, 1, `"nowhere" is no resource, instance or node`},
		{[]string{"find", "--contains", "thing"}, 1, "no id contains"},
		{[]string{"history", "Thing", "--type", "change", "--since", "2h", "--limit", "10"}, 0, "drain, by ann"},
		{[]string{"history", "Thing", "--limit", "-1"}, 2, "--limit -1: 0 or more is wanted"},
		{[]string{"history", "Thing", "nothing"}, 2, "ask for decision nothing of Thing"},
		{[]string{"plan", "Thing", "--drain", "3", "--for", "2h"}, 1, "id plan-1"},
		{[]string{"plan", "Thing"}, 1, "7 moves"},
		{[]string{"plan", "Thing", "--end-size"}, 1, "Thing: end the size that was asked for"},
		{[]string{"plan", "Thing", "--end-size", "--size", "3"}, 2, "a plan is of one change, these are several: --size, --end-size"},
		{[]string{"apply", "plan-1"}, 0, "Thing: drain instance 3: applied"},
		{[]string{"drain", "iota-dac-3", "--for", "2h", "--yes"}, 0, "Thing: instance 3 is drained for 2h"},
		{[]string{"drain", "Thing", "700", "--yes"}, 2, "must be one of the instances there are, 0 to 699"},
		{[]string{"undrain", "Thing", "3"}, 0, "may take resources again"},
		{[]string{"pin", "Thing", "a/b%ü c", "--to", "4", "--for", "8h"}, 0, "is pinned to instance 4"},
		{[]string{"unpin", "Thing", "a/b%ü c"}, 0, "is not pinned any more"},
		{[]string{"move", "Thing", "a/b%ü c", "--to", "3", "--wait"}, 0, "moves to instance 3"},
		{[]string{"size", "Thing", "12", "--for", "1h"}, 0, "Thing: size 12 for 1h"},
		{[]string{"size", "Thing", "--end"}, 0, "the signals decide"},
		{[]string{"pause", "Thing"}, 0, "are paused"},
		{[]string{"pause", "Thing", "--for", "30m"}, 0, "are paused for 30m"},
		{[]string{"resume", "Thing"}, 0, "go on"},
		{[]string{"rollback", "Thing", "--yes"}, 1, "nothing is being moved"},
		{[]string{"reassign", "Thing", "7", "--assume-dead", "--yes"}, 0, "pod iota-dac-7 (u) is assumed dead, as ann said"},
		{[]string{"doctor"}, 1, "kind Thing: excess"},
	} {
		got := runAt(t, append(c.args, "--server", server.URL)...)
		require.Equal(t, c.code, got.code, "%v: %s%s", c.args, got.out, got.err)
		require.Contains(t, got.out+got.err, c.want, "%v", c.args)
	}
	require.Equal(t, []string{
		"apply plan-1 by ann", "drain 3 for 2h by ann", "undrain 3 by ann", "pin {a/b%ü c 4} for 8h by ann", "unpin a/b%ü c by ann",
		"move {a/b%ü c 3} by ann", "size 12 for 1h by ann", "end size by ann", "paused true by ann", "paused true for 30m by ann", "paused false by ann",
	}, b.said)
}
