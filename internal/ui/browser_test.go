package ui_test

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops/opstest"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/ui/saved"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// snapshot is a saved one of n Things. In a troubled one the last two instances leave, one crashes,
// one has lost its node and one has no pod, and an input fails.
func snapshot(t *testing.T, n int, troubled bool) decide.Saved {
	t.Helper()
	v, err := opstest.View(n)
	require.NoError(t, err)
	in := v.Input
	in.Config.Max = max(in.Config.Max, n)
	if troubled {
		all := in.Observed.Instances
		all[1].Pod.Reason, all[1].Pod.Restarts, all[1].Pod.Ready = "CrashLoopBackOff", 7, false
		all[2].Pod.NodeLost = in.Now.Add(-1e11)
		all[3].Pod, all[3].Usage = nil, nil
		all[4].List.Count, all[4].List.InFlight = 5000, 120
		in.Observed.Unassigned, in.Observed.InFlight = 300, 120
		in.Observed.Sources.Metrics = observed.Source{At: in.Now.Add(-1e12), Error: "metrics.k8s.io is not served", ErrorAt: in.Now}
	}
	rule := in
	rule.Config.Name, rule.Config.StatefulSet, rule.Observed = "Rule", "iota-rules-engine", observed.Kind{Name: "Rule", Namespace: "iota"}
	s := decide.Saved{At: in.Now, Inputs: []decide.Input{in, rule}}
	if troubled { // and by a build that says where the configuration comes from
		base := in.Config
		base.Max -= 3
		over := config.OverrideValue[int]{Value: in.Config.Max, Over: base.Max, Said: config.Said{By: "ann", At: in.Now.Add(-1e12)}}
		s.Configured = []decide.Configured{{
			Kind: "Thing", Base: base, Written: map[string]bool{"max": true, "capacity": true}, Override: config.Override{MaxInstances: &over}, Generation: 1, Version: "7",
		}}
	}
	return s
}

func serve(t *testing.T, s decide.Saved) string {
	t.Helper()
	h, err := saved.Handler(s, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL + "/ui/"
}

// The tests themselves are in test/browser.mjs.
func TestThePageInARealBrowser(t *testing.T) {
	files, err := filepath.Glob("../../scaler/decide/testdata/snapshots/*.json")
	require.NoError(t, err)
	snapshots := map[string]string{} // addresses, by file
	for _, name := range files {
		file, err := filepath.Abs(name)
		require.NoError(t, err)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		s, err := decide.ParseSaved(text)
		require.NoError(t, err)
		snapshots[file] = serve(t, s)
	}
	list, err := json.Marshal(snapshots)
	require.NoError(t, err)
	servers.RunBrowser(t, "test/browser.mjs", "SNAPSHOTS="+string(list), "SMALL="+serve(t, snapshot(t, 40, true)), "LARGE="+serve(t, snapshot(t, 2000, false)))
}
