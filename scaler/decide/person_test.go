package decide

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

// loaded is a kind of so many pods that uses so much CPU of each, in percent of its target, with a
// history long enough for anything. What is drained is empty and uses nothing.
func loaded(t require.TestingT, pods, percent int, drained ...int) Input {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	checked, err := config.Parse([]byte("kinds: [{name: Thing, statefulSet: iota-dac, capacity: 100, init: 1, max: 20, cpu: {targetUtilization: 50}}]"))
	require.NoError(t, err)
	good := observed.Source{At: now}
	in := Input{
		Now: now, Config: checked.Kinds[0],
		Observed: observed.Kind{
			Name: "Thing", Namespace: "iot",
			Workload: &observed.Workload{UID: "set", Replicas: pods, StatusReplicas: pods, ReadyReplicas: pods, UpdatedReplicas: pods},
			Sources:  observed.Sources{Store: good, Cluster: good, Metrics: good, Catalogue: good, Notify: good, Groups: good, HPAs: good},
		},
		History: History{CompleteSince: now.Add(-time.Hour), Adopted: true, Replicas: pods, Wrote: pods, Set: "set", Own: pods},
	}
	for _, n := range drained {
		in.Operator = in.Operator.WithDrain(n, config.Said{By: "ann"})
	}
	for n := range pods {
		inst := observed.Instance{
			Ordinal: n, List: &observed.List{Count: 1},
			Pod: &observed.Pod{
				Name: fmt.Sprintf("iota-dac-%d", n), UID: fmt.Sprint(n), Phase: "Running", Ready: true, CPURequest: 1000,
				Created: now.Add(-time.Hour), Started: now.Add(-time.Hour), ReadyChanged: now.Add(-time.Hour),
			},
			Usage: &observed.Usage{At: now, Window: 15 * time.Second, CPU: int64(5 * percent)},
		}
		if slices.Contains(drained, n) {
			inst.List.Count, inst.Usage.CPU = 0, 0
		} else {
			in.Observed.Open = append(in.Observed.Open, n)
		}
		in.Observed.Assigned += inst.List.Count
		in.Observed.Instances = append(in.Observed.Instances, inst)
	}
	return in
}

func TestADrainedInstanceIsNoCapacity(t *testing.T) {
	for _, c := range []struct {
		name          string
		pods, percent int
		drained       []int
		proposed      int
		inputs        string
	}{
		{"none", 5, 100, nil, 5, "2500m used by 5 pods"},
		{"within tolerance", 5, 105, []int{2}, 5, "2100m used by 4 pods"},
		{"more load: 6 work", 5, 150, []int{2}, 7, "3000m used by 4 pods"},
		{"less load: 2 work", 5, 50, []int{0}, 3, "1000m used by 4 pods"},
		{"the highest stays", 5, 100, []int{4}, 5, "2000m used by 4 pods"},
		{"but not for less load", 5, 50, []int{4}, 2, "1000m used by 4 pods"},
		{"what comes is drained too: 0 1 3 4 7 8", 5, 150, []int{2, 5, 6}, 9, "3000m used by 4 pods"},
	} {
		d := Decide(loaded(t, c.pods, c.percent, c.drained...))
		cpu := d.Signals[1]
		require.Empty(t, cpu.Missing, c.name)
		require.Equal(t, c.proposed, cpu.Proposed, "%s: %s", c.name, d.Summary)
		require.Equal(t, c.proposed, cpu.own, c.name)
		require.Contains(t, cpu.Inputs, c.inputs, c.name)
		require.Equal(t, c.proposed, d.Desired, c.name)
		if slices.Contains(c.drained, 2) {
			require.Contains(t, d.Summary, "drained by a person: instance 2")
			require.NotContains(t, d.Stay(), 2)
		}
	}
}

// What is needed is the same with and without drains: so many that work. And it stays what it is
// when the size has followed it.
func TestASizeWithDrainsHasAsManyThatWork(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		drained := rapid.SliceOfNDistinct(rapid.IntRange(0, 24), 0, 6, rapid.ID).Draw(rt, "drained")
		slices.Sort(drained)
		in := loaded(rt, rapid.IntRange(1, 20).Draw(rt, "pods"), 100, drained...)
		work, from := rapid.IntRange(0, 20).Draw(rt, "work"), rapid.IntRange(0, 25).Draw(rt, "from")
		size := in.sized(from, work)
		working := 0
		for n := range size {
			if !slices.Contains(drained, n) {
				working++
			}
		}
		require.Equal(rt, work, working)
		require.Equal(rt, working, in.working(size))
		require.Equal(rt, size, in.sized(size, work), "it stays")
		if size != from && size > 0 {
			require.NotContains(rt, drained, size-1, "it is the least")
		}
	})
}

func TestWhenLoadGrowsBeyondWhatADrainLeavesThatIsSaid(t *testing.T) {
	in := loaded(t, 20, 100, 3, 4)
	in.Observed.Unassigned = 18*100 + 7 - in.Observed.Assigned
	d := Decide(in)
	require.Equal(t, 20, d.Desired)
	require.Equal(t, ByMax, d.Reason)
	require.Equal(t, 7, d.Excess)
}

func TestASetSizeIsLeftToOtherWriters(t *testing.T) {
	in := loaded(t, 5, 100)
	in.Operator.Size = &config.OperatorSize{Value: 9}
	require.Equal(t, 9, Decide(in).Desired)
	for _, owner := range []config.Owner{config.OwnerHPA, config.OwnerGroup} {
		in.Config.Replicas.Owner = owner
		d := Decide(in)
		require.Nil(t, d.Set, owner)
		require.Equal(t, 5, d.Desired, owner)
	}
}

// While an instance that is drained owns something, the others that it needs are asked for once, and
// not anew with every tick in which their pods are not there yet.
func TestADrainThatLastsAsksForNoMoreThanIsNeeded(t *testing.T) {
	for _, percent := range []int{70, 85, 95, 100, 105, 130} {
		for _, hottest := range []bool{false, true} {
			in := loaded(t, 5, percent)
			if hottest {
				in.Config.CPU = &config.ResourceTarget{TargetUtilization: 90, Hottest: &config.HottestTarget{TargetUtilization: 50}}
			}
			in.Operator = in.Operator.WithDrain(3, config.Said{At: in.Now})
			first := Decide(in).Desired
			for tick := range 20 {
				d := Decide(in)
				require.Equal(t, first, d.Desired, "%d%%, tick %d: %s", percent, tick, d)
				for n := in.Observed.Workload.Replicas; n < d.Desired; n++ {
					in.Observed.Instances = append(in.Observed.Instances, observed.Instance{
						Ordinal: n, List: &observed.List{}, Pod: &observed.Pod{Name: "new", UID: "new", Phase: "Running", CPURequest: 1000, Created: in.Now},
					})
				}
				in.Observed.Workload.Replicas, in.History.Wrote, in.History.Replicas = d.Desired, d.Desired, d.Desired
			}
			require.LessOrEqual(t, first, 5+1+(5*max(0, percent-100)+99)/100, "%d%%", percent)
		}
	}
}
