package ops_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	. "github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/opstest"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

var now = opstest.Now

// healthy is a view of n instances of a kind in which nothing is wrong.
func healthy(t *testing.T, n int) *View {
	v, err := opstest.View(n)
	require.NoError(t, err)
	return v
}

func TestAHealthyKindSaysItsSizeAndNoAlarm(t *testing.T) {
	k := KindOf(healthy(t, 10))
	require.Empty(t, k.Alarms)
	require.Equal(t, "keep", k.Verb)
	require.Contains(t, k.Why, "no change at 10")
	require.Empty(t, k.Blind)
	require.Equal(t, Resources{Total: 42000, Assigned: 42000, Catalogue: new(42000)}, *k.Resources)
	g := k.Groups[0]
	require.Equal(t, []int{10, 10, 10, 10}, []int{*g.Replicas, *g.Ready, *g.Desired, *g.Needed})
	require.Equal(t, "0-9", g.Open)
	require.Equal(t, "30s", k.WorstLag.Lag)
	require.Equal(t, []int64{9, 2}, []int64{k.Epoch, k.Generation})
	require.Len(t, k.Sources, 8)
	require.Equal(t, Source{Name: "store", At: now.Add(-time.Second), Age: "1s"}, k.Sources[0])
	require.Equal(t, Paused{Source: "ConfigMap"}, k.Paused)
}

// What is not known is absent: nothing reads as zero.
func TestAKindOfWhichNothingIsKnownShowsNoNumber(t *testing.T) {
	v := healthy(t, 3)
	k := KindOf(&View{Now: now, Config: v.Config, Base: v.Base, Snapshot: observed.Kind{Name: "Thing"}, Undecided: "no leader has decided yet"})
	data, err := json.Marshal(k)
	require.NoError(t, err)
	var doc map[string]any
	require.NoError(t, json.Unmarshal(data, &doc))
	for _, absent := range []string{"resources", "worstLag", "epoch", "verb", "waiting", "drain"} {
		require.NotContains(t, doc, absent)
	}
	group := doc["groups"].([]any)[0].(map[string]any)
	for _, absent := range []string{"replicas", "ready", "desired", "needed", "recommended"} {
		require.NotContains(t, group, absent)
	}
	require.Equal(t, "no leader has decided yet", doc["blind"])
	for _, list := range []string{"groups", "alarms", "overrides", "sources"} {
		require.IsType(t, []any{}, doc[list], list)
	}
}

func TestTimeAloneChangesNoUndatedDocument(t *testing.T) {
	early, late := healthy(t, 5), healthy(t, 5)
	late.Now = now.Add(5 * time.Second)
	late.Snapshot.Sources.Store.At = late.Now
	require.NotEqual(t, KindOf(early), KindOf(late))
	require.Equal(t, KindOf(early).Undated(), KindOf(late).Undated())
	require.NotEqual(t, InstancesOf(early), InstancesOf(late), "the lag")
	require.Equal(t, InstanceList{Items: InstancesOf(early)}.Undated(), InstanceList{Items: InstancesOf(late)}.Undated())
	late.Snapshot.Unassigned = 1
	require.NotEqual(t, KindOf(early).Undated(), KindOf(late).Undated())
}

