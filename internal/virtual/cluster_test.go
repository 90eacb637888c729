package virtual

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/scaler"
	"github.com/shardscaler/shardscaler/scaler/actuate"
)

var _ scaler.Actuator = (*Cluster)(nil)

func newCluster(replicas int) (*Cluster, *Clock) {
	clock := &Clock{now: noon}
	return NewCluster(ClusterConfig{
		Namespace: "iot", StatefulSet: "iota-dac", Replicas: replicas,
		Start: 4 * time.Second, Ready: 6 * time.Second, Stop: 10 * time.Second, CPURequest: 500,
	}, clock), clock
}

// phases are what a watch shows of the pods after so long, by ordinal.
func phases(c *Cluster) (all []string) {
	pods := c.Signal(thing).Pods
	for n := range len(pods) {
		p, phase := pods[n], pods[n].Phase
		if p.Ready {
			phase = "Ready"
		}
		if p.Terminating {
			phase = "Terminating"
		}
		all = append(all, phase)
	}
	return all
}

func TestPodsComeAndGoInTheirTime(t *testing.T) {
	c, clock := newCluster(2)
	at := func(after time.Duration) []string {
		clock.Reach(noon.Add(after))
		c.Step()
		return phases(c)
	}
	require.Equal(t, []string{"Pending", "Pending"}, at(0))
	require.Equal(t, []string{"Pending", "Pending"}, at(2*time.Second))
	require.Equal(t, []string{"Running", "Running"}, at(4*time.Second))
	require.Equal(t, []string{"Ready", "Ready"}, at(10*time.Second))
	moved := c.moved
	at(20 * time.Second)
	require.Equal(t, moved, c.moved, "nothing new")

	first := c.Signal(thing).Pods[1]
	require.Equal(t, noon.Add(4*time.Second), first.Started)
	require.Equal(t, noon.Add(10*time.Second), first.ReadyChanged)
	w := actuate.Workload{Namespace: "iot", Name: "iota-dac"}
	size, err := c.Size(t.Context(), w)
	require.NoError(t, err)
	require.NoError(t, c.Resize(t.Context(), w, size, 1))
	require.Equal(t, []string{"Ready", "Terminating"}, at(21*time.Second), "from the top ordinal")
	require.True(t, c.Pod(1).running, "until its grace is over")
	require.Equal(t, noon.Add(31*time.Second), c.Signal(thing).Pods[1].DeleteBy)
	require.Equal(t, 1, c.Signal(thing).Workload.ReadyReplicas)

	size, _ = c.Size(t.Context(), w)
	require.NoError(t, c.Resize(t.Context(), w, size, 2))
	require.Equal(t, []string{"Ready", "Terminating"}, at(22*time.Second), "what terminates is not kept")
	require.Equal(t, []string{"Ready", "Pending"}, at(31*time.Second))
	require.NotEqual(t, first.UID, c.Pod(1).UID)
	require.Equal(t, []int{1, 2}, c.Resized)

	require.NoError(t, c.Restart(t.Context(), w, "", c.Pod(0).UID))
	require.NoError(t, c.Restart(t.Context(), w, "", "none has this uid"))
	require.Equal(t, []string{"Terminating", "Running"}, at(35*time.Second))
	list, err := c.ListPods(t.Context())
	require.NoError(t, err)
	require.Len(t, list.UIDs, 2)
	require.Equal(t, c.Pod(1).UID, list.UIDs["iota-dac-1"])
}

// A pod that ends before its containers run is seen to go, too.
func TestAPodThatNeverRanGoes(t *testing.T) {
	c, clock := newCluster(2)
	c.Step()
	c.replicas = 1
	c.cfg.Start = time.Hour
	c.Step()
	moved := c.moved
	clock.Reach(noon.Add(10 * time.Second))
	c.Step()
	require.Nil(t, c.Pod(1))
	require.NotEqual(t, moved, c.moved)
}

func TestASizeIsWrittenOnlyOverWhatWasRead(t *testing.T) {
	c, _ := newCluster(1)
	w := actuate.Workload{Name: "iota-dac"}
	size, err := c.Size(t.Context(), w)
	require.NoError(t, err)
	require.NoError(t, c.Claim(t.Context(), w, "pod/2"))
	require.ErrorIs(t, c.Resize(t.Context(), w, size, 3), actuate.ErrConflict)
	require.Equal(t, 1, c.replicas)
}
