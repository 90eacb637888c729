package catalog

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// The users of a mariaDB, which have one password: one may all, one is the product's.
const mariaPlatform, mariaReader = "iota", "shardscaler"

// mariaDB is a server of one test with the platform's catalogue in it: empty tables Thing and Rule.
type mariaDB struct {
	*servers.Server
	password string
}

const mariaCatalogue = "catalogue"

// startMariaDB starts a server out of Debian's package.
func startMariaDB(t *testing.T) *mariaDB {
	t.Helper()
	env := servers.Require(t)
	tree, libraries := servers.Debian(t, "mariadb-server-core")
	m := &mariaDB{password: rand.Text()}
	m.Server = env.NewServer(t, func(s *servers.Server) error {
		data := filepath.Join(s.WorkDir, "data")
		if err := os.Mkdir(data, 0o700); err != nil {
			return err
		}
		scripts, share, err := mariaScripts(tree)
		if err != nil {
			return err
		}
		s.Answers = func(ctx context.Context, addr string) error { return execMySQL(ctx, m.address(addr, ""), "DO 0") }
		s.Env = []string{libraries}
		s.Argv = []string{
			filepath.Join(tree, "usr", "sbin", "mariadbd"), "--no-defaults", "--datadir=" + data,
			"--lc-messages-dir=" + share, "--character-sets-dir=" + filepath.Join(share, "charsets"),
			"--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M",
			"--innodb-flush-log-at-trx-commit=2", // the data need not outlive the machine
		}
		if os.Geteuid() == 0 {
			s.Argv = append(s.Argv, "--user=root") // else it refuses to run
		}
		// It reads statements from its standard input, a line or more each.
		bootstrap := exec.CommandContext(t.Context(), s.Argv[0], append(s.Argv[1:], "--bootstrap")...)
		bootstrap.Env, bootstrap.Stdin = append(os.Environ(), libraries), bytes.NewReader(m.initial(scripts))
		if out, err := bootstrap.CombinedOutput(); err != nil {
			return fmt.Errorf("initialise mariadb: %w\n%s", err, out)
		}
		_, port, err := net.SplitHostPort(s.Addr)
		s.Argv = append(s.Argv, "--bind-address=127.0.0.1", "--port="+port,
			"--socket="+filepath.Join(s.WorkDir, "s"), "--pid-file="+filepath.Join(data, "pid"), "--skip-name-resolve")
		return err
	})
	require.NoError(t, execMySQL(t.Context(), m.address(m.Addr, ""), "CREATE DATABASE "+mariaCatalogue))
	for _, statement := range []string{
		"CREATE TABLE `Thing` (id varchar(255) PRIMARY KEY, weight double, labels json)",
		"CREATE TABLE `Rule` (id varchar(255) PRIMARY KEY, weight double, labels json)",
		"GRANT SELECT ON " + mariaCatalogue + ".* TO " + mariaReader + "@'127.0.0.1'",
	} {
		m.exec(t, statement)
	}
	return m
}

// mariaScripts reads the scripts that make the system tables, and says in which folder they are,
// beside the messages; the names of both have changed over the versions.
func mariaScripts(tree string) (scripts []byte, share string, err error) {
	for _, name := range []string{"m*_system_tables.sql", "m*_system_tables_data.sql"} {
		found, err := filepath.Glob(filepath.Join(tree, "usr", "share", "m*", name))
		if err != nil || len(found) != 1 {
			return nil, "", fmt.Errorf("initialise mariadb: %d scripts %s, want one", len(found), name)
		}
		text, err := os.ReadFile(found[0])
		if err != nil {
			return nil, "", fmt.Errorf("initialise mariadb: %w", err)
		}
		scripts, share = append(append(scripts, text...), '\n'), filepath.Dir(found[0])
	}
	return scripts, share, nil
}

// initial are the statements that make the system tables and the users.
func (m *mariaDB) initial(scripts []byte) []byte {
	all := append([]byte("CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\nSET @skip_auth_anonymous = 1;\n"), scripts...)
	all = append(all, "DELETE FROM global_priv;\nFLUSH PRIVILEGES;\n"...)
	for _, user := range []string{mariaPlatform, mariaReader} {
		all = fmt.Appendf(all, "CREATE USER %s@'127.0.0.1' IDENTIFIED BY '%s';\n", user, m.password)
	}
	return fmt.Appendf(all, "GRANT ALL ON *.* TO %s@'127.0.0.1' WITH GRANT OPTION;\n", mariaPlatform)
}

// readerURL is how the product reaches the catalogue.
func (m *mariaDB) readerURL() string {
	return fmt.Sprintf("mysql://%s:%s@%s/%s", mariaReader, m.password, m.Addr, mariaCatalogue)
}

// exec runs a statement as the platform would.
func (m *mariaDB) exec(t *testing.T, statement string) {
	t.Helper()
	require.NoError(t, execMySQL(t.Context(), m.address(m.Addr, mariaCatalogue), statement))
}

func (m *mariaDB) address(addr, database string) string {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr, c.DBName = mariaPlatform, m.password, "tcp", addr, database
	return c.FormatDSN()
}

func execMySQL(ctx context.Context, address, statement string) error {
	db, err := sql.Open("mysql", address)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, statement)
	return err
}
