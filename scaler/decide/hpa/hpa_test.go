package hpa

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func counted(request int64, uses ...int64) (pods []Load) {
	for _, u := range uses {
		pods = append(pods, Load{Group: Counted, Use: u, Request: request})
	}
	return pods
}

func TestReplicas(t *testing.T) {
	tenth := Tolerance{Up: 0.1, Down: 0.1}
	others := func(pods []Load, groups ...Group) []Load {
		for _, g := range groups {
			pods = append(pods, Load{Group: g, Request: 1000})
		}
		return pods
	}
	for _, c := range []struct {
		name    string
		current int
		pods    []Load
		target  Target
		tol     Tolerance
		want    int
		kept    string
	}{
		{"growth", 3, counted(1000, 300, 500, 700), Target{Utilization: 30}, tenth, 5, ""},
		{"shrink", 5, counted(1000, 100, 300, 500, 250, 250), Target{Utilization: 50}, tenth, 3, ""},
		{"average value", 3, counted(0, 3000, 3000, 3000), Target{AverageValue: 2000}, tenth, 5, ""},
		{"upper end of the tolerance", 10, counted(1000, 550, 550), Target{Utilization: 50}, tenth, 10, KeptTolerance},
		{"just above it", 2, counted(10000, 5501, 5501), Target{Utilization: 50}, tenth, 3, ""},
		{"lower end of the tolerance", 10, counted(1000, 450, 450), Target{Utilization: 50}, tenth, 10, KeptTolerance},
		{"an end that floating point misses", 10, counted(100, 57, 57), Target{Utilization: 50}, Tolerance{Up: 0.14, Down: 0.1}, 10, KeptTolerance},
		{"whole percent would keep this", 10, counted(1000, 839, 839), Target{Utilization: 80}, Tolerance{Up: 0.04, Down: 0.1}, 3, ""},
		{"four at 80 % of their target stay four", 4, counted(1000, 400, 400, 400, 400), Target{Utilization: 50}, tenth, 4, ""},
		{"exact multiples are not rounded up", 10, counted(100, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70), Target{Utilization: 10}, tenth, 70, ""},
		{"missing pods temper a growth", 3, others(counted(1000, 600, 600), Missing), Target{Utilization: 30}, tenth, 4, ""},
		{"missing pods use their request on a shrink", 4, others(counted(1000, 100, 100, 100), Missing), Target{Utilization: 50}, tenth, 3, ""},
		{"missing pods do not turn a shrink into growth", 4, others(counted(1000, 400, 400), Missing, Missing), Target{Utilization: 50}, tenth, 4, KeptDirection},
		{"unready pods temper a growth", 3, others(counted(1000, 500, 700), Unready), Target{Utilization: 30}, tenth, 4, ""},
		{"unready pods turn no growth", 3, others(counted(1000, 400), Unready, Unready), Target{Utilization: 30}, tenth, 3, KeptDirection},
		{"unready pods do not count on a shrink", 4, others(counted(1000, 100, 100), Unready, Unready), Target{Utilization: 50}, tenth, 1, ""},
		{"ignored pods never count", 2, others(counted(1000, 900, 900), Ignored, Ignored), Target{Utilization: 45}, tenth, 4, ""},
		{"targets over the request", 4, others(counted(1000, 400, 500), Missing), Target{Utilization: 300}, tenth, 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Replicas(c.current, c.pods, c.target, c.tol)
			require.NoError(t, err)
			require.Equal(t, c.want, r.Replicas, "%+v", r)
			require.Equal(t, c.kept, r.Kept)
		})
	}
}

func TestReplicasWithoutSamplesIsAnError(t *testing.T) {
	_, err := Replicas(3, []Load{{Group: Missing}, {Group: Unready}}, Target{AverageValue: 1}, Tolerance{})
	require.ErrorIs(t, err, ErrNoSamples)
	_, err = Replicas(3, counted(0, 5), Target{Utilization: 50}, Tolerance{})
	require.ErrorIs(t, err, ErrNoRequests)
}

