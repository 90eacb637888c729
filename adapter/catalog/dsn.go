package catalog

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/stdlib"
)

// dsn is a database driver and the address in its own form.
type dsn struct {
	driver, address string
}

// parseDSN reads an address. Errors never show it: it holds a password.
func parseDSN(text string) (dsn, error) {
	u, err := url.Parse(text)
	if err != nil {
		return dsn{}, errors.New("catalogue address: not an URL such as postgres://user:password@host:5432/db")
	}
	read := map[string]func(*url.URL, url.Values) (dsn, error){
		"postgres": postgresDSN, "postgresql": postgresDSN, "mysql": mysqlDSN, "mariadb": mysqlDSN,
	}[u.Scheme]
	if read == nil {
		return dsn{}, fmt.Errorf("catalogue address: scheme %q: want postgres, mysql or mariadb", u.Scheme)
	}
	query, err := options(u)
	if err != nil {
		return dsn{}, fmt.Errorf("catalogue address: %w", err)
	}
	return read(u, query)
}

// options are what follows the question mark, each once. net/url drops what it cannot read, and the
// drivers take the first or the last of several.
func options(u *url.URL) (url.Values, error) {
	if u.Fragment != "" {
		return nil, errors.New("a part that begins with #: want none; in a value, # is written as %23")
	}
	for option := range strings.SplitSeq(u.RawQuery, "&") {
		name, _, _ := strings.Cut(option, "=")
		if name, _, _ = strings.Cut(name, ";"); strings.Contains(option, ";") {
			return nil, fmt.Errorf("a semicolon in or after option %q: options are separated by &; in a value, ; is written as %%3B", name)
		}
		if _, err := url.ParseQuery(option); err != nil {
			return nil, fmt.Errorf("option %q: its value is not escaped rightly; %% is written as %%25", name)
		}
	}
	query := u.Query()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if len(query[name]) > 1 {
			return nil, fmt.Errorf("option %q comes %d times: want it once", name, len(query[name]))
		}
	}
	return query, nil
}

// execMode is the driver's parameter that says how a query is sent.
const execMode = "default_query_exec_mode"

// postgresDSN has each query sent as one statement without a name, unless the address says
// otherwise. A pooler of transactions gives the next one another session, in which a statement that
// the driver remembers does not exist, or is another process's.
func postgresDSN(u *url.URL, query url.Values) (dsn, error) {
	if u.Host == "" {
		return dsn{}, errors.New("catalogue address: no host")
	}
	if name := contradicted(u, query); name != "" {
		return dsn{}, fmt.Errorf("catalogue address: option %q repeats what the URL says before ?: want it once", name)
	}
	switch mode := query.Get(execMode); mode {
	case "":
		query.Set(execMode, "exec")
	case "simple_protocol":
		return dsn{}, fmt.Errorf("catalogue address: %s %s: a query could hold a second statement, outside of the read-only transaction; want exec",
			execMode, mode)
	}
	u.RawQuery = query.Encode()
	return dsn{driver: "pgx", address: u.String()}, nil
}

// contradicted is an option that the driver takes instead of a part of the URL, or of another.
func contradicted(u *url.URL, query url.Values) string {
	_, password := u.User.Password()
	for _, part := range []struct {
		names []string
		there bool
	}{
		{[]string{"host"}, true},
		{[]string{"port"}, u.Port() != ""},
		{[]string{"user"}, u.User.Username() != ""},
		{[]string{"password"}, password},
		{[]string{"dbname", "database"}, strings.Trim(u.Path, "/") != ""},
	} {
		for _, name := range part.names {
			if query.Has(name) && part.there {
				return name
			}
			part.there = part.there || query.Has(name)
		}
	}
	return ""
}

// mysqlDSN turns an URL into the driver's form. The session takes "Thing" as a name, as standard
// SQL has it, so that the default query works on both, and no limit of the server shortens a read.
func mysqlDSN(u *url.URL, query url.Values) (dsn, error) {
	password, _ := u.User.Password()
	for name, value := range map[string]string{
		"sql_mode":         "CONCAT(@@sql_mode,',ANSI_QUOTES')",
		"sql_select_limit": strconv.FormatUint(math.MaxUint64, 10),
	} {
		if query.Has(name) {
			return dsn{}, fmt.Errorf("catalogue address: option %q: shardscaler sets it to %s", name, value)
		}
		query.Set(name, value)
	}
	cfg, err := mysql.ParseDSN("/?" + query.Encode())
	if err != nil {
		return dsn{}, errors.New("catalogue address: not an URL such as mysql://user:password@host:3306/db")
	}
	if cfg.MultiStatements {
		return dsn{}, errors.New("catalogue address: multiStatements true: a query could hold a second statement, outside of the read-only transaction")
	}
	cfg.Net, cfg.Addr, cfg.DBName = "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
	if u.Port() == "" {
		cfg.Addr += ":3306"
	}
	cfg.User, cfg.Passwd = u.User.Username(), password
	return dsn{driver: "mysql", address: cfg.FormatDSN()}, nil
}

// connections is how many reads, one a kind, run side by side.
const connections = 4

// maxRow is the most bytes of a row as sent. A label set that is longer than this ends a read;
// without a bound it ended the process, which keeps a row whole, and then the next leader's.
const maxRow = 8 << 20

func (d dsn) open() (*sql.DB, error) {
	db, err := d.connector()
	if err != nil {
		return nil, fmt.Errorf("open catalogue: driver %s refuses the address", d.driver)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(1)
	return db, nil
}

// check says whether the driver takes the address. Its error may hold the password.
func (d dsn) check() error {
	db, err := d.connector()
	if err != nil {
		return err
	}
	return db.Close()
}

// connector is the database; nothing is connected yet.
func (d dsn) connector() (*sql.DB, error) {
	if d.driver != "pgx" {
		return sql.Open(d.driver, d.address)
	}
	cfg, err := pgx.ParseConfig(d.address)
	if err != nil {
		return nil, err
	}
	cfg.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		f := pgproto3.NewFrontend(r, w)
		f.SetMaxBodyLen(maxRow)
		return f
	}
	return stdlib.OpenDB(*cfg), nil
}
