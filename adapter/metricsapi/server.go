package metricsapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/component-base/metrics/legacyregistry"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver"
	libmetrics "sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver/metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/cmd/options"

	"github.com/shardscaler/shardscaler/internal/limits"
	"github.com/shardscaler/shardscaler/internal/samesite"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// Config says where the API is served and who may ask.
type Config struct {
	// Address is where to listen, as host:port.
	Address string
	// CertFile and KeyFile are read again when they change. Both empty, and no Cert: a certificate
	// signed by itself, which no caBundle fits; only Insecure allows that.
	CertFile, KeyFile string
	// Cert brings the certificate instead of files. While it has none yet, nothing is served.
	Cert dynamiccertificates.CertKeyContentProvider
	// Kubeconfig reaches the API server that vouches for callers; empty: the pod's own account.
	Kubeconfig string
	// Insecure lets anyone ask. It is refused on an address that is not loopback.
	Insecure bool
	// MaxInFlight is how many requests are answered at once, further ones get 429. Default 400: the
	// library switches API priority and fairness off, so nothing else protects it. One caller may
	// have half of them at once.
	MaxInFlight int
	// RequestTimeout bounds one request. Default 10s: all answers come from memory.
	RequestTimeout time.Duration
	// Reviews of bearer tokens. Without any, only the library reviews them: each, without a bound.
	Reviews *Reviews
}

// Default values of a Config.
const (
	DefaultMaxInFlight    = 400
	DefaultRequestTimeout = 10 * time.Second
)

// Validate reports all faults at once.
func (c Config) Validate() error {
	var errs []error
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		errs = append(errs, fmt.Errorf("address %q: want host:port", c.Address))
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		errs = append(errs, fmt.Errorf("certificate file %q and key file %q: want both or none", c.CertFile, c.KeyFile))
	}
	if c.Insecure && err == nil && !samesite.Loopback(host) {
		errs = append(errs, fmt.Errorf("address %q: without authentication it must be a loopback address", c.Address))
	}
	if c.Cert != nil && c.CertFile != "" {
		errs = append(errs, fmt.Errorf("certificate file %q: want none beside a certificate that is brought along", c.CertFile))
	}
	if !c.Insecure && c.Cert == nil && c.CertFile == "" {
		errs = append(errs, errors.New("certificate file: required, the API server checks it against the caBundle of the APIService"))
	}
	if c.MaxInFlight < 0 {
		errs = append(errs, fmt.Errorf("max in flight %d: want 0 (default) or more", c.MaxInFlight))
	}
	if c.RequestTimeout < 0 {
		errs = append(errs, fmt.Errorf("request timeout %s: want 0 (default) or more", c.RequestTimeout))
	}
	return errors.Join(errs...)
}

// Server serves the metrics APIs.
type Server struct {
	cfg      Config
	listener net.Listener
	provider *provider
	log      *slog.Logger
	serving  atomic.Bool
}

// New listens; Run serves. view is called for each request and must be safe for concurrent use.
func New(cfg Config, view func() View, log *slog.Logger, reg prometheus.Registerer) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure metrics API: %w", err)
	}
	cfg.MaxInFlight = cmp.Or(cfg.MaxInFlight, DefaultMaxInFlight)
	cfg.RequestTimeout = cmp.Or(cfg.RequestTimeout, DefaultRequestTimeout)
	listener, err := net.Listen("tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics API: %w", err)
	}
	return &Server{
		cfg: cfg, listener: listener, log: log,
		provider: &provider{view: view, now: time.Now, metrics: newMetrics(reg)},
	}, nil
}

// Addr is where the API is served; the port is the one chosen when Address says 0.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Ready is nil while requests are answered.
func (s *Server) Ready() error {
	if !s.serving.Load() {
		return errors.New("metrics APIs are not served yet")
	}
	return nil
}

// buildRetry is the time between two tries to learn from Kubernetes whom to trust.
const buildRetry = 2 * time.Second

// Run serves until ctx ends, then answers what is in flight and returns. Kubernetes need not be
// there yet: connections wait until it was asked for the CA of the front proxy.
func (s *Server) Run(ctx context.Context) error {
	defer s.listener.Close()
	for again := true; again; again = wake.Sleep(ctx, buildRetry) {
		server, err := s.build()
		if err == nil {
			return s.serve(ctx, server)
		}
		s.log.Warn("cannot serve metrics APIs yet", "err", err)
	}
	return nil
}

