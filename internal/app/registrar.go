package app

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"

	"github.com/shardscaler/shardscaler/adapter/informer"
	"github.com/shardscaler/shardscaler/adapter/metricsapi/registration"
	"github.com/shardscaler/shardscaler/adapter/metricsapi/servingcert"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// registrar keeps what lets the API server find and trust the metrics APIs.
type registrar struct {
	keeper  *servingcert.Keeper // nil: the certificate comes from files
	watcher *registration.Watcher
	log     *slog.Logger
	faults  atomic.Pointer[faults]
}

// faults are why the certificate or the APIServices are not looked after; empty: they are.
type faults struct{ cert, apiServices string }

func newRegistrar(o Options, k *kube, log *slog.Logger, reg prometheus.Registerer) *registrar {
	r := &registrar{log: log}
	r.faults.Store(&faults{})
	cfg := registration.Config{
		Namespace: o.Namespace, Service: o.MetricsService, Port: int32(o.MetricsServicePort), TakeOver: o.TakeOverAPIServices, ReadOnly: !o.acts(),
	}
	if o.TLSSelfManaged {
		r.keeper = servingcert.New(servingcert.Config{Namespace: o.Namespace, Secret: o.TLSSecret, Service: o.MetricsService, ReadOnly: !o.acts()},
			k.client.CoreV1(), time.Now, log, reg)
		cfg.Bundle = r.keeper.Bundle
	}
	r.watcher = registration.New(cfg, k.apiServices, func(fault string) { k.warn("NotRegistered", fault) }, log, reg)
	return r
}

// certificate is the self-managed one; nil: it comes from files.
func (r *registrar) certificate() dynamiccertificates.CertKeyContentProvider {
	if r.keeper == nil {
		return nil // and not a nil *Keeper
	}
	return r.keeper
}

// How often everything is looked at though no watch shows a change; while a watch cannot be had, as
// after an update of the server alone, whose Role does not let it watch; and after a failure.
const (
	registrarPeriod    = 5 * time.Minute
	registrarUnwatched = 10 * time.Second
	registrarRetry     = 3 * time.Second
)

// run looks at everything whenever it may have changed: the watches only say when.
func (r *registrar) run(ctx context.Context) error {
	changed := wake.New()
	watches := r.watcher.Watches(changed.Wake)
	if r.keeper != nil {
		watches = append(watches, r.keeper.Watch(changed.Wake))
	}
	var running sync.WaitGroup
	defer running.Wait()
	for _, w := range watches {
		running.Go(func() { w.RunWithContext(ctx) })
	}
	for again := true; again; {
		pause := registrarPeriod
		switch {
		case !r.sync(ctx):
			pause = registrarRetry
		case slices.ContainsFunc(watches, func(w *informer.Informer) bool { return !w.HasSynced() || w.Failing() }):
			pause = registrarUnwatched
		}
		again = informer.Await(ctx, changed, time.After(pause))
	}
	return nil
}

// sync reads the Secret first: an old bundle must not replace what another replica just wrote.
func (r *registrar) sync(ctx context.Context) (ok bool) {
	var now faults
	if r.keeper != nil {
		now.cert = text(r.keeper.Sync(ctx))
	}
	if now.cert == "" {
		now.apiServices = text(r.watcher.Sync(ctx))
	}
	if ctx.Err() != nil {
		return true
	}
	ok = now == faults{}
	if was := r.faults.Swap(&now); !ok && now != *was {
		r.log.Warn("the certificate or the APIServices of the metrics APIs are not kept up", "error", cmp.Or(now.cert, now.apiServices))
	}
	return ok
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// checks are lines of readyz; none fails the probe: what is wrong is not this replica's.
func (r *registrar) checks() []check {
	now := r.faults.Load()
	registered := check{name: "apiservices", detail: cmp.Or(now.apiServices, r.watcher.Fault())}
	if r.keeper == nil {
		return []check{registered}
	}
	return []check{{name: "serving-cert", detail: now.cert}, registered}
}
