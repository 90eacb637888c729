// Package loop is what leads a kind: it asks the steps what to do, and does it.
//
// In: orders, ZooKeeper, what callers ask for. Out: transactions, answers, Progress. Invariant: the
// loop alone sends, one goroutine owns it and its State, and it ends with the first error that
// leaves in doubt what ZooKeeper holds or who may write: the next leader reads everything anew.
// It has no clock of its own and starts no goroutine.
//
// It is level-triggered: each step looks at what is, and proposes the next thing to do, if there is
// one. Nothing that must be finished is remembered here: a successor goes on from ZooKeeper alone.
//
//	Pass ─► prepare: orders, and what others changed in ZooKeeper ◄──────────┐
//	        │                                                                │
//	        ├─ stopped? ─► only what is asked of the writer itself           │
//	        ▼                                                                │
//	      the next step that does not back off                               │
//	        ├─ proposes nothing ─────────────────────────► the step after it ┤
//	        ├─ proposes ─► send ─► note, publish, answer ─► the first step ──┤
//	        ├─ is refused ─► it backs off ───────────────► the step after it ┘
//	        ├─ meets a conflict ─► it backs off, and the pass ends: all is read again
//	        └─ fenced, unavailable ─► the term is over
package loop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/release"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
)

// Config is what a Loop is made with.
type Config struct {
	// Holder is what the head names while this loop leads.
	Holder string
	// ReadEvery is the time between two reads of ZooKeeper when nothing changes.
	ReadEvery time.Duration
	Now       func() time.Time
	Store     Store
	Host      Host
	Calls     *steps.Calls
	Inventory *inventory.Inventory
	// Beside has work done beside the loop, which is passed again once Host.Wake is called.
	Beside  func(work func())
	Metrics *Metrics
	Log     *slog.Logger
}

// Store is what a Loop uses of ZooKeeper.
type Store interface {
	Read(ctx context.Context, kind string, s *protocol.State) (fresh *protocol.State, changed bool, err error)
	ReadOnce(ctx context.Context, s *protocol.State) (fresh *protocol.State, changed bool, err error)
	Begin(ctx context.Context, s *protocol.State, ms []protocol.Multi) (finish func() (errs []error))
	ReadLeft(ctx context.Context, kind string, ordinals []int) (protocol.Left, error)
}

// Host is the engine that a Loop runs in.
type Host interface {
	// Alive notes that the loop goes on.
	Alive()
	// Ordered is what is ordered now. It forgets that a status has changed, and that a spread was
	// asked for.
	Ordered() Ordered
	// Publish shows every caller a State, which is not changed any more; changed: more than its age
	// is new.
	Publish(st *protocol.State, changed bool)
	// Wake has the loop passed again.
	Wake()
	// Show shows what is under way.
	Show(p *orders.Progress, now time.Time)
	// Stop shows why the kind is stopped; "": it is not. news: that was not known.
	Stop(why string) (news bool)
	// Resync asks for a complete read of the catalogue.
	Resync()
	// Moved counts resources that were assigned or granted to an instance, by why, in words of
	// ops.Resource, and the id of the plan; "": of none.
	Moved(plan, why string, n int)
	// Changed counts a change of the lists of these ordinals that placed no new resources. It is
	// called after Publish has shown the State with it.
	Changed(ordinals []int, deleted bool)
	// Remember is what previews depend on beside what Publish shows.
	Remember(m *steps.Memory)
}

// Ordered are orders, and what goes with them.
type Ordered struct {
	Orders orders.Orders
	// Number counts the orders.
	Number int
	// Attributes are the weights and pins in force.
	Attributes *inventory.Attributes
	// StatusChanged: ZooKeeper has said that a status changed.
	StatusChanged bool
	// Spread: a person has asked for a spread, however little the lists differ.
	Spread bool
}

// core is what the parts of a Loop share.
type core struct {
	Config
	view steps.View
	// due is when there will be something to do even if the loop is not woken, blocked what keeps
	// this pass from going on.
	due     time.Time
	blocked string
}

// clock takes the time from the clock.
func (c *core) clock() time.Time {
	c.view.Now = c.Now()
	return c.view.Now
}

// again makes the next pass come at that time at the latest.
func (c *core) again(at time.Time) {
	if at.Before(c.due) {
		c.due = at
	}
}

// block notes what keeps work from going on; the first reason of a pass is shown.
func (c *core) block(why string) {
	if c.blocked == "" {
		c.blocked = why
	}
}

// publish shows every caller a copy of the State.
func (c *core) publish(changed bool) { c.Host.Publish(c.view.State.Clone(), changed) }

// Loop is one uninterrupted time of writing under one epoch.
type Loop struct {
	*core
	ordered Ordered
	// stay are the ordinals that stay by the last orders that could be acted upon: what is shown as
	// draining does not depend on a hold. unproven is why unhealthy ordinals are not drained.
	stay     []int
	unproven map[int]string
	// orderedStay are those that stay by the latest orders, reassigned ones included.
	orderedStay []int
	reader      reader
	proof       proof
	teller      *teller
	// creating is served between the batches of other steps, too.
	steps    []step
	creating *step
}

