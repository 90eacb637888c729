package catalog

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
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
	switch u.Scheme {
	case "postgres", "postgresql":
		if u.Host == "" {
			return dsn{}, errors.New("catalogue address: no host")
		}
		return postgresDSN(u)
	case "mysql", "mariadb":
		return mysqlDSN(u)
	default:
		return dsn{}, fmt.Errorf("catalogue address: scheme %q: want postgres, mysql or mariadb", u.Scheme)
	}
}

// execMode is the driver's parameter that says how a query is sent.
const execMode = "default_query_exec_mode"

// postgresDSN has each query sent as one statement without a name, unless the address says otherwise. A pooler of transactions gives the
// next one another session, in which a statement that the driver remembers does not exist, or is another process's.
func postgresDSN(u *url.URL) (dsn, error) {
	query := u.Query()
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

// mysqlDSN turns an URL into the driver's form. The session takes "Thing" as a name, as standard SQL has
// it, so that the default query works on both databases, and no limit of the server shortens a read.
func mysqlDSN(u *url.URL) (dsn, error) {
	password, _ := u.User.Password()
	query := u.Query()
	query.Set("sql_mode", "CONCAT(@@sql_mode,',ANSI_QUOTES')")
	query.Set("sql_select_limit", strconv.FormatUint(math.MaxUint64, 10))
	host := u.Host
	if u.Port() == "" {
		host += ":3306"
	}
	cfg, err := mysql.ParseDSN(fmt.Sprintf("tcp(%s)/%s?%s", host, strings.TrimPrefix(u.Path, "/"), query.Encode()))
	if err != nil {
		return dsn{}, errors.New("catalogue address: not an URL such as mysql://user:password@host:3306/db")
	}
	if cfg.MultiStatements {
		return dsn{}, errors.New("catalogue address: multiStatements true: a query could hold a second statement, outside of the read-only transaction")
	}
	cfg.User, cfg.Passwd = u.User.Username(), password
	return dsn{driver: "mysql", address: cfg.FormatDSN()}, nil
}

// connections is how many reads, one a kind, run side by side.
const connections = 4

// maxRow is the most bytes of a row, as the server sends it. A label set that is longer than this ends a read; without a bound it ended the
// process, which keeps a row whole, and then the next leader's.
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
