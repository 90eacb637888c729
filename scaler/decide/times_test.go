package decide

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/scaler/decide/hpa"
)

// What was kept may lack a time. No text says the year 1, or an age of 292 years.
func TestATimeThatIsNotKnownIsSaidToBeUnknown(t *testing.T) {
	four := 4
	d := Decision{
		Kind: "Thing", StatefulSet: "iota-dac", Current: &four, Summary: "no change at 4",
		Foreign: &Foreign{Writer: "kubectl", From: 4, To: 2},
	}
	require.Contains(t, d.String(), "Thing (iota-dac) at an unknown time: no change at 4")
	require.Contains(t, d.String(), "against shardscaler at an unknown time: kubectl")

	raw, err := json.Marshal(Input{History: History{Foreign: d.Foreign, Scales: []hpa.Scale{{}}, Down: []Down{{}}, Restarts: []Restart{{}}}})
	require.NoError(t, err)
	require.NotContains(t, string(raw), "0001-01-01")
}

func TestASampleWithoutATimeIsMissing(t *testing.T) {
	w := newWorld(t)
	w.cfg = parse(t, "cpu: {targetUtilization: 50}")
	w.kind.Assigned = 100
	w.resize(2)
	w.refresh()
	w.instance(0).Usage, w.instance(1).Usage = &observed.Usage{At: w.now, CPU: 100}, &observed.Usage{CPU: 100}
	d := Decide(Input{Now: w.now, Config: w.cfg, Observed: w.kind})
	require.Equal(t, []string{"iota-dac-1: its sample has no timestamp"}, d.Signals[1].Ignored)
}

func TestALagIsShownAsTextToo(t *testing.T) {
	lag := 90*time.Second + time.Millisecond
	for want, verdict := range map[string]Verdict{
		`{"ordinal":3,"condition":"Stale","by":"heartbeat","lag":90001000000,"lagText":"1m30.001s"}`: {
			Ordinal: 3, Condition: Stale, By: ByHeartbeat, Lag: &lag,
		},
		`{"ordinal":3,"condition":"Absent","by":"pod","text":"no pod","restart":true}`: {
			Ordinal: 3, Condition: Absent, By: ByPod, Text: "no pod", Restart: true,
		},
	} {
		raw, err := json.Marshal(Health{Verdicts: []Verdict{verdict}})
		require.NoError(t, err)
		require.JSONEq(t, `{"verdicts":[`+want+`],"stale":0,"judged":0}`, string(raw))
		var back Health
		require.NoError(t, json.Unmarshal(raw, &back))
		require.Equal(t, verdict, back.Verdicts[0])
	}
}

func TestInstancesAreNamedInSpans(t *testing.T) {
	for want, ns := range map[string][]int{
		"instance 3": {3}, "instances 3 to 4": {3, 4}, "instances 1, 3 to 5, 9": {1, 3, 4, 5, 9},
	} {
		require.Equal(t, want, Instances(ns))
	}
}
