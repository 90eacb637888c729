package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/guard"
)

const rowsAtOnce = 1000

// read asks a kind's query once, streaming the rows to its reconciler. took is how long the
// database was busy: without the comparison, which may wait for ZooKeeper.
func (s *Source) read(ctx context.Context, db *sql.DB, w *watch, sink func(observed.Signal)) (next time.Time, took time.Duration, err error) {
	rec, ok := s.reconcilers(w.kind)
	if !ok {
		return time.Time{}, 0, fmt.Errorf("read catalogue: no leader writes the assignment of kind %s yet", w.kind)
	}
	began := time.Now()
	rec.BeginRead(began)
	last, count, err := s.stream(ctx, db, w, rec)
	took = time.Since(began)
	outcome := "complete"
	if err != nil {
		outcome = "failed"
	}
	s.metrics.duration.WithLabelValues(w.kind, outcome).Observe(took.Seconds())
	if err != nil {
		rec.AbortRead()
		return time.Time{}, took, err
	}
	// The age of a read is that of its beginning: what happened since may be missing in it.
	sink(observed.Catalogued{Kind: w.kind, At: began, Count: count})
	if next, err = rec.EndRead(ctx, last); err != nil {
		return time.Time{}, took, fmt.Errorf("compare with catalogue: %w", err)
	}
	return next, took, nil
}

// stream reads all rows within the time-out, handing on full batches; it returns the last batch and
// the number of rows. The driver may panic at what the server sends: that is a read which failed.
func (s *Source) stream(ctx context.Context, db *sql.DB, w *watch, rec Reconciler) (batch []observed.ResourceKnown, count int, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err = guard.Run(func() error {
		batch, err = s.rows(ctx, db, w, rec, &count)
		return err
	})
	if p := guard.Caught(err); p != nil {
		s.metrics.panics.WithLabelValues(w.kind).Inc()
		s.log.Error("reading the catalogue panicked", "kind", w.kind, "panic", p.Value, "stack", string(p.Stack))
		err = fmt.Errorf("read catalogue after row %d: %w", count, err)
	}
	return batch, count, err
}

