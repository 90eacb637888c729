package metricsapi

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	metricsprovider "sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

func TestByName(t *testing.T) {
	tests := map[string]struct {
		change func(*world)
		object schema.GroupResource
		name   string
		metric string
		value  string    // "": a 404
		at     time.Time // zero: not looked at
		says   []string  // of the error
	}{
		"list":                   {object: pods, name: "iota-dac-0", metric: "resources_per_instance", value: "100", at: testNow.Add(-time.Second)},
		"ready and owns nothing": {object: pods, name: "iota-dac-1", metric: "resources_per_instance", value: "0"},
		"not ready, no list": {
			change: func(w *world) { w.pod("Thing", 1).Pod.Ready = false },
			object: pods, name: "iota-dac-1", metric: "resources_per_instance", says: []string{"not ready"},
		},
		"list never read": {
			change: func(w *world) { w.kind("Thing").Sources.Store = observed.Source{} },
			object: pods, name: "iota-dac-1", metric: "resources_per_instance", says: []string{"ZooKeeper has not been read"},
		},
		"list stale": {
			change: func(w *world) {
				w.kind("Thing").Sources.Store = observed.Source{At: testNow.Add(-95 * time.Second), Error: "no quorum"}
			},
			object: pods, name: "iota-dac-0", metric: "resources_per_instance", says: []string{"ZooKeeper", "1m35s", "no quorum"},
		},
		"list unreadable": {
			change: func(w *world) { w.pod("Thing", 0).List.Error = "not JSON" },
			object: pods, name: "iota-dac-0", metric: "resources_per_instance", says: []string{"not JSON"},
		},
		"pods stale": {
			change: func(w *world) {
				w.kind("Thing").Sources.Cluster = observed.Source{At: testNow.Add(-time.Minute), Error: "connection refused"}
			},
			object: pods, name: "iota-dac-0", metric: "resources_per_instance", says: []string{"pods of iota-dac", "1m ago", "connection refused"},
		},
		"unknown pod":       {object: pods, name: "web-0", metric: "resources_per_instance", says: []string{"web-0", "belongs to no kind"}},
		"ordinal gone":      {object: pods, name: "iota-dac-9", metric: "resources_per_instance", says: []string{"iota-dac-9"}},
		"lag":               {object: pods, name: "iota-dac-2", metric: "heartbeat_lag_seconds", value: "61500m", at: testNow.Add(-2 * time.Second)},
		"no heartbeat":      {object: pods, name: "iota-rules-engine-0", metric: "heartbeat_lag_seconds", says: []string{"no heartbeat"}},
		"no such":           {object: pods, name: "iota-dac-0", metric: "resources", says: []string{"no metric", "resources"}},
		"other object":      {object: schema.GroupResource{Resource: "nodes"}, name: "iota-dac-0", metric: "resources", says: []string{"no metric"}},
		"wrong group":       {object: schema.GroupResource{Resource: "statefulsets"}, name: "iota-dac", metric: "resources", says: []string{"no metric"}},
		"resources":         {object: statefulSets, name: "iota-dac", metric: "resources", value: "150", at: testNow.Add(-time.Second)},
		"on the group":      {object: groups, name: "things", metric: "resources", value: "150", at: testNow.Add(-time.Second)},
		"group, flight":     {object: groups, name: "things", metric: "in_flight_resources", value: "3"},
		"group, pool":       {object: groups, name: "things", metric: "unassigned_resources", value: "5"},
		"group, size":       {object: groups, name: "things", metric: "recommended_replicas", value: "3"},
		"group, lag":        {object: groups, name: "things", metric: "heartbeat_lag_seconds_max", value: "61500m"},
		"group of none":     {object: groups, name: "elsewhere", metric: "resources", says: []string{"elsewhere", "belongs to no kind"}},
		"no such group":     {object: groups, name: "iota-dac", metric: "resources", says: []string{"instancegroups.shardscaler.io", "belongs to no kind"}},
		"pod's on group":    {object: groups, name: "things", metric: "resources_per_instance", says: []string{"no metric"}},
		"other kind":        {object: statefulSets, name: "iota-rules-engine", metric: "resources", value: "7"},
		"unassigned":        {object: statefulSets, name: "iota-dac", metric: "unassigned_resources", value: "5"},
		"no unassigned":     {object: statefulSets, name: "iota-rules-engine", metric: "unassigned_resources", value: "0"},
		"recommended":       {object: statefulSets, name: "iota-dac", metric: "recommended_replicas", value: "3", at: testNow.Add(-3 * time.Second)},
		"capacity used":     {object: pods, name: "iota-dac-0", metric: "capacity_used_ratio", value: "20m", at: testNow.Add(-time.Second)},
		"capacity not used": {object: pods, name: "iota-dac-1", metric: "capacity_used_ratio", value: "0"},
		"capacity full": {
			change: func(w *world) { w.pod("Thing", 2).List.Count = 5000 },
			object: pods, name: "iota-dac-2", metric: "capacity_used_ratio", value: "1",
		},
		"applied all": {
			change: acknowledging(&observed.Status{Times: 7, PodUID: "uid-iota-dac-0"}),
			object: pods, name: "iota-dac-0", metric: "assignment_lag_seconds", value: "0", at: testNow.Add(-time.Second),
		},
		"applied not all": {
			change: acknowledging(&observed.Status{Times: 5, PodUID: "uid-iota-dac-0"}),
			object: pods, name: "iota-dac-0", metric: "assignment_lag_seconds", value: "40", at: testNow.Add(-time.Second),
		},
		"has not said what it applied": {
			change: acknowledging(nil),
			object: pods, name: "iota-dac-0", metric: "assignment_lag_seconds", says: []string{"has not said what it applied"},
		},
		"its predecessor said it": {
			change: acknowledging(&observed.Status{Times: 7, PodUID: "uid-of-another"}),
			object: pods, name: "iota-dac-0", metric: "assignment_lag_seconds", says: []string{"another pod's"},
		},
		"does not acknowledge": {object: pods, name: "iota-dac-0", metric: "assignment_lag_seconds", says: []string{"do not acknowledge"}},
		"in flight":            {object: statefulSets, name: "iota-dac", metric: "in_flight_resources", value: "3", at: testNow.Add(-time.Second)},
		"weight":               {object: statefulSets, name: "iota-dac", metric: "resource_weight", value: "150"},
		"imbalance":            {object: statefulSets, name: "iota-dac", metric: "imbalance_ratio", value: "2113m", at: testNow.Add(-time.Second)},
		"weight by weight": {
			change: byWeight(testNow.Add(-20 * time.Second)),
			object: statefulSets, name: "iota-dac", metric: "resource_weight", value: "30500m", at: testNow.Add(-20 * time.Second),
		},
		"imbalance by weight": {
			change: byWeight(testNow.Add(-20 * time.Second)),
			object: statefulSets, name: "iota-dac", metric: "imbalance_ratio", value: "1500m", at: testNow.Add(-20 * time.Second),
		},
		"weights not read": {
			change: byWeight(time.Time{}),
			object: statefulSets, name: "iota-dac", metric: "resource_weight", says: []string{"has not read them from the catalogue"},
		},
		"in balance": {
			change: func(w *world) { w.pod("Thing", 0).List.Count, w.pod("Thing", 2).List.Count = 0, 0 },
			object: statefulSets, name: "iota-dac", metric: "imbalance_ratio", value: "1",
		},
		"no instance may receive": {
			change: func(w *world) { w.kind("Thing").Open = nil },
			object: statefulSets, name: "iota-dac", metric: "imbalance_ratio", says: []string{"no instance may receive"},
		},
		"an emptied instance is not in balance": {
			change: func(w *world) { w.kind("Thing").Open = []int{0} },
			object: statefulSets, name: "iota-dac", metric: "imbalance_ratio", value: "1",
		},
		"longest lag": {
			change: func(w *world) {
				older := testNow.Add(-80 * time.Second)
				w.pod("Thing", 1).LastBeat = &older
			},
			object: statefulSets, name: "iota-dac", metric: "heartbeat_lag_seconds_max", value: "80", at: testNow.Add(-2 * time.Second),
		},
		"longest lag without those that start or leave": {
			change: func(w *world) {
				older := testNow.Add(-80 * time.Second)
				w.pod("Thing", 1).LastBeat, w.pod("Thing", 1).Pod.Terminating = &older, true
				w.pod("Thing", 2).LastBeat, w.pod("Thing", 2).Pod.Started = nil, testNow.Add(-time.Second)
			},
			object: statefulSets, name: "iota-dac", metric: "heartbeat_lag_seconds_max", value: "61500m",
		},
		"no lag yet": {
			change: func(w *world) {
				for n := range 3 {
					w.pod("Thing", n).LastBeat, w.pod("Thing", n).Pod.Started = nil, testNow.Add(-time.Second)
				}
			},
			object: statefulSets, name: "iota-dac", metric: "heartbeat_lag_seconds_max", says: []string{"no instance has a lag yet"},
		},
		"no lag while the bus is away": {
			change: func(w *world) {
				w.kind("Thing").Sources.Bus = &observed.Source{At: testNow.Add(-31 * time.Second), Error: "dial tcp"}
			},
			object: statefulSets, name: "iota-dac", metric: "heartbeat_lag_seconds_max", says: []string{"Kafka", "31s", "dial tcp"},
		},
		"no longest lag of a kind without heartbeat": {
			object: statefulSets, name: "iota-rules-engine", metric: "heartbeat_lag_seconds_max", says: []string{"no heartbeat"},
		},
		"bus down": {
			change: func(w *world) {
				w.kind("Thing").Sources.Bus = &observed.Source{At: testNow.Add(-31 * time.Second), Error: "dial tcp"}
			},
			object: pods, name: "iota-dac-2", metric: "heartbeat_lag_seconds", says: []string{"Kafka", "31s", "dial tcp"},
		},
		"bus down, list goes on": {
			change: func(w *world) { w.kind("Thing").Sources.Bus = &observed.Source{Error: "dial tcp"} },
			object: pods, name: "iota-dac-2", metric: "resources_per_instance", value: "42",
		},
		"one list unreadable": {
			change: func(w *world) { w.pod("Thing", 2).List.Error = "not JSON" },
			object: statefulSets, name: "iota-dac", metric: "resources", says: []string{"instance 2", "not JSON"},
		},
		"not decided yet": {
			change: func(w *world) { w.Recommended = nil },
			object: statefulSets, name: "iota-dac", metric: "recommended_replicas", says: []string{"has been decided", "Thing"},
		},
		"cannot be decided": {
			change: func(w *world) { w.Recommended["Thing"] = Recommendation{At: testNow, Unknown: "catalogue never read"} },
			object: statefulSets, name: "iota-dac", metric: "recommended_replicas", says: []string{"catalogue never read"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tc.change != nil {
				tc.change(w)
			}
			got, err := newProvider(w).GetMetricByName(context.Background(), types.NamespacedName{Namespace: "iota", Name: tc.name},
				metricsprovider.CustomMetricInfo{GroupResource: tc.object, Namespaced: true, Metric: tc.metric}, labels.Everything())
			if tc.value == "" {
				require.Error(t, err)
				require.True(t, apierrors.IsNotFound(err), err)
				for _, text := range tc.says {
					require.ErrorContains(t, err, text)
				}
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.value, got.Value.String())
			require.Equal(t, tc.name, got.DescribedObject.Name)
			require.Equal(t, "iota", got.DescribedObject.Namespace)
			require.Equal(t, tc.metric, got.Metric.Name)
			if !tc.at.IsZero() {
				require.Equal(t, tc.at, got.Timestamp.Time)
			}
			if tc.metric != "recommended_replicas" {
				require.Nil(t, got.WindowSeconds, "it is of one moment")
				return
			}
			require.EqualValues(t, 300, *got.WindowSeconds)
		})
	}
}

