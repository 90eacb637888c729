package decide

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

// drawInput makes any input: any size, any load, any source missing, old or failing, any past.
func drawInput(t *rapid.T) Input {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := config.Default("Thing", "iota-dac")
	c.Capacity = rapid.IntRange(1, 5000).Draw(t, "capacity")
	c.TargetPerInstance = rapid.IntRange(1, c.Capacity).Draw(t, "target")
	c.Max = rapid.IntRange(1, 40).Draw(t, "max")
	c.Init = rapid.IntRange(1, c.Max).Draw(t, "init")
	c.Paused = rapid.IntRange(0, 9).Draw(t, "paused") == 9
	c.Replicas.Owner = rapid.SampledFrom([]config.Owner{config.OwnerShardscaler, config.OwnerGroup, config.OwnerHPA}).Draw(t, "owner")
	window := config.Duration(rapid.IntRange(0, 300).Draw(t, "window")) * config.Duration(time.Second)
	c.Behavior.ScaleDown.StabilizationWindow = &window
	if rapid.Bool().Draw(t, "cpu") {
		c.CPU = &config.ResourceTarget{TargetUtilization: int32(rapid.IntRange(1, 200).Draw(t, "cpu target"))}
	}
	if rapid.Bool().Draw(t, "memory") {
		c.Memory = &config.ResourceTarget{TargetAverageValue: written(rapid.Int64Range(1, 1<<31).Draw(t, "memory target"))}
	}
	drawHottest(t, &c)
	if !rapid.Bool().Draw(t, "heartbeat") {
		c.Heartbeat = nil
	}
	c.Health.Action = rapid.SampledFrom([]config.Action{config.ActionReport, config.ActionRestart, config.ActionReassign}).Draw(t, "action")
	c.Behavior.ScaleUp.CoolDown = config.Duration(rapid.IntRange(0, 60).Draw(t, "cool-down")) * config.Duration(time.Second)
	return Input{Now: now, Config: c, Observed: drawKind(t, now, c.Heartbeat != nil), History: drawHistory(t, now)}
}

func drawHottest(t *rapid.T, c *config.Kind) {
	patience := config.Duration(rapid.IntRange(10, 300).Draw(t, "patience")) * config.Duration(time.Second)
	if c.CPU != nil && rapid.Bool().Draw(t, "hottest cpu") {
		c.CPU.Hottest = &config.HottestTarget{TargetUtilization: max(c.CPU.TargetUtilization, int32(rapid.IntRange(1, 300).Draw(t, "hottest target"))), Patience: patience}
	}
	if c.Memory != nil && rapid.Bool().Draw(t, "hottest memory") {
		value := c.Memory.TargetAverageValue.Value() + rapid.Int64Range(0, 1<<31).Draw(t, "over the mean")
		c.Memory.Hottest = &config.HottestTarget{TargetValue: written(value), Patience: patience}
	}
}

// written is a quantity as a configuration has it: read from text, it prints the same whenever it
// is read again.
func written(n int64) *resource.Quantity {
	q := resource.MustParse(strconv.FormatInt(n, 10))
	again := resource.MustParse(q.String())
	return &again
}

func drawKind(t *rapid.T, now time.Time, bus bool) observed.Kind {
	source := func(name string) observed.Source {
		// What is drawn is mostly small, so that most worlds can be seen.
		switch rapid.IntRange(0, 40).Draw(t, name) {
		case 38:
			return observed.Source{}
		case 39:
			return observed.Source{At: now.Add(-time.Hour)}
		case 40:
			return observed.Source{At: now.Add(-time.Second), Error: "refused", ErrorAt: now}
		}
		return observed.Source{At: now.Add(-time.Second)}
	}
	k := observed.Kind{Name: "Thing", Sources: observed.Sources{
		Store: source("store"), Cluster: source("cluster"), Metrics: source("metrics"), Catalogue: source("catalogue"), Notify: source("notify"),
	}}
	if bus {
		s := source("bus")
		k.Sources.Bus = &s
	}
	size, start := rapid.IntRange(0, 45).Draw(t, "replicas"), rapid.IntRange(0, 3).Draw(t, "start")
	if rapid.IntRange(0, 19).Draw(t, "no workload") < 19 {
		k.Workload = &observed.Workload{Replicas: size, Start: start, StatusReplicas: size, UpdatedReplicas: size - rapid.IntRange(0, 1).Draw(t, "old")}
	}
	for n := range rapid.IntRange(0, 50).Draw(t, "ordinals") {
		k.Instances = append(k.Instances, drawInstance(t, now, n))
		if l := k.Instances[n].List; l != nil {
			k.Assigned += l.Count
		}
		if rapid.Bool().Draw(t, "open") {
			k.Open = append(k.Open, n)
		}
	}
	drawOwners(t, &k, source)
	k.InFlight, k.Unassigned = rapid.IntRange(0, 1000).Draw(t, "in flight"), rapid.IntRange(0, 20000).Draw(t, "unassigned")
	return k
}

