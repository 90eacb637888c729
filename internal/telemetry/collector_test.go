package telemetry

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/metricsapi"
	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

var collectNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// collectView has instance 0 with all there is, instance 1 that just started, and a list without a
// pod.
func collectView(t *testing.T) metricsapi.View {
	t.Helper()
	cfg, err := config.Parse([]byte("kinds: [{name: Thing, statefulSet: iota-dac, capacity: 5000, targetPerInstance: 4500, init: 3, max: 10, heartbeat: {}}]"))
	require.NoError(t, err)
	read := observed.Source{At: collectNow.Add(-time.Second)}
	beat := collectNow.Add(-30 * time.Second)
	thing := observed.Kind{
		Name: "Thing", Assigned: 10, InFlight: 2, Unassigned: 1,
		Workload: &observed.Workload{Replicas: 2, ReadyReplicas: 1},
		Sources:  observed.Sources{Store: read, Cluster: read, Bus: &read},
		Instances: []observed.Instance{
			{
				Ordinal: 0, LastBeat: &beat, List: &observed.List{Count: 10},
				Pod: &observed.Pod{
					Name: "iota-dac-0", Ready: true, Started: collectNow.Add(-time.Hour),
					CPURequest: 500, MissingMemoryRequest: []string{"dac"},
				},
				Usage: &observed.Usage{At: beat, CPU: 250, Memory: 1 << 20},
			},
			{Ordinal: 1, Pod: &observed.Pod{Name: "iota-dac-1", Started: collectNow, CPURequest: 500, MemoryRequest: 1 << 21}},
			{Ordinal: 2, List: &observed.List{Count: 4}},
		},
	}
	return metricsapi.View{
		Snapshot: observed.Snapshot{At: collectNow, Kinds: []observed.Kind{thing}}, Config: cfg,
		Recommended: map[string]metricsapi.Recommendation{"Thing": {Replicas: 4, At: collectNow}},
	}
}

// text returns the lines of the series whose names contain the filter.
func text(t *testing.T, view metricsapi.View, filter string) []string {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(Collector(func() metricsapi.View { return view }))
	families, err := reg.Gather()
	require.NoError(t, err)
	var raw strings.Builder
	for _, family := range families {
		_, err := expfmt.MetricFamilyToText(&raw, family)
		require.NoError(t, err)
	}
	var lines []string
	for line := range strings.Lines(raw.String()) {
		if !strings.HasPrefix(line, "#") && strings.Contains(line, filter) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func TestAGapInTheUsageHasNoSeries(t *testing.T) {
	view := collectView(t)
	usage := view.Snapshot.Kinds[0].Instances[0].Usage
	usage.CPU, usage.MissingCPU = 0, "its sample has no cpu of container dac"
	require.Empty(t, text(t, view, "_cpu_cores{"))
	require.Len(t, text(t, view, "_memory_bytes{"), 1, "each resource by itself")
	usage.Memory, usage.MissingMemory = 0, "its sample lacks container dac"
	require.Empty(t, text(t, view, "_memory_bytes{"))
}

func TestCollector(t *testing.T) {
	require.Equal(t, []string{
		`shardscaler_instance_cpu_cores{kind="Thing",ordinal="0"} 0.25`,
		`shardscaler_instance_cpu_request_cores{kind="Thing",ordinal="0"} 0.5`,
		`shardscaler_instance_cpu_request_cores{kind="Thing",ordinal="1"} 0.5`,
		`shardscaler_instance_heartbeat_lag_seconds{kind="Thing",ordinal="0"} 30`,
		`shardscaler_instance_memory_bytes{kind="Thing",ordinal="0"} 1.048576e+06`,
		`shardscaler_instance_memory_request_bytes{kind="Thing",ordinal="1"} 2.097152e+06`,
		`shardscaler_instance_ready{kind="Thing",ordinal="0"} 1`,
		`shardscaler_instance_ready{kind="Thing",ordinal="1"} 0`,
		`shardscaler_instance_resources{kind="Thing",ordinal="0"} 10`,
	}, text(t, collectView(t), "shardscaler_instance_"))
	require.Equal(t, []string{
		`shardscaler_kind_capacity{kind="Thing"} 5000`,
		`shardscaler_kind_init_replicas{kind="Thing"} 3`,
		`shardscaler_kind_max_replicas{kind="Thing"} 10`,
		`shardscaler_kind_mode{kind="Thing",mode="act"} 1`,
		`shardscaler_kind_ready_replicas{kind="Thing"} 1`,
		`shardscaler_kind_recommended_replicas{kind="Thing"} 4`,
		`shardscaler_kind_replicas{kind="Thing"} 2`,
		`shardscaler_kind_resources{kind="Thing",state="assigned"} 10`,
		`shardscaler_kind_resources{kind="Thing",state="in_flight"} 2`,
		`shardscaler_kind_resources{kind="Thing",state="unassigned"} 1`,
		`shardscaler_kind_target_per_instance{kind="Thing"} 4500`,
	}, text(t, collectView(t), "shardscaler_kind_"))
}

// What is stale has no series, and says so in the ages.
func TestCollectorForgets(t *testing.T) {
	t.Run("store", func(t *testing.T) {
		view := collectView(t)
		view.Snapshot.Kinds[0].Sources.Store = observed.Source{At: collectNow.Add(-time.Minute), Error: "no quorum"}
		require.Empty(t, text(t, view, "shardscaler_instance_resources"))
		require.Empty(t, text(t, view, "shardscaler_kind_resources"))
		require.NotEmpty(t, text(t, view, "shardscaler_instance_heartbeat_lag"))
		require.Equal(t, []string{`shardscaler_source_age_seconds{kind="Thing",source="store"} 60`}, text(t, view, `age_seconds{kind="Thing",source="store"}`))
		require.Equal(t, []string{`shardscaler_source_failing{kind="Thing",source="store"} 1`}, text(t, view, `failing{kind="Thing",source="store"}`))
	})
	t.Run("pods", func(t *testing.T) {
		view := collectView(t)
		view.Snapshot.Kinds[0].Sources.Cluster.At = collectNow.Add(-time.Minute)
		require.Empty(t, text(t, view, "shardscaler_instance_"))
		require.Empty(t, text(t, view, "shardscaler_kind_replicas"))
	})
	t.Run("bus", func(t *testing.T) {
		view := collectView(t)
		view.Snapshot.Kinds[0].Sources.Bus = &observed.Source{At: collectNow.Add(-time.Minute)}
		require.Empty(t, text(t, view, "heartbeat_lag"))
	})
	t.Run("usage", func(t *testing.T) {
		view := collectView(t)
		view.Snapshot.Kinds[0].Instances[0].Usage.At = collectNow.Add(-2 * time.Minute)
		require.Empty(t, text(t, view, "cpu_cores"))
	})
	t.Run("instance gone", func(t *testing.T) {
		view := collectView(t)
		view.Snapshot.Kinds[0].Instances = view.Snapshot.Kinds[0].Instances[1:]
		require.Empty(t, text(t, view, `ordinal="0"`))
	})
	t.Run("kind gone", func(t *testing.T) {
		view := collectView(t)
		view.Config = &config.Config{}
		require.Empty(t, text(t, view, "shardscaler_"))
	})
	t.Run("not decided", func(t *testing.T) {
		view := collectView(t)
		view.Recommended = nil
		require.Empty(t, text(t, view, "recommended"))
	})
}

func TestCollectorLints(t *testing.T) {
	view := collectView(t)
	problems, err := testutil.CollectAndLint(Collector(func() metricsapi.View { return view }))
	require.NoError(t, err)
	require.Empty(t, problems)
}