// New returns a loop that goes on from st, which holds the head.
func New(cfg Config, st *protocol.State) *Loop {
	c := &core{Config: cfg, view: steps.View{
		View: release.View{State: st}, Index: cfg.Inventory.Index, Requests: cfg.Inventory.Writer,
		Releases: release.New(), Written: map[int]time.Time{}, Piece: st.NextPiece(),
	}}
	l := &Loop{core: c}
	l.view.Orders = &l.ordered.Orders
	l.proof = proof{core: c}
	l.reader = reader{core: c, proof: &l.proof, readAt: l.clock(), damage: st.Fault()}
	l.teller = newTeller(c)
	l.steps = inOrder(l.teller)
	l.creating = &l.steps[stepCreate]
	c.view.Releases.Observe(st, c.view.Now, c.view.Now)
	l.teller.recall()
	return l
}

// Adopt spreads nothing until then, because the tree was written by another orchestrator.
func (l *Loop) Adopt(until time.Time) {
	name, data := l.teller.spread.Adopted(until)
	// while it leads; no caller waits for it
	_, _ = l.Calls.Keep(l.view.Now, name, orders.Replace(data))
}

// Due is when the next pass must be at the latest.
func (l *Loop) Due() time.Time { return l.due }

// Pass does whatever there is to do now. After each thing done it begins anew with what callers
// wait for. An error says that this loop must not go on.
func (l *Loop) Pass(ctx context.Context) error {
	l.due = l.clock().Add(l.ReadEvery)
	l.blocked = ""
	for i := 0; i < len(l.steps) && ctx.Err() == nil; {
		s := &l.steps[i]
		if err := l.prepare(ctx); err != nil {
			return err
		}
		if !s.always && l.stopped() {
			break
		}
		did, ended, err := l.try(ctx, s)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", s.name, err)
		case ended:
			l.progress()
			return nil
		case did:
			l.progress()
			i = 0
		default:
			i++
		}
	}
	l.progress()
	return ctx.Err()
}

// try has a step done, unless it backs off. did: something was done; ended: the pass is over,
// because others have written. An error ends the term.
func (l *Loop) try(ctx context.Context, s *step) (did, ended bool, err error) {
	if until := s.failure.until; l.view.Now.Before(until) {
		l.again(until)
		l.block(s.failure.worthSaying())
		return false, false, nil
	}
	did, err = l.do(ctx, s)
	switch {
	case err == nil:
		s.failure = failure{}
		return did, false, nil
	case errors.Is(err, protocol.ErrConflict):
		l.conflicted(s, err)
		return false, true, nil
	case l.ends(ctx, err):
		return false, false, err
	}
	l.refused(s, err)
	return false, false, nil
}

// ends says whether an error leaves in doubt what ZooKeeper holds or who may write.
func (l *Loop) ends(ctx context.Context, err error) bool {
	return errors.Is(err, protocol.ErrFenced) || errors.Is(err, protocol.ErrUnavailable) || err != nil && ctx.Err() != nil
}

// conflicted notes that another client had changed what a step was to write. Once is ordinary; what
// goes on is said.
func (l *Loop) conflicted(s *step, err error) {
	l.Metrics.conflicts.Inc()
	l.Log.Warn("another client changed what was being written; reading again", "step", s.name, "error", err)
	l.reader.dirty = true
	l.again(s.failed(err, l.view.Now))
	l.block(s.failure.worthSaying())
}

// refused notes that a step was impossible. The others go on; it is tried again after a pause.
func (l *Loop) refused(s *step, err error) {
	l.again(s.failed(err, l.view.Now))
	l.block(s.failure.text)
	if l.view.Now.Sub(s.logged) > time.Minute {
		s.logged = l.view.Now
		l.Log.Error("a step was refused", "step", s.name, "error", err)
	}
}

// prepare takes the latest orders, and reads ZooKeeper when something may have changed there or it
// is time.
func (l *Loop) prepare(ctx context.Context) error {
	l.Host.Alive()
	l.clock()
	l.order()
	defer func() { l.view.Releases.FindFixed(&l.view.View, l.ordered.Number, l.reader.readAt) }()
	return l.reader.keepUp(ctx)
}

// order takes the latest orders.
func (l *Loop) order() {
	l.ordered = l.Host.Ordered()
	l.view.Attributes = l.ordered.Attributes
	l.reader.changed = l.reader.changed || l.ordered.StatusChanged
	l.orderedStay = l.ordered.Orders.Stay
	if l.view.Refusal = l.ordered.Orders.Refusal(l.view.Now); l.view.Refusal == "" {
		l.ordered.Orders.Stay, l.unproven = l.view.Releases.Reassign(&l.view.View)
		l.stay = append([]int{}, l.ordered.Orders.Stay...)
		l.teller.spread.Ordered(l.ordered.Orders.Overloaded)
	}
	if l.ordered.Spread {
		l.teller.spread.Ask()
	}
}

// stopped stops everything but what is asked of the writer itself: what else was asked waits.
func (l *Loop) stopped() bool {
	why := l.reader.fault()
	news := l.Host.Stop(why)
	switch {
	case news && why != "":
		l.Metrics.alarm.Set(1)
		l.Log.Error("the kind is stopped", "reason", why)
	case news:
		l.Metrics.alarm.Set(0)
		l.Log.Info("the alarm is over: the kind is no longer stopped")
	}
	return why != ""
}
