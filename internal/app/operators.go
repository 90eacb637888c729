package app

import (
	"context"
	"errors"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/ops"
)

// operators is the kinds.Backend: what persons see and ask for.
type operators struct{ app *App }

// Kinds implements kinds.Reads.
func (o operators) Kinds() []string { return o.app.Kinds() }

// View implements kinds.Reads.
func (o operators) View(kind string) (*ops.View, bool) {
	v, ok := o.app.Kind(kind)
	r, _, base, err := o.app.configured(kind)
	if !ok || err != nil {
		return nil, false
	}
	in := o.app.live.loaded()
	view := &ops.View{
		Now: time.Now(), Config: v.Config, Base: *base, Override: v.Override, Operator: v.Operator, Snapshot: v.Snapshot, State: v.State,
		Generation: in.generation, Version: in.version, LoadedAt: in.at, Refused: in.refused, Written: in.written[kind],
		Decision: v.Decision, Progress: v.Progress, Waiting: v.Waiting,
	}
	if view.Decision == nil {
		if _, err := r.served(view.Now); err != nil {
			view.Undecided = err.Error()
		}
	}
	if !o.app.leadership.leads() { // the leader alone reads the catalogue: what is here is of a former term
		view.Snapshot.Sources.Catalogue = observed.Source{}
	}
	view.Input = r.replay(view.Now, v.Config, v.Operator, v.Snapshot)
	return view, true
}

// Resource implements kinds.Reads. Where it is the index says; the rest is of the view.
func (o operators) Resource(kind, id string) (ops.Resource, bool) {
	v, ok := o.View(kind)
	r := o.app.runner(kind)
	if !ok || r == nil {
		return ops.Resource{}, false
	}
	ordinal, ok := r.engine.Lookup(id)
	if !ok {
		return ops.Resource{}, false
	}
	return ops.ResourceOf(v, id, ordinal), true
}

// Preview implements kinds.Plans.
func (o operators) Preview(ctx context.Context, kind string, c ops.Change) (ops.Plan, error) {
	return ops.Plan{}, errors.ErrUnsupported
}

// Apply implements kinds.Plans.
func (o operators) Apply(ctx context.Context, kind, id, by string) (ops.Applied, error) {
	return ops.Applied{}, errors.ErrUnsupported
}

// History implements kinds.Histories.
func (o operators) History(kind string) ops.EntryList { return ops.EntryList{} }

// Decided implements kinds.Histories.
func (o operators) Decided(kind, id string) (ops.Decision, bool) { return ops.Decision{}, false }
