package decide

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

// Stories: testdata/stories/*.txt. A world of one kind, changed by commands, looked at by ticks.
// Each story starts empty:
//
//	config              YAML over the default configuration of kind Thing
//	world k=v …         replicas, resources, unassigned, start, status, updated, ready, available,
//	                    open=0-9|none; pods of the size exist and are ready
//	usage k=v …         cpu (milli) and memory (Mi) a pod; pod=n for one of them, old=true: its
//	                    sample is of an hour ago; nocpu=c, nomemory=c: it has none of container c;
//	                    none=true: there are no samples
//	pod n k=v …         phase, reason, ready, terminating, age, list, uid, request (milli-CPU),
//	                    norequest, resizing, session (its ZooKeeper session lives, nameless: its
//	                    status names no pod, former: and is older than the pod); status, since now
//	                    (acknowledges, absent, or what is there in its place, with - for blanks);
//	                    absent=true takes the pod away; adopted=false: the StatefulSet does not
//	                    own it, adopted=true: it does again; lost: its node has been for so long
//	beat                all pods beat with every tick from now on; silent=n,m: these do not;
//	                    off=true: none does
//	fail s, heal s      source s cannot be read from now on, is well again
//	follow              the StatefulSet takes up the size decided last, as after a write of ours
//	scale n [by=name]   another writer sets the size
//	group k=v …         InstanceGroup things: wish, paused=true, seeded=false, absent=true takes
//	                    it away
//	hpa name on=set     an HPA on the StatefulSet, or on=group; off=true takes it away
//	tick d [n=k] [full] k times (1): time goes on by d and a decision is made; prints the last one
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		w := newWorld(t)
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			w.t = t
			return w.run(td)
		})
	})
}

// world is what a story plays with.
type world struct {
	t       *testing.T
	cfg     config.Kind
	now     time.Time
	kind    observed.Kind
	history History
	last    Decision
	failed  map[observed.SourceName]bool
	samples map[int]observed.Usage
	beats   bool
	silent  []int
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), failed: map[observed.SourceName]bool{}, samples: map[int]observed.Usage{}, beats: true}
	w.cfg = parse(t, "")
	w.kind = observed.Kind{Name: "Thing", Namespace: "iot", Workload: &observed.Workload{UID: "w"}}
	return w
}

func parse(t *testing.T, text string) config.Kind {
	base := map[string]any{"name": "Thing", "statefulSet": "iota-dac", "capacity": 5000, "init": 2, "max": 20}
	var over map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &over))
	for k, v := range over {
		base[k] = v
	}
	raw, err := json.Marshal(map[string]any{"kinds": []any{base}})
	require.NoError(t, err)
	c, err := config.Parse(raw)
	require.NoError(t, err)
	return c.Kinds[0]
}

func (w *world) run(td *datadriven.TestData) string {
	arg := func(key string, set func(string)) {
		for _, a := range td.CmdArgs {
			if a.Key == key {
				v := "true"
				if len(a.Vals) > 0 {
					v = strings.Join(a.Vals, ",")
				}
				set(v)
			}
		}
	}
	number := func(key string, into *int) {
		arg(key, func(v string) { *into = w.number(v) })
	}
	switch td.Cmd {
	case "config":
		w.cfg = parse(w.t, td.Input)
	case "world":
		w.world(arg, number)
	case "usage":
		w.usage(arg, number)
	case "pod":
		w.pod(w.number(td.CmdArgs[0].Key), arg)
	case "beat":
		w.beats, w.silent = true, nil
		arg("silent", func(v string) {
			for _, s := range strings.Split(v, ",") {
				w.silent = append(w.silent, w.number(s))
			}
		})
		arg("off", func(string) { w.beats = false })
	case "fail":
		w.failed[observed.SourceName(td.CmdArgs[0].Key)] = true
	case "heal":
		delete(w.failed, observed.SourceName(td.CmdArgs[0].Key))
	case "follow":
		w.history = w.history.Written(w.last.Desired)
		w.resize(w.last.Desired)
		w.kind.Workload.ReplicasWriter = ourManager
	case "scale":
		w.resize(w.number(td.CmdArgs[0].Key))
		arg("by", func(v string) { w.kind.Workload.ReplicasWriter = v })
	case "group":
		w.group(arg, number)
	case "hpa":
		w.hpa(td.CmdArgs[0].Key, arg)
	case "tick":
		return w.tick(td, arg, number)
	default:
		td.Fatalf(w.t, "unknown command %s", td.Cmd)
	}
	return ""
}

