package product

import (
	"context"
	"fmt"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// CABundle is what the API server is to trust for the metrics API.
func (s *Stack) CABundle(ctx context.Context) ([]byte, error) {
	if !s.SelfManagedCert {
		return s.certs.caBundle, nil
	}
	secret, err := s.Kube.CoreV1().Secrets(s.Namespace).Get(ctx, "shardscaler-self-managed-cert", metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the self-managed certificate: %w", err)
	}
	return secret.Data["ca.crt"], nil
}

// DirectConfig asks a replica's own port for metrics, past the API server, as an administrator whose certificate the replica checks as
// the API server would. The replica's certificate is checked too.
func (s *Stack) DirectConfig(ctx context.Context, v *Server) (*rest.Config, error) {
	bundle, err := s.CABundle(ctx)
	if err != nil {
		return nil, err
	}
	cfg, err := s.Env.Kubernetes.Config()
	if err != nil {
		return nil, err
	}
	cfg = rest.CopyConfig(cfg)
	cfg.Host = "https://" + v.Secure
	cfg.CAFile, cfg.CAData = "", bundle
	cfg.ServerName = fmt.Sprintf("%s.%s.svc", serviceName, s.Namespace)
	return cfg, nil
}

// Direct gets a path from a replica's own port.
func (s *Stack) Direct(ctx context.Context, v *Server, path string) ([]byte, error) {
	cfg, err := s.DirectConfig(ctx, v)
	if err != nil {
		return nil, err
	}
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	return callWith(ctx, client, http.MethodGet, cfg.Host+path, "", nil)
}
