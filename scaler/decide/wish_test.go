package decide

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

// What counts as a write against us, when we wanted 3 and had 3, and had answered such a write
// once.
func TestWhatIsContrary(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		change func(*Input)
		stops  bool
	}{
		"a cut":                          {func(in *Input) { in.Observed.Workload.Replicas = 1 }, true},
		"a raise":                        {func(in *Input) { in.Observed.Workload.Replicas = 5 }, true},
		"nothing":                        {func(*Input) {}, false},
		"a size of ours by our record":   {func(in *Input) { in.Observed.Workload.Replicas, in.History.Wrote = 5, 5 }, false},
		"a size of ours by the server's": {func(in *Input) { in.Observed.Workload.Replicas, in.Observed.Workload.ReplicasWriter = 5, ourManager }, false},
		"what we want":                   {func(in *Input) { in.Observed.Workload.Replicas, in.History.Desired = 5, 5 }, false},
		"before we wanted anything":      {func(in *Input) { in.Observed.Workload.Replicas, in.History.Desired = 5, 0 }, false},
		"another StatefulSet":            {func(in *Input) { in.Observed.Workload.Replicas, in.Observed.Workload.UID = 1, "new" }, false},
		"while paused":                   {func(in *Input) { in.Observed.Workload.Replicas, in.Config.Paused = 1, true }, false},
		"long after the first":           {func(in *Input) { in.Observed.Workload.Replicas, in.Now = 1, now.Add(2*time.Minute) }, false},
		"before we answered the first":   {func(in *Input) { in.Observed.Workload.Replicas, in.History.Foreign.Answered = 1, false }, false},
		"an HPA's":                       {func(in *Input) { in.Observed.Workload.Replicas, in.Config.Replicas.Owner = 1, config.OwnerHPA }, false},
	} {
		first := Foreign{At: now.Add(-9 * time.Minute), Writer: "kubectl", From: 3, To: 1, Answered: true}
		in := Input{
			Now: now, Config: config.Default("Thing", "iota-dac"),
			Observed: observed.Kind{Workload: &observed.Workload{UID: "set", Replicas: 3, ReplicasWriter: "kubectl"}},
			History:  History{Replicas: 3, Desired: 3, Wrote: 3, Set: "set", Foreign: &first},
		}
		tc.change(&in)
		owner, _ := in.owner()
		f := in.foreign(owner)
		require.Equal(t, tc.stops, f != nil && f.Stopped, "%s: %+v", name, f)
		require.False(t, first.Stopped, "the past was changed")
	}
}

func TestASizeThatWasUndoneUnseenIsContraryToo(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	h := History{Replicas: 2}.Written(4)
	require.True(t, h.Undone(2))
	require.False(t, h.Undone(4))
	one := h.Opposed(now, "flux", 2)
	require.False(t, one.Foreign.Stopped, "the first one is answered")
	require.False(t, one.Undone(2), "and told once")
	require.True(t, one.Written(4).Opposed(now.Add(time.Minute), "flux", 2).Foreign.Stopped)
	require.False(t, one.Written(4).Opposed(now.Add(contraryWithin+time.Second), "flux", 2).Foreign.Stopped, "two beginnings")
}
