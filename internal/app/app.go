// Package app is the whole server: it starts sources, loops and APIs, and stops them in order.
//
// In: Options, and the live configuration. Out: a process. Invariant: every replica follows and
// serves; only the leader writes; a stop ends the writers, gives leading up, ends the servers.
//
//	sources ─► observed.State ─► Snapshot ─► runners ─► Kubernetes, ZooKeeper
//	                                │        (one a kind: scaler, engine)
//	                                └──────► metrics API, REST, probes, Prometheus
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/shardscaler/shardscaler/adapter/catalog"
	"github.com/shardscaler/shardscaler/adapter/heartbeat"
	"github.com/shardscaler/shardscaler/adapter/metricsapi"
	"github.com/shardscaler/shardscaler/adapter/notify"
	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/adapter/owners"
	"github.com/shardscaler/shardscaler/adapter/workload"
	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/api/stream"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/internal/gcpace"
	"github.com/shardscaler/shardscaler/internal/limits"
	"github.com/shardscaler/shardscaler/internal/telemetry"
	"github.com/shardscaler/shardscaler/internal/timeline"
	"github.com/shardscaler/shardscaler/internal/wake"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/zk"
	"github.com/shardscaler/shardscaler/scaler/actuate"
)

// App is one replica of the server.
type App struct {
	opts       Options
	log        *slog.Logger
	kube       *kube
	state      *observed.State
	live       *live
	leadership *leadership
	metrics    *metrics
	gather     gatherers
	drainReads drainReads
	reviews    *limits.Reviews

	store    store
	actuator actuator
	sources
	serving
	runners
}

// sources are where signals come from.
type sources struct {
	heartbeats *heartbeat.Source // nil without Kafka
	notify     *notify.Source
	workload   *workload.Source
	owners     *owners.Source
	catalog    *catalog.Source
	counted    *catalog.Source // of kinds that are not written
	beats      *zk.Beats       // of who leads
}

// serving is what is served beside REST.
type serving struct {
	metricsAPI *metricsapi.Server // nil without a secure port
	registrar  *registrar         // nil without a secure port
	listener   net.Listener
	guard      *access.Guard
	peers      *access.Peers // nil without a secure port
	calls      *http.ServeMux
	packed     func(http.Handler) http.HandlerFunc // of all doors
	streams    *stream.Hub
	views      views
}

// store is what the app uses of *zk.Client.
type store interface {
	rebalancer.Store
	timeline.Store
	Close()
}

// actuator writes StatefulSets and InstanceGroups, and asks the API server where watches fail.
type actuator struct {
	*actuate.Kubernetes
	*actuate.Groups
	*workload.PodLister
}

// New checks the options, connects what connects at start, and listens. Run serves.
func New(ctx context.Context, o Options, log *slog.Logger) (*App, error) {
	reg := prometheus.NewRegistry()
	a, err := newApp(ctx, o, log, reg)
	if err != nil {
		return nil, err
	}
	// the latter has those of Go and the process
	a.gather.all = prometheus.Gatherers{reg, legacyregistry.DefaultGatherer}
	return a, nil
}

func newApp(ctx context.Context, o Options, log *slog.Logger, reg prometheus.Registerer) (*App, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	k, err := newKube(o)
	if err != nil {
		return nil, err
	}
	a := &App{
		opts: o, log: log, kube: k,
		state:      observed.New(o.Namespace, nil),
		leadership: newLeadership(),
		runners:    newRunners(),
		drainReads: newDrainReads(k.client, o.Namespace),
		reviews:    limits.NewReviews(),
	}
	a.metrics = newMetrics(reg, a.leadership.leadsHeard)
	a.live = newLive(log, a.metrics, o.Mode, func(err error) {
		k.warn("InvalidConfiguration", fmt.Sprintf("refused, the last good one stays: %v", err))
	})
	a.actuator = actuator{actuate.New(k.client, k.recorder, log), actuate.NewGroups(k.dynamic), workload.NewPodLister(k.metadata, o.Namespace)}
	reg.MustRegister(telemetry.Collector(a.view))
	if err := a.newSources(ctx, reg); err != nil {
		return nil, err
	}
	if err := a.newServers(reg); err != nil {
		a.store.Close()
		return nil, err
	}
	return a, nil
}

// newSources prepares every input; only ZooKeeper's client connects before Run, in the background.
func (a *App) newSources(ctx context.Context, reg prometheus.Registerer) error {
	o := a.opts
	var err error
	a.catalog, err = catalog.New(a.opts.CatalogueDSN, a.reconciler, a.log, reg)
	if err != nil {
		return err
	}
	a.counted = a.catalog.With(counters)
	if o.Kafka != "" {
		a.heartbeats = heartbeat.New(o.Heartbeats(), a.log, reg)
	}
	a.notify = notify.New(o.Notifications(), handler{&a.runners, a.catalog}, a.log, reg)
	clients := workload.Clients{Kube: a.kube.client, Metadata: a.kube.metadata, Metrics: a.kube.metrics}
	a.workload = workload.New(workload.Config{Namespace: o.Namespace}, clients, reg)
	a.owners = owners.New(owners.Config{Namespace: o.Namespace}, a.kube.client, a.kube.dynamic, a.log)
	// Run closes it: a leader that is stopped still writes what it has begun, and gives leading up.
	client, err := zk.Open(context.WithoutCancel(ctx), o.Store(), a.log, reg)
	if err != nil {
		return err
	}
	a.store, a.beats = client, client.Beats(o.installation())
	return nil
}

