package metricsapi

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

const testConfig = `
kinds:
- {name: Thing, statefulSet: iota-dac, capacity: 5000, init: 3, max: 10, heartbeat: {topic: HeartBeat}}
- {name: Rule, statefulSet: iota-rules-engine, capacity: 50, init: 1, max: 10}
`

var testNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// world is a View that a test changes before it asks.
type world struct{ View }

func (w *world) kind(name string) *observed.Kind {
	for i := range w.Snapshot.Kinds {
		if w.Snapshot.Kinds[i].Name == name {
			return &w.Snapshot.Kinds[i]
		}
	}
	panic("no kind " + name)
}

func (w *world) pod(name string, ordinal int) *observed.Instance {
	return w.kind(name).Instance(ordinal)
}

// newWorld has three Thing pods (100, 0 and 42 resources, the second without a list) and one Rule
// pod with 7; all is read a second ago.
func newWorld(t testing.TB) *world {
	t.Helper()
	cfg, err := config.Parse([]byte(testConfig))
	require.NoError(t, err)
	read := observed.Source{At: testNow.Add(-time.Second)}
	sources := observed.Sources{Store: read, Cluster: read, Metrics: read, Catalogue: read, Notify: read}
	thing := observed.Kind{
		Name: "Thing", Namespace: "iota", Assigned: 142, InFlight: 3, Unassigned: 5, Open: []int{0, 1, 2}, Sources: sources,
		Workload: &observed.Workload{UID: "w1", Labels: map[string]string{"app": "dac"}},
		Groups: []observed.Group{
			{Name: "elsewhere", UID: "g0", StatefulSet: "other"},
			{Name: "things", UID: "g1", StatefulSet: "iota-dac", Labels: map[string]string{"app": "dac"}},
		},
	}
	thing.Sources.Bus = &observed.Source{At: testNow.Add(-2 * time.Second)}
	beat := testNow.Add(-61500 * time.Millisecond)
	for n, count := range []int{100, 0, 42} {
		inst := observed.Instance{Ordinal: n, Pod: testPod("iota-dac", n), LastBeat: &beat}
		if n != 1 {
			inst.List = &observed.List{Count: count}
		}
		thing.Instances = append(thing.Instances, inst)
	}
	rule := observed.Kind{
		Name: "Rule", Namespace: "iota", Assigned: 7, Open: []int{0}, Sources: sources, Workload: &observed.Workload{UID: "w2"},
		Instances: []observed.Instance{{Ordinal: 0, Pod: testPod("iota-rules-engine", 0), List: &observed.List{Count: 7}}},
	}
	decided := testNow.Add(-3 * time.Second)
	return &world{View: View{
		Snapshot:    observed.Snapshot{At: testNow, Kinds: []observed.Kind{thing, rule}},
		Config:      cfg,
		Recommended: map[string]Recommendation{"Thing": {Replicas: 3, At: decided}, "Rule": {Replicas: 1, At: decided}},
	}}
}

func testPod(set string, n int) *observed.Pod {
	name := set + "-" + string(rune('0'+n))
	return &observed.Pod{
		Name: name, UID: "uid-" + name, Phase: "Running", Ready: true, Started: testNow.Add(-time.Hour),
		Labels: map[string]string{"app": set, "statefulset.kubernetes.io/pod-name": name},
	}
}

func newProvider(w *world) *provider {
	return &provider{
		view:    func() View { return w.View },
		metrics: newMetrics(prometheus.NewRegistry()),
	}
}
