package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/adapter/catalog"
	"github.com/shardscaler/shardscaler/adapter/metricsapi"
	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/api"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// overrideName is the document under which a kind's override is kept in ZooKeeper.
const overrideName = "override"

// override returns what POST set for the kind, as ZooKeeper holds it. What cannot be read is ignored, and logged once.
func (r *runner) override() config.Override {
	o, _ := read(r, &r.keptOverride, overrideName, func(kept []byte) (o config.Override, err error) {
		if len(kept) == 0 {
			return o, nil
		}
		if err := exact.JSON(kept, &o); err != nil {
			r.log.Error("the kept override cannot be read and is ignored", "error", err)
			return config.Override{}, err
		}
		return o, nil
	})
	return o
}

// effective returns a kind's configuration in force: the ConfigMap's under what still stands of the override.
func (a *App) effective(kind string) (config.Kind, config.Override, bool) {
	cfg, _ := a.live.current()
	r := a.runner(kind)
	if cfg == nil || r == nil {
		return config.Kind{}, config.Override{}, false
	}
	base, ok := cfg.Kind(kind)
	if !ok {
		return config.Kind{}, config.Override{}, false
	}
	k, standing := r.override().Apply(*base)
	return k, standing, true
}

// Saved implements api.Backend.
func (a *App) Saved() decide.Saved {
	now := time.Now()
	saved := decide.Saved{At: now, Inputs: []decide.Input{}}
	snap := a.state.Snapshot(now)
	for i := range snap.Kinds {
		k, _, ok := a.effective(snap.Kinds[i].Name)
		if r := a.runner(snap.Kinds[i].Name); ok && r != nil {
			saved.Inputs = append(saved.Inputs, r.replay(now, k, snap.Kinds[i]))
		}
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
	k, standing, ok := a.effective(name)
	r := a.runner(name)
	if !ok || r == nil {
		return api.KindView{}, false
	}
	now := time.Now()
	v := api.KindView{
		Config: k, Override: standing,
		State: r.engine.State(), Progress: r.engine.Progress(), Waiting: r.engine.Waiting(),
		Lookup: r.engine.Lookup,
	}
	snap := a.state.Snapshot(now)
	for i := range snap.Kinds {
		if snap.Kinds[i].Name == name {
			v.Snapshot = snap.Kinds[i]
		}
	}
	if !a.leadership.leads() { // what failed in a former term does so no longer
		v.Snapshot.Sources.Notify = observed.Source{}
	}
	cfg, _ := a.live.current()
	if d, err := r.served(now, cfg); err == nil {
		v.Decision = d
	}
	return v, true
}

// Orchestrate implements api.Backend.
func (a *App) Orchestrate(ctx context.Context, kind string, maxInstances, resourcePerInstance *int) error {
	cfg, _ := a.live.current()
	r := a.runner(kind)
	if cfg == nil || r == nil {
		return fmt.Errorf("kind %s: %w", kind, errors.ErrUnsupported)
	}
	base, ok := cfg.Kind(kind)
	if !ok {
		return fmt.Errorf("kind %s: %w", kind, errors.ErrUnsupported)
	}
	if maxInstances != nil || resourcePerInstance != nil {
		_, standing := r.override().Apply(*base)
		o, err := standing.Set(base, cfg.MaxInstancesCeiling, maxInstances, resourcePerInstance)
		if err != nil {
			return fmt.Errorf("%w: %w", api.ErrInvalid, err)
		}
		return r.keepOverride(ctx, o)
	}
	poke(r.poke)
	return nil
}

// Confirm implements api.Backend.
func (a *App) Confirm(ctx context.Context, kind string, count int) error {
	r := a.runner(kind)
	if r == nil {
		return fmt.Errorf("kind %s: %w", kind, errors.ErrUnsupported)
	}
	if err := r.engine.Confirm(ctx, count); err != nil {
		if errors.Is(err, rebalancer.ErrNotLeading) {
			return err
		}
		return fmt.Errorf("%w: %w", api.ErrConflict, err)
	}
	return nil
}

// Pause implements api.Backend.
func (a *App) Pause(ctx context.Context, kind string, paused bool) error {
	cfg, _ := a.live.current()
	r := a.runner(kind)
	if cfg == nil || r == nil {
		return fmt.Errorf("kind %s: %w", kind, errors.ErrUnsupported)
	}
	base, ok := cfg.Kind(kind)
	if !ok {
		return fmt.Errorf("kind %s: %w", kind, errors.ErrUnsupported)
	}
	_, standing := r.override().Apply(*base)
	return r.keepOverride(ctx, standing.SetPaused(base, paused))
}

// keepOverride stores an override and wakes the kind's loop, which carries it out.
func (r *runner) keepOverride(ctx context.Context, o config.Override) error {
	b, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encode override: %w", err)
	}
	if err := r.engine.Keep(ctx, overrideName, b); err != nil {
		return fmt.Errorf("keep override: %w", err)
	}
	poke(r.poke)
	return nil
}