func TestBySelector(t *testing.T) {
	tests := map[string]struct {
		change   func(*world)
		ns       string
		object   schema.GroupResource
		metric   string
		selector string
		series   string
		want     map[string]string // nil: an error
		says     []string
	}{
		"all pods of a kind": {
			ns: "iota", object: pods, metric: "resources_per_instance", selector: "app=iota-dac",
			want: map[string]string{"iota-dac-0": "100", "iota-dac-1": "0", "iota-dac-2": "42"},
		},
		"everything": {
			ns: "iota", object: pods, metric: "resources_per_instance",
			want: map[string]string{"iota-dac-0": "100", "iota-dac-1": "0", "iota-dac-2": "42", "iota-rules-engine-0": "7"},
		},
		"set based": {
			ns: "iota", object: pods, metric: "resources_per_instance", selector: "app notin (iota-dac)",
			want: map[string]string{"iota-rules-engine-0": "7"},
		},
		"by series": {
			ns: "iota", object: pods, metric: "resources_per_instance", series: "kind=Rule",
			want: map[string]string{"iota-rules-engine-0": "7"},
		},
		"unknown ones are left out": {
			change: func(w *world) { w.pod("Thing", 1).Pod.Ready = false; w.pod("Thing", 2).List.Error = "not JSON" },
			ns:     "iota", object: pods, metric: "resources_per_instance", selector: "app=iota-dac",
			want: map[string]string{"iota-dac-0": "100"},
		},
		"znode without pod": {
			change: func(w *world) { w.pod("Thing", 2).Pod = nil },
			ns:     "iota", object: pods, metric: "resources_per_instance", selector: "app=iota-dac",
			want: map[string]string{"iota-dac-0": "100", "iota-dac-1": "0"},
		},
		"kinds without heartbeat are left out": {
			ns: "iota", object: pods, metric: "heartbeat_lag_seconds",
			want: map[string]string{"iota-dac-0": "61500m", "iota-dac-1": "61500m", "iota-dac-2": "61500m"},
		},
		"stale": {
			change: func(w *world) { w.Snapshot.At = w.Snapshot.At.Add(time.Minute) },
			ns:     "iota", object: pods, metric: "resources_per_instance", selector: "app=iota-dac",
			says: []string{": too old: the pods of iota-dac were last read 1m1s ago"},
		},
		"many reasons": {
			change: func(w *world) {
				for n := range 6 {
					inst := observed.Instance{Ordinal: n, Pod: testPod("iota-dac", n), List: &observed.List{Error: "not JSON"}}
					w.kind("Thing").Instances = append(w.kind("Thing").Instances[:n], inst)
				}
			},
			ns: "iota", object: pods, metric: "resources_per_instance", selector: "app=iota-dac",
			says: []string{"iota-dac-0", "iota-dac-2", "and 3 more"},
		},
		"nothing matches":  {ns: "iota", object: pods, metric: "resources_per_instance", selector: "app=web", says: []string{"nothing matches", "app=web"}},
		"other namespace":  {ns: "default", object: pods, metric: "resources_per_instance", says: []string{"nothing matches"}},
		"no heartbeat":     {ns: "iota", object: pods, metric: "heartbeat_lag_seconds", series: "kind=Rule", says: []string{"no heartbeat"}},
		"stateful sets":    {ns: "iota", object: statefulSets, metric: "resources", want: map[string]string{"iota-dac": "150", "iota-rules-engine": "7"}},
		"groups":           {ns: "iota", object: groups, metric: "resources", want: map[string]string{"things": "150"}},
		"groups by label":  {ns: "iota", object: groups, metric: "resources", selector: "app=other", says: []string{"nothing matches"}},
		"by its own label": {ns: "iota", object: statefulSets, metric: "resources", selector: "app=dac", want: map[string]string{"iota-dac": "150"}},
		"kind gone from the configuration": {
			change: func(w *world) { w.Config.Kinds = w.Config.Kinds[1:] },
			ns:     "iota", object: statefulSets, metric: "resources", want: map[string]string{"iota-rules-engine": "7"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tc.change != nil {
				tc.change(w)
			}
			list, err := newProvider(w).GetMetricBySelector(context.Background(), tc.ns, mustSelector(t, tc.selector),
				metricsprovider.CustomMetricInfo{GroupResource: tc.object, Namespaced: true, Metric: tc.metric}, mustSelector(t, tc.series))
			if tc.want == nil {
				require.Error(t, err)
				require.True(t, apierrors.IsNotFound(err), err)
				for _, text := range tc.says {
					require.ErrorContains(t, err, text)
				}
				return
			}
			require.NoError(t, err)
			got := map[string]string{}
			for _, item := range list.Items {
				got[item.DescribedObject.Name] = item.Value.String()
			}
			require.Equal(t, tc.want, got)
			require.Len(t, list.Items, len(tc.want))
		})
	}
}

