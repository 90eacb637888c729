package zk

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/clienttls"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/servers/certs"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// secureConfig gives a server a port at which it speaks TLS and wants a certificate of its clients.
const secureConfig = `serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory
secureClientPort=%d
secureClientPortAddress=127.0.0.1
ssl.keyStore.location=%s
ssl.trustStore.location=%s
ssl.clientAuth=need
`

// With TLS the server is known by its certificate, we by ours and by digest. Certificates are
// renewed without a restart.
func TestTLS(t *testing.T) {
	env, dir := servers.Require(t, servers.PartZooKeeper), t.TempDir()
	files, err := certs.Write(t.TempDir(), "zookeeper")
	require.NoError(t, err)
	ports, err := servers.FreePorts(1)
	require.NoError(t, err)
	secure := fmt.Sprintf("localhost:%d", ports[0])
	z := env.NewZooKeeper(t, 1, fmt.Sprintf(secureConfig, ports[0], files.Server, files.CAFile))
	ours := &clienttls.Files{CAFile: filepath.Join(dir, "ca"), CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key")}
	put := func(to, from string) {
		data, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(to, data, 0o600))
	}
	put(ours.CAFile, files.CAFile)
	put(ours.CertFile, files.CertFile)
	put(ours.KeyFile, files.KeyFile)

	auth := filepath.Join(dir, "auth")
	require.NoError(t, os.WriteFile(auth, []byte("shardscaler:secret"), 0o600))
	c := client(t, Config{Servers: secure + "/secure", TLS: ours, AuthFile: auth})
	s, err := c.Lead(patient(t), thing, "pod/1")
	require.NoError(t, err)
	m, err := protocol.Create(s, 0, []string{"a"})
	commit(t, c, s, m, err)
	require.Equal(t, 4*time.Second, granted(t, c), "it is read through TLS as well")
	plain, _, err := client(t, Config{Servers: z.Connect + "/secure"}).Read(patient(t), thing, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, everything(plain), "the same tree")

	other, err := certs.NewCA("somebody-else")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(ours.CAFile, other.Bundle, 0o600))
	sess, err := c.link.await(patient(t))
	require.NoError(t, err)
	sess.lose()
	eventually(t, "a server of unknown authority is refused", refuses(c, "certificate signed by unknown authority"))
	put(ours.CAFile, files.CAFile)
	s, err = c.Lead(patient(t), thing, "pod/2")
	require.NoError(t, err, "the renewed file is read")
	require.Equal(t, []string{"a"}, everything(s))

	anonymous := client(t, Config{Servers: secure, TLS: &clienttls.Files{CAFile: files.CAFile}})
	eventually(t, "who has no certificate is refused", refuses(anonymous, "certificate"))
	byAddress := client(t, Config{Servers: fmt.Sprintf("127.0.0.1:%d", ports[0]), TLS: ours})
	eventually(t, "a server of another name is refused", refuses(byAddress, "127.0.0.1"))
}

// refuses says whether the client has no session, for a reason that contains the text.
func refuses(c *Client, text string) func() bool {
	return func() bool {
		ok, err := c.Connected()
		return !ok && err != nil && strings.Contains(err.Error(), text)
	}
}

func TestTLSFiles(t *testing.T) {
	open := func(cfg *clienttls.Files) error {
		c, err := Open(context.Background(), Config{Servers: "a:1", TLS: cfg}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err == nil {
			c.Close()
		}
		return err
	}
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	require.ErrorContains(t, open(&clienttls.Files{CertFile: "c"}), "tls: certificate and key go together")
	require.ErrorContains(t, open(&clienttls.Files{CAFile: "/missing"}), "read tls authorities: open /missing")
	require.ErrorContains(t, open(&clienttls.Files{CAFile: empty}), empty+" has no certificate")
	require.ErrorContains(t, open(&clienttls.Files{CertFile: empty, KeyFile: empty}), "read tls certificate")
	require.NoError(t, open(&clienttls.Files{}))
}
