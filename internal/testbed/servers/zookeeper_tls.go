package servers

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"testing"
)

// SecureZooKeeper is one server that also listens for TLS, and wants a certificate of its clients there.
type SecureZooKeeper struct {
	*ZooKeeper
	Secure string // host:port of the TLS port, by the name that its certificate has
	*Certificates
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
	certs, ports, err := e.newSecure(name, "zookeeper", 1)
	if err != nil {
		return nil, err
	}
	z := &SecureZooKeeper{Secure: net.JoinHostPort("localhost", strconv.Itoa(ports[0])), Certificates: certs}
	z.ZooKeeper, err = e.startZooKeeper(ctx, name, 1, fmt.Sprintf(zooKeeperTLSConfig, ports[0], z.server, z.CAFile))
	return z, err
}
