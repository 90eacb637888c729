package app

import (
	"context"
	"errors"
	"time"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/history"
)

// operators is the kinds.Backend: what persons see and ask for.
type operators struct{ app *App }

// Kinds implements kinds.Reads.
func (o operators) Kinds() []string { return o.app.Kinds() }

// View implements kinds.Reads.
func (o operators) View(kind string) (*ops.View, bool) {
	v, ok := o.app.Kind(kind)
	if !ok {
		return nil, false
	}
	return &ops.View{
		Now: time.Now(), Config: v.Config, Override: v.Override, Snapshot: v.Snapshot, State: v.State,
		Decision: v.Decision, Progress: v.Progress, Waiting: v.Waiting,
	}, true
}

// Resource implements kinds.Reads.
func (o operators) Resource(kind, id string) (ops.Resource, bool) { return ops.Resource{}, false }

// Resources implements kinds.Reads.
func (o operators) Resources(kind, after string, yield func(ops.ResourceAt) bool) {}

// Change implements kinds.Changes.
func (o operators) Change(ctx context.Context, kind string, c ops.Change, by string) (ops.Applied, error) {
	return ops.Applied{}, errors.ErrUnsupported
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
func (o operators) History(kind string, q history.Query) ops.EntryList {
	r := o.app.runner(kind)
	if r == nil {
		return ops.EntryList{Items: []ops.Entry{}}
	}
	return r.history.List(q)
}

// Decided implements kinds.Histories.
func (o operators) Decided(kind, id string) (ops.Decision, bool) {
	r := o.app.runner(kind)
	if r == nil {
		return ops.Decision{}, false
	}
	return r.history.Decided(id)
}

// record has an entry of the audit log in the kind's history, if this replica leads: it carries
// changes out.
func (o operators) record(kind string, c ops.ChangeEntry) {
	if r := o.app.runner(kind); r != nil {
		r.history.Changed(c)
	}
}
