package servingcert

import (
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	certutil "k8s.io/client-go/util/cert"
)

// The keys of the Secret. The first three are those of every TLS Secret, so that a certificate from
// elsewhere can be told apart only by caKey: without it nothing is ours to renew.
const (
	caBundleKey = "ca.crt"
	certKey     = "tls.crt"
	keyKey      = "tls.key"
	caKey       = "ca.key"
	sessionKey  = "session.key"
)

// material is what the Secret holds.
type material struct {
	serving *pair
	ca      *pair
	// bundle is what callers are to trust, as PEM: ca, and older ones that may still be needed.
	bundle []byte
	// session is the key of sessions.
	session []byte
}

// sessionKeySize is that of session in bytes.
const sessionKeySize = 32

func newSessionKey() []byte {
	key := make([]byte, sessionKeySize)
	_, _ = rand.Read(key) // it never fails
	return key
}

// parse reads a Secret and checks that its parts belong together.
func parse(data map[string][]byte, names []string) (*material, error) {
	serving, err := parsePair(data[certKey], data[keyKey])
	if err != nil {
		return nil, fmt.Errorf("read %s and %s: %w", certKey, keyKey, err)
	}
	ca, err := parsePair(data[caBundleKey], data[caKey])
	if err != nil {
		return nil, fmt.Errorf("read %s and %s: %w", caBundleKey, caKey, err)
	}
	if _, err := certutil.ParseCertsPEM(data[caBundleKey]); err != nil {
		return nil, fmt.Errorf("read %s: %w", caBundleKey, err)
	}
	m := &material{serving: serving, ca: ca, bundle: data[caBundleKey]}
	if !slices.Equal(serving.parsed.DNSNames, names) {
		return nil, fmt.Errorf("the certificate is for %v, want %v", serving.parsed.DNSNames, names)
	}
	return m, nil
}

func (m *material) data() map[string][]byte {
	return map[string][]byte{caBundleKey: m.bundle, caKey: m.ca.key, certKey: m.serving.cert, keyKey: m.serving.key, sessionKey: m.session}
}

// trusted says whether a caller that trusts the bundle takes the serving certificate at now.
func (m *material) trusted(now time.Time) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(m.bundle)
	_, err := m.serving.parsed.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, DNSName: m.serving.parsed.DNSNames[0]})
	return err
}

func newMaterial(names []string, now time.Time) (*material, error) {
	ca, err := newCA(now)
	if err != nil {
		return nil, fmt.Errorf("make CA: %w", err)
	}
	serving, err := newServing(names, ca, now)
	if err != nil {
		return nil, fmt.Errorf("make serving certificate: %w", err)
	}
	return &material{serving: serving, ca: ca, bundle: ca.cert}, nil
}

// renewed is what should follow m at now, and why; m itself, and no reason, when nothing is due.
//
// One step at a time: a new CA joins the bundle and signs only later, when every caller has had the
// time to trust it. What is not trusted any more is made anew as a whole: there is nothing to lose.
func (m *material) renewed(names []string, now time.Time) (next *material, why string, err error) {
	switch {
	case m.trusted(now) != nil:
		next, err = newMaterial(names, now)
		return next, "the certificate is not good any more", err
	case due(m.ca.parsed, now):
		bundle, _ := certutil.ParseCertsPEM(m.bundle) // parse has read it
		ca, err := newCA(now)
		if err != nil {
			return nil, "", fmt.Errorf("make CA: %w", err)
		}
		return &material{serving: m.serving, ca: ca, bundle: joined(ca, bundle, now)}, "the CA expires", nil
	case due(m.serving.parsed, now):
		serving, err := newServing(names, m.ca, now)
		if err != nil {
			return nil, "", fmt.Errorf("make serving certificate: %w", err)
		}
		return &material{serving: serving, ca: m.ca, bundle: m.bundle}, "the certificate expires", nil
	}
	return m, "", nil
}