func (w *world) number(s string) int {
	n, err := strconv.Atoi(s)
	require.NoError(w.t, err)
	return n
}

func (w *world) world(arg func(string, func(string)), number func(string, *int)) {
	k := &w.kind
	size, resources := k.Workload.Replicas, k.Assigned
	number("start", &k.Workload.Start)
	number("replicas", &size)
	number("resources", &resources)
	number("unassigned", &k.Unassigned)
	number("inflight", &k.InFlight)
	if size != k.Workload.Replicas {
		w.resize(size)
	}
	number("status", &k.Workload.StatusReplicas)
	updated := k.Workload.StatusReplicas
	number("updated", &updated)
	k.Workload.UpdatedReplicas = updated
	number("ready", &k.Workload.ReadyReplicas)
	arg("available", func(v string) {
		available := w.number(v)
		k.Workload.AvailableReplicas = &available
	})
	k.Assigned = resources
	w.spread()
	arg("open", func(v string) {
		k.Open = nil
		if from, to, ok := strings.Cut(v, "-"); ok {
			for n := w.number(from); n <= w.number(to); n++ {
				k.Open = append(k.Open, n)
			}
		}
	})
}

// resize gives the StatefulSet a size, at once and ready.
func (w *world) resize(size int) {
	wl := *w.kind.Workload
	wl.Replicas, wl.StatusReplicas, wl.ReadyReplicas, wl.UpdatedReplicas = size, size, size, size
	w.kind.Workload = &wl
	var left []observed.Instance
	for _, i := range w.kind.Instances {
		if i.Ordinal >= wl.Start+size {
			i.Pod, i.Usage = nil, nil
		}
		if i.Pod != nil || i.List != nil && i.List.Count > 0 {
			left = append(left, i)
		}
	}
	w.kind.Instances = left
	for n := wl.Start; n < wl.Start+size; n++ {
		i := w.instance(n)
		if i.Pod == nil {
			old := w.now.Add(-time.Hour)
			i.Pod = &observed.Pod{
				Name: fmt.Sprintf("iota-dac-%d", n), UID: fmt.Sprintf("uid-%d-%d", n, w.now.Unix()), Phase: "Running", Ready: true,
				Created: old, Started: old, ReadyChanged: old, CPURequest: 500, MemoryRequest: 1 << 30,
			}
		}
	}
}

func (w *world) group(arg func(string, func(string)), number func(string, *int)) {
	g := observed.Group{Name: "things", UID: "g", StatefulSet: "iota-dac", Requested: 1, Seeded: true}
	if len(w.kind.Groups) > 0 {
		g = w.kind.Groups[0]
	}
	number("wish", &g.Requested)
	arg("paused", func(v string) { g.Paused = v == "true" })
	arg("seeded", func(v string) { g.Seeded = v == "true" })
	arg("set", func(v string) { g.StatefulSet = v })
	w.kind.Groups = []observed.Group{g}
	arg("absent", func(string) { w.kind.Groups = nil })
}

