// Package scaler keeps one kind at the size its resources and its load ask for.
//
// In: a snapshot on every tick. Out: Orders to the rebalancer, a size written to /scale, pods
// restarted, and the Decision that says why, with its Outcome. Invariant: no write lowers replicas
// while an ordinal that would leave is open or owns anything, and blind means that nothing is done.
//
//	decide   snapshot ─► Decision: nothing changes it from here on
//	order    ─► Orders to the engine, which closes, empties and fills; their notes on single
//	         instances
//	act      ─► /scale: up at once, down only when engine.Drained says that nothing is left, and
//	         neither unless ZooKeeper has just said that this process leads; pods that are
//	         restarted
//	tell     ─► events, InstanceGroups, the kept document, log and metrics
//
// A tick is level-triggered: it looks at what is and not at what was, so a lost tick, a new leader
// or a load that returns in the middle of a drain needs no care of its own. How far a drain is, is
// told from what is, too (outcome). What must outlive a leader is in the kept document (kept.go).
package scaler

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/actuate"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// Config is what a Scaler needs to know once; everything that operators tune comes with each tick.
type Config struct {
	Kind string
	// DryRun is the mode recommend: nothing is written; the decisions say what would be done.
	DryRun bool
	// Told is what else is stored with each decision, for followers to show: JSON of at most 32 KiB,
	// more is left out; says is what of it is news, for reflect.DeepEqual. nil: nothing is.
	Told func() (told json.RawMessage, says any)
	// Now is the clock by which the scaler times what it does. Default time.Now.
	Now func() time.Time
}

// Engine is what the scaler uses of *rebalancer.Engine.
type Engine interface {
	Order(orders.Orders)
	// Drained must fail when ZooKeeper does not answer, when this process does not hold the head
	// any more, or when one of the ordinals is open; Leads in the first two cases.
	Drained(ctx context.Context, ordinals []int) (left map[int]int, err error)
	Leads(ctx context.Context) error
	// Head is false until ZooKeeper has been read.
	Head() (orders.Head, bool)
	InFlight() []orders.Flight
	Progress() orders.Progress
	// Lookup says which list holds a resource, -1: none; false: there is no such resource, or
	// ZooKeeper has not been read.
	Lookup(id string) (ordinal int, ok bool)
	// Keep must fail with rebalancer.ErrNotLeading until this process holds the head.
	Keep(ctx context.Context, name string, change orders.Update) error
	Kept(name string) ([]byte, bool)
}

// Actuator is what the scaler uses of *actuate.Kubernetes, *actuate.Groups and *workload.PodLister.
type Actuator interface {
	Claim(ctx context.Context, w actuate.Workload, leader string) error
	Size(ctx context.Context, w actuate.Workload) (actuate.Size, error)
	Resize(ctx context.Context, w actuate.Workload, read actuate.Size, replicas int) error
	Restart(ctx context.Context, w actuate.Workload, pod, uid string) error
	ListPods(ctx context.Context) (observed.PodList, error)
	SeedGroup(ctx context.Context, group actuate.Workload, generation int64, replicas int) error
	UpdateGroupStatus(ctx context.Context, group actuate.Workload, update func(*v1alpha1.InstanceGroupStatus)) (v1alpha1.InstanceGroupStatus, error)
	Publish(w actuate.Workload, e actuate.Event)
}

// Scaler sizes one kind for one term of leadership. It is used by one goroutine.
type Scaler struct {
	cfg    Config
	engine Engine
	act    Actuator
	log    *slog.Logger
	m      *metrics

	period  time.Duration
	history decide.History
	basis   Basis          // of the last tick, but for its Operator, which is for the next one
	last    outcome.Report // of the last tick; of the predecessor's, before the first
	doc     document
	// claimed is the leadership that the StatefulSet was marked with.
	claimed claim
	pods    podList
	waiting waiting
	events  events
	groups  groups
}

// New returns a Scaler; reg gets its metrics with the label kind.
func New(cfg Config, engine Engine, act Actuator, log *slog.Logger, reg prometheus.Registerer) *Scaler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Scaler{
		cfg: cfg, engine: engine, act: act, log: log.With("kind", cfg.Kind), m: newMetrics(reg, cfg.Kind, cfg.Now), period: 2 * time.Second,
		events: events{act: act, dryRun: cfg.DryRun, passed: map[string]bool{}, raised: map[string]raised{}},
		groups: groups{act: act, told: map[string]*told{}}, doc: document{ticks: keptTicks},
	}
}

// Every says how often Tick is called at least; the engine disregards orders that are three of
// these old. Default 2 s.
func (s *Scaler) Every(period time.Duration) { s.period = period }

