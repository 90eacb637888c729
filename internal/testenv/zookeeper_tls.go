package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// SecureZooKeeper is one server that also listens for TLS, and wants a certificate of its clients there.
type SecureZooKeeper struct {
	*ZooKeeper
	Secure                    string // host:port of the TLS port, by the name that its certificate has
	CAFile, CertFile, KeyFile string // what a client needs, PEM
}

const zooKeeperTLSConfig = `serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory
secureClientPort=%d
secureClientPortAddress=127.0.0.1
ssl.keyStore.location=%s
ssl.trustStore.location=%s
ssl.clientAuth=need
`

// NewSecureZooKeeper starts a server for this test alone.
func (e *Env) NewSecureZooKeeper(t testing.TB) *SecureZooKeeper {
	t.Helper()
	z := startFor(t, func(ctx context.Context) (*SecureZooKeeper, error) { return e.startSecureZooKeeper(ctx, uniqueName(t)) })
	t.Cleanup(func() { stopAfter(t, z.Kill) })
	return z
}

func (e *Env) startSecureZooKeeper(ctx context.Context, name string) (*SecureZooKeeper, error) {
	dir, err := e.newDir(name + "-tls")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	ca, err := NewCA("zookeeper test CA")
	if err != nil {
		return nil, err
	}
	cert, key, err := ca.Issue("zookeeper", "localhost")
	if err != nil {
		return nil, err
	}
	clientCert, clientKey, err := ca.Issue("shardscaler")
	if err != nil {
		return nil, err
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	z := &SecureZooKeeper{
		Secure: net.JoinHostPort("localhost", strconv.Itoa(ports[0])),
		CAFile: file("ca.pem"), CertFile: file("client.pem"), KeyFile: file("client-key.pem"),
	}
	server := file("server.pem") // a PEM key store holds the key and its certificate
	for name, data := range map[string][]byte{
		z.CAFile: ca.Bundle, z.CertFile: clientCert, z.KeyFile: clientKey, server: append(key, cert...),
	} {
		err = errors.Join(err, os.WriteFile(name, data, 0o600))
	}
	if err != nil {
		return nil, fmt.Errorf("start zookeeper: %w", err)
	}
	z.ZooKeeper, err = e.startZooKeeper(ctx, name, 1, fmt.Sprintf(zooKeeperTLSConfig, ports[0], server, z.CAFile))
	return z, err
}
