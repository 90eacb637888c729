package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/api/kinds"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler"
)

// The documents under which is kept in ZooKeeper what persons have put over a kind: its values in
// the ConfigMap, and the rest. Builds that know only the first rewrite it whole.
const (
	overrideName = "override"
	operatorName = scaler.OperatorName
)

// overrides is what persons have put over the kind. What cannot be read is ignored, and logged
// once.
func (r *runner) overrides() (o ops.Over) {
	o.Override, _ = read(r, &r.keptOverride, overrideName, parsing(r, overrideName, parseOverride))
	o.Operator, _ = read(r, &r.keptOperator, operatorName, parsing(r, operatorName, scaler.ParseOperator))
	return o
}

func parsing[T any](r *runner, name string, parse func(kept []byte) (T, error)) func(kept []byte) (T, error) {
	return func(kept []byte) (T, error) {
		v, err := parse(kept)
		if err != nil {
			r.log.Error("what persons have put over the kind cannot be read and is ignored", "document", name, "error", err)
		}
		return v, err
	}
}

func parseOverride(kept []byte) (o config.Override, err error) {
	if len(kept) == 0 {
		return o, nil
	}
	if err := exact.JSON(kept, &o); err != nil {
		return config.Override{}, err
	}
	return o, nil
}

// changing is a change of one of the documents, which may be tried more than once.
type changing struct {
	name   string
	update orders.Update
	// is what it has come to; before is what stood.
	before, is ops.Over
}

// applied is what the change c has come to.
func (d *changing) applied(c ops.Change) ops.Applied {
	return ops.Applied{Change: c, Kept: d.is.List(), Version: d.is.Version(), Before: d.before.Text(), After: d.is.Text()}
}

// change carries out what by asks for, and wakes the kind's loop, which does the rest. What is
// refused is so at once, not only when ZooKeeper can be written.
func (r *runner) change(ctx context.Context, cfg *config.Config, base *config.Kind, c ops.Change, by string) (*changing, error) {
	if err := r.refuses(cfg, base, c, by); err != nil {
		return nil, err
	}
	done := r.changing(cfg, base, c, by)
	if err := r.engine.Keep(ctx, done.name, done.update); err != nil {
		return nil, fmt.Errorf("keep %s: %w", done.name, err)
	}
	r.asked.Wake()
	return done, nil
}

func (r *runner) refuses(cfg *config.Config, base *config.Kind, c ops.Change, by string) error {
	now := time.Now()
	_, was := r.overrides().Standing(*base, now)
	if !ops.Matches(c.IfMatch, was.Version()) {
		return kinds.ErrPrecondition
	}
	_, err := c.Put(was, r.ground(cfg, base), by, now)
	return refusal(err)
}

// refusal is why a change is the caller's fault.
func refusal(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ops.ErrNothingToEnd):
		return fmt.Errorf("%w: %w", kinds.ErrNotFound, err)
	}
	return fmt.Errorf("%w: %w", kinds.ErrInvalid, err)
}

// ground is what a change is checked against: what this replica has seen.
func (r *runner) ground(cfg *config.Config, base *config.Kind) *ops.Ground {
	g := &ops.Ground{Base: *base, Ceiling: cfg.MaxInstancesCeiling, At: r.engine.Lookup, Binds: r.engine.Binds}
	if g.Observed = r.app.state.Kind(r.kind); g.Observed == nil {
		g.Observed = &observed.Kind{}
	}
	return g
}

// changing makes the change of the kept document. It is called by the one goroutine that writes, so
// that nothing changes the other document meanwhile; and again over its own text if the answer was
// lost.
func (r *runner) changing(cfg *config.Config, base *config.Kind, c ops.Change, by string) *changing {
	now, g, done := time.Now(), r.ground(cfg, base), &changing{name: overrideName}
	if c.ForOperator() {
		done.name = operatorName
	}
	var made []byte
	done.update = func(old []byte) ([]byte, error) {
		if made != nil && bytes.Equal(old, made) {
			return made, nil
		}
		was := r.overrides()
		if done.name == overrideName {
			was.Override, _ = parseOverride(old)
		} else {
			was.Operator, _ = scaler.ParseOperator(old)
		}
		if _, done.before = was.Standing(*base, now); !ops.Matches(c.IfMatch, done.before.Version()) {
			return nil, kinds.ErrPrecondition
		}
		is, err := c.Put(was, g, by, now)
		if err != nil {
			return nil, refusal(err)
		}
		done.is = is
		if done.name == overrideName {
			made, err = json.Marshal(is.Override)
		} else {
			made, err = json.Marshal(is.Operator)
		}
		return made, err
	}
	return done
}

// Overrides implements kinds.Changes.
func (o operators) Overrides(kind string) (ops.Overrides, bool) {
	_, _, standing, ok := o.app.effective(kind)
	return ops.Overrides{Items: standing.List(), Version: standing.Version()}, ok
}

// Change implements kinds.Changes.
func (o operators) Change(ctx context.Context, kind string, c ops.Change, by string) (ops.Applied, error) {
	r, cfg, base, err := o.app.configured(kind)
	if err != nil {
		return ops.Applied{}, err
	}
	if c == (ops.Change{IfMatch: c.IfMatch}) {
		if err := r.refuses(cfg, base, c, by); err != nil {
			return ops.Applied{}, err
		}
		r.asked.Wake()
		_, is := r.overrides().Standing(*base, time.Now())
		return ops.Applied{Kept: is.List(), Version: is.Version(), Before: is.Text(), After: "the leader looks now"}, nil
	}
	done, err := r.change(ctx, cfg, base, c, by)
	if err != nil {
		return ops.Applied{}, err
	}
	return done.applied(c), nil
}

// Rollback implements kinds.Changes.
func (o operators) Rollback(ctx context.Context, kind, by string) (rebalancer.RolledBack, error) {
	r, cfg, base, err := o.app.configured(kind)
	if err != nil {
		return rebalancer.RolledBack{}, err
	}
	return r.rollback(ctx, cfg, base, by)
}

// Confirm implements kinds.Changes.
func (o operators) Confirm(ctx context.Context, kind string, set, deletes int) error {
	return o.app.Confirm(ctx, kind, set, deletes)
}

// Reassign implements kinds.Changes.
func (o operators) Reassign(ctx context.Context, kind string, ordinal int, by string) (ops.AssumedDead, error) {
	done, err := o.app.Reassign(ctx, kind, ordinal, by)
	return ops.AssumedDead{Instance: done.Ordinal, Pod: done.Pod, UID: done.UID, By: done.By, Left: done.Left}, err
}