// drawOwners draws an InstanceGroup and HPAs.
func drawOwners(t *rapid.T, k *observed.Kind, source func(string) observed.Source) {
	k.Sources.Groups, k.Sources.HPAs = source("groups"), source("hpas")
	if rapid.IntRange(0, 9).Draw(t, "group") < 9 {
		k.Groups = []observed.Group{{
			Name: "things", StatefulSet: "iota-dac", Requested: rapid.IntRange(0, 60).Draw(t, "wish"),
			Paused: rapid.IntRange(0, 9).Draw(t, "group paused") == 9, Seeded: rapid.IntRange(0, 9).Draw(t, "seeded") < 9,
		}}
	}
	if rapid.IntRange(0, 9).Draw(t, "hpa on the set") == 5 {
		k.HPAs = append(k.HPAs, observed.HPA{Name: "a", Target: "iota-dac"})
	}
	if rapid.IntRange(0, 4).Draw(t, "hpa on the group") == 4 {
		k.HPAs = append(k.HPAs, observed.HPA{Name: "b", OnGroup: true, Target: "things"})
	}
	if k.Workload != nil {
		k.Workload.ReplicasWriter = rapid.SampledFrom([]string{"", "kubectl", ourManager}).Draw(t, "writer")
	}
}

func drawInstance(t *rapid.T, now time.Time, n int) observed.Instance {
	i := observed.Instance{Ordinal: n}
	ago := func(name string) time.Time {
		return now.Add(-time.Duration(rapid.IntRange(0, 900).Draw(t, name)) * time.Second)
	}
	if rapid.IntRange(0, 9).Draw(t, "pod") < 9 {
		i.Pod = &observed.Pod{
			Name: "p", UID: "u", Ready: rapid.Bool().Draw(t, "ready"), Terminating: rapid.IntRange(0, 9).Draw(t, "terminating") == 9,
			Phase:   rapid.SampledFrom([]string{"Running", "Running", "Running", "Pending", "Failed"}).Draw(t, "phase"),
			Reason:  rapid.SampledFrom([]string{"", "", "Unschedulable", "CrashLoopBackOff"}).Draw(t, "reason"),
			Created: ago("created"), Started: ago("started"), ReadyChanged: ago("changed"), CPURequest: rapid.Int64Range(0, 1000).Draw(t, "request"),
		}
		if i.Pod.CPURequest == 0 {
			i.Pod.MissingCPURequest = []string{"main"}
		}
	}
	if rapid.Bool().Draw(t, "sampled") {
		i.Usage = &observed.Usage{At: ago("sample"), Window: 15 * time.Second, CPU: rapid.Int64Range(0, 2000).Draw(t, "use"), Memory: rapid.Int64Range(0, 1<<32).Draw(t, "bytes")}
		gap := func(name string) string { return rapid.SampledFrom([]string{"", "", "", "", "a gap"}).Draw(t, name) }
		i.Usage.MissingCPU, i.Usage.MissingMemory = gap("no cpu"), gap("no memory")
	}
	if rapid.Bool().Draw(t, "listed") {
		i.List = &observed.List{Count: rapid.IntRange(0, 5000).Draw(t, "count")}
	}
	if rapid.Bool().Draw(t, "beaten") {
		at := ago("beat")
		i.LastBeat = &at
	}
	return i
}

