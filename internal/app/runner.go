package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/guard"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/history"
	"github.com/shardscaler/shardscaler/internal/previews"
	"github.com/shardscaler/shardscaler/internal/timeline"
	"github.com/shardscaler/shardscaler/internal/wake"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/scaler"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// runner follows one kind on every replica, and decides and writes for it while this one leads.
// Kinds share nothing: a panic ends its runner alone, and the next runner begins from ZooKeeper.
type runner struct {
	app    *App
	kind   string
	engine *rebalancer.Engine
	reg    *prometheus.Registry // the kind's own series; they go with it
	log    *slog.Logger
	stop   context.CancelFunc
	done   chan struct{}
	asked  wake.Signal               // a tick is asked for now
	ticked atomic.Pointer[time.Time] // when a tick ended, for the liveness probe; nil: nothing ticks

	previews *previews.Maker

	mu     sync.Mutex
	latest decided // this replica's own, only while it leads

	documents

	timeline *timeline.Keeper
}

// documents are those that are kept in ZooKeeper, as they were read last.
type documents struct {
	keptDecision reading[said]
	keptHistory  reading[decide.History]
	keptOverride reading[config.Override]
	keptOperator reading[config.Operator]
}

// said is what a leader has stored: its decision, and what it tells beside that, nil where it is of
// another version and tells nothing, or nothing that can be read.
type said struct {
	report *outcome.Report
	told   *ops.Told
}

func parseSaid(kept []byte) (said, error) {
	report, data, err := scaler.ParseTold(kept)
	if err != nil {
		return said{}, err
	}
	told, err := ops.ParseTold(data)
	if err != nil {
		told = nil // the decision counts all the same
	}
	return said{report, told}, nil
}

// decided is a decision, and what it was made from.
type decided struct {
	report *outcome.Report
	basis  scaler.Basis
}

// startRunner starts a kind; it runs until stop, or until ctx ends.
func startRunner(ctx context.Context, a *App, kind string) *runner {
	ctx, cancel := context.WithCancel(ctx)
	r := &runner{
		app: a, kind: kind, reg: prometheus.NewRegistry(), log: a.log.With("kind", kind),
		stop: cancel, done: make(chan struct{}), asked: wake.New(), previews: previews.NewMaker(),
	}
	r.engine = rebalancer.New(rebalancer.Config{
		Kind: kind, Holder: a.opts.PodName, Resync: func() { a.catalog.Trigger(kind) },
		Moved: func(plan, why string, n int) { r.timeline.Moved(plan, why, n) },
	}, a.store, a.log, r.reg)
	r.timeline = timeline.New(kind, r.engine, a.store, a.log)
	go func() {
		err := r.run(ctx)
		again := err != nil && ctx.Err() == nil
		if again {
			r.fell(ctx, err)
		}
		close(r.done)
		if again {
			a.runners.fallen.Wake()
		}
	}()
	return r
}

func (r *runner) over() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// run runs the kind until ctx ends, or a part of it ends by itself: then the others end too.
func (r *runner) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return guard.Run(func() error { return r.engine.Run(ctx, r.app.state.Apply) }) })
	g.Go(func() error { return guard.Run(func() error { return r.serve(ctx) }) })
	g.Go(func() error { return guard.Run(func() error { r.timeline.Run(ctx); return nil }) })
	return g.Wait()
}

// fell tells of the end of a runner that should have gone on, and pauses. Another runner begins in
// its place: what a panic leaves half-done is not used again.
func (r *runner) fell(ctx context.Context, err error) {
	stack := ""
	if p := guard.Caught(err); p != nil {
		stack = string(p.Stack)
	}
	r.log.Error("the kind ended and begins again", "error", err, "stack", stack)
	r.app.metrics.restarts.WithLabelValues(r.kind).Inc()
	r.engine.Abandon()
	wake.Sleep(ctx, leadAgain)
}

// leadAgain is the pause before a lost head is taken again while this replica still leads.
const leadAgain = 2 * time.Second

