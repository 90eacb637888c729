package product

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// APIProxy is the product's way to the API server, and nobody else's: what it cuts is away for the product alone, while the servers that
// tests share work on. It passes on the product's own token, so its rights are what they are.
type APIProxy struct {
	server *http.Server
	proxy  *httputil.ReverseProxy

	mu      sync.Mutex
	refused []string
	frozen  chan struct{} // closed when the way is open again; nil while it is
	running map[*http.Request]context.CancelFunc
}

// startAPIProxy leads the kubeconfig of the product through a proxy.
func (s *Stack) startAPIProxy(kubeconfig string) error {
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	cluster := config.Clusters[config.Contexts[config.CurrentContext].Cluster]
	target, err := url.Parse(cluster.Server)
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	tls, err := rest.TLSConfigFor(&rest.Config{TLSClientConfig: rest.TLSClientConfig{
		CAData: cluster.CertificateAuthorityData, CAFile: cluster.CertificateAuthority, Insecure: cluster.InsecureSkipTLSVerify,
	}})
	if err != nil {
		return fmt.Errorf("trust the API server: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen before the API server: %w", err)
	}
	p := &APIProxy{running: map[*http.Request]context.CancelFunc{}}
	p.proxy = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval: -1, // watches
		Transport:     &http.Transport{TLSClientConfig: tls, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute},
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = p.server.ServeTLS(listener, s.certs.certFile, s.certs.keyFile) }() // ends with Close
	s.API = p
	s.onClose(func(context.Context) error { p.Mend(); return p.server.Close() })

	// Not plain HTTP: that would not be given the token.
	cluster.Server = fmt.Sprintf("https://localhost:%d", listener.Addr().(*net.TCPAddr).Port)
	cluster.CertificateAuthorityData, cluster.CertificateAuthority = s.certs.caBundle, ""
	return clientcmd.WriteToFile(*config, kubeconfig)
}

// Freeze makes the API server silent: what is under way ends, and what is asked from now on is not answered until Mend.
func (p *APIProxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen == nil {
		p.frozen = make(chan struct{})
	}
	p.endAll()
}

// Refuse makes every request whose path begins so an error from now on: an aggregated API whose server is down.
func (p *APIProxy) Refuse(prefix string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = append(p.refused, prefix)
	p.endAll()
}

// Mend ends Freeze and Refuse.
func (p *APIProxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = nil
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

func (p *APIProxy) endAll() {
	for r, end := range p.running {
		end()
		delete(p.running, r)
	}
}

func (p *APIProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	frozen := p.frozen
	p.mu.Unlock()
	if frozen != nil {
		select {
		case <-frozen:
		case <-r.Context().Done():
			return
		}
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	r = r.WithContext(ctx)
	p.mu.Lock()
	for _, prefix := range p.refused {
		if strings.HasPrefix(r.URL.Path, prefix) {
			p.mu.Unlock()
			http.Error(w, "the server is currently unable to handle the request", http.StatusServiceUnavailable)
			return
		}
	}
	p.running[r] = cancel
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.running, r)
		p.mu.Unlock()
	}()
	p.proxy.ServeHTTP(w, r)
}