func (s *Server) serve(ctx context.Context, server *genericapiserver.GenericAPIServer) error {
	const hook = "shardscaler-serving" // runs when the listener answers
	err := server.AddPostStartHook(hook, func(genericapiserver.PostStartHookContext) error {
		s.serving.Store(true)
		s.log.Info("serving metrics APIs", "address", s.Addr().String())
		return nil
	})
	if err == nil {
		err = server.PrepareRun().RunWithContext(ctx)
	}
	s.serving.Store(false)
	if err != nil {
		return fmt.Errorf("serve metrics APIs: %w", err)
	}
	return nil
}

// build makes the library's server. Its command-line base is not used: it looks up objects in the
// cluster on each read.
func (s *Server) build() (*genericapiserver.GenericAPIServer, error) {
	registerLibraryMetrics()
	if s.cfg.Cert != nil {
		if cert, _ := s.cfg.Cert.CurrentCertKeyContent(); len(cert) == 0 {
			return nil, errors.New("there is no serving certificate yet")
		}
	}
	generic := genericapiserver.NewRecommendedConfig(apiserver.Codecs)
	clientConfig, err := s.clientConfig()
	if err != nil {
		return nil, fmt.Errorf("load kubeconfig: %w", err)
	}
	generic.ClientConfig = clientConfig
	if err := s.options().ApplyTo(generic); err != nil {
		return nil, fmt.Errorf("configure metrics APIs: %w", err)
	}
	if s.cfg.Cert != nil {
		generic.SecureServing.Cert = s.cfg.Cert
	}
	generic.MaxRequestsInFlight = s.cfg.MaxInFlight
	generic.RequestTimeout = s.cfg.RequestTimeout
	share := limits.NewShare(s.cfg.MaxInFlight)
	generic.BuildHandlerChainFunc = func(api http.Handler, c *genericapiserver.Config) http.Handler {
		chain := genericapiserver.DefaultBuildHandlerChain(s.withRecovery(limit(share, withPage(api))), c)
		if s.cfg.Reviews != nil {
			chain = newTokens(*s.cfg.Reviews, s.log).check(chain)
		}
		return withWriteDeadline(s.cfg.RequestTimeout*3/2, withSelectorCheck(chain))
	}
	config := &apiserver.Config{GenericConfig: &generic.Config}
	server, err := config.Complete(nil).New("shardscaler", s.provider, s.provider)
	if err != nil {
		return nil, fmt.Errorf("build metrics APIs: %w", err)
	}
	return server.GenericAPIServer, addAggregatedDiscovery(server.GenericAPIServer, s.provider)
}

func (s *Server) options() *options.CustomMetricsAdapterServerOptions {
	o := options.NewCustomMetricsAdapterServerOptions()
	o.OpenAPIConfig, o.OpenAPIV3Config = openAPI(), openAPIV3()
	o.Features.EnableProfiling = false
	o.SecureServing.Listener = s.listener
	o.SecureServing.BindPort = s.listener.Addr().(*net.TCPAddr).Port
	o.SecureServing.ServerCert.CertDirectory = ""
	o.SecureServing.ServerCert.CertKey.CertFile = s.cfg.CertFile
	o.SecureServing.ServerCert.CertKey.KeyFile = s.cfg.KeyFile
	if s.cfg.Insecure {
		o.Authentication, o.Authorization = nil, nil
		return o
	}
	o.Authentication.RemoteKubeConfigFile = s.cfg.Kubeconfig
	o.Authentication.TokenRequestTimeout = limits.ReviewTimeout
	o.Authorization.RemoteKubeConfigFile = s.cfg.Kubeconfig
	return o
}

func (s *Server) clientConfig() (*rest.Config, error) {
	if s.cfg.Insecure {
		return &rest.Config{}, nil // asked for, and used for nothing
	}
	return clientcmd.BuildConfigFromFlags("", s.cfg.Kubeconfig)
}

// The registry is the process's own, so this happens once a process.
var registerLibraryMetrics = sync.OnceFunc(func() { _ = libmetrics.RegisterMetrics(legacyregistry.Register) })
