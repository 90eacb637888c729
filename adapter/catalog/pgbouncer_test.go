package catalog

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

const pgBouncerConfig = `[databases]
%[1]s = host=127.0.0.1 port=%[2]s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %[3]s
unix_socket_dir =
auth_type = plain
auth_file = %[4]s
pool_mode = transaction
default_pool_size = 1
`

// startPgBouncer starts a pgbouncer out of Debian's package, and returns the address by which the
// product reaches db through it. It pools transactions over one connection: each gets what the
// session before left behind.
func startPgBouncer(t *testing.T, env *servers.Env, db servers.Database) (readerURL string) {
	t.Helper()
	tree, libraries := servers.Debian(t, "pgbouncer")
	through, err := url.Parse(db.ReaderURL)
	require.NoError(t, err)
	behind := through.Port()
	env.NewServer(t, func(s *servers.Server) error {
		through.Host = s.Addr
		_, port, err := net.SplitHostPort(s.Addr)
		if err != nil {
			return err
		}
		users, file := filepath.Join(s.WorkDir, "users"), filepath.Join(s.WorkDir, "pgbouncer.ini")
		config := fmt.Sprintf(pgBouncerConfig, db.Name, behind, port, users)
		if os.Geteuid() == 0 {
			config += "user = nobody\n" // it refuses to run as root
		}
		password, _ := through.User.Password()
		for name, content := range map[string]string{users: fmt.Sprintf("%q %q\n", through.User.Username(), password), file: config} {
			if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
				return err
			}
		}
		s.Env, s.Argv = []string{libraries}, []string{filepath.Join(tree, "usr", "sbin", "pgbouncer"), file}
		s.Answers = func(ctx context.Context, _ string) error {
			conn, err := pgx.Connect(ctx, through.String())
			if err != nil {
				return err
			}
			return conn.Close(ctx)
		}
		return nil
	})
	return through.String()
}

// A pooler of transactions gives the second process the session of the first, with what that left
// behind in it.
func TestPgBouncer(t *testing.T) {
	env := servers.Require(t, servers.PartPostgres)
	db := env.Postgres.NewDatabase(t)
	require.NoError(t, db.Exec(t.Context(), `INSERT INTO "Thing" (id) SELECT 'thing-' || n FROM generate_series(1, 2500) n`))
	address := startPgBouncer(t, env, db)
	for process := range 3 {
		r := newReader()
		_, rec := catalogue(t, address, `SELECT id FROM "Thing"`, r)
		sig := first(t, rec)
		require.IsType(t, observed.Catalogued{}, sig, "process %d: %v", process, sig)
		require.Equal(t, 2500, sig.(observed.Catalogued).Count)
	}
}
