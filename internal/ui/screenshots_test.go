package ui_test

import (
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/opstest"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
)

// folderVar names the folder that the pictures go to; without it none are made.
const folderVar = "SHARDSCALER_SCREENSHOTS"

// scene is what the pictures show, at the moment of its making, which stands: 24 Things of which one is drained, one
// crashes and one is late, moves under way and deletes that wait; and 3 Rules, in order.
func scene(t *testing.T) *world {
	t.Helper()
	before := opstest.Now
	opstest.Now = time.Now().Truncate(time.Second) // the page tells ages by the clock of its stream
	t.Cleanup(func() { opstest.Now = before })
	v, err := opstest.View(24)
	require.NoError(t, err)
	v.Snapshot.Assigned = 0
	for i := range v.Snapshot.Instances {
		one := &v.Snapshot.Instances[i]
		one.List.Count = 3600 + (i*617)%1200
		one.Usage.CPU, one.Usage.Memory = int64(560+(i*97)%240), int64(400+(i*53)%300)<<20
		beat := opstest.Now.Add(-time.Duration(2+(i*7)%25) * time.Second)
		one.LastBeat = &beat
		v.Snapshot.Assigned += one.List.Count
	}
	all := v.Snapshot.Instances
	all[7].List.Count, all[7].List.InFlight = 1240, 60
	all[13].Pod.Ready, all[13].Pod.Reason, all[13].Pod.Restarts = false, "CrashLoopBackOff", 7
	v.Snapshot.InFlight, v.Snapshot.Unassigned = 60, 14
	v.Snapshot.Catalogue = v.Snapshot.Assigned + 74
	said := config.Said{By: "ann@example.com", At: opstest.Now.Add(-25 * time.Minute), Until: opstest.Now.Add(95 * time.Minute)}
	v.Operator.Drains = []config.OperatorDrain{{Ordinal: 7, Said: said}}
	v.Override.MaxInstances = &config.OverrideValue[int]{Value: 40, Over: 100, Said: config.Said{By: "bob@example.com", At: opstest.Now.Add(-26 * time.Hour)}}
	v.Config.Max = 40
	opstest.Decide(v)
	end := opstest.Now.Add(2 * time.Minute)
	v.Progress.PlanID, v.Progress.Reason, v.Progress.Why = "p", "drain", "instance 7 is drained by ann@example.com"
	v.Progress.Moves, v.Progress.Done, v.Progress.Left, v.Progress.PerMinute, v.Progress.EstimatedEnd = 4000, 2700, 1300, 600, &end
	v.Progress.Beyond = 0
	v.Waiting = &resync.Waiting{Count: 1320, Known: 98000, Share: 0.0135, Sets: []resync.Set{
		{Set: 2, Count: 1320, Known: 98000, Share: 0.0135, Since: opstest.Now.Add(-11 * time.Minute)},
	}}

	rule, err := opstest.View(3)
	require.NoError(t, err)
	rule.Config.Name, rule.Base.Name, rule.Snapshot.Name = "Rule", "Rule", "Rule"
	rule.Config.StatefulSet, rule.Base.StatefulSet = "iota-rules-engine", "iota-rules-engine"
	rule.Snapshot.Sources.Metrics = observed.Source{At: opstest.Now.Add(-2 * time.Second)}
	opstest.Decide(rule)
	return &world{view: *v, others: map[string]*ops.View{"Rule": rule}, still: true}
}

// day is a history in which the size follows the load of a day, half an hour late at its fastest.
func (w *world) day() ops.EntryList {
	now := w.now()
	list := ops.EntryList{Since: now.Add(-24 * time.Hour)}
	wanted := func(minute int) float64 { return 20 - 4.4*math.Cos(2*math.Pi*float64(minute)/1440-0.7) }
	size := int(math.Ceil(wanted(0)))
	for minute := range 1440 {
		at := now.Add(time.Duration(minute-1439) * time.Minute)
		add := func(kind string, e ops.Entry) {
			e.At, e.ID, e.Type = at, fmt.Sprint(kind, minute), kind
			list.Items = append(list.Items, e)
		}
		if next := int(math.Ceil(wanted(minute))); next != size && minute%10 == 0 {
			verb := map[bool]string{true: "grow", false: "shrink"}[next > size]
			add("decision", ops.Entry{Decision: &ops.DecisionEntry{
				Verb: verb, Reason: "count", Desired: next, Whole: true,
				Summary: fmt.Sprintf("scale %s %d -> %d: count asks for %d", map[bool]string{true: "up", false: "down"}[next > size], size, next, next),
			}})
			add("moves", ops.Entry{Moves: &ops.MovesEntry{Reason: "spread", Count: 3100 + 37*(minute%17)}})
			size = next
		}
		if minute == 1415 {
			add("change", ops.Entry{Change: &ops.ChangeEntry{By: "ann@example.com", What: "drain", Before: "nothing", After: "instance 7 for 2h"}})
		}
		if minute%5 == 0 {
			add("sample", ops.Entry{Sample: &ops.Sample{
				Replicas: size, Ready: size, Desired: size, Resources: 98_000,
				Signals: map[string]float64{"count": wanted(minute), "cpu": wanted(minute) - 1.8 + 0.5*math.Sin(float64(minute)/9)},
			}})
		}
	}
	slices.Reverse(list.Items)
	return list
}

// drained is the plan by which what an instance holds goes to the others, those with the least first.
func (w *world) drained(p ops.Plan, ordinal int) ops.Plan {
	d := plan.Description{ID: "d", Exact: true}
	all := slices.Clone(w.view.Snapshot.Instances)
	out := all[ordinal].List.Count
	d.Moves, d.Bound, d.Certificate = out, out, fmt.Sprintf("instance %d gives all that it holds", ordinal)
	room, level := 0, 0
	for level = 3500; room < out; level++ {
		room = 0
		for _, i := range all {
			if i.Ordinal != ordinal && i.Ordinal != 7 {
				room += max(0, level-i.List.Count)
			}
		}
	}
	left := out
	for _, i := range all {
		change := plan.InstanceChange{Ordinal: i.Ordinal, State: "open", Before: i.List.Count, After: i.List.Count}
		switch {
		case i.Ordinal == ordinal:
			change.State, change.Out, change.After = "leaving", out, 0
		case i.Ordinal != 7:
			change.In = min(left, max(0, level-i.List.Count))
			change.After += change.In
			left -= change.In
		}
		d.Instances = append(d.Instances, change)
	}
	p.Description, p.Takes = d, "7m30s"
	return p
}

// `make screenshots` makes docs/images. The pictures are taken by test/screenshots.mjs.
func TestScreenshots(t *testing.T) {
	folder := os.Getenv(folderVar)
	if folder == "" {
		t.Skip("pictures are made by make screenshots")
	}
	dir := workshop(t)
	browser, env := servers.Browser(t)
	address, _ := restartable(t, scene(t).handler(t))
	env = append(env, "BROWSER="+browser, "SERVER="+address, "FOLDER="+folder)
	runIn(t, dir, env, "node", "--test", "--test-reporter=spec", "test/screenshots.mjs")
}
