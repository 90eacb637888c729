package observed

import (
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
)

// State folds Signals into Snapshots. It may be used by any number of goroutines.
//
// Signals of kinds that are not configured are dropped, and so is all that was known of a kind that
// is configured no longer. A complete picture older than the one held is dropped too, so the order
// in which signals arrive does not matter.
type State struct {
	namespace string

	mu    sync.Mutex
	names []string
	kinds map[string]*kindState
	// changed is closed and replaced by the next change of substance; nil while nobody waits.
	changed chan struct{}
}

// kindState is what is known of one kind, by source. What it points to is immutable: never edited.
type kindState struct {
	statefulSet string
	heartbeat   bool
	cluster     Cluster
	usage       PodUsage
	assignment  Assignment
	catalogued  Catalogued
	groups      Groups
	hpas        HPAs
	beats       map[int]Beat
	strangers   int // how many of beats are of ordinals that are not expected
	unapplied   backlog
	sources     map[SourceName]Source

	// built is the last Kind that was laid out. dirty: something changed since; moved: so did pods,
	// lists or usage, and all is laid out anew; beaten: only the beats of these ordinals did.
	built        Kind
	dirty, moved bool
	beaten       []int
}

// New returns a State in which nothing is known of the given kinds, all of them in namespace.
func New(namespace string, kinds []config.Kind) *State {
	s := &State{namespace: namespace, kinds: map[string]*kindState{}}
	s.Configure(kinds)
	return s
}

// Configure replaces the kinds. What is known of kinds that stay is kept, save pods, usage and
// beats where another StatefulSet runs them now.
func (s *State) Configure(kinds []config.Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.kinds
	s.names, s.kinds = nil, map[string]*kindState{}
	for _, k := range kinds {
		ks := old[k.Name]
		if ks == nil {
			ks = &kindState{beats: map[int]Beat{}, sources: map[SourceName]Source{}}
		}
		ks.configure(k)
		s.names = append(s.names, k.Name)
		s.kinds[k.Name] = ks
	}
	s.wake()
}

func (ks *kindState) configure(k config.Kind) {
	if ks.statefulSet != k.StatefulSet {
		ks.cluster, ks.usage = Cluster{}, PodUsage{}
		delete(ks.sources, SourceCluster)
		delete(ks.sources, SourceMetrics)
		ks.clearBeats()
	}
	ks.statefulSet, ks.heartbeat = k.StatefulSet, k.Heartbeat != nil
	if !ks.heartbeat {
		ks.clearBeats()
		delete(ks.sources, SourceBus)
	}
	ks.dirty, ks.moved = true, true
}

// Apply folds one signal in.
func (s *State) Apply(sig Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ks := s.kinds[sig.kind()]
	if ks == nil {
		return
	}
	if ks.apply(sig) {
		s.wake()
	}
}

// Changed returns a channel that is closed when something other than an age changes: pods, lists,
// usage, counts, or whether a source works. Take the channel first, then the Snapshot, then wait:
// so no change is missed. Beats alone do not wake.
func (s *State) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

func (s *State) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// Snapshot returns all that is known, for ages at now. What did not change since the last call is
// shared with it, so a call costs next to nothing; nobody may write into it.
func (s *State) Snapshot(now time.Time) Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := Snapshot{At: now, Kinds: make([]Kind, 0, len(s.names))}
	for _, name := range s.names {
		ks := s.kinds[name]
		if ks.dirty {
			ks.build(name, s.namespace)
		}
		snap.Kinds = append(snap.Kinds, ks.built)
	}
	return snap
}

// apply reports whether something a control loop looks at changed, ages and beats excepted.
func (ks *kindState) apply(sig Signal) bool {
	switch v := sig.(type) {
	case Beat:
		ks.beat(v)
		return false
	case Read:
		return ks.read(v.Source, v.At)
	case Failed:
		return ks.failed(v)
	case Cluster:
		return ks.clusterSeen(v)
	case PodUsage:
		return replace(ks, &ks.usage, v, ks.usage.At, v.At, SourceMetrics, maps.Equal(ks.usage.Usage, v.Usage))
	case Assignment:
		if !v.At.Before(ks.assignment.At) {
			ks.unapplied = ks.unapplied.follow(v.Lists)
		}
		return replace(ks, &ks.assignment, v, ks.assignment.At, v.At, SourceStore, sameAssignment(ks.assignment, v))
	case Catalogued:
		return replace(ks, &ks.catalogued, v, ks.catalogued.At, v.At, SourceCatalogue, ks.catalogued.Count == v.Count)
	case Groups:
		return replace(ks, &ks.groups, v, ks.groups.At, v.At, SourceGroups, sameGroups(ks.groups, v))
	case HPAs:
		return replace(ks, &ks.hpas, v, ks.hpas.At, v.At, SourceHPAs, slices.Equal(ks.hpas.HPAs, v.HPAs))
	}
	return false
}