// serve does for the kind what its mode says, for as long as it says so. Its error is a panic.
func (r *runner) serve(ctx context.Context) error {
	for ctx.Err() == nil {
		mode, lasting, end := r.app.live.during(ctx, r.kind)
		err := r.serveAs(ctx, lasting, mode)
		changed := lasting.Err() != nil
		end()
		if guard.Caught(err) != nil {
			return err
		}
		if !changed {
			wake.Sleep(ctx, leadAgain)
		}
	}
	return nil
}

// serveAs serves in one mode: only ModeAct takes a term, and writes for the kind during it.
func (r *runner) serveAs(life, ctx context.Context, mode config.Mode) error {
	switch mode {
	case config.ModeRecommend:
		return guard.Run(func() error { r.tick(ctx, mode); return nil })
	case config.ModeAct:
	default:
		<-ctx.Done()
		return nil
	}
	term := r.app.leadership.await(ctx, (*leadership).inTerm)
	if term == nil {
		return nil
	}
	err := r.serveTerm(life, ctx, term)
	if err != nil && guard.Caught(err) == nil {
		r.log.Error("leading ended early", "error", err)
		r.app.leadership.doubt.Wake() // another process may have taken the head
	}
	return err
}

// landWithin is how long a kind that is not to be written any more may write to end its moves.
const landWithin = time.Minute

// land ends the moves of a kind whose mode has just had it be written no more: what is in flight
// would be of no instance.
func (r *runner) land(life, leading context.Context) {
	if life.Err() != nil || leading.Err() != nil || r.app.live.mode(r.kind) == config.ModeAct {
		return
	}
	ctx, cancel := context.WithTimeout(life, landWithin)
	defer cancel()
	defer context.AfterFunc(leading, cancel)()
	r.log.Info("the mode has changed: what is in flight is granted, and then nothing is written any more")
	if left := r.engine.Land(ctx); left > 0 {
		r.log.Warn("resources stay in flight until the mode is act again", "resources", left)
	}
}

// serveTerm runs the engine's writer, the scaler's ticks and the recorder of both together until
// any ends. The writer ends last, unless the term is over: the recorder stores the last minute by
// it.
func (r *runner) serveTerm(life, lasting, term context.Context) error {
	ctx, cancel := context.WithCancel(lasting)
	defer cancel()
	defer context.AfterFunc(term, cancel)()
	leading, resign := context.WithCancel(term)
	defer resign()
	var ticked, recorded, led error
	var ticks, all sync.WaitGroup
	ticks.Go(func() {
		defer cancel()
		ticked = guard.Run(func() error { r.tick(ctx, config.ModeAct); return nil })
	})
	recording, stop := context.WithCancel(context.WithoutCancel(ctx))
	all.Go(func() {
		ticks.Wait()
		r.land(life, leading)
		stop()
	})
	all.Go(func() {
		defer resign()
		defer cancel()
		recorded = guard.Run(func() error { r.timeline.Record(recording); return nil })
	})
	led = guard.Run(func() error { return r.engine.Lead(leading) })
	cancel()
	ticks.Wait()
	all.Wait()
	if ticked == nil && recorded == nil && errors.Is(led, context.Canceled) {
		return nil
	}
	return errors.Join(ticked, recorded, led)
}

// settle keeps a burst of changes from becoming a burst of ticks.
const settle = 200 * time.Millisecond

// tick lets the scaler look every SyncPeriod, and soon after anything it looks at has changed.
func (r *runner) tick(ctx context.Context, mode config.Mode) {
	reg := prometheus.NewRegistry() // of this term: a new scaler starts its series anew
	var seen observed.Kind          // by the tick
	s := scaler.New(scaler.Config{
		Kind: r.kind, DryRun: mode != config.ModeAct,
		Told: func() (json.RawMessage, any) {
			t := r.tell(&seen)
			return t.Encode(), t.Says()
		},
	}, r.engine, r.app.actuator, r.app.log, reg)
	r.app.gather.add(reg)
	defer r.app.gather.remove(reg)
	defer r.ticked.Store(nil)
	defer r.decided(nil, scaler.Basis{})
	for {
		changed := r.app.state.Changed(r.kind)
		_, reconfigured := r.app.live.current()
		period := r.decideOnce(ctx, mode, s, &seen)
		if !wake.Sleep(ctx, settle) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-reconfigured:
		case <-r.asked:
		case <-time.After(period):
		}
	}
}