// Rollback implements api.Backend. It pauses first: else what is taken back would be planned again at once.
func (a *App) Rollback(ctx context.Context, kind string) (rebalancer.RolledBack, error) {
	before, _, ok := a.effective(kind)
	r := a.runner(kind)
	if !ok || r == nil {
		return rebalancer.RolledBack{}, fmt.Errorf("kind %s: %w", kind, errors.ErrUnsupported)
	}
	if err := a.Pause(ctx, kind, true); err != nil {
		return rebalancer.RolledBack{}, err
	}
	done, err := r.engine.Rollback(ctx)
	if errors.Is(err, rebalancer.ErrNothingToRollBack) {
		if err := a.Pause(ctx, kind, before.Rebalance.Paused); err != nil {
			return done, err
		}
		return done, fmt.Errorf("%w: %w", api.ErrConflict, err)
	}
	return done, err
}

// Leader implements api.Backend.
func (a *App) Leader() (self bool, addr string) {
	if a.leadership.leads() {
		return true, ""
	}
	_, addr, _ = strings.Cut(a.leadership.identity(), "@")
	return false, addr
}

// view is what the metrics API and the Prometheus collector are made from.
func (a *App) view() metricsapi.View {
	now := time.Now()
	cfg, _ := a.live.current()
	v := metricsapi.View{Snapshot: a.state.Snapshot(now), Config: &config.Config{}, Recommended: map[string]metricsapi.Recommendation{}}
	if cfg == nil {
		return v
	}
	v.Config.SyncPeriod = cfg.SyncPeriod
	for _, name := range a.Kinds() {
		k, _, ok := a.effective(name)
		if !ok {
			continue
		}
		v.Config.Kinds = append(v.Config.Kinds, k)
		v.Recommended[name] = a.recommended(name, now, cfg)
	}
	return v
}

func (a *App) recommended(kind string, now time.Time, cfg *config.Config) metricsapi.Recommendation {
	r := a.runner(kind)
	if r == nil {
		return metricsapi.Recommendation{Unknown: "the kind has just been removed"}
	}
	d, err := r.served(now, cfg)
	if err != nil {
		return metricsapi.Recommendation{Unknown: err.Error()}
	}
	n, err := d.RecommendedReplicas()
	if err != nil {
		return metricsapi.Recommendation{Unknown: err.Error(), At: d.At}
	}
	return metricsapi.Recommendation{Replicas: n, At: d.At}
}

// errNotRun: what a message asks for cannot be committed, and it must not be acknowledged. If the kind was removed for good, the next
// connection finds that its messages are nobody's.
var errNotRun = errors.New("the kind does not run")

// Create implements notify.Handler.
func (a *App) Create(ctx context.Context, kind string, rs []observed.ResourceKnown) error {
	r := a.runner(kind)
	if r == nil {
		return errNotRun
	}
	return r.engine.Create(ctx, rs)
}

// Delete implements notify.Handler.
func (a *App) Delete(ctx context.Context, kind string, ids []string) error {
	r := a.runner(kind)
	if r == nil {
		return errNotRun
	}
	return r.engine.Delete(ctx, ids)
}

// Claim implements notify.Handler.
func (a *App) Claim(ctx context.Context, kind string, ids []string) error {
	r := a.runner(kind)
	if r == nil {
		return errNotRun
	}
	return r.engine.Claim(ctx, ids)
}

// Reconcile implements notify.Handler.
func (a *App) Reconcile(kind string) { a.catalog.Trigger(kind) }

// reconciler is how the catalogue finds a kind's engine.
func (a *App) reconciler(kind string) (catalog.Reconciler, bool) {
	r := a.runner(kind)
	if r == nil {
		return nil, false
	}
	return r.engine, true
}

// poke puts a token into c unless one is there.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
