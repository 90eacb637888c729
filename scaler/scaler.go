// Package scaler keeps one kind at the size its resources and its load ask for.
//
// In: a snapshot on every tick. Out: Orders to the rebalancer, a size written to /scale, pods restarted, and the Decision that
// says why. Invariant: no write lowers replicas while an ordinal that would go is open or owns anything, and blind means still.
//
//	snapshot ─► decide ─► orders ─► engine (closes, empties, fills)
//	                └───► /scale: growth at once, a shrink only when engine.Drained says that nothing is left;
//	                      neither unless ZooKeeper has just said that this process leads
//
// A tick is level-triggered: it looks at what is and not at what was, so a lost tick, a new leader or a load that returns in the
// middle of a drain needs no care of its own. How far a drain is (drain.go) is told from what is, too. What must outlive a leader is in the kept document (kept.go).
package scaler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/actuate"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// Config is what a Scaler needs to know once; everything that operators tune comes with each tick.
type Config struct {
	// Kind is the kind of resources it sizes.
	Kind string
	// DryRun: nothing is written; the decisions say what would be done.
	DryRun bool
}

// Engine is what the scaler uses of *rebalancer.Engine.
type Engine interface {
	Order(orders.Orders)
	// Drained must fail when ZooKeeper does not answer, when this process does not hold the head any
	// more, or when one of the ordinals is open; Leads in the first two cases.
	Drained(ctx context.Context, ordinals []int) (left map[int]int, err error)
	Leads(ctx context.Context) error
	// Head is false until ZooKeeper has been read.
	Head() (orders.Head, bool)
	InFlight() []orders.Flight
	Progress() orders.Progress
	// Keep must fail with rebalancer.ErrNotLeading until this process holds the head.
	Keep(ctx context.Context, name string, change orders.Update) error
	Kept(name string) ([]byte, bool)
}

// Actuator is what the scaler uses of *actuate.Kubernetes and *workload.PodLister.
type Actuator interface {
	GroupActuator
	Claim(ctx context.Context, w actuate.Workload, leader string) error
	Size(ctx context.Context, w actuate.Workload) (actuate.Size, error)
	Resize(ctx context.Context, w actuate.Workload, read actuate.Size, replicas int) (actuate.Size, error)
	Restart(ctx context.Context, w actuate.Workload, pod, uid string) error
	// Census lists all pods of the namespace that have not ended, with any owner or none:
	// completely, or not at all.
	Census(ctx context.Context) (observed.Census, error)
	Publish(w actuate.Workload, e actuate.Event)
}

// Scaler sizes one kind for one term of leadership. It is used by one goroutine.
type Scaler struct {
	cfg    Config
	engine Engine
	act    Actuator
	log    *slog.Logger
	m      *metrics

	period   time.Duration
	restored bool
	history  decide.History
	census   census
	last     decide.Decision
	input    decide.Input // what last was made from
	keptAt   time.Time
	// unkept is why the document was refused when it was last to be kept, if that was for its size.
	unkept error
	// claimed is the leadership that the StatefulSet was marked with.
	claimed claim
	waiting waiting
	// groups are the InstanceGroups' status as written last, by uid.
	groups map[string]groupWritten
	// unfollowed are those that count for nothing, by uid.
	unfollowed map[string]unfollowed
	// raised are the conditions an event was raised for, by reason. began is when this leader
	// looked first, and passed are the conditions that are no more than its start no longer.
	raised map[string]time.Time
	began  time.Time
	passed map[string]bool
}

// New returns a Scaler; reg gets its metrics with the label kind.
func New(cfg Config, engine Engine, act Actuator, log *slog.Logger, reg prometheus.Registerer) *Scaler {
	return &Scaler{
		cfg: cfg, engine: engine, act: act, log: log.With("kind", cfg.Kind), m: newMetrics(reg, cfg.Kind),
		period: 2 * time.Second, raised: map[string]time.Time{}, passed: map[string]bool{}, groups: map[string]groupWritten{}, unfollowed: map[string]unfollowed{},
	}
}

// Every says how often Tick is called at least; the engine disregards orders that are three of these old. Default 2 s.
func (s *Scaler) Every(period time.Duration) { s.period = period }

// Input is what the last Tick's decision was made from. It may be called between ticks only.
func (s *Scaler) Input() decide.Input { return s.input }

