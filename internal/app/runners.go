package app

import (
	"maps"
	"slices"
	"sync"

	"github.com/shardscaler/shardscaler/adapter/catalog"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// runners are those of the kinds that run.
type runners struct {
	mu     sync.RWMutex
	by     map[string]*runner
	fallen wake.Signal // holds a token when a runner has ended by itself
}

func newRunners() runners { return runners{by: map[string]*runner{}, fallen: wake.New()} }

// runner is that of a kind; nil: the kind does not run.
func (s *runners) runner(kind string) *runner {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.by[kind]
}

func (s *runners) all() []*runner {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Values(s.by))
}

func (s *runners) put(r *runner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by[r.kind] = r
}

// take takes out those that which names.
func (s *runners) take(which func(*runner) bool) (taken []*runner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for kind, r := range s.by {
		if which(r) {
			taken = append(taken, r)
			delete(s.by, kind)
		}
	}
	return taken
}

// reconciler is how the catalogue finds a kind's engine.
func (s *runners) reconciler(kind string) (catalog.Reconciler, bool) {
	r := s.runner(kind)
	if r == nil {
		return nil, false
	}
	return r.engine, true
}
