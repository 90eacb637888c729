package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/shardscaler/shardscaler/internal/testbed/apiwire"
	"github.com/shardscaler/shardscaler/internal/testbed/gate"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
)

// apiProxy is the product's own way to the API server: what it cuts is away for the
// product alone, while the servers that tests share work on. It passes on the product's own token,
// so its rights are what they are.
type apiProxy struct {
	apiwire.Wire
	proxy  *httputil.ReverseProxy
	frozen gate.Gate

	mu      sync.Mutex
	refused []string
	running map[*http.Request]context.CancelFunc
}

// lead leads the kubeconfig of the product through the proxy, which ends with the test.
func (p *apiProxy) lead(t *testing.T, s *product.Stack) error {
	config, err := clientcmd.LoadFromFile(s.Kubeconfig)
	if err != nil {
		return err
	}
	cluster := config.Clusters[config.Contexts[config.CurrentContext].Cluster]
	target, err := url.Parse(cluster.Server)
	if err != nil {
		return err
	}
	trust, err := rest.TLSConfigFor(&rest.Config{TLSClientConfig: rest.TLSClientConfig{
		CAData: cluster.CertificateAuthorityData, CAFile: cluster.CertificateAuthority, Insecure: cluster.InsecureSkipTLSVerify,
	}})
	if err != nil {
		return err
	}
	own, err := tls.LoadX509KeyPair(s.Certs.ServerCert, s.Certs.ServerKey)
	if err != nil {
		return err
	}
	p.running = map[*http.Request]context.CancelFunc{}
	p.Next = &http.Transport{TLSClientConfig: trust, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute}
	p.proxy = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval: -1, // watches
		Transport:     &p.Wire,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	server := httptest.NewUnstartedServer(p)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}}
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(func() { p.heal(); server.CloseClientConnections(); server.Close() })

	// Not plain HTTP: that would not be given the token.
	cluster.Server = fmt.Sprintf("https://localhost:%d", server.Listener.Addr().(*net.TCPAddr).Port)
	cluster.CertificateAuthorityData, cluster.CertificateAuthority = s.Certs.CA, ""
	return clientcmd.WriteToFile(*config, s.Kubeconfig)
}

// freeze makes the API server silent: what is under way ends, and what is asked from now on is not
// answered until heal.
func (p *apiProxy) freeze() {
	p.frozen.Shut()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endAll()
}

// refuse makes every request whose path begins so an error from now on: an aggregated API whose
// server is down.
func (p *apiProxy) refuse(prefix string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = append(p.refused, prefix)
	p.endAll()
}

// heal ends freeze and refuse.
func (p *apiProxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = nil
	p.frozen.Open()
}

func (p *apiProxy) endAll() {
	for r, end := range p.running {
		end()
		delete(p.running, r)
	}
}

func (p *apiProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.frozen.Pass(r.Context()) != nil {
		return
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
