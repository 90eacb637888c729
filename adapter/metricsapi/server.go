package metricsapi

import (
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
	"k8s.io/apimachinery/pkg/util/cache"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/component-base/metrics/legacyregistry"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver"
	libmetrics "sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver/metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/cmd/options"

	"github.com/shardscaler/shardscaler/internal/limits"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// Config says where the API is served and who vouches for those who ask.
type Config struct {
	// Address is where to listen, as host:port.
	Address string
	// CertFile and KeyFile are read again when they change.
	CertFile, KeyFile string
	// Cert brings the certificate instead of files. While it has none yet, nothing is served.
	Cert dynamiccertificates.CertKeyContentProvider
	// Kubeconfig reaches the API server that vouches for callers; empty: the pod's own account.
	Kubeconfig string
	// Reviews of bearer tokens. Without any, only the library reviews them: each, without a bound.
	Reviews *Reviews
	// Beside are further handlers of the same port.
	Beside Beside
}

const (
	// maxInFlight is how many requests are answered at once, half of them for one caller; further
	// ones get 429. The library switches API priority and fairness off: nothing else protects it.
	maxInFlight = 400
	// requestTimeout bounds one request: all answers come from memory.
	requestTimeout = 10 * time.Second
	// maxConnections are open at once, maxFromOne of them from one address. The API server needs a
	// few.
	maxConnections, maxFromOne = 2000, 500
)

// Server serves the metrics APIs.
type Server struct {
	cfg            Config
	maxInFlight    int
	requestTimeout time.Duration
	besideTimeout  time.Duration
	listener       net.Listener
	provider       *provider
	log            *slog.Logger
	serving        atomic.Bool
	certificate    atomic.Pointer[dynamiccertificates.CertKeyContentProvider] // nil until the files were read
}

// New listens; Run serves. view is called for each request and must be safe for concurrent use.
func New(cfg Config, view func() View, log *slog.Logger, reg prometheus.Registerer) (*Server, error) {
	if cfg.Cert == nil && cfg.CertFile == "" {
		return nil, errors.New("configure metrics API: certificate file: required, the API server checks it against the caBundle of the APIService")
	}
	listener, err := net.Listen("tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics API: %w", err)
	}
	return &Server{
		cfg: cfg, maxInFlight: maxInFlight, requestTimeout: requestTimeout, besideTimeout: besideTimeout, log: log,
		listener: limits.Listen(listener, maxConnections, maxFromOne),
		provider: &provider{view: view, metrics: newMetrics(reg)},
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

// Certificate is the serving certificate of now and its key, as PEM; nil: there is none yet.
func (s *Server) Certificate() (cert, key []byte) {
	if provider := s.certificate.Load(); provider != nil {
		return (*provider).CurrentCertKeyContent()
	}
	return nil, nil
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

// build makes the library's server, without its base, which looks objects up on each read.
func (s *Server) build() (*genericapiserver.GenericAPIServer, error) {
	registerLibraryMetrics()
	if s.cfg.Cert != nil {
		if cert, _ := s.cfg.Cert.CurrentCertKeyContent(); len(cert) == 0 {
			return nil, errors.New("there is no serving certificate yet")
		}
	}
	generic := genericapiserver.NewRecommendedConfig(apiserver.Codecs)
	var err error
	if generic.ClientConfig, err = clientcmd.BuildConfigFromFlags("", s.cfg.Kubeconfig); err != nil {
		return nil, fmt.Errorf("load kubeconfig: %w", err)
	}
	if err := s.options().ApplyTo(generic); err != nil {
		return nil, fmt.Errorf("configure metrics APIs: %w", err)
	}
	if s.cfg.Cert != nil {
		generic.SecureServing.Cert = s.cfg.Cert
	}
	s.certificate.Store(&generic.SecureServing.Cert)
	generic.MaxRequestsInFlight, generic.RequestTimeout = s.maxInFlight, s.requestTimeout
	share := limits.NewShare(s.maxInFlight)
	generic.BuildHandlerChainFunc = func(api http.Handler, c *genericapiserver.Config) http.Handler {
		chain := genericapiserver.DefaultBuildHandlerChain(s.withRecovery(limit(share, withPage(api))), c)
		chain = s.checkTokens(chain)
		return s.beside(withWriteDeadline(s.requestTimeout*3/2, withSelectorCheck(chain)), c)
	}
	config := &apiserver.Config{GenericConfig: &generic.Config}
	server, err := config.Complete(nil).New("shardscaler", s.provider, s.provider)
	if err != nil {
		return nil, fmt.Errorf("build metrics APIs: %w", err)
	}
	s.addGroup(server.GenericAPIServer)
	return server.GenericAPIServer, addAggregatedDiscovery(server.GenericAPIServer, s.provider, s.cfg.Beside)
}

// checkTokens has bearer tokens reviewed within bounds before the library does.
func (s *Server) checkTokens(chain http.Handler) http.Handler {
	if s.cfg.Reviews == nil {
		return chain
	}
	known := cache.NewLRUExpireCache(maxAccepted)
	return (&tokens{Reviews: *s.cfg.Reviews, accepted: known, log: s.log}).check(chain)
}

func (s *Server) options() *options.CustomMetricsAdapterServerOptions {
	o := options.NewCustomMetricsAdapterServerOptions()
	o.OpenAPIConfig, o.OpenAPIV3Config = openAPI()
	o.Features.EnableProfiling = false
	o.SecureServing.Listener = s.listener
	o.SecureServing.BindPort = s.listener.Addr().(*net.TCPAddr).Port
	o.SecureServing.ServerCert.CertDirectory = ""
	o.SecureServing.ServerCert.CertKey.CertFile = s.cfg.CertFile
	o.SecureServing.ServerCert.CertKey.KeyFile = s.cfg.KeyFile
	o.Authentication.RemoteKubeConfigFile = s.cfg.Kubeconfig
	o.Authentication.TokenRequestTimeout = limits.ReviewTimeout
	o.Authorization.RemoteKubeConfigFile = s.cfg.Kubeconfig
	return o
}

// The registry is the process's own, so this happens once a process.
var registerLibraryMetrics = sync.OnceFunc(func() { _ = libmetrics.RegisterMetrics(legacyregistry.Register) })