func drawHistory(t *rapid.T, now time.Time) (h History) {
	if rapid.Bool().Draw(t, "watched") {
		h.CompleteSince, h.Adopted = now.Add(-time.Duration(rapid.IntRange(0, 600).Draw(t, "for"))*time.Second), rapid.Bool().Draw(t, "adopted")
		h.BusSince = h.CompleteSince
	}
	at := now.Add(-10 * time.Minute)
	for at.Before(now) && rapid.Bool().Draw(t, "more") {
		to := at.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "span")) * time.Second)
		h.Recommendations = append(h.Recommendations, Recommendation{From: at, To: to, Size: rapid.IntRange(0, 60).Draw(t, "size"), Own: rapid.IntRange(0, 60).Draw(t, "own")})
		at = to.Add(time.Second)
	}
	h.Desired, h.Wrote, h.Unseen = rapid.IntRange(0, 45).Draw(t, "last desired"), rapid.IntRange(0, 45).Draw(t, "wrote"), rapid.Bool().Draw(t, "unseen")
	if rapid.IntRange(0, 4).Draw(t, "foreign") == 4 {
		h.Foreign = &Foreign{
			At: now.Add(-time.Duration(rapid.IntRange(0, 900).Draw(t, "foreign at")) * time.Second), Writer: "kubectl",
			Answered: rapid.Bool().Draw(t, "answered"), Stopped: rapid.Bool().Draw(t, "stopped"), Lifting: rapid.Bool().Draw(t, "lifting"),
		}
	}
	for n := range rapid.IntRange(0, 9).Draw(t, "down") {
		h.Down = append(h.Down, Down{Ordinal: n, Since: now.Add(-time.Duration(rapid.IntRange(0, 1200).Draw(t, "down for")) * time.Second)})
	}
	if rapid.Bool().Draw(t, "hot") {
		h.HotSince = now.Add(-time.Duration(rapid.IntRange(0, 600).Draw(t, "hot for")) * time.Second)
	}
	h.Own, h.Replicas = rapid.IntRange(0, 40).Draw(t, "last own"), rapid.IntRange(0, 45).Draw(t, "last size")
	return h
}

func TestDecisionsKeepTheirInvariants(t *testing.T) {
	seen := map[Verb]int{}
	check := func(t *rapid.T) {
		in := drawInput(t)
		d := Decide(in)
		seen[d.Verb]++
		if d.Blind != "" {
			require.Equal(t, Blind, d.Verb)
			_, err := d.RecommendedReplicas()
			require.Error(t, err, "blind recommends nothing")
			return
		}
		require.NotEmpty(t, d.Summary)
		current, w := *d.Current, in.Observed.Workload
		floor := min(max(d.Floor, d.Init), d.Max)
		require.GreaterOrEqual(t, d.Needed, floor)
		require.LessOrEqual(t, d.Needed, d.Max)
		if d.Desired < current {
			require.Empty(t, holdsOf(d), "a shrink in spite of a hold")
			require.GreaterOrEqual(t, d.Desired, floor, "no shrink undercuts the count")
		}
		if d.Desired > current {
			require.LessOrEqual(t, d.Desired, max(d.Max, in.History.Own))
		}
		if d.Owner != config.OwnerHPA && d.Desired > d.Max {
			require.LessOrEqual(t, d.Desired, current, "beyond max only because a hold keeps what is there")
		}
		if f := d.Foreign; f != nil && f.Stopped && d.Owner != config.OwnerHPA {
			require.Equal(t, NoChange, d.Verb, "written in spite of a stop")
		}
		if g := in.Group(); g != nil && d.Owner == config.OwnerGroup && d.Verb == ScaleDown {
			require.True(t, g.Seeded, "a wish that is only the API's default shrinks")
			require.GreaterOrEqual(t, d.Desired, min(g.Requested, d.Max), "a shrink below the wish")
		}
		checkRecommended(t, &in, &d, w)
		checkHot(t, &in, &d)
		checkTouched(t, &in, &d)
	}
	for range 4 { // one world in thirty shrinks
		rapid.Check(t, check)
	}
	for _, v := range []Verb{NoChange, ScaleUp, ScaleDown, Blind} {
		require.NotZero(t, seen[v], "the worlds drawn never led to %s: %v", v, seen)
	}
}

// checkHot: an overloaded instance is never answered by a shrink, nor by growth that is not
// proposed; and relief for one resource alone is none.
func checkHot(t *rapid.T, in *Input, d *Decision) {
	grows := map[Reason]bool{}
	for _, h := range d.Hot {
		require.Greater(t, h.Ratio, 1+*in.Config.Tolerance.Up)
		list := in.Observed.Instance(h.Ordinal).List
		require.Equal(t, list == nil || list.Count <= 1, h.Relief == ByNothing)
		grows[h.Signal] = grows[h.Signal] || h.Relief == ByScaleUp
	}
	if len(d.Hot) > 0 && d.Owner == config.OwnerShardscaler && *d.Current <= d.Max {
		require.GreaterOrEqual(t, d.Desired, *d.Current)
	}
	for _, s := range d.Signals {
		if (s.Name == ByHottestCPU || s.Name == ByHottestMemory) && s.Ratio > 1+*in.Config.Tolerance.Up {
			require.Equal(t, grows[s.Name], s.Proposed > *d.Current, "%s", s)
		}
	}
}