func (w *world) hpa(name string, arg func(string, func(string))) {
	w.kind.HPAs = slices.DeleteFunc(slices.Clone(w.kind.HPAs), func(h observed.HPA) bool { return h.Name == name })
	arg("on", func(v string) {
		h := observed.HPA{Name: name, Target: "iota-dac"}
		if v == "group" {
			h.OnGroup, h.Target = true, "things"
		}
		w.kind.HPAs = append(w.kind.HPAs, h)
	})
}

// instance returns the one of that ordinal, made if it is missing.
func (w *world) instance(n int) *observed.Instance {
	at, found := slices.BinarySearchFunc(w.kind.Instances, n, func(i observed.Instance, n int) int { return i.Ordinal - n })
	if !found {
		w.kind.Instances = slices.Insert(w.kind.Instances, at, observed.Instance{Ordinal: n})
	}
	return &w.kind.Instances[at]
}

// spread lays the assigned resources evenly over the pods of the size.
func (w *world) spread() {
	size := w.kind.Workload.Replicas
	for k := 0; k < size; k++ {
		n := w.kind.Assigned / size
		if k < w.kind.Assigned%size {
			n++
		}
		w.instance(w.kind.Workload.Start + k).List = &observed.List{Count: n, Changed: w.now}
	}
}

func (w *world) usage(arg func(string, func(string)), number func(string, *int)) {
	one, milli, mebi, none := -1, 0, 0, false
	number("pod", &one)
	number("cpu", &milli)
	number("memory", &mebi)
	arg("none", func(string) { none = true })
	u := observed.Usage{Window: 15 * time.Second, CPU: int64(milli), Memory: int64(mebi) << 20}
	arg("old", func(string) { u.At = w.now.Add(-time.Hour) })
	arg("nocpu", func(c string) { u.MissingCPU = "its sample has no cpu of container " + c })
	arg("nomemory", func(c string) { u.MissingMemory = "its sample has no memory of container " + c })
	if one < 0 {
		w.samples = map[int]observed.Usage{-1: u}
	} else {
		w.samples[one] = u
	}
	if none {
		w.samples[one] = observed.Usage{CPU: -1}
	}
}

func (w *world) pod(n int, arg func(string, func(string))) {
	i := w.instance(n)
	p := observed.Pod{Name: fmt.Sprintf("iota-dac-%d", n), UID: fmt.Sprintf("uid-%d", n), Phase: "Running", Ready: true}
	if held := i.Occupant(); held != nil {
		p = *held
	}
	arg("phase", func(v string) { p.Phase = v; p.Ready = v == "Running" })
	arg("reason", func(v string) { p.Reason = v })
	arg("uid", func(v string) { p.UID = v })
	arg("ready", func(v string) { p.Ready = v == "true"; p.ReadyChanged = w.now })
	arg("terminating", func(v string) { p.Terminating = v == "true"; p.DeleteBy = w.now })
	arg("norequest", func(v string) {
		if p.MissingCPURequest = nil; v != "" {
			p.MissingCPURequest = []string{v}
		}
	})
	arg("request", func(v string) { p.CPURequest = int64(w.number(v)) })
	arg("resizing", func(v string) { p.Resizing = v })
	arg("age", func(v string) {
		age, err := time.ParseDuration(v)
		require.NoError(w.t, err)
		p.Created, p.Started, p.ReadyChanged = w.now.Add(-age), w.now.Add(-age), w.now.Add(-age)
		i.LastBeat = nil
	})
	i.Pod = &p
	arg("list", func(v string) { i.List = &observed.List{Count: w.number(v), Changed: w.now} })
	arg("session", func(v string) {
		list := observed.List{}
		if i.List != nil {
			list = *i.List
		}
		list.Status, list.SessionSince = nil, time.Time{}
		switch v {
		case "true":
			list.Status = &observed.Status{PodUID: p.UID}
		case "nameless":
			list.SessionSince = p.Created.Add(time.Second)
		case "former":
			list.SessionSince = p.Created.Add(-time.Second)
		}
		i.List = &list
	})
	arg("status", func(v string) {
		list := observed.List{}
		if i.List != nil {
			list = *i.List
		}
		list.Status, list.StatusFault, list.StatusSince = nil, "", w.now
		switch v {
		case "acknowledges":
			list.Status = &observed.Status{PodUID: p.UID}
		case "absent":
		default:
			list.StatusFault = strings.ReplaceAll(v, "-", " ")
		}
		i.List = &list
	})
	arg("absent", func(string) { i.Pod = nil })
	arg("lost", func(v string) {
		age, err := time.ParseDuration(v)
		require.NoError(w.t, err)
		p.NodeLost, p.Node = w.now.Add(-age), "far"
	})
	i.Unadopted = nil
	arg("adopted", func(v string) {
		if v == "false" {
			i.Pod, i.Unadopted, i.LastBeat, i.Usage = nil, &p, nil, nil
		}
	})
}

