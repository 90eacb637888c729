package servers

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

// NewPgBouncer starts a pgbouncer for this test alone, and returns the address by which db is reached through it as the product reaches
// it. It pools transactions over one connection: each gets what the session before left behind.
func (e *Env) NewPgBouncer(t testing.TB, db Database) (readerURL string) {
	t.Helper()
	tree := debianTree(t, "pgbouncer")
	server := startFor(t, (*Server).Kill, func(ctx context.Context, name string) (*Server, error) {
		return e.startPgBouncer(ctx, name, tree, db, e.Postgres)
	})
	address, err := url.Parse(db.ReaderURL)
	if err != nil {
		t.Fatal(err)
	}
	address.Host = server.Addr
	return address.String()
}

func (e *place) startPgBouncer(ctx context.Context, name, tree string, db Database, behind *Postgres) (*Server, error) {
	dir, ports, err := e.newRoom(name, 1)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(behind.Addr)
	if err != nil {
		return nil, fmt.Errorf("start pgbouncer: %w", err)
	}
	users, file := filepath.Join(dir, "users"), filepath.Join(dir, "pgbouncer.ini")
	err = writeFiles(dir, map[string]string{
		"users": fmt.Sprintf("\"%s\" \"%s\"\n", pgReader, behind.Password),
		"pgbouncer.ini": fmt.Sprintf(`[databases]
%[1]s = host=127.0.0.1 port=%[2]s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %[3]d
unix_socket_dir =
auth_type = plain
auth_file = %[4]s
pool_mode = transaction
default_pool_size = 1
`, db.Name, port, ports[0], users),
	})
	if err != nil {
		return nil, fmt.Errorf("start pgbouncer: %w", err)
	}
	server := e.newServer(name, dir, ports[0], speaksPostgres)
	if os.Geteuid() == 0 { // it refuses to run as root
		server.UID = nobody
		home := filepath.Join(dir, "home")
		if err := linkTree(tree, home); err != nil {
			return nil, fmt.Errorf("start pgbouncer: %w", err)
		}
		tree = home
		for _, path := range []string{users, file} {
			if err := os.Chown(path, nobody, nobody); err != nil {
				return nil, fmt.Errorf("start pgbouncer: %w", err)
			}
		}
	}
	server.Env = []string{libraryPath(tree)}
	server.Argv = []string{filepath.Join(tree, "usr", "sbin", "pgbouncer"), file}
	return server, server.startFirst(ctx)
}
