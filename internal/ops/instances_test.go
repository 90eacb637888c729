package ops_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	. "github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/opstest"
)

func TestAnInstanceShowsWhatItIsAndHas(t *testing.T) {
	v := healthy(t, 3)
	i, ok := InstanceOf(v, 1)
	require.True(t, ok)
	require.Equal(t, Instance{
		Kind: "Thing", Ordinal: 1, StatefulSet: "iota-dac", Pod: "iota-dac-1", UID: "uid-1", Node: "node-1", State: StateOpen,
		Health: Health{Condition: "Healthy", By: "session", Text: i.Health.Text},
		List:   List{Count: 4200, Capacity: 5000, Changed: now.Add(-time.Hour)},
		CPU:    &Load{Usage: 700, Request: 1000, Ratio: new(1.0), At: now.Add(-10 * time.Second)},
		Memory: &Load{Usage: 1 << 29, Request: 1 << 30, At: now.Add(-10 * time.Second)},
		Lag:    "30s", Beat: now.Add(-30 * time.Second), Started: now.Add(-time.Hour),
	}, i)
	_, ok = InstanceOf(v, 3)
	require.False(t, ok)
}

func TestTheStatesOfInstances(t *testing.T) {
	v := healthy(t, 6)
	k := &v.Snapshot
	k.Open = []int{0, 1, 2}
	k.Workload.Replicas = 5                             // 5 leaves
	k.Instances[1].Pod = nil                            // absent
	k.Instances[2].Pod.NodeLost = now.Add(-time.Minute) // lost
	k.Instances = slices.Delete(k.Instances, 3, 4)      // of the size, and never seen
	k.Instances = append(k.Instances,                   // what is beyond the size:
		observed.Instance{Ordinal: 7, List: &observed.List{}}, // owns nothing and has no pod
		observed.Instance{Ordinal: 8, List: &observed.List{Count: 1}})
	opstest.Decide(v)
	states := map[int]string{}
	for _, i := range InstancesOf(v) {
		states[i.Ordinal] = i.State
	}
	require.Equal(t, map[int]string{
		0: StateOpen, 1: StateAbsent, 2: StateLost, 3: StateAbsent, 4: StateClosed, 5: StateLeaving, 8: StateAbsent,
	}, states)
}

func TestADrainIsShownWithWhoAskedForIt(t *testing.T) {
	v := healthy(t, 3)
	v.Snapshot.Instances[1].List = &observed.List{}
	v.Snapshot.Open = []int{0, 1}
	for n := range 3 {
		v.Operator = v.Operator.WithDrain(n, config.Said{By: "ann"})
	}
	v.Operator = v.Operator.WithoutDrain(0)
	all := InstancesOf(v)
	require.Equal(t, []string{StateOpen, StateDraining, StateDraining}, []string{all[0].State, all[1].State, all[2].State})
	v.Snapshot.Open = []int{0}
	require.Equal(t, StateDrained, InstancesOf(v)[1].State)
	require.Nil(t, all[0].Drain)
	require.Equal(t, "ann", all[1].Drain.By)
}

// The copy of a decision that followers read has no verdict on healthy instances.
func TestAFollowerShowsTheHealthOfHealthyInstances(t *testing.T) {
	leader, follower := healthy(t, 4), healthy(t, 4)
	follower.Decision.Health.Verdicts = nil
	require.Equal(t, InstancesOf(leader), InstancesOf(follower))
}

func TestUsageThatIsMissingSaysWhy(t *testing.T) {
	v := healthy(t, 2)
	v.Snapshot.Instances[0].Usage = nil
	v.Snapshot.Instances[1].Usage.MissingCPU, v.Snapshot.Instances[1].Usage.CPU = "container main has no value", 0
	all := InstancesOf(v)
	require.Equal(t, "metrics.k8s.io has no sample of the pod", all[0].CPU.Missing)
	require.Nil(t, all[0].Memory, "the kind is not sized by it")
	require.Equal(t, "container main has no value", all[1].CPU.Missing)
	require.Nil(t, all[1].CPU.Ratio)
}

func TestNodeOf(t *testing.T) {
	things, rules := healthy(t, 4), healthy(t, 2)
	rules.Config.Name = "Rule"
	on := NodeOf([]*View{things, rules}, "node-0")
	var names []string
	for _, i := range on.Items {
		names = append(names, fmt.Sprint(i.Kind, "/", i.Ordinal))
	}
	require.Equal(t, []string{"Thing/0", "Thing/3", "Rule/0"}, names)
	require.NotNil(t, NodeOf([]*View{things}, "unheard-of").Items)
}

