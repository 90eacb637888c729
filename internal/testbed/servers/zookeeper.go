package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// ZooKeeper is one server, or an ensemble of several.
type ZooKeeper struct {
	Connect string    `json:"connect"` // host:port,host:port,…
	Servers []*Server `json:"servers"`
}

// zooKeeperJVM: this heap is the production default, and needed: a server keeps its last 500
// transactions in heap at two to three times their size.
var zooKeeperJVM = []string{"-Xmx1000m"}

// zooKeeperConfig: tickTime 500 allows sessions from 1 s to 10 s. A hundred simulated instances
// connect from one address, where the default allows 60.
const zooKeeperConfig = `tickTime=500
initLimit=20
syncLimit=10
dataDir=%s
clientPort=%s
clientPortAddress=127.0.0.1
maxClientCnxns=0
admin.enableServer=false
4lw.commands.whitelist=*
`

// startZooKeeper starts n servers called after name; extra lines go into their configuration.
func (e *Env) startZooKeeper(ctx context.Context, name string, n int, extra ...string) (*ZooKeeper, error) {
	ensemble, serverName, addrs := &ZooKeeper{}, name, []string{}
	for i := range n {
		if n > 1 {
			serverName = fmt.Sprintf("%s-%d", name, i+1)
		}
		server, ports, err := e.newServer(serverName, speaksZooKeeper, 3)
		if err != nil {
			return nil, err
		}
		ensemble.Servers, addrs = append(ensemble.Servers, server), append(addrs, server.Addr)
		if n > 1 {
			extra = append(extra, fmt.Sprintf("server.%d=127.0.0.1:%d:%d\n", i+1, ports[1], ports[2]))
		}
	}
	for i, server := range ensemble.Servers {
		file := filepath.Join(server.WorkDir, "zoo.cfg")
		_, port, _ := strings.Cut(server.Addr, ":")
		config := fmt.Sprintf(zooKeeperConfig, filepath.Join(server.WorkDir, "data"), port) + strings.Join(extra, "")
		if err := writeFiles(server.WorkDir, map[string]string{"data/myid": fmt.Sprintln(i + 1), "zoo.cfg": config}); err != nil {
			return nil, fmt.Errorf("start zookeeper: %w", err)
		}
		server.Argv = e.Tools.java(zooKeeperJVM, "org.apache.zookeeper.server.quorum.QuorumPeerMain", file)
	}
	ensemble.Connect = strings.Join(addrs, ",")
	if err := ensemble.Start(ctx); err != nil {
		return nil, errors.Join(err, ensemble.Kill())
	}
	return ensemble, nil
}

// Addrs lists the servers as go-zookeeper's Connect wants them.
func (z *ZooKeeper) Addrs() []string { return strings.Split(z.Connect, ",") }

// Start starts every server that does not run, at its old address with its old data, and returns
// when all of them serve. (One Server of an ensemble alone has no quorum: launch them together.)
func (z *ZooKeeper) Start(ctx context.Context) error {
	for _, server := range z.Servers {
		if !server.Running() {
			if err := server.Launch(); err != nil {
				return err
			}
		}
	}
	for _, server := range z.Servers {
		if err := server.AwaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Stop stops every server.
func (z *ZooKeeper) Stop() error { return z.each((*Server).Stop) }

// Kill kills every server.
func (z *ZooKeeper) Kill() error { return z.each((*Server).Kill) }

func (z *ZooKeeper) each(do func(*Server) error) error {
	var faults []error
	for _, server := range z.Servers {
		faults = append(faults, do(server))
	}
	return errors.Join(faults...)
}

// Leader is the server that leads the ensemble; a server that stands alone is its own.
func (z *ZooKeeper) Leader(ctx context.Context) (*Server, error) {
	for _, server := range z.Servers {
		if mode, err := zooKeeperMode(ctx, server.Addr); err == nil && (mode == "leader" || mode == "standalone") {
			return server, nil
		}
	}
	return nil, fmt.Errorf("find leader of %s: none leads", z.Connect)
}

// Dial connects with the bare client, which a test uses to look at what the product wrote.
func (z *ZooKeeper) Dial(t testing.TB) *zk.Conn {
	t.Helper()
	conn, events, err := z.Open(4 * time.Second)
	if err != nil {
		t.Fatalf("dial zookeeper %s: %v", z.Connect, err)
	}
	t.Cleanup(conn.Close)
	defer time.AfterFunc(startTimeout, conn.Close).Stop() // which ends the events
	for event := range events {
		if event.State == zk.StateHasSession {
			return conn
		}
	}
	t.Fatalf("dial zookeeper %s: no session after %s", z.Connect, startTimeout)
	return nil
}

// Open is Dial that does not wait for the session.
func (z *ZooKeeper) Open(session time.Duration) (*zk.Conn, <-chan zk.Event, error) {
	return zk.Connect(z.Addrs(), session, zk.WithLogger(log.New(io.Discard, "", 0)), zk.WithMaxConnBufferSize(1<<20))
}

// HardQuota lets no more than so many znodes be at and below path, itself included, and no more
// bytes in them; -1: any number. It counts only where the servers were started with EnforceQuota.
func HardQuota(t testing.TB, conn *zk.Conn, path string, znodes, bytes int) {
	t.Helper()
	full := "/zookeeper/quota" + path
	for i := len("/zookeeper/quota/"); i <= len(full); i++ {
		if i == len(full) || full[i] == '/' {
			if _, err := conn.Create(full[:i], nil, 0, zk.WorldACL(zk.PermAll)); err != nil && !errors.Is(err, zk.ErrNodeExists) {
				t.Fatalf("set quota of %s: %v", path, err)
			}
		}
	}
	limits := fmt.Sprintf("count=-1,bytes=-1=;countHardLimit=%d;byteHardLimit=%d", znodes, bytes)
	for name, data := range map[string]string{"zookeeper_limits": limits, "zookeeper_stats": "count=0,bytes=0"} {
		_, err := conn.Create(full+"/"+name, []byte(data), 0, zk.WorldACL(zk.PermAll))
		if errors.Is(err, zk.ErrNodeExists) && name == "zookeeper_limits" {
			_, err = conn.Set(full+"/"+name, []byte(data), -1)
		}
		if err != nil && !errors.Is(err, zk.ErrNodeExists) {
			t.Fatalf("set quota of %s: %v", path, err)
		}
	}
}

// EnforceQuota is the line of a server's configuration by which hard quotas are enforced.
const EnforceQuota = "enforceQuota=true\n"

// Path is a path of this test's own, not yet created; its znodes end with the sandbox.
func (z *ZooKeeper) Path(t testing.TB) string { return "/" + uniqueName(t) }
