package decide

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

// TestADrainWaitsForInstancesThatAreStarting: 3 of 5 instances is drained, which owns something, and
// 6 are needed for that.
func TestADrainWaitsForInstancesThatAreStarting(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(in *Input)
		waits  []int
		starts []int
	}{
		{"the new one is not made yet", func(*Input) {}, []int{3}, []int{5}},
		{"a new leader whose clock is behind", func(in *Input) { in.Operator.Drains[0].At = in.Now.Add(time.Minute) }, []int{3}, []int{5}},
		{"it was said long ago", func(in *Input) { in.Operator.Drains[0].At = in.Now.Add(-drainPatience) }, nil, []int{5}},
		{"it will be said", func(in *Input) { in.Operator.Drains[0].At = in.Now.Add(drainPatience) }, nil, []int{5}},
		{"when is not known", func(in *Input) { in.Operator.Drains[0].At = time.Time{} }, nil, []int{5}},
		{"it is under way", func(in *Input) { in.Observed.Open = []int{0, 1, 2, 4} }, nil, []int{5}},
		{"it owns nothing", func(in *Input) { in.Observed.Instances[3].List.Count = 0 }, nil, []int{5}},
		{"its pod is terminating", func(in *Input) { in.Observed.Instances[3].Pod.Terminating = true }, nil, []int{5}},
		{"its pod is not ready", func(in *Input) { in.Observed.Instances[3].Pod.Ready = false }, nil, []int{5}},
		{"it has no pod", func(in *Input) { in.Observed.Instances[3].Pod = nil }, nil, []int{5}},
		{"its node is lost", func(in *Input) { in.Observed.Instances[3].Pod.NodeLost = in.Now.Add(-time.Second) }, nil, []int{5}},
		{"a rolling update", func(in *Input) {
			in.Observed.Workload.UpdatedReplicas, in.Observed.Workload.ReadyReplicas = 3, 4
			in.Observed.Instances[0].Pod.Ready = false
		}, nil, []int{5}},
		{"there is no room for more", func(in *Input) { in.Config.Max = 5 }, nil, nil},
		{"the pod starts", func(in *Input) { begun(in, 10*time.Second) }, []int{3}, []int{5}},
		{"it has no pod yet", func(in *Input) { begun(in, 0); in.Observed.Instances[5].Pod = nil }, []int{3}, []int{5}},
		{"an old one goes first", func(in *Input) { begun(in, time.Hour); in.Observed.Instances[5].Pod.Terminating = true }, []int{3}, []int{5}},
		{"an old pod that is not ready", func(in *Input) { begun(in, drainPatience) }, nil, nil},
		{"it is ready", func(in *Input) { begun(in, 10*time.Second); in.Observed.Instances[5].Pod.Ready = true }, nil, nil},
		{"it restarts, and is open", func(in *Input) {
			begun(in, 10*time.Second)
			in.Observed.Open = append(in.Observed.Open, 5)
		}, nil, nil},
		{"an HPA writes the size", func(in *Input) { in.Config.Replicas.Owner = config.OwnerHPA }, nil, nil},
		{"a size is only recommended", func(in *Input) { in.Config.Replicas.Mode = config.ModeRecommend }, nil, nil},
	} {
		in := loaded(t, 5, 100)
		in.Operator = in.Operator.WithDrain(3, config.Said{By: "ann", At: in.Now.Add(-time.Second)})
		in.Observed.Unassigned = 5*100 - in.Observed.Assigned
		c.change(&in)
		d := Decide(in)
		require.Empty(t, d.Blind, c.name)
		require.Equal(t, c.starts, in.starts(&d), c.name)
		if c.waits == nil {
			require.Nil(t, d.DrainWait, c.name)
			require.NotContains(t, d.Stay(), 3, c.name)
			continue
		}
		require.NotNil(t, d.DrainWait, c.name)
		require.Equal(t, DrainWait{Ordinals: c.waits, For: c.starts, Until: in.Operator.Drains[0].At.Add(drainPatience)}, *d.DrainWait, c.name)
		require.Equal(t, []int{0, 1, 2, 3, 4, 5}, d.Stay(), c.name)
		require.Contains(t, d.Summary, "drained by a person: instance 3; the drain of instance 3 waits until instance 5 can take over, at most 2m", c.name)
	}
}

// TestADrainOfWhatLeavesWithTheSizeWaitsForNothing: invariant 3 is not the person's.
func TestADrainOfWhatLeavesWithTheSizeWaitsForNothing(t *testing.T) {
	in := loaded(t, 5, 100)
	in.Operator = in.Operator.WithDrain(3, config.Said{At: in.Now})
	in.Observed.Open, in.Observed.Instances[0].Pod = []int{1, 2, 3, 4}, nil
	d := Decide(in)
	require.Equal(t, []int{3}, d.DrainWait.Ordinals)
	d.Desired = 3
	require.Equal(t, []int{0}, in.starts(&d))
	require.Nil(t, in.drainWait(&d))
}

// starts are those that are starting; nil: none.
func (in *Input) starts(d *Decision) []int {
	if all := in.Starting(d); len(all) > 0 {
		return all
	}
	return nil
}

// begun has a sixth instance whose pod is that old, and is not ready.
func begun(in *Input, age time.Duration) {
	in.Observed.Workload.Replicas, in.Observed.Workload.StatusReplicas, in.Observed.Workload.UpdatedReplicas = 6, 6, 6
	in.History.Replicas, in.History.Wrote = 6, 6
	in.Observed.Instances = append(in.Observed.Instances, observed.Instance{
		Ordinal: 5, List: &observed.List{}, Pod: &observed.Pod{Name: "iota-dac-5", UID: "5", Phase: "Running", CPURequest: 1000, Created: in.Now.Add(-age)},
	})
}
