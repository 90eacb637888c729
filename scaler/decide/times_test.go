package decide

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
)

// What was kept may lack a time. No text says the year 1, or an age of 292 years.
func TestATimeThatIsNotKnownIsSaidToBeUnknown(t *testing.T) {
	four := 4
	d := Decision{
		Kind: "Thing", StatefulSet: "iota-dac", Current: &four, Summary: "keep 4",
		Foreign: &Foreign{Writer: "kubectl", From: 4, To: 2},
	}
	require.Contains(t, d.String(), "Thing (iota-dac) at an unknown time: keep 4")
	require.Contains(t, d.String(), "against us at an unknown time: kubectl")
	dr := Drain{Phase: Emptying, Ordinals: []int{3}, Left: 2}
	require.Equal(t, "emptying instances [3], 2 resources are left, since an unknown time", dr.String())

	raw, err := json.Marshal(Input{History: History{Foreign: d.Foreign, Scales: []Scale{{}}, Down: []Down{{}}, Restarts: []Restart{{}}}})
	require.NoError(t, err)
	require.NotContains(t, string(raw), "0001-01-01")
}

// The decision of a former leader lacks since when its drain lasts: it begins to count anew.
func TestADrainThatDoesNotSaySinceWhenBeginsNow(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	before := &Drain{Phase: Emptying, Ordinals: []int{3}, Left: 2, Blocked: "instance 3 has not released 2 resources"}
	require.False(t, before.Waits(now, ShownAfter), "nobody knows for how long")
	next := *before
	next.Continue(before, now)
	require.Equal(t, []time.Time{now, now, now}, []time.Time{next.Since, next.PhaseSince, next.BlockedSince})
	last := next
	last.Continue(&next, now.Add(time.Hour))
	require.Equal(t, []time.Time{now, now, now}, []time.Time{last.Since, last.PhaseSince, last.BlockedSince})
}

func TestASampleWithoutATimeIsMissing(t *testing.T) {
	w := newWorld(t)
	w.cfg = parse(t, "cpu: {targetUtilization: 50}")
	w.kind.Assigned = 100
	w.resize(2)
	w.refresh()
	w.instance(0).Usage, w.instance(1).Usage = &observed.Usage{At: w.now, CPU: 100}, &observed.Usage{CPU: 100}
	d := Decide(Input{Now: w.now, Config: w.cfg, Observed: w.kind})
	require.Equal(t, []string{"iota-dac-1: its sample does not say of when it is"}, d.Signals[1].Ignored)
}
