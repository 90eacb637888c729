package app

import (
	"context"
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/history"
	"github.com/shardscaler/shardscaler/internal/previews"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/decide"
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
		Decision: v.Decision, Progress: v.Progress, Waiting: v.Waiting, Follows: v.Follows,
	}
	if view.Decision == nil {
		if _, err := r.served(view.Now); err != nil {
			view.Undecided = err.Error()
		}
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
	found := ops.ResourceOf(v, id, ordinal)
	if t, known := r.engine.MovesOf(id); known {
		found.Follow(t)
	}
	return found, true
}

// Preview implements kinds.Plans.
func (o operators) Preview(ctx context.Context, kind string, c ops.Change) (ops.Plan, error) {
	l, err := o.leading(ctx, kind)
	if err != nil {
		return ops.Plan{}, err
	}
	leave, err := l.previews.Enter(ctx)
	if err != nil {
		return ops.Plan{}, err
	}
	defer leave()
	return l.previews.Preview(l, c, l.put(c, ""), time.Now())
}

// Apply implements kinds.Plans.
func (o operators) Apply(ctx context.Context, kind, id, by string) (ops.Applied, error) {
	l, err := o.leading(ctx, kind)
	if err != nil {
		return ops.Applied{}, err
	}
	head, _ := l.engine.Head()
	return l.previews.Apply(ctx, id, by, head.Epoch, time.Now, func(p previews.Plan) (ops.Applied, error) {
		if err := o.mayApply(ctx, kind, &p.Basis.Change); err != nil {
			return ops.Applied{}, err
		}
		if err := p.Unchanged(l); err != nil {
			return ops.Applied{}, err
		}
		if err := previews.Refused(l, &p, l.put(p.Basis.Change, by), time.Now()); err != nil {
			return ops.Applied{}, err
		}
		return l.apply(ctx, &p, by)
	})
}

// mayApply says whether the caller may make the change of a plan: to apply it is no way around that.
func (o operators) mayApply(ctx context.Context, kind string, c *ops.Change) error {
	verb, subresource := callOf(c)
	if verb == "" { // a spread, for which there is no other call
		return nil
	}
	return o.app.guard.May(ctx, access.Right{Verb: verb, Resource: "kinds", Subresource: subresource, Name: kind})
}

// callOf is the call that makes a change, as its right names it; "": there is none.
func callOf(c *ops.Change) (verb, subresource string) {
	switch {
	case c.Size != nil:
		return "update", "size"
	case c.EndSize:
		return "delete", "size"
	case c.MaxInstances != nil, c.Capacity != nil:
		return "update", "limits"
	case c.Drain != nil:
		return "create", "drains"
	case c.Undrain != nil:
		return "delete", "drains"
	case c.Pin != nil:
		return "create", "pins"
	case c.Move != nil:
		return "create", "moves"
	case c.Unpin != "":
		return "delete", "pins"
	case c.Paused != nil && *c.Paused:
		return "create", "pause"
	case c.Paused != nil:
		return "delete", "pause"
	}
	return "", ""
}

// leading is a kind that this process leads: it is the previews.Leader.
type leading struct {
	*runner
	cfg  *config.Config
	base *config.Kind
}

// leading asks ZooKeeper whether this process leads.
func (o operators) leading(ctx context.Context, kind string) (*leading, error) {
	r, cfg, base, err := o.app.configured(kind)
	if err != nil {
		return nil, err
	}
	return &leading{r, cfg, base}, r.engine.Leads(ctx)
}

// apply carries the plan out as the change that it was made for.
func (l *leading) apply(ctx context.Context, p *previews.Plan, by string) (ops.Applied, error) {
	c := p.Basis.Change
	done := l.changing(l.cfg, l.base, c, by)
	if err := l.engine.Keep(ctx, done.name, previews.Guarded(l, p, done.update)); err != nil {
		return ops.Applied{}, fmt.Errorf("apply plan: %w", err)
	}
	if c == (ops.Change{}) {
		l.engine.Spread()
	}
	l.asked.Wake()
	applied := done.applied(c)
	applied.ID = p.ID
	return applied, nil
}

// put makes of what stands what the change would make of it.
func (l *leading) put(c ops.Change, by string) func(was ops.Over) (ops.Over, error) {
	return func(was ops.Over) (ops.Over, error) {
		is, err := c.Put(was, l.ground(l.cfg, l.base), by, time.Now())
		return is, refusal(err)
	}
}

// Standing implements previews.Leader.
func (l *leading) Standing() (config.Kind, ops.Over, error) {
	_, _, base, err := l.app.configured(l.kind)
	if err != nil {
		return config.Kind{}, ops.Over{}, err
	}
	_, over := l.overrides().Standing(*base, time.Now())
	return *base, over, nil
}

// Orders implements previews.Leader.
func (l *leading) Orders(k config.Kind, operator config.Operator) (d decide.Decision, o orders.Orders, err error) {
	_, basis := l.own()
	d, o, ok := basis.Orders(k, operator)
	if !ok {
		return d, o, rebalancer.ErrNoPreview
	}
	return d, o, nil
}

// Head implements previews.Leader.
func (l *leading) Head() (orders.Head, bool) { return l.engine.Head() }

// Lookup implements previews.Leader.
func (l *leading) Lookup(id string) (int, bool) { return l.engine.Lookup(id) }

// Changed implements previews.Leader.
func (l *leading) Changed() map[int]orders.Changes { return l.engine.Changed() }

// Preview implements previews.Leader.
func (l *leading) Preview(o orders.Orders, asked bool) (*rebalancer.Preview, error) {
	return l.engine.Preview(o, asked)
}

// Hindrance implements previews.Leader.
func (l *leading) Hindrance() string { return l.engine.Hindrance() }

// History implements kinds.Histories.
func (o operators) History(kind string, q history.Query) ops.EntryList {
	r := o.app.runner(kind)
	if r == nil {
		return ops.EntryList{Items: []ops.Entry{}}
	}
	return r.timeline.List(q)
}

// Decided implements kinds.Histories.
func (o operators) Decided(kind, id string) (ops.Decision, bool) {
	r := o.app.runner(kind)
	if r == nil {
		return ops.Decision{}, false
	}
	return r.timeline.Decided(id)
}

// record has an entry of the audit log in the kind's history, if this replica leads: it carries
// changes out.
func (o operators) record(kind string, c ops.ChangeEntry) {
	if r := o.app.runner(kind); r != nil {
		r.timeline.Changed(c)
	}
}
