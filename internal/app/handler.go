package app

import (
	"context"
	"errors"

	"github.com/shardscaler/shardscaler/adapter/catalog"
	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/rebalancer"
)

// handler brings what messages say to the kinds' engines: it is the notify.Handler.
type handler struct {
	runners *runners
	catalog *catalog.Source
}

// errNotRun: what a message asks for cannot be committed, and it must not be acknowledged. If the
// kind was removed for good, the next connection finds that its messages are of no kind.
var errNotRun = errors.New("the kind does not run")

// with lets the engine of a kind do something.
func (h handler) with(kind string, do func(*rebalancer.Engine) error) error {
	r := h.runners.runner(kind)
	if r == nil {
		return errNotRun
	}
	return do(r.engine)
}

// Create implements notify.Handler.
func (h handler) Create(ctx context.Context, kind string, rs []observed.ResourceKnown) error {
	return h.with(kind, func(e *rebalancer.Engine) error { return e.Create(ctx, rs) })
}

// Delete implements notify.Handler.
func (h handler) Delete(ctx context.Context, kind string, ids []string) error {
	return h.with(kind, func(e *rebalancer.Engine) error { return e.Delete(ctx, ids) })
}

// Claim implements notify.Handler.
func (h handler) Claim(ctx context.Context, kind string, ids []string) error {
	return h.with(kind, func(e *rebalancer.Engine) error { return e.Claim(ctx, ids) })
}

// Shown implements notify.Handler.
func (h handler) Shown(kind string, ids []string) error {
	return h.with(kind, func(e *rebalancer.Engine) error { return e.Shown(ids) })
}

// Padded implements notify.Handler.
func (h handler) Padded(kind string) bool { return h.catalog.Padded(kind) }

// Heard implements notify.Handler.
func (h handler) Heard(kind string) {
	if r := h.runners.runner(kind); r != nil {
		r.engine.Heard()
	}
}

// Reconcile implements notify.Handler.
func (h handler) Reconcile(kind string) { h.catalog.Trigger(kind) }
