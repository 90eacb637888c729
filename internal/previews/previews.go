package previews

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// How long a plan can be applied, and how many are kept.
const (
	MaxAge = 10 * time.Minute
	Most   = 256
	// mostForgotten is of how many plans that are not kept any more the id is known.
	mostForgotten = 1024
)

// What Apply fails with beside what carrying out fails with.
var (
	// ErrGone: the plan is not kept any more, or another leader has made it.
	ErrGone = errors.New("the plan is gone")
	// ErrUnknown: this leader has made no plan of that id.
	ErrUnknown = errors.New("there is no such plan")
	// ErrChanged: the plan's basis is not what it was, or the plan was applied before.
	ErrChanged = errors.New("changed since the preview")
	// ErrRefused: nothing of the sort may be begun now.
	ErrRefused = errors.New("the plan cannot be applied now")
)

// Store keeps the plans of one kind that this process has shown. It is safe for concurrent use. The
// zero Store is empty.
type Store struct {
	mu sync.Mutex
	// kept are at most Most, in order of their latest preview. They hold no moves.
	kept []*kept
	// forgotten are the ids of the last that were kept, oldest first.
	forgotten []string
}

// Plan is a plan that can be applied.
type Plan struct {
	ID    string
	Basis Basis
	// Voluntary: some of its moves only spread.
	Voluntary bool
	// Made is when it was last shown. From Expires on it cannot be applied.
	Made, Expires time.Time
}

type kept struct {
	Plan
	// runs is what carries it out now, applied says that it was, by whom and when.
	runs    *run
	applied string
}

// run is one carrying out of a plan. done is closed at its end; result is nil if it failed.
type run struct {
	of     *kept
	plan   Plan
	done   chan struct{}
	result *ops.Applied
}

// Keep keeps a plan that is shown now. The same again is kept for longer, and can be applied again:
// its basis is what it was before.
func (s *Store) Keep(g Basis, voluntary bool, now time.Time) Plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	k := &kept{Plan: Plan{ID: g.ID(), Basis: g}}
	if i := s.find(k.ID); i >= 0 {
		k = s.kept[i]
		s.kept = slices.Delete(s.kept, i, i+1)
	}
	k.Voluntary, k.Made, k.Expires, k.applied = voluntary, now, now.Add(MaxAge), ""
	if len(s.kept) >= Most {
		s.forget(1)
	}
	s.kept = append(s.kept, k)
	return k.Plan
}

func (s *Store) find(id string) int {
	return slices.IndexFunc(s.kept, func(k *kept) bool { return k.ID == id })
}

// expire forgets what is too old.
func (s *Store) expire(now time.Time) {
	old := 0
	for old < len(s.kept) && !now.Before(s.kept[old].Expires) {
		old++
	}
	s.forget(old)
}

// forget forgets the first n.
func (s *Store) forget(n int) {
	for _, k := range s.kept[:n] {
		s.forgotten = append(s.forgotten, k.ID)
	}
	s.kept = slices.Delete(s.kept, 0, n)
	s.forgotten = slices.Delete(s.forgotten, 0, max(0, len(s.forgotten)-mostForgotten))
}

// Apply has the plan of that id carried out, and returns what came of it. Of callers at the same
// time one carries it out, and the others get its answer, or try themselves if it fails. epoch is
// the head's.
func (s *Store) Apply(ctx context.Context, id, by string, epoch int64, now func() time.Time, carryOut func(Plan) (ops.Applied, error)) (ops.Applied, error) {
	for {
		r, mine, err := s.take(id, epoch, now())
		switch {
		case err != nil:
			return ops.Applied{}, err
		case mine:
			return s.carryOut(r, by, now, carryOut)
		}
		select {
		case <-r.done:
			if r.result != nil {
				return *r.result, nil
			}
		case <-ctx.Done():
			return ops.Applied{}, fmt.Errorf("%w: another caller applies the plan: %w", orders.ErrOutcomeUnknown, ctx.Err())
		}
	}
}

// take takes the plan to be carried out; mine: by this caller, and not by another one that has
// begun to.
func (s *Store) take(id string, epoch int64, now time.Time) (r *run, mine bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	i := s.find(id)
	if i < 0 {
		return nil, false, s.lacks(id, epoch)
	}
	k := s.kept[i]
	switch {
	case k.runs != nil:
		return k.runs, false, nil
	case k.applied != "":
		return nil, false, fmt.Errorf("%w: plan %s was applied %s", ErrChanged, id, k.applied)
	}
	k.runs = &run{of: k, plan: k.Plan, done: make(chan struct{})}
	return k.runs, true, nil
}

// lacks says why there is no plan of that id.
func (s *Store) lacks(id string, epoch int64) error {
	prefix, _, _ := strings.Cut(id, "-")
	of, err := strconv.ParseInt(prefix, 10, 64)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %q is no id of a plan", ErrUnknown, id)
	case of != epoch:
		return fmt.Errorf("%w: it is of epoch %d, and the epoch is %d: another process leads, or this one does anew; ask for a new preview", ErrGone, of, epoch)
	case slices.Contains(s.forgotten, id):
		return fmt.Errorf("%w: a plan is kept for %s, and the last %d are; ask for a new preview", ErrGone, config.Duration(MaxAge), Most)
	}
	return fmt.Errorf("%w: %s", ErrUnknown, id)
}

// carryOut lets the others go on, whatever comes of it.
func (s *Store) carryOut(r *run, by string, now func() time.Time, carryOut func(Plan) (ops.Applied, error)) (ops.Applied, error) {
	var result *ops.Applied
	defer func() { s.end(r, result, by, now()) }()
	done, err := carryOut(r.plan)
	if err == nil {
		result = &done
	}
	return done, err
}

func (s *Store) end(r *run, result *ops.Applied, by string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.result = result; result != nil {
		r.of.applied = fmt.Sprintf("by %s at %s", by, decide.Stamp(now))
	}
	r.of.runs = nil
	close(r.done)
}

// Check compares the basis that there is with the plan's; ErrChanged says what is not as it was.
func (p *Plan) Check(now *Basis) error {
	if differences := now.Differs(&p.Basis); len(differences) > 0 {
		return &Changed{Reasons: differences}
	}
	return nil
}

// Changed is ErrChanged with what has changed.
type Changed struct{ Reasons []string }

// Error implements error.
func (c *Changed) Error() string { return ErrChanged.Error() + ": " + strings.Join(c.Reasons, "; ") }

// Is says that it is ErrChanged.
func (c *Changed) Is(err error) bool { return err == ErrChanged }