// Run serves until ctx ends, then stops in order. What comes from reload has the configuration be
// read again, also where nothing has told of a change; certificates and credentials are read at each
// use, and need none.
func (a *App) Run(ctx context.Context, reload <-chan os.Signal) error {
	defer a.store.Close()
	defer a.kube.close()
	servers, stopServers := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServers()
	defer context.AfterFunc(ctx, a.streams.Close)() // at once: viewers go on at another replica
	serving, servers := errgroup.WithContext(servers)
	serving.Go(func() error { return a.serveHTTP(servers) })
	if a.metricsAPI != nil {
		serving.Go(func() error { return a.metricsAPI.Run(servers) })
	}
	working, ctx := errgroup.WithContext(ctx)
	working.Go(func() error {
		select {
		case <-servers.Done():
			return errors.New("a server ended")
		case <-ctx.Done():
			return nil
		}
	})
	a.startWork(ctx, working)
	working.Go(func() error {
		a.live.reloadAt(ctx, reload)
		return nil
	})
	err := working.Wait()
	stopServers()
	return cmp.Or(serving.Wait(), err)
}

// startWork starts sources, election and kinds. Leading is given up when no runner writes any more.
func (a *App) startWork(ctx context.Context, g *errgroup.Group) {
	electing, resign := context.WithCancel(context.WithoutCancel(ctx))
	g.Go(func() error { return watchConfig(ctx, a.opts, a.kube.client, a.live.reload, a.live.offer) })
	g.Go(func() error { return a.workload.Run(ctx, a.state.Apply) })
	g.Go(func() error { return a.owners.Run(ctx, a.state.Apply) })
	if a.heartbeats != nil {
		g.Go(func() error { return a.heartbeats.Run(ctx, a.state.Apply) })
	}
	if a.registrar != nil {
		g.Go(func() error { return a.registrar.run(ctx) })
	}
	g.Go(func() error {
		electWhileActing(electing, a)
		return nil
	})
	g.Go(func() error { return a.duringTerms(ctx, (*leadership).whileHeard, a.notify.Run) })
	g.Go(func() error { return a.duringTerms(ctx, (*leadership).inTerm, a.catalog.Run) })
	g.Go(func() error {
		a.live.await(ctx, func(cfg *config.Config) bool { return anyIn(cfg, config.ModeRecommend) })
		if ctx.Err() != nil {
			return nil
		}
		return a.counted.Run(ctx, a.state.Apply)
	})
	g.Go(func() error {
		defer resign()
		return a.keepRunners(ctx)
	})
}

// duringTerms runs a source once a term, after its heads, for as long as which says: what they lead
// to is a write.
func (a *App) duringTerms(ctx context.Context, which func(*leadership) context.Context, run func(context.Context, func(observed.Signal)) error) error {
	for ; ctx.Err() == nil; wake.Sleep(ctx, leadAgain) {
		term := a.leadership.await(ctx, which)
		if term == nil {
			return nil
		}
		a.runners.awaitHeads(term)
		both, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(term, cancel)
		err := run(both, a.state.Apply)
		stop()
		cancel()
		if err != nil && ctx.Err() == nil && term.Err() == nil {
			return err
		}
	}
	return nil
}

// keepRunners starts and stops kinds as the configuration says until ctx ends, and stops them.
func (a *App) keepRunners(ctx context.Context) error {
	defer a.stopRunners(func(*runner) bool { return true })
	for {
		cfg, changed := a.live.current()
		if cfg != nil {
			a.configure(ctx, cfg)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-a.runners.fallen:
			a.stopRunners((*runner).over)
		}
	}
}

func (a *App) configure(ctx context.Context, cfg *config.Config) {
	gcpace.Kinds(len(cfg.Kinds))
	a.state.Configure(cfg.Kinds)
	a.workload.Configure(cfg.Kinds)
	a.owners.Configure(cfg.Kinds)
	if a.heartbeats != nil {
		a.heartbeats.Configure(cfg.Kinds)
	}
	configured := map[string]bool{}
	for _, k := range cfg.Kinds {
		configured[k.Name] = true
	}
	a.stopRunners(func(r *runner) bool { return !configured[r.kind] })
	for _, k := range cfg.Kinds {
		if a.runner(k.Name) == nil {
			r := startRunner(ctx, a, k.Name)
			a.gather.add(r.reg)
			a.runners.put(r)
		}
	}
	// Last: they ask for the runners' engines.
	acting := inMode(cfg.Kinds, config.ModeAct)
	a.notify.Configure(acting)
	a.catalog.Configure(acting)
	a.counted.Configure(inMode(cfg.Kinds, config.ModeRecommend))
	fault.Point("config.applied")
}

// stopRunners stops the kinds that which names, all at once, and waits for them.
func (a *App) stopRunners(which func(*runner) bool) {
	stopped := a.runners.take(which)
	for _, r := range stopped {
		r.stop()
	}
	for _, r := range stopped {
		<-r.done
		a.gather.remove(r.reg)
	}
}
