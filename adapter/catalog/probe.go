package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/guard"
)

// Probe asks the database at dsn (as New takes it) for its version, and runs each kind's query
// without reading a row. Queries has what is wrong with a kind's; err is why nothing could be asked.
// Neither holds the password.
func Probe(ctx context.Context, dsn string, kinds []config.Kind) (version string, queries map[string]error, err error) {
	d, err := parseDSN(dsn)
	if err != nil {
		return "", nil, err
	}
	db, err := d.open()
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = db.Close() }() // nothing was written
	if err := guard.Run(func() error { return db.QueryRowContext(ctx, "SELECT version()").Scan(&version) }); err != nil {
		return "", nil, fmt.Errorf("ask for the version: %w", err)
	}
	queries = map[string]error{}
	for i := range kinds {
		q := questionOf(&kinds[i])
		if err := guard.Run(func() error { return q.probe(ctx, db) }); err != nil {
			queries[kinds[i].Name] = err
		}
	}
	return version, queries, nil
}

// probe runs the query for its columns alone.
func (q question) probe(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	query := strings.TrimRight(q.query, "; \t\r\n")
	rows, err := tx.QueryContext(ctx, "SELECT * FROM ("+query+") AS preflight LIMIT 0")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // what could fail there is in rows.Err
	if _, err := newScanner(rows, q); err != nil {
		return err
	}
	return rows.Err()
}
