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
// It drops what concerns kinds that are not configured, or no longer, and signals that are older
// than what it has: the order in which they arrive does not matter.
type State struct {
	namespace string

	mu    sync.Mutex
	names []string
	kinds map[string]*kindState
	// changed are closed and removed by the next change of substance of a kind; there is none of a
	// kind while no goroutine waits.
	changed map[string]chan struct{}
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
	beats       beats
	unapplied   backlog
	sources     map[SourceName]Source

	// built is the last Kind that was laid out. dirty: something changed since; moved: so did pods,
	// lists or usage, and all is laid out anew; beaten: only the beats of these ordinals did.
	built        *Kind
	dirty, moved bool
	beaten       []int
}

// New returns a State in which nothing is known of the given kinds, all of them in namespace.
func New(namespace string, kinds []config.Kind) *State {
	s := &State{namespace: namespace, kinds: map[string]*kindState{}, changed: map[string]chan struct{}{}}
	s.Configure(kinds)
	return s
}

// Configure replaces the kinds. Those that stay lose pods, usage and beats with their StatefulSet.
func (s *State) Configure(kinds []config.Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.kinds
	s.names, s.kinds = nil, map[string]*kindState{}
	for _, k := range kinds {
		ks := old[k.Name]
		if ks == nil {
			ks = &kindState{built: &Kind{}, beats: newBeats(), sources: map[SourceName]Source{}}
		}
		ks.configure(k)
		s.names = append(s.names, k.Name)
		s.kinds[k.Name] = ks
	}
	for kind := range s.changed {
		s.wake(kind)
	}
}

func (ks *kindState) configure(k config.Kind) {
	if ks.statefulSet != k.StatefulSet {
		ks.cluster, ks.usage, ks.beats = Cluster{}, PodUsage{}, newBeats()
		delete(ks.sources, SourceCluster)
		delete(ks.sources, SourceMetrics)
	}
	ks.statefulSet, ks.heartbeat = k.StatefulSet, k.Heartbeat != nil
	if !ks.heartbeat {
		ks.beats = newBeats()
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
		s.wake(sig.kind())
	}
}

// Changed returns a channel that is closed when something of a kind other than an age or a beat
// changes, and when the kinds do. Take the channel first, then what is known, then wait: so no
// change is missed.
func (s *State) Changed(kind string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.changed[kind]
	if changed == nil {
		changed = make(chan struct{})
		s.changed[kind] = changed
	}
	return changed
}

func (s *State) wake(kind string) {
	if changed := s.changed[kind]; changed != nil {
		close(changed)
		delete(s.changed, kind)
	}
}

// Kind returns all that is known of a kind; nil: it is not configured. It is shared as a Snapshot
// is, and read only. It costs the same however many kinds there are.
func (s *State) Kind(name string) *Kind {
	s.mu.Lock()
	defer s.mu.Unlock()
	ks := s.kinds[name]
	if ks == nil {
		return nil
	}
	return ks.present(name, s.namespace)
}

// Snapshot returns all that is known, for ages at now. What did not change since the last call is
// shared with it, so a call costs next to nothing; it is read only.
func (s *State) Snapshot(now time.Time) Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := Snapshot{At: now, Kinds: make([]Kind, 0, len(s.names))}
	for _, name := range s.names {
		snap.Kinds = append(snap.Kinds, *s.kinds[name].present(name, s.namespace))
	}
	return snap
}

// told says whether Read confirms what the source has told. Without that it says nothing: the kind
// may have another StatefulSet since.
func told(source SourceName) bool {
	return source == SourceCluster || source == SourceGroups || source == SourceHPAs
}

// apply reports whether something a control loop looks at changed, ages and beats excepted.
func (ks *kindState) apply(sig Signal) bool {
	switch v := sig.(type) {
	case Beat:
		ks.beat(v)
		return false
	case Read:
		if told(v.Source) && !ks.sources[v.Source].Known() {
			return false
		}
		return ks.read(v.Source, v.At)
	case Failed:
		return ks.failed(v)
	case Cluster:
		same := reflect.DeepEqual(ks.cluster.Workload, v.Workload) && reflect.DeepEqual(ks.cluster.Pods, v.Pods) &&
			reflect.DeepEqual(ks.cluster.Unadopted, v.Unadopted)
		news := replace(ks, &ks.cluster, v, ks.cluster.At, v.At, SourceCluster, same)
		ks.beats.forget(&ks.cluster)
		return news
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
		same := reflect.DeepEqual(ks.groups.Groups, v.Groups) && reflect.DeepEqual(ks.groups.Strangers, v.Strangers)
		return replace(ks, &ks.groups, v, ks.groups.At, v.At, SourceGroups, same)
	case HPAs:
		return replace(ks, &ks.hpas, v, ks.hpas.At, v.At, SourceHPAs, slices.Equal(ks.hpas.HPAs, v.HPAs))
	}
	return false
}

// replace puts a signal in place of the one held, unless it is older. It reports news:
// substance that differs, or a source that works again. A signal that is the same but younger is
// none, else a reader that writes a note about each signal would wake itself for ever.
func replace[T any](ks *kindState, held *T, v T, was, is time.Time, source SourceName, same bool) bool {
	if is.Before(was) {
		return false
	}
	*held = v
	recovered := ks.read(source, is)
	ks.dirty = true
	ks.moved = ks.moved || !same
	return !same || recovered
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

// beat keeps the newest timestamp of an ordinal, and notes that its pod's layout has to show it.
func (ks *kindState) beat(b Beat) {
	if !ks.heartbeat || !ks.beats.take(b, &ks.cluster) {
		return
	}
	if _, has := ks.cluster.Pods[b.Ordinal]; !has {
		return
	}
	ks.dirty = true
	if len(ks.beaten) > len(ks.cluster.Pods) { // no snapshot was taken for long: stop listing
		ks.moved = true
	}
	if !ks.moved {
		ks.beaten = append(ks.beaten, b.Ordinal)
	}
}