// checkTouched: no instance is touched while that is suspended, during a pause, or more than the
// configuration allows.
func checkTouched(t *rapid.T, in *Input, d *Decision) {
	for _, v := range d.Health.Verdicts {
		if !v.Restart && !v.Reassign {
			continue
		}
		require.Empty(t, d.Health.Suspended)
		require.Empty(t, in.Paused())
		require.NotEqual(t, config.ActionReport, in.Config.Health.Action)
		require.False(t, v.Restart && v.Condition != Silent, "%v", v)
		require.False(t, v.Reassign && (in.Config.Health.Action != config.ActionReassign || replacing(&in.Observed)), "%v", v)
	}
}

// holdsOf are the holds that forbid a shrink by the scaler; with an HPA the last recommendation
// stands in for the size.
func holdsOf(d Decision) []Hold {
	if d.Owner == config.OwnerHPA {
		return nil
	}
	return d.Holds
}

// checkRecommended: it falls below no ordinal of the present size that is open or owns something,
// nor under a hold.
func checkRecommended(t *rapid.T, in *Input, d *Decision, w *observed.Workload) {
	if d.Recommended == nil {
		require.False(t, in.History.Adopted)
		return
	}
	n := *d.Recommended
	require.GreaterOrEqual(t, n, min(max(d.Floor, d.Init), d.Max))
	for _, i := range in.Observed.Instances {
		if i.List != nil && i.List.Count > 0 && i.Ordinal >= w.Start && i.Ordinal < w.Start+w.Replicas {
			require.Greater(t, w.Start+n, i.Ordinal, "recommends to take ordinal %d, which owns %d", i.Ordinal, i.List.Count)
		}
	}
	for _, open := range in.Observed.Open {
		if open >= w.Start && open < w.Start+w.Replicas {
			require.Greater(t, w.Start+n, open, "recommends to take ordinal %d, which is open", open)
		}
	}
	if len(d.Holds) > 0 {
		require.GreaterOrEqual(t, n, in.History.Own, "falls under a hold")
	}
}

// The recommendation never follows the replicas: another size with the same load recommends the
// same, up to what occupies it.
func TestRecommendationIgnoresReplicas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		in.Config.CPU, in.Config.Memory = nil, nil // their use is a property of the pods there are
		if in.Observed.Workload == nil {
			return
		}
		in.Config.Replicas.Owner, in.Observed.HPAs = config.OwnerShardscaler, nil
		one := Decide(in)
		w := *in.Observed.Workload
		w.Replicas = rapid.IntRange(0, 45).Draw(t, "other")
		w.StatusReplicas, w.UpdatedReplicas = w.Replicas, w.Replicas-(in.Observed.Workload.StatusReplicas-in.Observed.Workload.UpdatedReplicas)
		in.Observed.Workload = &w
		in.Config.Heartbeat = nil
		two := Decide(in)
		if one.Blind == "" && len(one.Holds) == len(two.Holds) {
			require.Equal(t, one.Own, two.Own)
		}
	})
}

// Every next history is a fit start for the next decision, stays small, and an input that was saved
// decides the same.
func TestHistoryStaysSmallAndReplays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		for range rapid.IntRange(1, 30).Draw(t, "ticks") {
			before, err := json.Marshal(in.History)
			require.NoError(t, err)
			d := Decide(in)
			next := Next(in, d)
			after, err := json.Marshal(in.History)
			require.NoError(t, err)
			require.Equal(t, string(before), string(after), "the past was changed")
			in.History, in.Now = next, in.Now.Add(2*time.Second)
			in.Observed.Unassigned = rapid.IntRange(0, 100000).Draw(t, "unassigned")
			require.LessOrEqual(t, len(in.History.Recommendations), entries)
		}
		raw, err := json.Marshal(in)
		require.NoError(t, err)
		again, err := ParseInput(raw)
		require.NoError(t, err)
		require.Equal(t, Decide(in).String(), Decide(again).String())
	})
}