// Each alarm is made by the fault that it names, and by nothing else.
func TestAlarms(t *testing.T) {
	type alarm struct{ name, severity, text, cure string }
	for name, c := range map[string]struct {
		fault func(v *View)
		want  []alarm
	}{
		"another client writes": {
			func(v *View) { v.Progress.Alarm = "another client writes here" },
			[]alarm{{"stopped", Critical, "the kind is stopped: another client writes here", "goes on by itself"}},
		},
		"a list cannot be read": {
			func(v *View) {
				v.State.Instances = map[int]*protocol.Instance{3: {Fault: "READ is missing on /list"}}
			},
			[]alarm{{"stopped", Critical, "READ is missing on /list", ""}},
		},
		"a write is refused": {func(v *View) { v.Progress.Refused = "a quota" }, []alarm{{"refused", Critical, "a quota", "quotas"}}},
		"ZooKeeper is away": {
			func(v *View) {
				v.Snapshot.Sources.Store.Error, v.Snapshot.Sources.Store.ErrorAt = "no connection", now
				opstest.Decide(v)
			},
			[]alarm{{"blind", Critical, "ZooKeeper cannot be read: no connection", ""}, {"source-failing", Critical, "no connection", "--zookeeper"}},
		},
		"no usage for long": {
			func(v *View) { v.Snapshot.Sources.Metrics.At = now.Add(-5 * time.Minute) },
			[]alarm{{"source-too-old", Warning, "was last read 5m ago, at most 1m is good", "metrics-server"}},
		},
		"a newer configuration is refused": {func(v *View) { v.Refused = "max: 7" }, []alarm{{"configuration-refused", Warning, "max: 7", "check-config"}}},
		"no decision":                      {func(v *View) { v.Decision, v.Undecided = nil, "9s old" }, []alarm{{"undecided", Critical, "9s old", "leader"}}},
		"paused": {
			func(v *View) {
				v.Config.Rebalance.Paused, v.Override.Paused = true, &config.OverrideValue[bool]{Value: true}
			},
			[]alarm{{"paused", Info, "voluntary moves are paused", "kubectl shardscaler resume Thing"}},
		},
		"too many resources": {
			func(v *View) { v.Config.Max, v.Snapshot.Unassigned = 10, 9000; opstest.Decide(v) },
			[]alarm{{"excess", Critical, "(10 × 5000): 1000", "raise max"}, {"unassigned", Info, "9000", ""}},
		},
		"at max": {
			func(v *View) { v.Config.Max, v.Snapshot.Unassigned = 10, 4000; opstest.Decide(v) },
			[]alarm{{"at-max", Warning, "ask for 11 instances, max is 10", "raise max"}, {"unassigned", Info, "4000", ""}},
		},
		"a right is missing": {func(v *View) { v.Decision.Denied = "pods: delete" }, []alarm{{"denied", Critical, "pods: delete", "value statefulSets"}}},
		"an HPA writes too": {
			func(v *View) {
				v.Snapshot.HPAs = []observed.HPA{{Name: "x", Target: "iota-dac"}}
				opstest.Decide(v)
			},
			[]alarm{{"conflict", Warning, "HPA x writes replicas", "delete the HPA"}},
		},
		"another writer insists": {
			func(v *View) { v.Decision.Foreign = &decide.Foreign{Writer: "kubectl", From: 5, To: 6, Stopped: true} },
			[]alarm{{"foreign-writer", Warning, "kubectl wrote replicas 5 -> 6", "kubectl shardscaler pause Thing"}},
		},
		"it does not acknowledge": {
			func(v *View) {
				v.Config.HandOff = config.HandOffAcknowledged
				l := v.Snapshot.Instances[2].List
				l.Status, l.StatusSince = nil, now.Add(-time.Hour)
				opstest.Decide(v)
			},
			[]alarm{{"not-acknowledging", Warning, "not acknowledging", "handOff: immediate"}},
		},
		"a drain is blocked": {
			func(v *View) {
				v.Decision.Drain = &outcome.Drain{Phase: outcome.Emptying, Ordinals: []int{9}, Left: 3, Blocked: "no room", BlockedSince: now.Add(-2 * time.Minute)}
			},
			[]alarm{{"drain-blocked", Warning, "the drain of instance 9 does not progress (3 left): no room", ""}},
		},
		"moves wait": {func(v *View) { v.Progress.Blocked = "not ready" }, []alarm{{"moves-blocked", Info, "not ready", ""}}},
		"duplicates": {
			func(v *View) { v.Progress.Duplicates = []protocol.Duplicate{{ID: "a", Stayed: "1", Removed: "2"}} },
			[]alarm{{"duplicates", Warning, "such as a (stayed in 1, taken out of 2)", "other client"}},
		},
		"rows without message": {func(v *View) { v.Progress.Unannounced = "rows appear" }, []alarm{{"unannounced", Warning, "rows appear", "ACL"}}},
		"deletes wait": {
			func(v *View) {
				v.Waiting = &resync.Waiting{Count: 12, Sets: []resync.Set{{Set: 3, Count: 12, Known: 20, Share: 0.6}}}
			},
			[]alarm{{"deletes-waiting", Warning, "12 of 20", "kubectl shardscaler confirm Thing --deletes 12 --set 3"}},
		},
		"parked": {
			func(v *View) {
				v.Snapshot.Unassigned = 4
				v.Progress.Parked = []plan.RefusedGroup{{From: -1, Why: "pin", Meaning: "pinned to what is closed", Count: 4, Examples: []string{"x"}}}
			},
			[]alarm{{"parked", Warning, "the pool without an instance that may have them: 4, such as x: pinned to what is closed", "pin"}},
		},
		"it crashes": {
			func(v *View) {
				p := v.Snapshot.Instances[4].Pod
				p.Ready, p.Reason = false, "CrashLoopBackOff"
				opstest.Decide(v)
			},
			[]alarm{{"instances", Critical, "instance 4", "logs --previous"}},
		},
		"its node is lost": {
			func(v *View) {
				v.Snapshot.Instances[4].Pod.NodeLost = now.Add(-time.Hour)
				opstest.Decide(v)
			},
			[]alarm{{"lost-node", Critical, "iota-dac-4 is on node node-1, lost for 1h", "bring the node back"}},
		},
		"several things": {
			func(v *View) { v.Progress.Blocked, v.Refused, v.Progress.Refused = "b", "r", "z" },
			[]alarm{{"refused", Critical, "z", ""}, {"configuration-refused", Warning, "r", ""}, {"moves-blocked", Info, "b", ""}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := healthy(t, 10)
			c.fault(v)
			got := Alarms(v)
			require.Len(t, got, len(c.want), "%+v", got)
			for i, want := range c.want {
				require.Equal(t, []string{want.name, want.severity}, []string{got[i].Name, got[i].Severity})
				require.Contains(t, got[i].Text, want.text)
				require.Contains(t, got[i].Cure, want.cure)
				require.NotEmpty(t, got[i].Cure)
			}
		})
	}
}
