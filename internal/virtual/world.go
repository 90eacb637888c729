package virtual

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// Config is what a World is made of.
type Config struct {
	Kind    config.Kind
	Cluster ClusterConfig
	Load    Load
	Start   time.Time
	// SyncPeriod is the time between two ticks, TakeOver how long the kind is without a leader when
	// one has ended.
	SyncPeriod, TakeOver time.Duration
	// Saw is told of each transaction, Decided of each decision and what became of it.
	Saw     func(*Transaction)
	Decided func(*decide.Decision, *outcome.Outcome)
}

// Load is what a pod uses that runs so many of the kind's resources: milli-CPU and bytes.
type Load func(at time.Time, ordinal, runs int) (cpu, memory int64)

const (
	// usageEvery is the time between two samples of the pods' use, and over how long metrics.k8s.io
	// measures it; beatEvery is that between two heartbeats of an instance.
	usageEvery = 15 * time.Second
	beatEvery  = 30 * time.Second
)

// World is one kind in virtual time. It is used by one goroutine.
type World struct {
	cfg     Config
	clock   *Clock
	z       *ZooKeeper
	judge   *Judge
	cluster *Cluster
	// instances are the processes that run, by ordinal, nil where there is none.
	instances []*Instance
	callers   *Callers
	state     *observed.State
	signals   signals
	// leader is nil while the kind has none; the next one takes over at takeOver. terms counts
	// them.
	leader   *leader
	takeOver time.Time
	terms    int
	// next is when the next tick is, ticks how many there were.
	next  time.Time
	ticks int
}

// signals is when the sources are to be read next, and what was told of the cluster.
type signals struct {
	usage, catalogue time.Time
	cluster          int
}

// New is a world before its first tick.
func New(cfg Config) *World {
	w := &World{cfg: cfg, clock: &Clock{now: cfg.Start}, takeOver: cfg.Start, next: cfg.Start}
	w.judge = NewJudge(cfg.Kind.Name, w.unreleased)
	if cfg.Kind.HandOff != config.HandOffAcknowledged {
		w.judge.released = nil
	}
	w.z = NewZooKeeper(w.clock, w.saw)
	w.cluster = NewCluster(cfg.Cluster, w.clock)
	w.cluster.sized = w.judge.Sized
	w.callers = &Callers{judge: w.judge}
	w.state = observed.New(cfg.Cluster.Namespace, []config.Kind{cfg.Kind})
	w.state.Apply(observed.Read{Kind: cfg.Kind.Name, Source: observed.SourceNotify, At: cfg.Start})
	return w
}

func (w *World) saw(tx *Transaction) {
	w.judge.See(tx)
	w.cfg.Saw(tx)
}

// unreleased says why what was taken from an instance may run there still: the process of its
// ordinal, whichever pod's it is, has not applied that.
func (w *World) unreleased(f *protocol.Flight) string {
	if in := w.instance(f.From); in != nil {
		return in.unreleased(f.Times)
	}
	return ""
}

// Kill ends the leader's process in the middle of its work, after that many more transactions. With
// unanswered it does not learn of the last one that it was done.
func (w *World) Kill(after int, unanswered bool) {
	if w.leader != nil {
		w.leader.client.Kill(after, unanswered)
	}
}

// Step is one tick, and all that happens until the next one. Its error is what the judge has found,
// or what must not happen in a world in which everything else works.
func (w *World) Step(ctx context.Context) error {
	w.clock.Reach(w.next)
	w.next = w.next.Add(w.cfg.SyncPeriod)
	w.ticks++
	w.cluster.Step()
	w.processes()
	w.signal()
	if err := w.lead(ctx); err != nil {
		return errors.Join(w.judge.fault, err)
	}
	for _, in := range w.instances {
		if in == nil {
			continue
		}
		if err := in.Step(); err != nil {
			return err
		}
	}
	return errors.Join(w.judge.fault, w.callers.listen())
}

// instance is the process of an ordinal; nil: none runs.
func (w *World) instance(n int) *Instance {
	if n >= len(w.instances) {
		return nil
	}
	return w.instances[n]
}

// processes starts and ends the instances' processes with their pods.
func (w *World) processes() {
	for n, in := range w.instances {
		if p := w.cluster.Pod(n); in != nil && (p == nil || p.UID != in.pod || !p.running) {
			in.End()
			w.instances[n] = nil
		}
	}
	for n, p := range w.cluster.Pods() {
		for n >= len(w.instances) {
			w.instances = append(w.instances, nil)
		}
		if p.running && w.instances[n] == nil {
			w.instances[n] = NewInstance(w.z, w.cfg.Kind.Name, n, p.UID)
		}
	}
}

// signal tells the fold what the sources see, save ZooKeeper: that, the leader tells.
func (w *World) signal() {
	now, kind := w.clock.Now(), w.cfg.Kind.Name
	if moved := w.cluster.moved; moved != w.signals.cluster {
		w.signals.cluster = moved
		w.state.Apply(w.cluster.Signal(kind))
	} else {
		w.state.Apply(observed.Read{Kind: kind, Source: observed.SourceCluster, At: now})
	}
	if !now.Before(w.signals.usage) {
		w.signals.usage = now.Add(usageEvery)
		w.state.Apply(w.usage())
	}
	if !now.Before(w.signals.catalogue) {
		w.signals.catalogue = now.Add(w.cfg.Kind.Catalogue.Interval.Std())
		w.state.Apply(observed.Catalogued{Kind: kind, At: now, Count: w.judge.there})
	}
	for _, in := range w.instances {
		if in == nil {
			continue
		}
		if beat, due := in.Beat(now, beatEvery); due {
			w.state.Apply(beat)
		}
	}
	w.state.Apply(observed.Read{Kind: kind, Source: observed.SourceBus, At: now})
}

// usage is a sample of every pod that runs.
func (w *World) usage() observed.PodUsage {
	now := w.clock.Now()
	samples := make(map[int]observed.Usage, len(w.instances))
	for n, in := range w.instances {
		if in != nil {
			cpu, memory := w.cfg.Load(now, n, in.runs.Len())
			samples[n] = observed.Usage{At: now, Window: usageEvery, CPU: cpu, Memory: memory}
		}
	}
	return observed.PodUsage{Kind: w.cfg.Kind.Name, At: now, Usage: samples}
}

// lead lets the leader do all it has to until the next tick; where there is none, the next one
// takes over when it is time.
func (w *World) lead(ctx context.Context) error {
	if w.leader == nil {
		if w.clock.Now().Before(w.takeOver) {
			return nil
		}
		if err := w.elect(ctx); err != nil {
			return fmt.Errorf("take over: %w", err)
		}
	}
	err := w.leader.tick(ctx)
	if err == nil || !w.leader.client.Dead() {
		return err
	}
	w.leader, w.takeOver = nil, w.clock.Now().Add(w.cfg.TakeOver)
	err = w.callers.listen() // what it has answered counts
	w.callers.forget()
	return err
}

// Settled says what is not as it is to be when nothing is under way; nil: every resource is in the
// list of an open ordinal, and the process of its pod runs just that list.
func (w *World) Settled() error {
	if err := w.judge.Settled(); err != nil {
		return err
	}
	places := w.judge.Places()
	for n := range w.cluster.replicas {
		in, listed := w.instance(n), places[protocol.ResourcesPath(w.cfg.Kind.Name, n)]
		if in == nil || in.runs.Len() != listed {
			return fmt.Errorf("instance %d has %d resources in its list, and does not run just those", n, listed)
		}
	}
	if n := len(w.callers.open); n > 0 {
		return fmt.Errorf("%d messages are not answered", n)
	}
	return nil
}