func TestClassify(t *testing.T) {
	steady := Pod{Sampled: true, At: now, Window: 30 * time.Second, Ready: true, Started: now.Add(-time.Hour), ReadyChanged: now.Add(-time.Hour + time.Minute)}
	with := func(change func(*Pod)) Pod { p := steady; change(&p); return p }
	young := func(p *Pod) { p.Started, p.ReadyChanged = now.Add(-2*time.Minute), now.Add(-time.Minute) }
	for _, c := range []struct {
		name        string
		pod         Pod
		cpu, memory Group
	}{
		{"steady", steady, Counted, Counted},
		{"deleting", with(func(p *Pod) { p.Deleting = true }), Ignored, Ignored},
		{"failed", with(func(p *Pod) { p.Failed = true }), Ignored, Ignored},
		{"pending", with(func(p *Pod) { p.Pending, p.Sampled = true, false }), Unready, Unready},
		{"no sample", with(func(p *Pod) { p.Sampled = false }), Missing, Missing},
		{"young, sampled wholly after ready", with(young), Counted, Counted},
		{"young, sampled across ready", with(func(p *Pod) { young(p); p.Window = 2 * time.Minute }), Unready, Counted},
		{"young and not ready", with(func(p *Pod) { young(p); p.Ready = false }), Unready, Counted},
		{"old, was ready once", with(func(p *Pod) { p.Ready = false; p.ReadyChanged = now }), Counted, Counted},
		{"old, never ready", with(func(p *Pod) { p.Ready = false; p.ReadyChanged = p.Started.Add(time.Second) }), Unready, Counted},
		{"no condition yet", with(func(p *Pod) { p.ReadyChanged = time.Time{} }), Unready, Counted},
	} {
		require.Equal(t, c.cpu, Classify(c.pod, true, now, CPUInitialization, InitialReadiness), "%s, cpu", c.name)
		require.Equal(t, c.memory, Classify(c.pod, false, now, CPUInitialization, InitialReadiness), "%s, memory", c.name)
	}
}

func TestStabilize(t *testing.T) {
	ago := func(d time.Duration, size int) Span { return Span{To: now.Add(-d), Size: size} }
	past := []Span{ago(10*time.Minute, 90), ago(4*time.Minute, 8), ago(time.Minute, 5)}
	w := Windows{Down: 5 * time.Minute}
	require.Equal(t, 8, Stabilize(10, 3, past, w, now), "the largest of the window, not older ones")
	require.Equal(t, 12, Stabilize(10, 12, past, w, now), "growth does not wait")
	w.Up = 2 * time.Minute
	require.Equal(t, 5, Stabilize(4, 12, past, w, now), "growth waits for the smallest of its window")
	require.Equal(t, 7, Stabilize(7, 3, past, w, now), "in between nothing moves")
}

func TestLimits(t *testing.T) {
	pods := Policy{Value: 4, Period: time.Minute}
	percent := Policy{Percent: true, Value: 10, Period: time.Minute}
	grown := []Scale{{At: now.Add(-30 * time.Second), From: 8, To: 10}, {At: now.Add(-2 * time.Minute), To: 50}}
	require.Equal(t, 14, UpLimit(10, nil, Rules{Policies: []Policy{pods}}, now))
	require.Equal(t, 12, UpLimit(10, grown, Rules{Policies: []Policy{pods}}, now), "two of four were used in this period")
	require.Equal(t, 110, UpLimit(100, nil, Rules{Policies: []Policy{pods, percent}}, now))
	require.Equal(t, 104, UpLimit(100, nil, Rules{Policies: []Policy{pods, percent}, Select: SelectMin}, now))
	require.Equal(t, 2, UpLimit(1, nil, Rules{Policies: []Policy{percent}}, now), "a percentage of little is one")
	require.Equal(t, 10, UpLimit(10, nil, Rules{Select: SelectDisabled}, now))
	require.Equal(t, 90, DownLimit(100, nil, Rules{Policies: []Policy{pods, percent}}, now))
	require.Equal(t, 96, DownLimit(100, nil, Rules{Policies: []Policy{pods, percent}, Select: SelectMin}, now))
	require.Equal(t, 10, DownLimit(10, []Scale{{At: now, From: 14, To: 10}}, Rules{Policies: []Policy{pods}}, now), "used up")
	require.Equal(t, 0, DownLimit(10, nil, Rules{}, now), "no policy, no limit")
}

// An exact oracle in whole numbers: the least n with Σuse ≤ n × target, for pods that all count.
func TestReplicasIsTheLeastSizeAtTarget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target := rapid.Int64Range(1<<12, 1<<32).Draw(t, "target")
		uses := rapid.SliceOfN(rapid.Int64Range(0, 1<<32), 1, 50).Draw(t, "uses")
		var total int64
		for _, u := range uses {
			total += u
		}
		r, err := Replicas(1<<30, counted(0, uses...), Target{AverageValue: target}, Tolerance{})
		require.NoError(t, err)
		if r.Kept != "" {
			require.Equal(t, total, target*int64(len(uses)))
			return
		}
		n := int64(r.Replicas)
		require.Equal(t, (total+target-1)/target, n)
	})
}
