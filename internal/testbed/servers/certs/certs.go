// Package certs makes certificates for servers and clients of tests, under authorities of their own.
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
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// CA is a certificate authority of a test's own.
type CA struct {
	Bundle []byte // its certificate, PEM
	parent *x509.Certificate
	key    *ecdsa.PrivateKey
}

// NewCA makes one that is valid for a week.
func NewCA(name string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make CA: %w", err)
	}
	ca := &CA{parent: newCertificate(name), key: key}
	ca.parent.IsCA, ca.parent.BasicConstraintsValid, ca.parent.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, ca.parent, ca.parent, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make CA: %w", err)
	}
	ca.Bundle = encodePEM("CERTIFICATE", der)
	return ca, nil
}

// Issue makes a certificate for those host names, or a client's if there are none, and its key; both PEM.
func (ca *CA) Issue(name string, hosts ...string) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("issue certificate: %w", err)
	}
	template := newCertificate(name)
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(hosts) > 0 {
		template.DNSNames, template.ExtKeyUsage = hosts, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.parent, &private.PublicKey, ca.key)
	if err != nil {
		return nil, nil, fmt.Errorf("issue certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("issue certificate: %w", err)
	}
	return encodePEM("CERTIFICATE", der), encodePEM("PRIVATE KEY", keyDER), nil
}

// Files are those of a server that is known by the name localhost, and what a client of
// its own needs; all PEM.
type Files struct {
	CA                        []byte // the authority's own certificate
	CAFile, CertFile, KeyFile string
	// Server has the server's key and certificate in one; ServerCert and ServerKey have them apart.
	Server, ServerCert, ServerKey string
}

// Write makes them in dir, for a server that is known by more names than localhost.
func Write(dir, name string, more ...string) (*Files, error) {
	ca, err := NewCA(name + " test CA")
	if err != nil {
		return nil, err
	}
	cert, key, err := ca.Issue(name, append([]string{"localhost"}, more...)...)
	if err != nil {
		return nil, err
	}
	clientCert, clientKey, err := ca.Issue("shardscaler")
	if err != nil {
		return nil, err
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	c := &Files{
		CA:     ca.Bundle,
		CAFile: file("ca.pem"), CertFile: file("client.pem"), KeyFile: file("client-key.pem"),
		Server: file("server.pem"), ServerCert: file("server-cert.pem"), ServerKey: file("server-key.pem"),
	}
	for name, data := range map[string][]byte{
		c.CAFile: ca.Bundle, c.CertFile: clientCert, c.KeyFile: clientKey,
		c.Server: slices.Concat(key, cert), c.ServerCert: cert, c.ServerKey: key,
	} {
		err = errors.Join(err, os.WriteFile(name, data, 0o600))
	}
	if err != nil {
		return nil, fmt.Errorf("write certificates: %w", err)
	}
	return c, nil
}

func newCertificate(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(7 * 24 * time.Hour),
	}
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