// A name is that of an ordinal, a pod, also one that is not there yet, or a node; a part of it is none.
func TestInstancesOfAName(t *testing.T) {
	all := []Instance{
		{Ordinal: 1, StatefulSet: "iota-dac", Pod: "iota-dac-1", Node: "node-1"},
		{Ordinal: 2, StatefulSet: "iota-dac", Pod: "iota-dac-2", Node: "node-1"},
		{Ordinal: 11, StatefulSet: "iota-dac"},
	}
	for name, want := range map[string][]int{
		"": {1, 2, 11}, "1": {1}, "iota-dac-1": {1}, "iota-dac-11": {11}, "node-1": {1, 2},
		"iota-dac": nil, "node": nil, "01": nil, "IOTA-DAC-1": nil,
	} {
		page, err := Page(all, Query{Name: name})
		require.NoError(t, err)
		var got []int
		for _, i := range page.Items {
			got = append(got, i.Ordinal)
		}
		require.Equal(t, want, got, name)
	}
}

// drawn are instances of any states, loads and lags, some of which are not known.
func drawn(t *rapid.T) (all []Instance) {
	for n := range rapid.IntRange(0, 60).Draw(t, "instances") {
		i := Instance{Ordinal: n, State: rapid.SampledFrom([]string{StateOpen, StateClosed}).Draw(t, "state"), Node: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "node")}
		i.Health.Condition = rapid.SampledFrom([]string{"Healthy", "Stale"}).Draw(t, "health")
		i.List.Count = rapid.IntRange(0, 5).Draw(t, "count")
		i.Lag = rapid.SampledFrom([]string{"", "30s", "1m30s", "2h5m"}).Draw(t, "lag")
		switch rapid.IntRange(0, 3).Draw(t, "cpu") {
		case 0:
			i.CPU = &Load{Missing: "a gap"}
		case 1:
			i.CPU = &Load{Usage: 5, Ratio: new(rapid.Float64Range(0, 2).Draw(t, "ratio"))}
		case 2:
			i.CPU = &Load{Usage: rapid.Int64Range(0, 3).Draw(t, "use")}
		}
		all = append(all, i)
	}
	return all
}

// However it is filtered and sorted, the pages together have each instance that the filter picks
// once, in one order.
func TestPagesHaveEachInstanceOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawn(t)
		q := Query{
			Sort:  rapid.SampledFrom([]string{"", "ordinal", "-ordinal", "count", "-count", "lag", "-lag", "cpu", "-cpu", "memory"}).Draw(t, "sort"),
			State: rapid.SampledFrom([][]string{nil, {StateOpen}, {StateOpen, StateClosed}}).Draw(t, "states"),
			Node:  rapid.SampledFrom([]string{"", "a"}).Draw(t, "of node"), Limit: 500,
		}
		whole, err := Page(all, q)
		require.NoError(t, err)
		require.Empty(t, whole.Continue)
		require.Equal(t, []int{len(all), len(whole.Items)}, []int{whole.All, whole.Total})
		picked := 0
		for _, i := range all {
			if (len(q.State) == 0 || slices.Contains(q.State, i.State)) && (q.Node == "" || i.Node == q.Node) {
				picked++
			}
		}
		require.Equal(t, picked, whole.Total)
		var paged []Instance
		q.Limit = rapid.IntRange(1, 7).Draw(t, "limit")
		for {
			page, err := Page(all, q)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page.Items), q.Limit)
			require.Equal(t, whole.Total, page.Total)
			paged = append(paged, page.Items...)
			if q.Continue = page.Continue; q.Continue == "" {
				break
			}
		}
		require.Equal(t, len(whole.Items), len(paged))
		for i := range paged {
			require.Equal(t, whole.Items[i].Ordinal, paged[i].Ordinal)
		}
	})
}

func TestWhatIsNotKnownIsSortedLast(t *testing.T) {
	v := healthy(t, 4)
	v.Snapshot.Instances[0].Usage = nil
	v.Snapshot.Instances[1].Usage.CPU = 200
	v.Snapshot.Instances[3].Usage.CPU = 900
	for sort, want := range map[string][]int{"cpu": {1, 2, 3, 0}, "-cpu": {3, 2, 1, 0}, "-ordinal": {3, 2, 1, 0}} {
		page, err := Page(InstancesOf(v), Query{Sort: sort})
		require.NoError(t, err)
		var got []int
		for _, i := range page.Items {
			got = append(got, i.Ordinal)
		}
		require.Equal(t, want, got, sort)
	}
}

func TestAForeignContinueIsRefused(t *testing.T) {
	all := InstancesOf(healthy(t, 5))
	page, err := Page(all, Query{Sort: "count", Limit: 2})
	require.NoError(t, err)
	for _, q := range []Query{{Sort: "lag", Continue: page.Continue}, {Sort: "count", Continue: "!"}, {Sort: "count", Continue: "bm8"}} {
		_, err := Page(all, q)
		require.ErrorIs(t, err, ErrContinue)
	}
}
