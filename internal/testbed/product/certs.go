package product

import (
	"context"
	"fmt"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// certificates are a CA of our own and the serving certificate of the metrics API.
type certificates struct {
	caBundle          []byte // PEM
	certFile, keyFile string
}

func (s *Stack) makeCertificates(context.Context) error {
	ca, err := servers.NewCA("shardscaler test CA")
	if err != nil {
		return err
	}
	// The API server asks for the name of the Service, whatever address that leads to.
	cert, key, err := ca.Issue("shardscaler", "localhost", fmt.Sprintf("%s.%s.svc", serviceName, s.Namespace))
	if err != nil {
		return err
	}
	s.certs.caBundle = ca.Bundle
	if s.certs.certFile, err = s.write("tls.crt", cert); err != nil {
		return err
	}
	s.certs.keyFile, err = s.write("tls.key", key)
	return err
}
