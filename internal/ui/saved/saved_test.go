package saved

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// snapshots are some that servers saved.
func snapshots(t *testing.T) map[string]decide.Saved {
	t.Helper()
	names, err := filepath.Glob("../../../scaler/decide/testdata/snapshots/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	all := map[string]decide.Saved{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		all[name], err = decide.ParseSaved(text)
		require.NoError(t, err)
	}
	return all
}

func ask(t *testing.T, h http.Handler, method, host, path string, doc any) int {
	t.Helper()
	r := httptest.NewRequest(method, "http://"+host+path, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if doc != nil {
		require.Equal(t, http.StatusOK, w.Code, w.Body.String())
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), doc))
	}
	return w.Code
}

func TestASnapshotIsShownAsItWas(t *testing.T) {
	for name, s := range snapshots(t) {
		h, err := Handler(s, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		var list ops.KindList
		ask(t, h, http.MethodGet, "127.0.0.1:1", "/v1/api/kinds", &list)
		require.Len(t, list.Items, len(s.Inputs), name)
		for i, in := range s.Inputs {
			require.Equal(t, decide.Decide(in).Summary, list.Items[i].Why)
			require.Equal(t, in.Now, list.Items[i].At)
			var instances ops.InstanceList
			ask(t, h, http.MethodGet, "localhost", "/v1/api/kinds/"+in.Config.Name+"/instances", &instances)
			require.GreaterOrEqual(t, instances.All, in.Observed.Workload.Replicas)
			kind := "/v1/api/kinds/" + in.Config.Name
			for _, call := range [][2]string{{"POST", kind + "/pause"}, {"DELETE", kind + "/size"}, {"GET", kind + "/overrides"}, {"POST", kind + "/rollback"}, {"GET", kind + "/history"}, {"GET", kind + "/config"}, {"GET", kind + "/resource?id=a"}, {"GET", kind + "/resources"}} {
				require.Equal(t, http.StatusNotImplemented, ask(t, h, call[0], "localhost", call[1], nil), call)
			}
		}
		require.Equal(t, http.StatusForbidden, ask(t, h, http.MethodGet, "shards.example", "/v1/api/kinds", nil), "a name that leads here is another site's")
	}
}

func TestARedactedSnapshotNamesNothingAndDecidesTheSame(t *testing.T) {
	for name, s := range snapshots(t) {
		s.Inputs[0].Observed.Sources.Catalogue.Error = `dial db.example.org:5432 of "customer": 10.1.2.3:5432 refused`
		r, err := Redact(s)
		require.NoError(t, err, name)
		text, err := json.Marshal(r)
		require.NoError(t, err)
		for i, in := range s.Inputs {
			secret := []string{in.Observed.Namespace, in.Config.StatefulSet, "example.org", "customer", "10.1.2.3", in.Observed.Workload.UID, in.Config.Catalogue.Query}
			for _, inst := range in.Observed.Instances {
				if inst.Pod != nil {
					secret = append(secret, inst.Pod.Name, inst.Pod.UID, inst.Pod.Node)
				}
			}
			for _, word := range secret {
				if strings.Trim(word, "node-123456789") != "" { // the stand-ins of nodes may be names of nodes
					require.NotContains(t, string(text), word, name)
				}
			}
			before, after := decide.Decide(in), decide.Decide(r.Inputs[i])
			require.Equal(t, [3]any{before.Verb, before.Reason, before.Desired}, [3]any{after.Verb, after.Reason, after.Desired}, name)
			require.Equal(t, len(in.Observed.Instances), len(r.Inputs[i].Observed.Instances))
		}
		again, err := Redact(s)
		require.NoError(t, err)
		require.Equal(t, r, again)
	}
}

// withSources is a snapshot as servers make it now: a ConfigMap's text, and what persons have put
// over it.
func withSources(t *testing.T) decide.Saved {
	t.Helper()
	s := snapshots(t)["../../../scaler/decide/testdata/snapshots/growth_by_count.json"]
	require.NotEmpty(t, s.Inputs)
	in := &s.Inputs[0]
	said := config.Said{By: "ann@corp.example", At: in.Now}
	base := in.Config
	in.Config.Max = base.Max + 5
	in.Operator.Size = &config.OperatorSize{Value: base.Init, Said: said}
	in.Operator.Pins = []config.OperatorPin{{Resource: "customers-pump", Ordinal: 0, Said: said}}
	s.Configured = []decide.Configured{{
		Kind: base.Name, Base: base, Written: map[string]bool{"max": true, "capacity": true}, Generation: 3, Version: "/home/ann/shards.yaml",
		Override: config.Override{MaxInstances: &config.OverrideValue[int]{Value: base.Max + 5, Over: base.Max, Said: said}},
		Refused:  `kinds[0].statefulSet: "customers": must be a name`,
	}}
	text, err := json.Marshal(s)
	require.NoError(t, err)
	s, err = decide.ParseSaved(text)
	require.NoError(t, err)
	return s
}

func TestASnapshotHasTheConfigurationWithItsSources(t *testing.T) {
	s := withSources(t)
	h, err := Handler(s, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	var is ops.Settings
	ask(t, h, http.MethodGet, "localhost", "/v1/api/kinds/"+s.Inputs[0].Config.Name+"/config", &is)
	require.Equal(t, [3]any{int64(3), "/home/ann/shards.yaml", s.Configured[0].Refused}, [3]any{is.Generation, is.Version, is.Refused})
	sources := map[string]ops.Setting{}
	for _, v := range is.Items {
		sources[v.Path] = v
	}
	require.Equal(t, "override", sources["max"].Source)
	require.Equal(t, "ann@corp.example", sources["max"].By)
	require.EqualValues(t, s.Inputs[0].Config.Max, sources["max"].Value)
	require.EqualValues(t, s.Configured[0].Base.Max, sources["max"].Configured)
	require.Equal(t, "ConfigMap", sources["capacity"].Source)
	require.Equal(t, "default", sources["settleSeconds"].Source)

	r, err := Redact(s)
	require.NoError(t, err)
	text, err := json.Marshal(r)
	require.NoError(t, err)
	for _, secret := range []string{"ann", "corp.example", "customers", s.Inputs[0].Config.StatefulSet, s.Inputs[0].Config.Catalogue.Query} {
		require.NotContains(t, string(text), secret)
	}
	require.Equal(t, "person-1", r.Configured[0].Override.MaxInstances.By)
	require.Equal(t, "person-1", r.Inputs[0].Operator.Size.By)
	require.Equal(t, "resource-1", r.Inputs[0].Operator.Pins[0].Resource)
	require.Equal(t, decide.Decide(s.Inputs[0]).Desired, decide.Decide(r.Inputs[0]).Desired)
}