func (w *world) tick(td *datadriven.TestData, arg func(string, func(string)), number func(string, *int)) string {
	step, err := time.ParseDuration(td.CmdArgs[0].Key)
	require.NoError(w.t, err)
	times := 1
	number("n", &times)
	for range times {
		w.now = w.now.Add(step)
		w.refresh()
		in := Input{Now: w.now, Config: w.cfg, Observed: w.kind, History: w.history}
		w.last = Decide(in)
		w.replay(in)
		w.history = Next(in, w.last)
		for _, v := range w.last.Health.Verdicts {
			if v.Restart {
				w.history = w.history.Restarted(v, w.now)
			}
		}
	}
	out := fmt.Sprintf("%s %s", w.now.Format("15:04:05"), w.last.Summary)
	arg("full", func(string) { out = w.last.String() })
	arg("brief", func(string) {
		out = fmt.Sprintf("%s %s/%s wanted=%d desired=%d recommended=%s", w.now.Format("15:04:05"), w.last.Verb, w.last.Reason,
			w.last.Needed, w.last.Desired, w.last.recommended())
	})
	return out
}

// refresh lets every source that works report again.
func (w *world) refresh() {
	s := &w.kind.Sources
	if s.Bus == nil && w.cfg.Heartbeat != nil {
		s.Bus = &observed.Source{}
	}
	for name, src := range map[observed.SourceName]*observed.Source{
		observed.SourceStore: &s.Store, observed.SourceCluster: &s.Cluster, observed.SourceMetrics: &s.Metrics,
		observed.SourceCatalogue: &s.Catalogue, observed.SourceNotify: &s.Notify, observed.SourceBus: s.Bus,
		observed.SourceGroups: &s.Groups, observed.SourceHPAs: &s.HPAs,
	} {
		if src == nil {
			continue
		}
		if !w.failed[name] {
			*src = observed.Source{At: w.now}
		} else if src.Error == "" {
			src.Error, src.ErrorAt = "connection refused", w.now
		}
	}
	for n := range w.kind.Instances {
		w.freshen(&w.kind.Instances[n])
	}
}

func (w *world) freshen(i *observed.Instance) {
	if i.Pod == nil {
		return
	}
	u, ok := w.samples[i.Ordinal]
	if !ok {
		u, ok = w.samples[-1]
	}
	if i.Usage = nil; ok && u.CPU >= 0 && !w.failed[observed.SourceMetrics] {
		if u.At.IsZero() {
			u.At = w.now
		}
		i.Usage = &u
	}
	if w.beats && !w.failed[observed.SourceBus] && !slices.Contains(w.silent, i.Ordinal) && i.Pod.Phase == "Running" {
		at := w.now
		i.LastBeat = &at
	}
}

// replay asserts that a saved input decides the same.
func (w *world) replay(in Input) {
	raw, err := json.Marshal(in)
	require.NoError(w.t, err)
	var again Input
	require.NoError(w.t, json.Unmarshal(raw, &again))
	require.Equal(w.t, w.last.String(), Decide(again).String())
}