func TestExternal(t *testing.T) {
	tests := map[string]struct {
		change   func(*world)
		metric   string
		selector string
		want     map[string]string // by kind
		code     int32
		says     string
	}{
		"sum over kinds":          {metric: "resources", want: map[string]string{"Thing": "150", "Rule": "7"}},
		"one kind":                {metric: "resources", selector: "kind=Thing", want: map[string]string{"Thing": "150"}},
		"by stateful set":         {metric: "recommended_replicas", selector: "statefulset=iota-dac,namespace=iota", want: map[string]string{"Thing": "3"}},
		"weights add up":          {metric: "resource_weight", want: map[string]string{"Thing": "150", "Rule": "7"}},
		"in flight":               {metric: "in_flight_resources", want: map[string]string{"Thing": "3", "Rule": "0"}},
		"imbalance of one":        {metric: "imbalance_ratio", selector: "kind=Rule", want: map[string]string{"Rule": "1"}},
		"longest lag of one":      {metric: "heartbeat_lag_seconds_max", selector: "kind=Thing", want: map[string]string{"Thing": "61500m"}},
		"imbalance of many":       {metric: "imbalance_ratio", code: http.StatusBadRequest, says: "matches 2 kinds"},
		"longest lag of many":     {metric: "heartbeat_lag_seconds_max", selector: "namespace=iota", code: http.StatusBadRequest, says: "select by kind"},
		"longest lag of no beats": {metric: "heartbeat_lag_seconds_max", selector: "kind=Rule", code: http.StatusNotFound, says: "no heartbeat"},
		"does not add up":         {metric: "recommended_replicas", code: http.StatusBadRequest, says: "matches 2 kinds"},
		"no kind":                 {metric: "resources", selector: "kind=Device", code: http.StatusNotFound, says: "kind=Device"},
		"no metric":               {metric: "resources_per_instance", code: http.StatusNotFound, says: "no metric"},
		"one unknown of two": {
			change: func(w *world) { w.kind("Rule").Sources.Store = observed.Source{} },
			metric: "resources", code: http.StatusNotFound, says: "kind Rule",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tc.change != nil {
				tc.change(w)
			}
			list, err := newProvider(w).GetExternalMetric(context.Background(), "iota", mustSelector(t, tc.selector),
				metricsprovider.ExternalMetricInfo{Metric: tc.metric})
			if tc.want == nil {
				status := apierrors.APIStatus(nil)
				require.ErrorAs(t, err, &status)
				require.Equal(t, tc.code, status.Status().Code)
				require.ErrorContains(t, err, tc.says)
				return
			}
			require.NoError(t, err)
			got := map[string]string{}
			for _, item := range list.Items {
				require.Equal(t, "iota", item.MetricLabels["namespace"])
				got[item.MetricLabels["kind"]] = item.Value.String()
			}
			require.Equal(t, tc.want, got)
		})
	}
}

// byWeight has the Things balanced by weight, as the leader told at that time.
func byWeight(at time.Time) func(*world) {
	return func(w *world) {
		k := w.kind("Thing")
		k.Weights, k.Open = &observed.Weights{At: at, Total: 30.5}, []int{0, 1}
		for n, weight := range []float64{5, 15} {
			w.pod("Thing", n).List = &observed.List{Weight: &weight}
		}
	}
}

// acknowledging makes Things acknowledge; instance 0 has a change 40 s old to apply, or said by
// this that it has.
func acknowledging(status *observed.Status) func(*world) {
	return func(w *world) {
		w.Config.Kinds[0].HandOff = config.HandOffAcknowledged
		list := w.pod("Thing", 0).List
		list.Times, list.Changed, list.Unapplied, list.Status = 7, testNow.Add(-time.Second), testNow.Add(-40*time.Second), status
	}
}

func mustSelector(t testing.TB, text string) labels.Selector {
	t.Helper()
	selector, err := labels.Parse(text)
	require.NoError(t, err)
	return selector
}
