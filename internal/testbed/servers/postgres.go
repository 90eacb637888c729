package servers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/shardscaler/shardscaler/internal/testbed/servers/proc"
)

// Postgres holds the platform's catalogue: tables "Thing" and "Rule".
type Postgres struct {
	*Server
	Catalogue Database `json:"catalogue"` // the one of the sandbox; a test makes its own with NewDatabase
	AdminURL  string   `json:"adminURL"`
	Password  string   `json:"password"` // of all three users
}

// Database is one catalogue.
type Database struct {
	Name      string `json:"database"`
	URL       string `json:"url"`       // as user iota, the platform: may write
	ReaderURL string `json:"readerURL"` // as user shardscaler, the product: may read
}

// The users of a PostgreSQL server of ours.
const (
	pgAdmin    = "postgres"
	pgPlatform = "iota"
	pgReader   = "shardscaler"
)

// nobody is the user that PostgreSQL runs as when root starts it, since it refuses to run as root.
const nobody = 65534

// createTables: weight and labels are what a catalogue may offer for balance and for pins.
const createTables = `
CREATE TABLE "Thing" (id text PRIMARY KEY, weight double precision, labels jsonb);
CREATE TABLE "Rule" (id text PRIMARY KEY, weight double precision, labels jsonb);
GRANT SELECT ON "Thing", "Rule" TO ` + pgReader

func (e *Env) startPostgres(ctx context.Context, name string) (*Postgres, error) {
	server, ports, err := e.newServer(name, speaksPostgres, 1)
	if err != nil {
		return nil, err
	}
	p := &Postgres{Server: server, Password: rand.Text()}
	home, data := filepath.Join(e.Tools.Servers, "postgres"), filepath.Join(server.WorkDir, "data")
	if os.Geteuid() == 0 {
		server.UID = nobody
		ours := filepath.Join(server.WorkDir, "home")
		err = linkTree(home, ours)
		home = ours
	}
	if err == nil {
		err = p.initialise(ctx, home, data)
	}
	if err != nil {
		return nil, fmt.Errorf("initialise postgres: %w", err)
	}
	server.WorkDir = data
	server.Argv = []string{
		filepath.Join(home, "bin", "postgres"), "-D", data, "-h", "127.0.0.1", "-p", fmt.Sprint(ports[0]), "-k", "",
		"-c", "fsync=off", // the data does not outlive the sandbox
		// so that kill -9 leaves nothing outside of the data folder
		"-c", "dynamic_shared_memory_type=mmap",
	}
	p.AdminURL = p.url(pgAdmin, "postgres")
	if err := server.startFirst(ctx); err != nil {
		return nil, err
	}
	for _, user := range []string{pgPlatform, pgReader} {
		// Neither the name nor the password, both ours, needs quoting beyond this.
		if err := p.exec(ctx, fmt.Sprintf(`CREATE ROLE %s LOGIN PASSWORD '%s'`, user, p.Password)); err != nil {
			return nil, err
		}
	}
	p.Catalogue, err = p.create(ctx, pgPlatform)
	return p, err
}

// initialise makes the data folder, as the user who will own it.
func (p *Postgres) initialise(ctx context.Context, home, data string) error {
	passwordFile := filepath.Join(filepath.Dir(data), "password")
	err := errors.Join(os.WriteFile(passwordFile, []byte(p.Password+"\n"), 0o600), os.Mkdir(data, 0o700))
	if p.UID != 0 {
		err = errors.Join(err, os.Chown(data, nobody, nobody), os.Chown(passwordFile, nobody, nobody))
	}
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(home, "bin", "initdb"), "-D", data, "-U", pgAdmin, "--pwfile", passwordFile,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions")
	cmd.Dir, cmd.Env, cmd.SysProcAttr = data, proc.Environ(p.owner), asUser(p.UID)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// linkTree makes a second tree of the same files: root's cache folder is closed to the user that
// PostgreSQL runs as. On another file system the files are copied.
func linkTree(from, to string) error {
	if exec.Command("cp", "-al", from, to).Run() == nil {
		return nil
	}
	return errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from)))
}

func (p *Postgres) url(user, database string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", user, p.Password, p.Addr, database)
}

// create makes a database with empty tables.
func (p *Postgres) create(ctx context.Context, name string) (Database, error) {
	db := Database{Name: name, URL: p.url(pgPlatform, name), ReaderURL: p.url(pgReader, name)}
	err := p.exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" OWNER "+pgPlatform)
	if err == nil {
		err = db.Exec(ctx, createTables)
	}
	return db, err
}

// NewDatabase creates a catalogue of this test's own, with empty tables, and drops it afterwards.
func (p *Postgres) NewDatabase(t testing.TB) Database {
	t.Helper()
	db, err := p.create(t.Context(), uniqueName(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		drop := "DROP DATABASE " + pgx.Identifier{db.Name}.Sanitize() + " WITH (FORCE)"
		if err := p.exec(context.Background(), drop); err != nil && p.Running() {
			t.Error(err)
		}
	})
	return db
}

// Exec runs statements on the database as the platform would.
func (d Database) Exec(ctx context.Context, sql string, args ...any) error {
	conn, err := pgx.Connect(ctx, d.URL)
	if err != nil {
		return fmt.Errorf("execute sql: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("execute sql: %w", err)
	}
	return nil
}

// exec runs statements as the administrator.
func (p *Postgres) exec(ctx context.Context, sql string) error {
	return Database{URL: p.AdminURL}.Exec(ctx, sql)
}
