package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/shardscaler/shardscaler/adapter/metricsapi"
	"github.com/shardscaler/shardscaler/internal/api"
	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/api/aggregated"
	"github.com/shardscaler/shardscaler/internal/api/stream"
	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
	"github.com/shardscaler/shardscaler/internal/limits"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/history"
	"github.com/shardscaler/shardscaler/internal/ui"
)

// pagePath is where the page is. Its files are no secret; what it shows comes from the calls.
const pagePath = "/ui/"

// newServers listens, so that an address in use is an error at start.
func (a *App) newServers(reg prometheus.Registerer) error {
	o := a.opts
	if o.SecurePort != 0 {
		a.registrar = newRegistrar(o, a.kube, a.log, reg)
		a.peers = access.NewPeers(func() (cert, key []byte, err error) { return certificateOf(a.metricsAPI) })
	}
	page, err := ui.Handler(ui.Live)
	if err != nil {
		return err
	}
	keys, err := sessionKeys(o.SessionKeyFile, a.registrar, a.log)
	if err != nil {
		return err
	}
	newCalls(a, keys, reg)
	if a.packed, err = api.Packed(); err != nil {
		return err
	}
	a.calls.Handle(pagePath, http.StripPrefix(strings.TrimSuffix(pagePath, "/"), page))
	if o.SecurePort != 0 {
		a.metricsAPI, err = metricsapi.New(metricsapi.Config{
			Address:  net.JoinHostPort(o.BindAddress, fmt.Sprint(o.SecurePort)),
			CertFile: o.TLSCertFile, KeyFile: o.TLSKeyFile, Cert: a.registrar.certificate(), Kubeconfig: o.Kubeconfig,
			Reviews: &metricsapi.Reviews{Limit: a.reviews, Client: a.kube.client},
			Beside: metricsapi.Beside{
				Own: api.Heard(a.packed(a.guard.Secure(a.calls))), Owns: func(path string) bool {
					return strings.HasPrefix(path, access.Prefix) || strings.HasPrefix(path, pagePath)
				},
				Group: a.packed(aggregated.Handler(a.guard, a.calls)), Version: schema.GroupVersion{Group: access.Group, Version: access.Version},
				Resources: aggregated.Resources(),
			},
		}, a.view, a.log, reg)
		if err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("listen on --listen %q: %w", o.Listen, err)
	}
	a.listener = limits.Listen(listener, maxConnections, maxFromOne)
	return nil
}

// certificateOf is what the secure port serves now, as PEM: all replicas serve the same.
func certificateOf(server *metricsapi.Server) (cert, key []byte, err error) {
	if cert, key = server.Certificate(); len(cert) == 0 {
		return nil, nil, errors.New("there is none yet")
	}
	return cert, key, nil
}

// sessionKeys are those of the file at path, or of the Secret of a self-managed certificate; nil: there are
// neither.
func sessionKeys(path string, r *registrar, log *slog.Logger) (func() [][]byte, error) {
	if path != "" {
		file, err := access.OpenKeyFile(path, log)
		if err != nil {
			return nil, err
		}
		return file.Keys, nil
	}
	if r != nil && r.keeper != nil {
		return r.keeper.SessionKeys, nil
	}
	return nil, nil
}

// maxConnections are open at once over plain HTTP, maxFromOne of them from one address: more than
// pods that end at once, each with a hook that waits.
const maxConnections, maxFromOne = 5000, 512

// newCalls prepares the operations, which all doors lead to.
func newCalls(a *App, keys func() [][]byte, reg prometheus.Registerer) {
	o := a.opts
	a.guard = access.New(access.Config{
		Namespace: o.Namespace, Audience: o.TokenAudience, Address: o.secureURL(), Insecure: o.InsecureLocal,
		PlainTokens: o.PlainHTTPTokens, OldReadsClosed: o.OldReads == oldReadsClosed, Kinds: a.Kinds,
		AllowedHosts: o.allowedHosts(), SessionKeys: keys,
	}, access.NewReviewer(a.kube.client, o.Namespace, a.reviews), a.peers, a.log, reg)
	a.streams = operators{a}.streams()
	cfg := api.Config{Version: o.Version, Guard: a.guard, Streams: a.streams, Record: operators{a}.record}
	if a.peers != nil {
		cfg.Peers = a.peers.Transport()
	}
	a.calls = http.NewServeMux()
	api.New(cfg, a.calls, a, operators{a}, a.log)
}

// serveHTTP serves the door of plain HTTP.
func (a *App) serveHTTP(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("GET /livez", serveChecks("livez", a.liveness))
	mux.Handle("GET /readyz", serveChecks("readyz", a.readiness))
	mux.Handle("GET /metrics", serveMetrics(&a.gather, scrapeTimeout))
	mux.Handle("/", a.calls)
	server := &http.Server{
		Handler:           a.packed(a.guard.Plain(mux)),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    access.MaxHeader,
		ConnContext:       stream.ConnContext,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	defer context.AfterFunc(ctx, func() {
		bounded, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(bounded)
	})()
	a.log.Info("serving", "listen", a.listener.Addr().String())
	a.opts.tellOfDoors(a.log)
	if err := server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// tellOfDoors says what is open that need not stay so.
func (o *Options) tellOfDoors(log *slog.Logger) {
	if o.OldReads == oldReadsOpen {
		log.Info("old reads are answered over plain HTTP without a token; --old-reads=closed ends that")
	}
	if o.PlainHTTPTokens {
		log.Warn("old POSTs take tokens over plain HTTP, where they can be read on their way (--plain-http-tokens)")
	}
}

// streams returns what serves the streams of the kinds.
func (o operators) streams() *stream.Hub {
	return stream.New(stream.Config{
		Read: o.seen, History: o.entriesAfter, May: access.Sees, Recheck: recheck, Log: o.app.log,
		Source: func(ctx huma.Context) string { return access.SourceFrom(ctx.Context(), ctx.RemoteAddr()) },
	})
}

// recheck asks again whether the caller of a stream may watch.
func recheck(ctx context.Context) error {
	err := access.Recheck(ctx)
	if access.Unsure(err) {
		return fmt.Errorf("%w: %w", stream.ErrUnsure, err)
	}
	return err
}

// seen are all kinds with their instances: what streams show.
func (o operators) seen(time.Time) (all []delta.Seen) {
	for _, name := range o.Kinds() {
		v, ok := o.View(name)
		if !ok {
			continue
		}
		seen := delta.Seen{Kind: ops.KindOf(v), Instances: ops.InstancesOf(v)}
		if r := o.app.runner(name); r != nil {
			seen.Newest = r.timeline.Newest()
		}
		all = append(all, seen)
	}
	return all
}

// entriesAfter are the newest entries of a kind's history after one, the oldest first; one more
// than a stream sends at most.
func (o operators) entriesAfter(kind, after string) (entries []ops.Entry) {
	for _, e := range slices.Backward(o.History(kind, history.Query{Limit: stream.MaxMissed + 1}).Items) {
		if e.ID > after { // ids have one width
			entries = append(entries, e)
		}
	}
	return entries
}