// decideOnce decides by what it has seen while the kind has the mode, and returns the time until the
// next decision at the latest.
func (r *runner) decideOnce(ctx context.Context, mode config.Mode, s *scaler.Scaler, seen *observed.Kind) time.Duration {
	now := time.Now()
	cfg, _ := r.app.live.current()
	_, kind, over, ok := r.app.effective(r.kind)
	s.Every(cfg.SyncPeriod.Std())
	s.Put(over.Operator)
	if k := r.app.state.Kind(r.kind); ok && k != nil && kind.Mode == mode {
		*seen = *k
		d, out := s.Tick(ctx, now, kind, *k)
		report := outcome.NewReport(d, out)
		r.decided(report, s.Basis())
		r.timeline.Tick(history.Tick{Now: now, Config: kind, Observed: *k, Report: report})
	}
	ended := time.Now()
	r.ticked.Store(&ended)
	return cfg.SyncPeriod.Std()
}

func (r *runner) decided(d *outcome.Report, of scaler.Basis) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = decided{d, of}
}

// replay is what the latest decision was made from; on a replica that does not lead, one made now.
func (r *runner) replay(now time.Time, cfg config.Kind, o config.Operator, snap observed.Kind) decide.Input {
	if d, of := r.own(); d != nil {
		return of.Input
	}
	h, _ := read(r, &r.keptHistory, scaler.KeptName, func(kept []byte) (decide.History, error) { return scaler.ServedHistory(kept), nil })
	return decide.Input{Now: now, Config: cfg, Observed: snap, History: h, Operator: o}
}

// own is this replica's own decision with its outcome, nil while it does not lead, and what it was
// made from.
func (r *runner) own() (*outcome.Report, scaler.Basis) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest.report, r.latest.basis
}

// served returns the latest decision: this replica's own while it leads, else the one that the
// leader kept in ZooKeeper. One that is too old is an error: a leader may hang.
func (r *runner) served(now time.Time) (*outcome.Report, error) {
	s, err := r.says(now)
	return s.report, err
}

// tell is what this replica tells its followers while it leads; seen is its latest snapshot.
func (r *runner) tell(seen *observed.Kind) ops.Told {
	return ops.Told{
		Progress: r.engine.Progress(), Waiting: r.engine.Waiting(),
		Rows: seen.Catalogue, Catalogue: seen.Sources.Catalogue, Notify: seen.Sources.Notify,
	}
}

// says is served with what the leader tells beside its decision: nil where that is this replica.
func (r *runner) says(now time.Time) (said, error) {
	var s said
	maxAge := scaler.MaxAge
	s.report, _ = r.own()
	switch mode := r.app.live.mode(r.kind); {
	case mode == config.ModeObserve:
		return said{}, errors.New("mode is observe")
	case s.report == nil && mode == config.ModeRecommend:
		return said{}, errors.New("no decision has been made yet")
	case s.report == nil:
		var err error
		if s, err = read(r, &r.keptDecision, scaler.KeptName, parseSaid); err != nil {
			return said{}, err
		}
		maxAge = scaler.KeptMaxAge
	}
	cfg, _ := r.app.live.current() // no kind runs without one
	if err := s.report.TooOld(now, maxAge(cfg.SyncPeriod.Std())); err != nil {
		return said{}, err
	}
	return s, nil
}

// reading is a document kept in ZooKeeper, decoded once: every read of a metric asks for it.
type reading[T any] struct {
	of    *protocol.Doc
	done  bool
	value T
	err   error
}

// read returns the document of that name as decode reads it; no document is one without content.
func read[T any](r *runner, last *reading[T], name string, decode func([]byte) (T, error)) (T, error) {
	doc := r.engine.KeptDocument(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !last.done || last.of != doc {
		var data []byte
		if doc != nil {
			data = doc.Data
		}
		value, err := decode(data)
		*last = reading[T]{of: doc, done: true, value: value, err: err}
	}
	return last.value, last.err
}
