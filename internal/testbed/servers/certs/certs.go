// Package certs makes certificates for servers and clients of tests, under authorities of their
// own.
//
// In: names. Out: PEM, or files of it.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	certutil "k8s.io/client-go/util/cert"
)

// CA is a certificate authority of a test's own.
type CA struct {
	Bundle []byte // its certificate, PEM
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
}

// NewCA makes one.
func NewCA(name string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make CA: %w", err)
	}
	cert, err := certutil.NewSelfSignedCACert(certutil.Config{CommonName: name}, key)
	if err != nil {
		return nil, fmt.Errorf("make CA: %w", err)
	}
	return &CA{Bundle: encodePEM("CERTIFICATE", cert.Raw), cert: cert, key: key}, nil
}

// issue makes a certificate for those host names, or a client's if there are none, that is valid
// for a week, and its key; both PEM.
func (ca *CA) issue(name string, hosts ...string) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	usage := x509.ExtKeyUsageClientAuth
	if len(hosts) > 0 {
		usage = x509.ExtKeyUsageServerAuth
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: hosts,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(7 * 24 * time.Hour),
	}, ca.cert, &private.PublicKey, ca.key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private) // the one form that Kafka reads
	return encodePEM("CERTIFICATE", der), encodePEM("PRIVATE KEY", keyDER), err
}

// Files are those of a server that is known by the name localhost, and what a client of its own
// needs; all PEM.
type Files struct {
	CA                        []byte // the authority's own certificate
	CAFile, CertFile, KeyFile string
	// Server has the server's key and certificate in one; ServerCert and ServerKey have them apart.
	Server, ServerCert, ServerKey string
}

// Write makes them in dir, for a server that is known by more names than localhost.
func Write(dir, name string, more ...string) (*Files, error) {
	ca, err := NewCA(name + "-test-ca")
	if err != nil {
		return nil, err
	}
	cert, key, err := ca.issue(name, append([]string{"localhost"}, more...)...)
	clientCert, clientKey, clientErr := ca.issue("shardscaler")
	if err := errors.Join(err, clientErr); err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	file := func(name string, parts ...[]byte) string {
		name = filepath.Join(dir, name)
		err = errors.Join(err, os.WriteFile(name, slices.Concat(parts...), 0o600))
		return name
	}
	c := &Files{
		CA: ca.Bundle, CAFile: file("ca.pem", ca.Bundle), CertFile: file("client.pem", clientCert), KeyFile: file("client-key.pem", clientKey),
		Server: file("server.pem", key, cert), ServerCert: file("server-cert.pem", cert), ServerKey: file("server-key.pem", key),
	}
	if err != nil {
		return nil, fmt.Errorf("write certificates: %w", err)
	}
	return c, nil
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
