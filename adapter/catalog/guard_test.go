package catalog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

// panicking is a database driver that panics at the second row of its first query; later ones have
// the two rows.
type panicking struct{ asked, row int }

func (p *panicking) Connect(context.Context) (driver.Conn, error) { return p, nil }
func (p *panicking) Driver() driver.Driver                        { return nil }
func (p *panicking) Prepare(string) (driver.Stmt, error)          { return p, nil }
func (p *panicking) Begin() (driver.Tx, error)                    { return p, nil }

func (p *panicking) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) { return p, nil }

func (p *panicking) Commit() error                              { return nil }
func (p *panicking) Rollback() error                            { return nil }
func (p *panicking) Close() error                               { return nil }
func (p *panicking) NumInput() int                              { return 0 }
func (p *panicking) Columns() []string                          { return []string{"id"} }
func (p *panicking) ColumnTypeDatabaseTypeName(int) string      { return "TEXT" }
func (p *panicking) Exec([]driver.Value) (driver.Result, error) { return nil, nil }

func (p *panicking) Query([]driver.Value) (driver.Rows, error) {
	p.asked++
	p.row = 0
	return p, nil
}

func (p *panicking) Next(into []driver.Value) error {
	p.row++
	switch {
	case p.row == 2 && p.asked == 1:
		panic("unexpected message")
	case p.row > 2:
		return io.EOF
	}
	into[0] = string(rune('a' - 1 + p.row))
	return nil
}

// What a database sends is read by code that is not ours.
func TestAPanicOfTheDriverIsAFailedRead(t *testing.T) {
	r := newReader()
	kind := config.Default("Thing", "iota-dac")
	s, err := New(At("postgres://localhost/db"), func(string) (Reconciler, bool) { return r, true },
		slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(t, err)
	s.Configure([]config.Kind{kind})
	db := sql.OpenDB(&panicking{})
	defer func() { require.NoError(t, db.Close()) }()
	read := func() error {
		_, _, err := s.read(t.Context(), db, s.kinds["Thing"], func(observed.Signal) {})
		return err
	}
	require.ErrorContains(t, read(), "read catalogue after row 1: panic: unexpected message")
	require.Equal(t, 1, r.aborted)
	require.EqualValues(t, 1, testutil.ToFloat64(s.metrics.panics.WithLabelValues("Thing")))
	require.NoError(t, read())
	require.Len(t, r.complete[0], 2)
}