// Tick decides, orders, acts and tells, once, and returns the decision and what became of it. The
// leader alone calls it; the first time, it takes up what the predecessor kept in ZooKeeper.
func (s *Scaler) Tick(ctx context.Context, now time.Time, cfg config.Kind, snap observed.Kind) (decide.Decision, outcome.Outcome) {
	begun := s.cfg.Now()
	s.restore(now)
	in := decide.Input{Now: now, Config: cfg, Observed: snap, History: s.history, Operator: s.basis.Input.Operator}
	d := decide.Decide(in)
	s.basis.Input, s.history = in, decide.Next(in, d)

	// until it is told anew: what is kept before must not lose it
	out := outcome.Outcome{Drain: s.last.Drain}
	t := tick{in: &in, set: statefulSet(&in), d: outcome.NewReport(d, out)}
	notLeading, lacking := s.lead(ctx, &t)

	s.basis.answers = s.ask(ctx, &in, &d, notLeading)
	o, notes := order(&in, &d, s.basis.answers)
	if !s.cfg.DryRun {
		s.engine.Order(o)
	}
	t.suspended, t.progress = o.Suspended, s.engine.Progress()
	out.Denied, out.Notes = lacking, notes
	t.d = outcome.NewReport(d, out)

	out.Act, lacking = s.carryOut(ctx, &t)
	out.Denied = cmp.Or(lacking, out.Denied)
	seen := outcome.Sight{In: &in, Decision: &d, Act: out.Acted(), Suspended: t.suspended, Blocked: t.progress.Blocked}
	out.Drain = seen.Drain(s.last.Drain)
	t.d = outcome.NewReport(d, out)
	s.tell(ctx, &t, begun)
	return d, out
}

// tell says what a tick came to: in events, in InstanceGroups, in ZooKeeper, in the log and in
// metrics.
func (s *Scaler) tell(ctx context.Context, t *tick, begun time.Time) {
	if ctx.Err() == nil { // or the inputs may have ended with the term
		s.events.raise(t, &s.last, s.doc.refused)
	}
	head, read := s.engine.Head()
	// there, nothing is to be claimed
	leads := read && (s.claimed.holder == head.Holder || t.d.Reason == decide.NoWorkload)
	if leads && !s.cfg.DryRun {
		s.groups.tell(ctx, t)
	}
	s.keep(ctx, t.d)
	s.endMoves(ctx)
	act, last, level := t.d.Acted(), &s.last, slog.LevelDebug
	if t.d.Verb != last.Verb || t.d.Reason != last.Reason || t.d.Desired != last.Desired || act.Done != last.Acted().Done {
		level = slog.LevelInfo
	}
	s.log.Log(ctx, level, t.d.Summary, "statefulset", t.d.StatefulSet, "decision", t.d.Verb, "reason", t.d.Reason, "act", act.Text)
	s.last = *t.d
	ended := s.cfg.Now()
	s.m.observe(t.d, ended.Sub(begun))
	s.m.decided(ended, s.period)
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

// lead returns why this process may not order or write anything yet, and which right it lacks; both
// "" if it may. A leader writes only after it holds the head (a document could be kept) and has
// raised the StatefulSet's resourceVersion, so that what a former leader has read is void.
func (s *Scaler) lead(ctx context.Context, t *tick) (notLeading, lacking string) {
	if s.cfg.DryRun {
		return "mode is recommend", ""
	}
	head, read := s.engine.Head()
	if !read {
		return "ZooKeeper has not been read yet", ""
	}
	this := claim{holder: head.Holder, uid: t.set.UID}
	if this == s.claimed && t.set.UID != "" {
		return "", ""
	}
	err := s.store(ctx, keptOf(s, t.d))
	switch {
	case errors.Is(err, orders.ErrNotLeading):
		return "this process does not lead yet (head)", ""
	case errors.Is(err, orders.ErrTooLarge):
		// that document alone is at fault: whether this process leads is asked otherwise
		err = s.engine.Leads(ctx)
	}
	if err != nil {
		return "this process does not lead yet (head): " + err.Error(), ""
	}
	if t.set.UID == "" {
		return "the StatefulSet is not known", ""
	}
	head, _ = s.engine.Head()
	this.holder = head.Holder
	err = fault.Fail("lead.claiming")
	if err == nil {
		err = s.act.Claim(ctx, t.set, this.holder)
	}
	if err != nil {
		return "the StatefulSet could not be claimed: " + err.Error(), denied(err, t.set)
	}
	fault.Point("lead.claimed")
	s.claimed = this
	return "", ""
}

// denied is what err says about rights that are missing for writing w; "": err says nothing about
// rights.
func denied(err error, w actuate.Workload) string {
	if !errors.Is(err, actuate.ErrDenied) {
		return ""
	}
	return fmt.Sprintf("the rights of this server lack StatefulSet %s: name it in the chart's value statefulSets, or in resourceNames of both rules of Role shardscaler-statefulsets (%v)", w.Name, err)
}
