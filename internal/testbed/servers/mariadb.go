package servers

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// MariaDB holds the platform's catalogue, as Postgres does.
type MariaDB struct {
	*Server
	Password string // of both users
}

// startMariaDB starts a server out of tree.
func (e *place) startMariaDB(ctx context.Context, name, tree string) (*MariaDB, error) {
	dir, ports, err := e.newRoom(name, 1)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, fmt.Errorf("start mariadb: %w", err)
	}
	share, err := mariaDBShare(tree)
	if err != nil {
		return nil, fmt.Errorf("start mariadb: %w", err)
	}
	server := e.newServer(name, dir, ports[0], speaksMySQL)
	server.Env = []string{libraryPath(tree)}
	server.Argv = []string{
		filepath.Join(tree, "usr", "sbin", "mariadbd"), "--no-defaults", "--datadir=" + data,
		"--lc-messages-dir=" + share, "--character-sets-dir=" + filepath.Join(share, "charsets"),
		"--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M",
		"--innodb-flush-log-at-trx-commit=2", // the data outlives the process, not the machine
	}
	if os.Geteuid() == 0 {
		server.Argv = append(server.Argv, "--user=root") // else it refuses to run
	}
	m := &MariaDB{Server: server, Password: rand.Text()}
	if err := m.initialise(ctx, share); err != nil {
		return nil, err
	}
	server.Argv = append(server.Argv, "--bind-address=127.0.0.1", "--port="+strconv.Itoa(ports[0]),
		"--socket="+filepath.Join(dir, "s"), "--pid-file="+filepath.Join(data, "pid"), "--skip-name-resolve")
	return m, server.startFirst(ctx)
}

// mariaDBShare is the folder of messages and scripts, whose name and whose scripts' names have changed
// over the versions.
func mariaDBShare(tree string) (string, error) {
	scripts, err := filepath.Glob(filepath.Join(tree, "usr", "share", "m*", "m*_system_tables.sql"))
	if err != nil || len(scripts) == 0 {
		return "", errors.New("find the script that makes the system tables: there is none")
	}
	return filepath.Dir(scripts[0]), nil
}

// initialise makes the system tables and the users, in a server that reads statements from its standard
// input, a line or more each.
func (m *MariaDB) initialise(ctx context.Context, share string) error {
	statements := []byte("CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\nSET @skip_auth_anonymous = 1;\n")
	for _, name := range []string{"m*_system_tables.sql", "m*_system_tables_data.sql"} {
		found, _ := filepath.Glob(filepath.Join(share, name))
		if len(found) != 1 {
			return fmt.Errorf("initialise mariadb: %d scripts %s in %s, want one", len(found), name, share)
		}
		text, err := os.ReadFile(found[0])
		if err != nil {
			return fmt.Errorf("initialise mariadb: %w", err)
		}
		statements = append(append(statements, text...), '\n')
	}
	statements = append(statements, "DELETE FROM global_priv;\nFLUSH PRIVILEGES;\n"...)
	for _, user := range []string{pgPlatform, pgReader} {
		statements = fmt.Appendf(statements, "CREATE USER %s@'127.0.0.1' IDENTIFIED BY '%s';\n", user, m.Password)
	}
	statements = fmt.Appendf(statements, "GRANT ALL ON *.* TO %s@'127.0.0.1' WITH GRANT OPTION;\n", pgPlatform)
	cmd := exec.CommandContext(ctx, m.Argv[0], append(m.Argv[1:], "--bootstrap")...)
	cmd.Env, cmd.Stdin = append(os.Environ(), m.Env...), bytes.NewReader(statements)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initialise mariadb: %w\n%s", err, out)
	}
	return nil
}

func (m *MariaDB) url(user, database string) string {
	return fmt.Sprintf("mysql://%s:%s@%s/%s", user, m.Password, m.Addr, database)
}

// NewDatabase creates a catalogue of this test's own, with empty tables.
func (m *MariaDB) NewDatabase(t testing.TB) Database {
	t.Helper()
	name := uniqueName(t)
	db := Database{Name: name, URL: m.url(pgPlatform, name), ReaderURL: m.url(pgReader, name)}
	in := m.driverAddress(name)
	err := execMySQL(t.Context(), m.driverAddress(""), "CREATE DATABASE `"+name+"`")
	for _, statement := range []string{
		"CREATE TABLE `Thing` (id varchar(255) PRIMARY KEY, weight double, labels json)",
		"CREATE TABLE `Rule` (id varchar(255) PRIMARY KEY, weight double, labels json)",
		"GRANT SELECT ON `" + name + "`.* TO " + pgReader + "@'127.0.0.1'",
	} {
		if err == nil {
			err = execMySQL(t.Context(), in, statement)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// Exec runs a statement on a database as the platform would.
func (m *MariaDB) Exec(ctx context.Context, db Database, statement string, args ...any) error {
	return execMySQL(ctx, m.driverAddress(db.Name), statement, args...)
}

func (m *MariaDB) driverAddress(database string) string {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr, c.DBName = pgPlatform, m.Password, "tcp", m.Addr, database
	return c.FormatDSN()
}

func execMySQL(ctx context.Context, address, statement string, args ...any) error {
	db, err := sql.Open("mysql", address)
	if err != nil {
		return fmt.Errorf("execute sql: %w", err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, statement, args...); err != nil {
		return fmt.Errorf("execute sql: %w", err)
	}
	return nil
}
