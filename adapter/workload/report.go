package workload

import (
	"context"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/shardscaler/shardscaler/adapter/informer"
	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// moved are the StatefulSets of which something has changed since it was told.
type moved struct {
	mu   sync.Mutex
	sets map[string]bool
	// every says that all have: that of which nothing was told yet, too.
	every bool
}

func (m *moved) note(set string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sets == nil {
		m.sets = map[string]bool{}
	}
	m.sets[set] = true
}

func (m *moved) all() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.every = true
}

// take returns which have changed, and begins anew.
func (m *moved) take() func(set string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	sets, every := m.sets, m.every
	m.sets, m.every = nil, false
	return func(set string) bool { return every || sets[set] }
}

// changes notes of which StatefulSet an object that has changed is, by its name.
func (s *Source) changes(of func(name string) string) cache.ResourceEventHandlerFuncs {
	note := func(obj any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
			s.moved.note(of(key[strings.LastIndexByte(key, '/')+1:]))
			s.changed.Wake()
		}
	}
	return cache.ResourceEventHandlerFuncs{AddFunc: note, UpdateFunc: func(_, is any) { note(is) }, DeleteFunc: note}
}

// podChanges is changes of pods. What a pod owned runs nowhere once it is gone or has ended: that is
// told at once.
func (s *Source) podChanges() cache.ResourceEventHandlerFuncs {
	note := s.changes(setOfPod)
	return cache.ResourceEventHandlerFuncs{
		AddFunc: note.AddFunc,
		UpdateFunc: func(was, is any) {
			note.UpdateFunc(was, is)
			if p, ok := is.(*corev1.Pod); ok && hasEnded(p) && !hasEnded(was.(*corev1.Pod)) {
				s.ended.Wake()
			}
		},
		DeleteFunc: func(was any) {
			note.DeleteFunc(was)
			s.ended.Wake()
		},
	}
}

func hasEnded(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
}

func setOf(name string) string { return name }

// setOfPod is empty where the name is none of a StatefulSet's pod.
func setOfPod(name string) string { return name[:max(0, strings.LastIndexByte(name, '-'))] }

// told is what the fold has of a kind.
type told struct {
	at time.Time
	// unwell says that a pod is not ready, or is on a node that is lost.
	unwell bool
}

// report tells what has changed, and looks for what has grown old: no request is made for that.
func (s *Source) report(ctx context.Context, sink func(observed.Signal)) {
	var last map[string]told // by kind
	nodes := false
	var at time.Time
	for await(ctx, s.changed, s.ended, at) {
		at = time.Now()
		if !s.synced() {
			s.changed.Wake() // the first lists are still coming
			continue
		}
		if known := s.nodesKnown(); known != nodes {
			nodes = known
			s.moved.all()
		}
		last = s.tell(last, sink)
		for _, kind := range last {
			if kind.unwell {
				s.askForNodes()
				break
			}
		}
	}
}

// await returns true when a report is due; last is when the last one was. It waits for a burst of
// changes to end, but not after a pod has ended, unless the last report was a moment ago: many that
// end make one report, too.
func await(ctx context.Context, changed, ended wake.Signal, last time.Time) bool {
	atOnce := false
	select {
	case <-ctx.Done():
		return false
	case <-time.After(informer.Look):
		return true
	case <-ended:
		atOnce = true
	case <-changed:
	}
	pause := informer.Debounce
	if atOnce {
		pause = time.Until(last.Add(informer.Debounce))
	}
	for over := time.After(pause); ; {
		select {
		case <-ctx.Done():
			return false
		case <-ended:
			over = time.After(time.Until(last.Add(informer.Debounce)))
		case <-over:
			return true
		}
	}
}

// tell sends all that is known of a kind if something has changed, and else how old it is, if that
// is younger than what was told: as old as the older of the two watches.
func (s *Source) tell(last map[string]told, sink func(observed.Signal)) map[string]told {
	moved, at := s.moved.take(), s.heard()
	next := map[string]told{}
	for _, k := range *s.kinds.Load() {
		is, known := last[k.Name]
		switch {
		case !known || moved(k.StatefulSet):
			c := s.cluster(k, at)
			is.unwell = unwell(&c)
			sink(c)
		case at.After(is.at):
			sink(observed.Read{Kind: k.Name, Source: observed.SourceCluster, At: at})
		}
		is.at = at
		next[k.Name] = is
	}
	return next
}
