package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/api"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// buildBefore is the commit of the build that is held to understand this one, and that this one is
// held to understand: in a roll-out replicas of both meet.
const buildBefore = "20e12e8272bded347abfb15076f7a6514e2378ec"

// TestTwoBuildsTakeTurns has the build before and this one lead one after the other over the same
// tree, twice: what one keeps in ZooKeeper (moves that run, the history of sizes, an override, a
// pause) the other goes on with, and nothing is lost.
func TestTwoBuildsTakeTurns(t *testing.T) {
	w := startBeside(t, func(_ *servers.Env, o *product.Options) {
		o.Replicas = 2
		o.EachServer = func(i int) []string { // as an operator would while clients still use plain HTTP
			// the Lease of the build before: it is short, and of no meaning to this one
			short := []string{"--lease-duration", "5s", "--renew-deadline", "3s", "--retry-period", "500ms"}
			return [][]string{short, {"--plain-http-tokens"}}[i]
		}
		slowMoves(o.Config)
		for i := range o.Config.Kinds { // the build before refuses fields that it does not know
			o.Config.Kinds[i].Catalogue.Lag, o.Config.Kinds[i].Catalogue.MaxDeletes = nil, nil
			o.Config.Kinds[i].Mode = ""
		}
	})
	former := buildOf(t, buildBefore)
	before, now := w.Servers[0], w.Servers[1]
	for _, v := range w.Servers {
		require.NoError(t, v.Stop(t.Context()))
	}
	before.Argv[0] = former
	before.PlainTokens, now.PlainTokens = true, true
	before.Checked = nil                      // it says less than what is described today
	ours, err := w.OperatorToken(t.Context()) // also binds the role
	require.NoError(t, err)
	token, err := w.Env.Kubernetes.Token(t.Context(), w.Namespace, "operator")
	require.NoError(t, err)
	post := func(v *product.Server, what string, body any) {
		w.until("POST "+what, func(ctx context.Context) error {
			return v.REST(ctx, http.MethodPost, "/v1/api/orchestrations/Thing/"+what, token, body, nil)
		})
	}
	ids, known := product.IDs(3_600, 1), 0
	// leads lets v alone lead, has it take over in the middle of what the other was doing, and
	// import more.
	leads := func(v, other *product.Server) {
		if !v.Running() {
			require.NoError(t, v.Start())
		}
		require.NoError(t, w.AwaitReady(t.Context(), v))
		require.NoError(t, other.Kill())
		w.until(v.Name+" leads", func(ctx context.Context) error {
			leader, err := w.Leader(ctx)
			if err == nil && leader != v {
				err = errors.New("another replica does")
			}
			return err
		})
		require.NoError(t, w.Platform.Import(t.Context(), thing, ids[known:known+900], uint64(known)))
		known += 900
	}
	shows := func(v *product.Server, what string, right func(*api.Orchestration) bool) {
		w.until(v.Name+" shows "+what, func(ctx context.Context) error {
			var o api.Orchestration
			if err := v.REST(ctx, http.MethodGet, "/v1/api/orchestrations/Thing", "", nil, &o); err != nil {
				return err
			}
			if !right(&o) {
				return fmt.Errorf("it shows maxInstances %+v, paused %+v, problem %q", o.MaxInstances, o.Paused, o.Problem)
			}
			return nil
		})
	}
	overridden := func(o *api.Orchestration) bool { return o.MaxInstances == api.Setting{Value: 20, Source: "override"} }

	leads(before, now)
	post(before, "orchestrate", map[string]int{"maxInstances": 20})
	leads(now, before)
	shows(now, "the other's override", overridden)
	put := func(method, what string, body any) {
		w.until(method+" "+what, func(ctx context.Context) error {
			return now.REST(ctx, method, "/v1/api/kinds/Thing/"+what, ours, body, nil)
		})
	}
	put(http.MethodPost, "drains", map[string]any{"instance": 1})
	put(http.MethodPost, "pause", map[string]any{"for": "1h"})
	leads(before, now)
	shows(before, "the other's pause, and its own override", func(o *api.Orchestration) bool { return overridden(o) && o.Paused.Value })
	post(before, "resume", nil)
	leads(now, before)
	put(http.MethodDelete, "drains/1", nil) // the other has left it alone
	w.holds(w.settled(thing, thingSet, size(len(ids), thingTarget), len(ids)), ids)
	w.lostNothing(thing, nil)
	for _, v := range w.Servers {
		log, err := os.ReadFile(v.Log)
		require.NoError(t, err)
		for _, complaint := range []string{"cannot be read and is ignored", "read kept", "history is lost", "schema version", "panic"} {
			require.NotContains(t, string(log), complaint, v.Name)
		}
	}
}

// buildOf builds the server of a commit.
func buildOf(t *testing.T, commit string) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "shardscaler-before")
	err := product.BuildCommit(t.Context(), commit, program)
	if errors.Is(err, product.ErrNoHistory) { // a shallow clone, or an archive
		t.Skip(err)
	}
	require.NoError(t, err)
	return program
}