// rows is stream without bounds; it counts as it reads.
func (s *Source) rows(ctx context.Context, db *sql.DB, w *watch, rec Reconciler, count *int) (batch []observed.ResourceKnown, err error) {
	// Read-only: the query comes from a ConfigMap, whose editors may have no right to write here.
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("query catalogue: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	rows, err := tx.QueryContext(ctx, w.query)
	if err != nil {
		return nil, fmt.Errorf("query catalogue: %w", err)
	}
	defer func() { _ = rows.Close() }() // what could fail there is in rows.Err
	sc, err := newScanner(rows, w.question)
	if err != nil {
		return nil, err
	}
	w.padded.Store(sc.padded)
	batch = make([]observed.ResourceKnown, 0, rowsAtOnce)
	for rows.Next() {
		r, err := sc.scan(rows)
		if err != nil {
			return nil, fmt.Errorf("read row %d of the catalogue: %w", *count+1, err)
		}
		*count++
		if batch = append(batch, r); len(batch) == rowsAtOnce {
			rec.Rows(batch)
			batch = batch[:0]
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read catalogue after row %d: %w", *count, err)
	}
	s.metrics.unread.WithLabelValues(w.kind).Set(float64(sc.unread))
	if sc.unread > 0 {
		s.log.Warn("the catalogue has rows whose weight or labels cannot be read", "kind", w.kind, "count", sc.unread, "first", sc.why)
	}
	return batch, nil
}

// scanner reads rows of the columns id and, optionally, weight and labels, in any order.
type scanner struct {
	id     string
	weight weight
	labels sql.Null[[]byte]
	into   []any
	// padded: the id has the type char(n), and blanks at its end mean nothing.
	padded bool
	// known are label sets by their text: many rows have the same.
	known map[string]map[string]string
	// unread counts the rows whose weight or labels cannot be read, why says it of the first.
	unread int
	why    error
}

// weight is a column that may hold anything.
type weight struct {
	value float64
	err   error
}

// Scan implements sql.Scanner. What is no weight is no error of the read.
func (w *weight) Scan(column any) error {
	var n sql.NullFloat64
	err := n.Scan(column)
	if err == nil && (!(n.Float64 >= 0) || math.IsInf(n.Float64, 1)) {
		err = fmt.Errorf("%v: must be a number of 0 or more", n.Float64)
	}
	*w = weight{value: n.Float64, err: err}
	return nil
}

const (
	// maxLabels is the longest text of a label set, in bytes: many sets are held at once.
	maxLabels = 4 << 10
	// knownLabels is how many different label sets of one read are kept.
	knownLabels = 10_000
)

func newScanner(rows *sql.Rows, need question) (*scanner, error) {
	columns, err := rows.ColumnTypes()
	if err != nil {
		return nil, fmt.Errorf("read the catalogue's columns: %w", err)
	}
	s := &scanner{known: map[string]map[string]string{}}
	seen := map[string]bool{}
	var idType string
	for _, column := range columns {
		name := strings.ToLower(column.Name())
		if seen[name] {
			return nil, fmt.Errorf("catalogue query: column %q comes twice", name)
		}
		seen[name] = true
		switch name {
		case "id":
			s.into = append(s.into, &s.id)
			idType = column.DatabaseTypeName()
		case "weight":
			s.into = append(s.into, &s.weight)
		case "labels":
			s.into = append(s.into, &s.labels)
		default:
			return nil, fmt.Errorf("catalogue query: column %q: want id, and optionally weight and labels", name)
		}
	}
	switch {
	case !seen["id"]:
		return nil, errors.New("catalogue query: no column id")
	case need.weight && !seen["weight"]:
		return nil, errors.New("catalogue query: no column weight, and the kind is balanced by weight")
	case need.labels && !seen["labels"]:
		return nil, errors.New("catalogue query: no column labels, and the kind has pins that select by labels")
	}
	s.padded = idType == "BPCHAR" || idType == "CHAR"
	return s, checkID(idType)
}

// idTypes are the databases' types that have one text for each value. Of anything else (bytes,
// fractions, times) the driver would make a text of its own, which no message names.
var idTypes = []string{
	"TEXT", "VARCHAR", "BPCHAR", "CHAR", "NAME", "UUID", "ENUM", "INT2", "INT4", "INT8",
	"TINYTEXT", "MEDIUMTEXT", "LONGTEXT", "TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT",
}

func checkID(databaseType string) error {
	if _, err := strconv.Atoi(databaseType); err == nil || databaseType == "" {
		// a type that was made in this PostgreSQL, such as an enumeration, or none is told
		return nil
	}
	if !slices.Contains(idTypes, strings.TrimPrefix(databaseType, "UNSIGNED ")) {
		return fmt.Errorf("catalogue query: column id has the type %s: want text or whole numbers; convert it in the query", databaseType)
	}
	return nil
}

func (s *scanner) scan(rows *sql.Rows) (observed.ResourceKnown, error) {
	if err := rows.Scan(s.into...); err != nil {
		return observed.ResourceKnown{}, err
	}
	r := observed.ResourceKnown{ID: s.id}
	if s.padded {
		r.ID = strings.TrimRight(r.ID, " ")
	}
	if err := s.describe(&r); err != nil {
		if s.unread++; s.unread == 1 {
			s.why = err
		}
		return observed.ResourceKnown{ID: r.ID, Unread: true}, nil
	}
	return r, nil
}

func (s *scanner) describe(r *observed.ResourceKnown) (err error) {
	if s.weight.err != nil {
		return fmt.Errorf("weight of %q: %w", r.ID, s.weight.err)
	}
	r.Weight = s.weight.value
	if len(s.labels.V) > 0 && s.labels.Valid {
		if r.Labels, err = s.labelSet(s.labels.V); err != nil {
			return fmt.Errorf("labels of %q: want a JSON object of strings: %w", r.ID, err)
		}
	}
	return nil
}

// labelSet decodes a label set once for all rows that have it. What it returns is read only.
func (s *scanner) labelSet(text []byte) (map[string]string, error) {
	if labels, ok := s.known[string(text)]; ok {
		return labels, nil
	}
	if len(text) > maxLabels {
		return nil, fmt.Errorf("%d bytes, at most %d", len(text), maxLabels)
	}
	var labels map[string]string
	if err := exact.JSON(text, &labels); err != nil {
		return nil, err
	}
	if len(s.known) < knownLabels {
		s.known[string(text)] = labels
	}
	return labels, nil
}
