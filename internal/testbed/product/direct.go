package product

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// CABundle is what the API server is to trust for the metrics API.
func (s *Stack) CABundle(ctx context.Context) ([]byte, error) {
	if !s.SelfManagedCert {
		return s.Certs.CA, nil
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
	cfg, err := s.control.Config()
	if err != nil {
		return nil, err
	}
	cfg = rest.CopyConfig(cfg)
	cfg.Host = "https://" + v.Secure
	cfg.CAFile, cfg.CAData = "", bundle
	cfg.ServerName = s.serverName()
	return cfg, nil
}
