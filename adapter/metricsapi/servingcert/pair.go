package servingcert

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"time"
)

// How long certificates are good for, and how much of that time may be left before the next one is
// made. A clock that is behind must not refuse a new one, so it counts from a while ago.
const (
	caValidity      = 10 * 365 * 24 * time.Hour
	servingValidity = 90 * 24 * time.Hour
	renewShare      = 3 // at the last third
	backdate        = 5 * time.Minute
)

// pair is a certificate and its private key, both as PEM.
type pair struct {
	cert, key []byte
	parsed    *x509.Certificate
	signer    *ecdsa.PrivateKey
}

// parsePair takes the first certificate of cert: that of a bundle whose key it is.
func parsePair(cert, key []byte) (*pair, error) {
	both, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	signer, ok := both.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("private key is of type %T, want ECDSA", both.PrivateKey)
	}
	return &pair{cert: cert, key: key, parsed: both.Leaf, signer: signer}, nil
}

// due says whether the time has come to make the next one.
func due(c *x509.Certificate, now time.Time) bool {
	left := c.NotAfter.Sub(c.NotBefore) / renewShare
	return now.Before(c.NotBefore) || c.NotAfter.Sub(now) < left
}

// newCA makes a CA that signs serving certificates of one Service and nothing else.
func newCA(now time.Time) (*pair, error) {
	ca := template("shardscaler-metrics-ca", now, caValidity)
	ca.IsCA, ca.BasicConstraintsValid, ca.MaxPathLenZero = true, true, true
	ca.KeyUsage = x509.KeyUsageCertSign
	return sign(ca, nil)
}

func newServing(names []string, ca *pair, now time.Time) (*pair, error) {
	serving := template(names[0], now, servingValidity)
	serving.DNSNames = names
	serving.KeyUsage, serving.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return sign(serving, ca)
}

// template has no serial number: x509 draws one.
func template(name string, now time.Time, validity time.Duration) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-backdate), NotAfter: now.Add(validity)}
}

// sign makes a key and its certificate; without a CA it is signed by itself.
func sign(template *x509.Certificate, ca *pair) (*pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	parent, signer := template, key
	if ca != nil {
		parent, signer = ca.parsed, ca.signer
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return parsePair(encode("CERTIFICATE", der), encode("PRIVATE KEY", private))
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// joined is first, and after it those of bundle that are still good and are not first.
func joined(first *pair, bundle []*x509.Certificate, now time.Time) []byte {
	out := bytes.Clone(first.cert)
	for _, c := range bundle {
		if now.Before(c.NotAfter) && !c.Equal(first.parsed) {
			out = append(out, encode("CERTIFICATE", c.Raw)...)
		}
	}
	return out
}
