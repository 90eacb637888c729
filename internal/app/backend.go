package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/adapter/metricsapi"
	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/api"
	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// effective is a kind's runner, and its configuration under what stands of what persons have put
// over it.
func (a *App) effective(kind string) (r *runner, k config.Kind, standing ops.Over, ok bool) {
	r, _, base, err := a.configured(kind)
	if err != nil {
		return nil, config.Kind{}, ops.Over{}, false
	}
	k, standing = r.overrides().Standing(*base, time.Now())
	return r, k, standing, true
}

// Saved implements api.Backend.
func (a *App) Saved() decide.Saved {
	now := time.Now()
	saved := decide.Saved{At: now, Inputs: []decide.Input{}}
	snap, in := a.state.Snapshot(now), a.live.loaded()
	for i := range snap.Kinds {
		name := snap.Kinds[i].Name
		r, k, over, ok := a.effective(name)
		_, _, base, err := a.configured(name)
		if !ok || err != nil {
			continue
		}
		saved.Inputs = append(saved.Inputs, r.replay(now, k, over.Operator, snap.Kinds[i]))
		saved.Configured = append(saved.Configured, decide.Configured{
			Kind: name, Base: *base, Written: in.written[name], Override: over.Override,
			Generation: in.generation, Version: in.version, LoadedAt: in.at, Refused: in.refused,
		})
	}
	return saved
}

// Kinds implements api.Backend.
func (a *App) Kinds() []string {
	cfg, _ := a.live.current()
	var names []string
	if cfg != nil {
		for _, k := range cfg.Kinds {
			names = append(names, k.Name)
		}
	}
	return names
}

// Kind implements api.Backend.
func (a *App) Kind(name string) (api.KindView, bool) {
	r, k, standing, ok := a.effective(name)
	if !ok {
		return api.KindView{}, false
	}
	now := time.Now()
	v := api.KindView{
		Config: k, Override: standing.Override, Operator: standing.Operator,
		State: r.engine.State(), Progress: r.engine.Progress(), Waiting: r.engine.Waiting(),
		Lookup: r.engine.Lookup,
	}
	if k := a.state.Kind(name); k != nil {
		v.Snapshot = *k
	}
	if v.Follows = k.Mode != config.ModeAct || !a.leadership.leads(); v.Follows { // what failed in a former term does so no longer
		v.Snapshot.Sources.Notify = observed.Source{}
	}
	s, _ := r.says(now)
	v.Decision = s.report
	if told := s.told; told != nil {
		v.Follows, v.Progress, v.Waiting = false, told.Progress, told.Waiting
		v.Snapshot.Catalogue, v.Snapshot.Sources.Catalogue, v.Snapshot.Sources.Notify = told.Rows, told.Catalogue, told.Notify
	}
	return v, true
}

// configured is a kind's runner, the configuration, and its entry there, without any override.
func (a *App) configured(kind string) (*runner, *config.Config, *config.Kind, error) {
	cfg, base := a.live.kind(kind)
	if r := a.runner(kind); base != nil && r != nil {
		return r, cfg, base, nil
	}
	return nil, nil, nil, fmt.Errorf("kind %s: %w", kind, errors.ErrUnsupported)
}

// Orchestrate implements api.Backend.
func (a *App) Orchestrate(ctx context.Context, kind string, maxInstances, resourcePerInstance *int) (ops.Applied, error) {
	return operators{a}.Change(ctx, kind, ops.Change{MaxInstances: maxInstances, Capacity: resourcePerInstance}, access.UserFrom(ctx).Name)
}

// Confirm implements api.Backend.
func (a *App) Confirm(ctx context.Context, kind string, set, count int) error {
	r, _, _, err := a.configured(kind)
	if err != nil {
		return err
	}
	err = r.engine.Confirm(ctx, set, count)
	if errors.Is(err, inventory.ErrCountChanged) {
		return fmt.Errorf("%w: %w", api.ErrConflict, err)
	}
	return err
}

// Pause implements api.Backend.
func (a *App) Pause(ctx context.Context, kind string, paused bool) (ops.Applied, error) {
	return operators{a}.Change(ctx, kind, ops.Change{Paused: &paused}, access.UserFrom(ctx).Name)
}

// Rollback implements api.Backend. It pauses too: else the same would be planned again at once.
func (a *App) Rollback(ctx context.Context, kind string) (rebalancer.RolledBack, error) {
	r, cfg, base, err := a.configured(kind)
	if err != nil {
		return rebalancer.RolledBack{}, err
	}
	return r.rollback(ctx, cfg, base, access.UserFrom(ctx).Name)
}

func (r *runner) rollback(ctx context.Context, cfg *config.Config, base *config.Kind, by string) (rebalancer.RolledBack, error) {
	paused := true
	pause := r.changing(cfg, base, ops.Change{Paused: &paused}, by)
	done, err := r.engine.Rollback(ctx, pause.name, pause.update)
	switch {
	case errors.Is(err, rebalancer.ErrNothingToRollBack):
		return done, fmt.Errorf("%w: %w", api.ErrConflict, err)
	case err == nil:
		r.asked.Wake()
	}
	return done, err
}

// Leader implements api.Backend. Plain HTTP leads to it only where tokens may go that way: to a
// leader without a secure port, such as one of an older build, nothing is passed on otherwise.
func (a *App) Leader() (self bool, url string) {
	if a.leadership.leads() {
		return true, ""
	}
	secure, plain := addresses(a.leadership.address())
	switch {
	case secure != "" && a.peers != nil:
		return false, "https://" + secure
	case plain != "" && (a.opts.InsecureLocal || a.opts.PlainHTTPTokens):
		return false, "http://" + plain
	}
	return false, ""
}

const (
	// viewShare is the least ratio of how long a View is shared to what it takes to make it, viewMost
	// the longest time: each reader of one of many kinds would make the View of all.
	viewShare = 10
	viewMost  = 100 * time.Millisecond
)

// views are shared by readers that come together.
type views struct {
	mu    sync.Mutex
	last  metricsapi.View
	until time.Time
}

// share returns the last View, or one that is made now.
func (s *views) share(of func(now time.Time) metricsapi.View) metricsapi.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); !now.Before(s.until) {
		s.last = of(now)
		s.until = now.Add(min(viewShare*time.Since(now), viewMost))
	}
	return s.last
}

// view is what the metrics API and the Prometheus collector are made from.
func (a *App) view() metricsapi.View {
	return a.views.share(func(now time.Time) metricsapi.View {
		v := metricsapi.View{Snapshot: a.state.Snapshot(now), Config: &config.Config{}, Recommended: map[string]metricsapi.Recommendation{}}
		for _, name := range a.Kinds() {
			if r, k, _, ok := a.effective(name); ok {
				v.Config.Kinds = append(v.Config.Kinds, k)
				v.Recommended[name] = r.recommended(now)
			}
		}
		return v
	})
}

func (r *runner) recommended(now time.Time) metricsapi.Recommendation {
	d, err := r.served(now)
	if err != nil {
		return metricsapi.Recommendation{Unknown: err.Error()}
	}
	n, err := d.RecommendedReplicas()
	if err != nil {
		return metricsapi.Recommendation{Unknown: err.Error(), At: d.At}
	}
	return metricsapi.Recommendation{Replicas: n, At: d.At}
}
