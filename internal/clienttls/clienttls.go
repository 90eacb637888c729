// Package clienttls reads what encrypted connections need: authorities, and our certificate.
//
// In: names of PEM files, read for every connection: they may be renewed. Out: a tls.Config, and
// connections encrypted by one.
package clienttls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
)

// Files says how connections are encrypted; nil: they are not.
type Files struct {
	// CAFile are the authorities of the servers' certificates; empty: those of the system.
	CAFile string
	// CertFile and KeyFile are our own certificate, both or none, for servers that ask for one.
	CertFile, KeyFile string
}

// Validate reports what can be told without the files.
func (f *Files) Validate() error {
	if f != nil && (f.CertFile == "") != (f.KeyFile == "") {
		return errors.New("tls: certificate and key go together")
	}
	return nil
}

// Load reads the files; the server's name is still to be filled in.
func (f *Files) Load() (*tls.Config, error) {
	if f == nil {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CAFile != "" {
		bundle, err := os.ReadFile(f.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read tls authorities: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(bundle) {
			return nil, fmt.Errorf("read tls authorities: %s has no certificate", f.CAFile)
		}
	}
	if f.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(f.CertFile, f.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read tls certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// Secure encrypts a connection to the server of that name; it closes what it cannot encrypt.
func Secure(ctx context.Context, conn net.Conn, config *tls.Config, server string) (net.Conn, error) {
	config = config.Clone()
	config.ServerName = server
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secured, nil
}
