package zkstore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS says how connections are encrypted. Its files are PEM and read anew for every connection, so that they may be renewed.
type TLS struct {
	// CAFile are the authorities that a server's certificate may come from; empty: those of the system.
	CAFile string
	// CertFile and KeyFile are our own certificate, both or none: only a server that asks for one needs them.
	CertFile, KeyFile string
}

func (t *TLS) validate() error {
	if t != nil && (t.CertFile == "") != (t.KeyFile == "") {
		return errors.New("tls: certificate and key go together")
	}
	return nil
}

// load reads the files; the server's name is still to be filled in.
func (t *TLS) load() (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		bundle, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read tls authorities: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(bundle) {
			return nil, fmt.Errorf("read tls authorities: %s has no certificate", t.CAFile)
		}
	}
	if t.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read tls certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}