func (ks *kindState) clusterSeen(v Cluster) bool {
	same := reflect.DeepEqual(ks.cluster.Workload, v.Workload) && reflect.DeepEqual(ks.cluster.Pods, v.Pods) &&
		reflect.DeepEqual(ks.cluster.Unadopted, v.Unadopted)
	news := replace(ks, &ks.cluster, v, ks.cluster.At, v.At, SourceCluster, same)
	ks.forgetBeats(ks.cluster)
	return news
}

// replace puts a complete picture in place of the one held, unless it is older. It reports news:
// substance that differs, or a source that works again. A picture that is the same but younger is
// none, else whoever writes a note about each picture would wake itself for ever.
func replace[T any](ks *kindState, held *T, v T, was, is time.Time, source SourceName, same bool) bool {
	if is.Before(was) {
		return false
	}
	*held = v
	recovered := ks.read(source, is)
	ks.dirty, ks.moved = true, true
	return !same || recovered
}

func sameGroups(a, b Groups) bool {
	return reflect.DeepEqual(a.Groups, b.Groups) && reflect.DeepEqual(a.Strangers, b.Strangers)
}

func sameAssignment(a, b Assignment) bool {
	return a.Assigned == b.Assigned && a.InFlight == b.InFlight && a.Unassigned == b.Unassigned &&
		slices.Equal(a.Open, b.Open) && sameWeights(a.Weights, b.Weights) && reflect.DeepEqual(a.Lists, b.Lists)
}

// read notes a complete read; it reports whether the source had failed or was never read before.
func (ks *kindState) read(name SourceName, at time.Time) bool {
	if name == SourceBus && !ks.heartbeat {
		return false
	}
	src := ks.sources[name]
	if at.Before(src.At) || at.Before(src.ErrorAt) {
		return false
	}
	news := src.Error != "" || !src.Known()
	ks.sources[name] = Source{At: at}
	ks.dirty = true
	return news
}

// failed notes a failure; the time since when the source fails stays that of the first in a row.
func (ks *kindState) failed(f Failed) bool {
	if f.Source == SourceBus && !ks.heartbeat {
		return false
	}
	src := ks.sources[f.Source]
	if f.At.Before(src.At) {
		return false
	}
	news := src.Error == ""
	if news {
		src.ErrorAt = f.At
	}
	src.Error = "unknown error"
	if f.Err != nil {
		src.Error = f.Err.Error()
	}
	ks.sources[f.Source] = src
	ks.dirty = true
	return news
}

// strangerBeats bounds the beats held for ordinals of which no pod is known: so many from the
// StatefulSet's first ordinal on, which is more than it may have (config.MaxCeiling), and so many
// of any others. Garbage on the topic can neither fill memory nor take the place of a pod, also not
// of one that beats before it is seen.
const strangerBeats = 1024

// beat keeps the newest timestamp of an ordinal. A clock that runs ahead is cut at the arrival: the
// beat proves that the instance lived then, and nothing about later.
func (ks *kindState) beat(b Beat) {
	if !ks.heartbeat || b.Ordinal < 0 {
		return
	}
	if b.At.After(b.Arrived) {
		b.At = b.Arrived
	}
	old, seen := ks.beats[b.Ordinal]
	if seen && !b.At.After(old.At) {
		return
	}
	if !seen && !ks.expected(b.Ordinal) {
		if ks.strangers >= strangerBeats {
			return
		}
		ks.strangers++
	}
	ks.beats[b.Ordinal] = b
	if _, has := ks.cluster.Pods[b.Ordinal]; has {
		ks.shown(b.Ordinal)
	}
}

// expected says whether an ordinal has a pod, or may have one soon.
func (ks *kindState) expected(ordinal int) bool {
	if _, has := ks.cluster.Pods[ordinal]; has {
		return true
	}
	start := 0
	if w := ks.cluster.Workload; w != nil {
		start = w.Start
	}
	return ordinal >= start && ordinal < start+strangerBeats
}

// shown notes that the layout shows another beat of an ordinal.
func (ks *kindState) shown(ordinal int) {
	ks.dirty = true
	if len(ks.beaten) > len(ks.cluster.Pods) { // no snapshot was taken for long: stop listing
		ks.moved = true
	}
	if !ks.moved {
		ks.beaten = append(ks.beaten, ordinal)
	}
}