// Tick looks once: it decides, orders, and acts. It is called by the leader only, every SyncPeriod and when something changed.
// On the first tick of a leadership it takes up the windows its predecessor kept in ZooKeeper.
func (s *Scaler) Tick(ctx context.Context, now time.Time, cfg config.Kind, snap observed.Kind) decide.Decision {
	begun := time.Now()
	if s.began.IsZero() {
		s.began = now
	}
	s.restore(now)
	in := decide.Input{Now: now, Config: cfg, Observed: snap, History: s.history}
	d := decide.Decide(in)
	s.input = in
	s.history = decide.Next(in, d)

	d.Drain = s.last.Drain // until this look has told it anew: what is kept before must not lose it
	w := statefulSet(&in)
	hold := s.lead(ctx, now, &d, w)
	orders := s.orders(ctx, &in, &d, hold)
	if !s.cfg.DryRun {
		s.engine.Order(orders)
	}
	t := turn{Scaler: s, ctx: ctx, now: now, in: &in, d: &d, w: w, orders: &orders}
	t.resize()
	t.restart()
	t.drain()
	t.raise()
	t.tellGroups()
	s.keep(ctx, now, &d)
	s.report(&d)
	s.m.observe(&d, time.Since(begun))
	return d
}

// report logs a decision that differs from the last one.
func (s *Scaler) report(d *decide.Decision) {
	level := slog.LevelDebug
	if d.Verb != s.last.Verb || d.Reason != s.last.Reason || d.Desired != s.last.Desired || done(d) != done(&s.last) {
		level = slog.LevelInfo
	}
	s.log.Log(context.Background(), level, d.Summary, "statefulset", d.StatefulSet, "decision", d.Verb, "reason", d.Reason, "act", acted(d))
	s.last = *d
}

func done(d *decide.Decision) string {
	if d.Act == nil {
		return ""
	}
	return d.Act.Done
}

func acted(d *decide.Decision) string {
	if d.Act == nil {
		return ""
	}
	return d.Act.Text
}

// statefulSet names the StatefulSet for the actuator; its UID is empty while it is not known.
func statefulSet(in *decide.Input) actuate.Workload {
	w := actuate.Workload{Namespace: in.Observed.Namespace, Name: in.Config.StatefulSet}
	if in.Observed.Workload != nil {
		w.UID = in.Observed.Workload.UID
	}
	return w
}

// claim is one leadership over one StatefulSet.
type claim struct{ holder, uid string }

// lead returns why this process may not order or write anything yet; "" if it may. A leader writes only after it holds the head
// (a document could be kept) and has raised the StatefulSet's resourceVersion, so that what a former leader has read is void.
func (s *Scaler) lead(ctx context.Context, now time.Time, d *decide.Decision, w actuate.Workload) string {
	if s.cfg.DryRun {
		return "dry run"
	}
	head, read := s.engine.Head()
	if !read {
		return "ZooKeeper has not been read yet"
	}
	this := claim{holder: head.Holder, uid: w.UID}
	if this == s.claimed && w.UID != "" {
		return ""
	}
	err := s.store(ctx, now, d)
	if errors.Is(err, orders.ErrTooLarge) { // that document alone is at fault: whether this process leads is asked otherwise
		err = s.engine.Leads(ctx)
	}
	if err != nil {
		return "this process does not hold the head yet: " + err.Error()
	}
	if w.UID == "" {
		return "the StatefulSet is not known"
	}
	head, _ = s.engine.Head()
	this.holder = head.Holder
	err = fault.Fail("lead.claiming")
	if err == nil {
		err = s.act.Claim(ctx, w, this.holder)
	}
	if err != nil {
		d.Denied = denied(err, w)
		return "the StatefulSet could not be claimed: " + err.Error()
	}
	fault.Point("lead.claimed")
	s.claimed = this
	return ""
}

// denied is what err says about rights that are missing for writing w; "": err says nothing about rights.
func denied(err error, w actuate.Workload) string {
	if !errors.Is(err, actuate.ErrDenied) {
		return ""
	}
	return fmt.Sprintf("the rights of this server lack StatefulSet %s: the Role shardscaler-statefulsets must name it in resourceNames of both rules (%v)", w.Name, err)
}