// A gap in the samples of one running pod turns a shrink into no change, whatever is missing.
func TestAGapHoldsAShrink(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := idle(rapid.IntRange(2, 12).Draw(t, "size"))
		require.Equal(t, ScaleDown, Decide(in).Verb, "without a gap")
		inst := rapid.SampledFrom(in.Observed.Instances).Draw(t, "pod")
		inst.Pod.Ready = rapid.Bool().Draw(t, "ready")
		gaps := map[string]func(*observed.Usage){
			"no cpu":    func(u *observed.Usage) { u.CPU, u.MissingCPU = 0, "a gap" },
			"no memory": func(u *observed.Usage) { u.Memory, u.MissingMemory = 0, "a gap" },
			"old":       func(u *observed.Usage) { u.At = in.Now.Add(-time.Hour) },
			"early":     func(u *observed.Usage) { u.At = in.Now.Add(time.Hour) },
			"no sample": func(*observed.Usage) { in.Observed.Instances[inst.Ordinal].Usage = nil },
		}
		gaps[rapid.SampledFrom([]string{"no cpu", "no memory", "old", "early", "no sample"}).Draw(t, "gap")](inst.Usage)
		d := Decide(in)
		require.Equal(t, NoChange, d.Verb, "%s", d)
		require.Contains(t, d.String(), "1 without sample")
	})
}

// What an instance owns and does not run at present uses nothing, and will again.
func TestWhatIsOwnedAndDoesNotRunHoldsAShrink(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := idle(rapid.IntRange(2, 12).Draw(t, "size"))
		require.Equal(t, ScaleDown, Decide(in).Verb, "all run")
		inst := &in.Observed.Instances[rapid.IntRange(0, len(in.Observed.Instances)-1).Draw(t, "pod")]
		states := map[string]func(p *observed.Pod){
			"absent":    func(*observed.Pod) { inst.Pod, inst.Usage = nil, nil },
			"ending":    func(p *observed.Pod) { p.Terminating, p.DeleteBy = true, in.Now.Add(time.Minute) },
			"failed":    func(p *observed.Pod) { p.Phase, p.Ready = "Failed", false },
			"succeeded": func(p *observed.Pod) { p.Phase, p.Ready = "Succeeded", false },
		}
		states[rapid.SampledFrom([]string{"absent", "ending", "failed", "succeeded"}).Draw(t, "state")](inst.Pod)
		inst.List = &observed.List{Count: 1}
		d := Decide(in)
		require.Equal(t, NoChange, d.Verb, "%s", d)
		require.Contains(t, d.String(), fmt.Sprintf("iota-dac-%d owns resources and does not run", inst.Ordinal))
	})
}

// idle is a kind that has been watched for hours and needs one instance of its size.
func idle(size int) Input {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	long, fresh := now.Add(-time.Hour), observed.Source{At: now}
	c := config.Default("Thing", "iota-dac")
	c.Init, c.Heartbeat = 1, nil
	c.CPU, c.Memory = &config.ResourceTarget{TargetUtilization: 50}, &config.ResourceTarget{TargetUtilization: 50}
	in := Input{Now: now, Config: c, History: History{CompleteSince: long, Adopted: true, Replicas: size, Own: size}}
	in.Observed = observed.Kind{
		Name: "Thing", Workload: &observed.Workload{Replicas: size, StatusReplicas: size, ReadyReplicas: size, UpdatedReplicas: size},
		Sources: observed.Sources{Store: fresh, Cluster: fresh, Metrics: fresh, Catalogue: fresh, Notify: fresh},
	}
	for n := range size {
		in.Observed.Instances = append(in.Observed.Instances, observed.Instance{
			Ordinal: n,
			Pod: &observed.Pod{
				Name: "p", UID: "u", Phase: "Running", Ready: true, Created: long, Started: long, ReadyChanged: now,
				CPURequest: 1000, MemoryRequest: 1 << 30,
			},
			Usage: &observed.Usage{At: now, Window: 15 * time.Second, CPU: 10, Memory: 1 << 20},
		})
	}
	return in
}

func FuzzParseInput(f *testing.F) {
	f.Add([]byte(`{"now":"2026-03-01T12:00:00Z","config":{"name":"Thing","statefulSet":"iota-dac","capacity":5000,"init":1,"max":9},"observed":{"name":"Thing"}}`))
	f.Add([]byte("now: 2026-03-01T12:00:00Z\nconfig: {name: Thing}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		in, err := ParseInput(text)
		if err != nil {
			return
		}
		d := Decide(in)
		_ = d.String()
		Next(in, d)
	})
}