// strangerAge is how long the beat of an ordinal without a pod is kept: beats may outrun watches.
const strangerAge = 10 * time.Minute

func (ks *kindState) forgetBeats(c Cluster) {
	ks.strangers = 0
	for ordinal, b := range ks.beats {
		_, has := c.Pods[ordinal]
		switch {
		case !has && c.At.Sub(b.Arrived) > strangerAge:
			delete(ks.beats, ordinal)
		case !ks.expected(ordinal):
			ks.strangers++
		}
	}
}

func (ks *kindState) clearBeats() {
	clear(ks.beats)
	ks.strangers = 0
}

// build lays out what is known, and replaces the former layout: Snapshots given away share it.
func (ks *kindState) build(name, namespace string) {
	k := Kind{
		Name: name, Namespace: namespace,
		Workload: ks.cluster.Workload,
		Assigned: ks.assignment.Assigned, InFlight: ks.assignment.InFlight, Unassigned: ks.assignment.Unassigned,
		Open: ks.assignment.Open, Weights: ks.assignment.Weights,
		Catalogue: ks.catalogued.Count,
		Groups:    ks.groups.Groups, Strangers: ks.groups.Strangers, HPAs: ks.hpas.HPAs,
		Instances: ks.built.Instances,
		Sources: Sources{
			Store: ks.sources[SourceStore], Cluster: ks.sources[SourceCluster], Metrics: ks.sources[SourceMetrics],
			Catalogue: ks.sources[SourceCatalogue], Notify: ks.sources[SourceNotify],
			Groups: ks.sources[SourceGroups], HPAs: ks.sources[SourceHPAs],
		},
	}
	if ks.heartbeat {
		bus := ks.sources[SourceBus]
		k.Sources.Bus = &bus
	}
	switch {
	case ks.moved:
		k.Instances = ks.instances()
	case len(ks.beaten) > 0:
		k.Instances = slices.Clone(k.Instances)
		for _, ordinal := range ks.beaten {
			if inst := k.Instance(ordinal); inst != nil && inst.Pod != nil {
				inst.LastBeat = ks.lastBeat(ordinal, inst.Pod)
			}
		}
	}
	ks.built, ks.dirty, ks.moved, ks.beaten = k, false, false, ks.beaten[:0]
}

// instances lays out every ordinal that has a pod, adopted or not, or a list, ascending.
func (ks *kindState) instances() []Instance {
	all := ks.ordinals()
	instances := make([]Instance, len(all))
	pods, lists, usages := make([]Pod, len(all)), make([]List, len(all)), make([]Usage, len(all))
	for i, ordinal := range all {
		inst := &instances[i]
		inst.Ordinal = ordinal
		if pod, ok := ks.cluster.Pods[ordinal]; ok {
			pods[i] = pod
			inst.Pod = &pods[i]
			inst.LastBeat = ks.lastBeat(ordinal, inst.Pod)
			// A sample from before this pod is another pod's. Kubernetes' times are whole seconds.
			if u, ok := ks.usage.Usage[ordinal]; ok && !u.At.Before(pod.Created.Truncate(time.Second)) {
				usages[i] = u
				inst.Usage = &usages[i]
			}
		}
		if _, ok := ks.cluster.Unadopted[ordinal]; ok {
			pod := ks.cluster.Unadopted[ordinal]
			inst.Unadopted = &pod
		}
		if list, ok := ks.assignment.Lists[ordinal]; ok {
			list.Unapplied = ks.unapplied.since(ordinal, &list)
			lists[i] = list
			inst.List = &lists[i]
		}
	}
	return instances
}

func (ks *kindState) ordinals() []int {
	all := make([]int, 0, len(ks.cluster.Pods)+len(ks.cluster.Unadopted)+len(ks.assignment.Lists))
	all = slices.AppendSeq(all, maps.Keys(ks.cluster.Pods))
	all = slices.AppendSeq(all, maps.Keys(ks.cluster.Unadopted))
	all = slices.AppendSeq(all, maps.Keys(ks.assignment.Lists))
	slices.Sort(all)
	return slices.Compact(all)
}

// lastBeat is the ordinal's newest beat if it is this pod's: one from before its start is its
// predecessor's. Both times are whole seconds, so the second of the start counts.
func (ks *kindState) lastBeat(ordinal int, pod *Pod) *time.Time {
	b, ok := ks.beats[ordinal]
	if !ok || pod.Started.IsZero() || b.At.Before(pod.Started.Truncate(time.Second)) {
		return nil
	}
	return &b.At
}
