package access

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// vouchHeader says for whom a replica passes a request on. It counts only beside the certificate
// that proves the replica.
const vouchHeader = "X-Shardscaler-On-Behalf-Of"

func stripVouch(r *http.Request) { r.Header.Del(vouchHeader) }

// vouch is what it holds, as base64 of JSON.
type vouch struct {
	User   User   `json:"user"`
	Door   Door   `json:"door"`
	Source string `json:"source"`
}

// Peers are the replicas of this installation. All of them serve the same certificate, whichever
// way it comes, and a replica proves itself by it on both ends of a connection: the handshake shows
// that it has the private key. So neither a name nor an authority has to be agreed on, and a pod
// that has taken over the address of a replica is none.
type Peers struct {
	// current reads the serving certificate and its key as PEM.
	current func() (cert, key []byte, err error)

	mu             sync.Mutex
	read           []byte    // what latest was parsed from
	latest, former *identity // former until ends: the other replica may not have the new one yet
	ends           time.Time
}

// identity is a certificate that was parsed, with what of its key nothing but its owner knows.
type identity struct {
	pair   tls.Certificate
	secret []byte
}

// formerFor is how long a certificate counts after it was replaced here.
const formerFor = 10 * time.Minute

// NewPeers returns Peers of the certificate that current reads.
func NewPeers(current func() (cert, key []byte, err error)) *Peers { return &Peers{current: current} }

// Transport speaks with other replicas, and with nothing else.
func (p *Peers) Transport() *http.Transport {
	return &http.Transport{
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			// What is checked instead is in VerifyConnection: the very key and not a chain.
			InsecureSkipVerify: true, //nolint:gosec // as the comment says
			VerifyConnection: func(s tls.ConnectionState) error {
				if len(s.PeerCertificates) == 0 || !p.is(s.PeerCertificates[0], time.Now()) {
					return errors.New("the certificate is not that of this installation")
				}
				return nil
			},
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				latest, _, err := p.load(time.Now())
				if err != nil {
					return nil, err
				}
				return &latest.pair, nil
			},
		},
		TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: time.Minute, IdleConnTimeout: 30 * time.Second, MaxIdleConnsPerHost: 4,
	}
}

// load is the certificate of now and the one before it, nil where there is none. It parses what it
// has not parsed already: each request that is passed on, and each session, needs it.
func (p *Peers) load(now time.Time) (latest, former *identity, err error) {
	cert, key, err := p.current()
	if err != nil {
		return nil, nil, fmt.Errorf("read serving certificate: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !bytes.Equal(p.read, cert) {
		read, err := identify(cert, key)
		if err != nil {
			return nil, nil, fmt.Errorf("read serving certificate: %w", err)
		}
		if p.latest != nil {
			p.former, p.ends = p.latest, now.Add(formerFor)
		}
		p.read, p.latest = cert, read
	}
	if now.After(p.ends) {
		p.former = nil
	}
	return p.latest, p.former, nil
}

func identify(cert, key []byte) (*identity, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey) // one form for all sorts of keys
	if err != nil {
		return nil, err
	}
	return &identity{pair, secret}, nil
}

// is says whether a certificate is that of a replica.
func (p *Peers) is(c *x509.Certificate, now time.Time) bool {
	latest, former, err := p.load(now)
	if err != nil {
		return false
	}
	same := func(other *identity) bool {
		return other != nil && bytes.Equal(other.pair.Leaf.RawSubjectPublicKeyInfo, c.RawSubjectPublicKeyInfo)
	}
	return same(latest) || same(former)
}

// secrets are those of the certificate and of the one before it.
func (p *Peers) secrets(now time.Time) [][]byte {
	latest, former, err := p.load(now)
	switch {
	case err != nil:
		return nil
	case former == nil:
		return [][]byte{latest.secret}
	}
	return [][]byte{latest.secret, former.secret}
}

// errStranger is the answer to a replica that has another certificate: one of the two reads the
// renewed one in a moment.
var errStranger = errors.New("the request was passed on by what is no replica of this installation, or by one whose certificate differs for a moment; try again")

// vouched takes over what a replica says of the caller. What others say goes.
func (p *Peers) vouched(r *http.Request, c *caller) error {
	header := r.Header.Get(vouchHeader)
	if header == "" {
		return nil
	}
	if p == nil || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || !p.is(r.TLS.PeerCertificates[0], time.Now()) {
		return errStranger
	}
	var v vouch
	text, err := base64.StdEncoding.DecodeString(header)
	if err == nil {
		err = exact.JSON(text, &v)
	}
	if err != nil || v.User.Name == "" {
		return errStranger
	}
	c.user, c.door, c.source, c.vouched, c.peer = v.User, v.Door, v.Source, true, true
	return nil
}

// Vouch has a request that is passed on to another replica say who the caller is, instead of what
// proved it. The certificate of the connection is the proof.
func Vouch(ctx context.Context, out *http.Request) {
	c := from(ctx)
	text, _ := json.Marshal(vouch{User: c.user, Door: c.door, Source: c.source}) // text
	out.Header.Del("Authorization")
	out.Header.Del("Cookie")
	out.Header.Del("Origin") // it was held against the Host by which the caller came, which is another one there
	out.Header.Set(vouchHeader, base64.StdEncoding.EncodeToString(text))
}
