package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/adapter/catalog"
	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/wake"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// runners are those of the kinds that run.
type runners struct {
	mu     sync.RWMutex
	by     map[string]*runner
	taken  []*runner   // those that are being stopped
	fallen wake.Signal // holds a token when a runner has ended by itself
}

func newRunners() runners { return runners{by: map[string]*runner{}, fallen: wake.New()} }

// runner is that of a kind; nil: the kind does not run.
func (s *runners) runner(kind string) *runner {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.by[kind]
}

// all are also those that are being stopped: one that hangs keeps the others from being started.
func (s *runners) all() []*runner {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.AppendSeq(slices.DeleteFunc(slices.Clone(s.taken), (*runner).over), maps.Values(s.by))
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
	s.taken = append(slices.DeleteFunc(s.taken, (*runner).over), taken...)
	return taken
}

// headsWithin is how long the sources of a term wait for its heads. A kind whose head cannot be taken
// holds no other for longer.
const headsWithin = time.Second

// awaitHeads returns when this replica leads every kind that runs, at the latest after headsWithin:
// what a message asks for before that is refused, and asked again after a pause.
func (s *runners) awaitHeads(term context.Context) {
	for begun := time.Now(); time.Since(begun) < headsWithin && !s.leading(); {
		if !wake.Sleep(term, 5*time.Millisecond) {
			return
		}
	}
}

// leading says whether this replica leads every kind that is written, and that there is one.
func (s *runners) leading() bool {
	all := slices.DeleteFunc(s.all(), func(r *runner) bool { return r.app.live.mode(r.kind) != config.ModeAct })
	return len(all) > 0 && !slices.ContainsFunc(all, func(r *runner) bool { return !r.engine.Leading() })
}

// reconciler is how the catalogue finds a kind's engine.
func (s *runners) reconciler(kind string) (catalog.Reconciler, bool) {
	r := s.runner(kind)
	if r == nil {
		return nil, false
	}
	return comparing{r.engine}, true
}

// comparing is an engine that compares reads of the catalogue. That it does not lead, or leads anew
// since a read began, is no fault of the catalogue's.
type comparing struct{ *rebalancer.Engine }

// EndRead implements catalog.Reconciler.
func (c comparing) EndRead(ctx context.Context, rows []observed.ResourceKnown) (next time.Time, err error) {
	next, err = c.Engine.EndRead(ctx, rows)
	if errors.Is(err, orders.ErrNotLeading) {
		err = fmt.Errorf("%w: %w", catalog.ErrVoid, err)
	}
	return next, err
}

// counters returns the reconciler of kinds that are not written: their rows are only counted, by who
// reads them.
func counters(string) (catalog.Reconciler, bool) { return counter{}, true }

type counter struct{}

// BeginRead implements catalog.Reconciler.
func (counter) BeginRead(time.Time) {}

// Rows implements catalog.Reconciler.
func (counter) Rows([]observed.ResourceKnown) {}

// EndRead implements catalog.Reconciler.
func (counter) EndRead(context.Context, []observed.ResourceKnown) (next time.Time, err error) {
	return time.Time{}, nil
}

// AbortRead implements catalog.Reconciler.
func (counter) AbortRead() {}
