// Package catalog reads which resources exist from the platform's database.
//
// In: one SQL query a kind, asked at each interval, on demand, and once more where a reconciler
// wants a second read; pace.go has when. Out: the rows to the kind's Reconciler as they come, an
// observed.Catalogued for each complete read, observed.Failed for one that failed. Invariant: a
// read that did not reach its last row is an error and never "fewer resources".
//
// Only the leader reads what it writes by: a follower needs no copy of 350,000 rows.
package catalog

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/meter"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// Reconciler compares complete reads with what is assigned. *rebalancer.Engine is one.
type Reconciler interface {
	// BeginRead is called right before the query is sent.
	BeginRead(now time.Time)
	// Rows takes rows of the read that began; the slice is used again, its strings are not.
	Rows(rs []observed.ResourceKnown)
	// EndRead ends a complete read by its last rows. next is when another must begin; zero: none.
	// ErrVoid: the read counts for nothing, and no fault of the catalogue's is why.
	EndRead(ctx context.Context, rs []observed.ResourceKnown) (next time.Time, err error)
	// AbortRead says that the read begun last failed and proves nothing.
	AbortRead()
}

// ErrVoid says that a read has come between two terms of who compares it. Trigger asks for the next
// one.
var ErrVoid = errors.New("the read counts for nothing")

// Source reads the catalogues of all configured kinds.
type Source struct {
	address     func() (string, error)
	timeout     time.Duration // of one read, connecting included
	lookEvery   time.Duration // between two looks at the address
	reconcilers func(kind string) (Reconciler, bool)
	log         *slog.Logger
	metrics     *metrics

	mu      sync.Mutex
	dsn     dsn  // the last good one of address
	refused bool // the present one is not a good one
	kinds   map[string]*watch
	changed chan struct{} // closed and replaced when the set of watches changes
}

// question is a kind's query, and how often it is asked.
type question struct {
	query    string
	interval time.Duration
	// weight and labels: without this column the kind's configuration means nothing.
	weight, labels bool
}

func questionOf(k *config.Kind) question {
	return question{k.Catalogue.Query, k.Catalogue.Interval.Std(), k.Balance == config.BalanceWeight, k.ByLabels()}
}

// watch is one kind's question and when to ask it.
type watch struct {
	question
	kind string
	// asked holds a token when a read was asked for; it is taken right before a read begins.
	asked wake.Signal
	// padded: the column id has the type char(n), by the last read.
	padded atomic.Bool
	pace   pace // of keepReading alone
}

// At is the address of a database whose address never changes.
func At(dsn string) func() (string, error) { return func() (string, error) { return dsn, nil } }

// New returns a Source without kinds. address returns the DSN, which is
// postgres://user:password@host:port/db?… or the same with mysql or mariadb; it is only checked, and
// asked for again while the Source reads: a file with a password may be renewed. reconcilers returns
// the reconciler of a kind; false: it has none, and is not read.
func New(address func() (string, error), reconcilers func(kind string) (Reconciler, bool), log *slog.Logger, reg prometheus.Registerer) (*Source, error) {
	text, err := address()
	if err != nil {
		return nil, err
	}
	d, err := parseDSN(text)
	if err != nil {
		return nil, err
	}
	return &Source{
		address: address, dsn: d, timeout: 2 * time.Minute, lookEvery: 10 * time.Second, reconcilers: reconcilers,
		log: log, metrics: newMetrics(reg), changed: make(chan struct{}),
	}, nil
}

// With is a Source of the same database without kinds, for other reconcilers. No kind may be of both
// at a time.
func (s *Source) With(reconcilers func(kind string) (Reconciler, bool)) *Source {
	return &Source{
		address: s.address, dsn: s.dsn, timeout: s.timeout, lookEvery: s.lookEvery, reconcilers: reconcilers, log: s.log, metrics: s.metrics, changed: make(chan struct{}),
	}
}

// Configure sets the kinds, at any time; a new kind and a changed query are read at once.
func (s *Source) Configure(kinds []config.Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.kinds
	s.kinds = map[string]*watch{}
	differs := len(old) != len(kinds)
	for _, k := range kinds {
		q := questionOf(&k)
		w := old[k.Name]
		if w == nil || w.question != q {
			w = &watch{question: q, kind: k.Name, asked: wake.New()}
			differs = true
		}
		s.kinds[k.Name] = w
	}
	for kind := range old {
		if s.kinds[kind] == nil {
			s.metrics.forget(kind)
		}
	}
	if differs {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// Trigger asks for a read of the kind as soon as those that were asked for before are paid for
// (askedPart). Triggers that come together lead to one read, begun after the last of them.
func (s *Source) Trigger(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.kinds[kind]; w != nil {
		w.asked.Wake()
	}
}

// Padded says whether the kind's ids are char(n), as the last read told: final blanks mean nothing.
func (s *Source) Padded(kind string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.kinds[kind]
	return w != nil && w.padded.Load()
}

// Run reads until ctx ends, every kind first at once.
func (s *Source) Run(ctx context.Context, sink func(observed.Signal)) error {
	for ctx.Err() == nil {
		if err := s.readAt(ctx, s.look(), sink); err != nil {
			return err
		}
	}
	return nil
}

// readAt reads until ctx ends or the database has another address.
func (s *Source) readAt(ctx context.Context, at dsn, sink func(observed.Signal)) error {
	db, err := at.open()
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for ctx.Err() == nil && s.last() == at {
		s.readUntilChanged(ctx, db, at, sink)
	}
	return nil
}

// look asks for the address, and returns the last good one.
func (s *Source) look() dsn {
	text, err := s.address()
	var d dsn
	if err == nil {
		d, err = parseDSN(text)
	}
	if err == nil && d != s.last() {
		err = d.check()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil && s.dsn != d:
		s.log.Info("the catalogue's address or password has changed")
		s.dsn, s.refused = d, false
	case err == nil:
		s.refused = false
	case !s.refused: // the driver's own words may hold the password
		s.refused = true
		s.log.Warn("the catalogue's address cannot be read and stays as it was")
	}
	return s.dsn
}

func (s *Source) last() dsn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dsn
}

// readUntilChanged reads all kinds side by side until ctx ends, or the set of kinds or the address
// changes.
func (s *Source) readUntilChanged(ctx context.Context, db *sql.DB, at dsn, sink func(observed.Signal)) {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	var all sync.WaitGroup
	for _, w := range s.kinds {
		all.Go(func() { s.keepReading(ctx, db, w, sink) })
	}
	changed := s.changed
	s.mu.Unlock()
	ticker := time.NewTicker(s.lookEvery)
	defer ticker.Stop()
	for same := true; same; {
		select {
		case <-ctx.Done():
			same = false
		case <-changed:
			same = false
		case <-ticker.C:
			same = s.look() == at
		}
	}
	cancel()
	all.Wait()
}

func (s *Source) keepReading(ctx context.Context, db *sql.DB, w *watch, sink func(observed.Signal)) {
	periodic := true // the read comes so long after the last one, or again after one that failed
	for {
		select { // this read answers all that asked before it begins
		case <-w.asked:
		default:
		}
		next, took, err := s.read(ctx, db, w, sink)
		if ctx.Err() != nil {
			return
		}
		ended := time.Now()
		due := ended.Add(w.interval)
		switch {
		case errors.Is(err, ErrVoid):
			s.log.Info("catalogue read in vain", "kind", w.kind, "error", err)
		case err != nil:
			s.log.Warn("catalogue not read", "kind", w.kind, "error", err)
			sink(observed.Failed{Kind: w.kind, Source: observed.SourceCatalogue, At: ended, Err: err})
			due = w.pace.failed(periodic, ended, took)
		default:
			w.pace.read(periodic, ended, took)
		}
		confirms := !next.IsZero() && next.Before(due)
		if confirms {
			due = next
		}
		asked := w.await(ctx, due)
		if ctx.Err() != nil {
			return
		}
		periodic = !confirms && !asked
	}
}

type metrics struct {
	duration *prometheus.HistogramVec
	unread   *prometheus.GaugeVec
	panics   *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := meter.In(reg)
	return &metrics{
		unread: m.Gauges("shardscaler_catalogue_unread_rows",
			"Rows of a kind's last complete read whose weight or labels cannot be read.", "kind"),
		duration: m.Histograms("shardscaler_catalogue_read_duration_seconds",
			"Time to read a kind's catalogue, by outcome: complete or failed.",
			prometheus.ExponentialBuckets(0.01, 2, 14), "kind", "outcome"),
		panics: m.Counters("shardscaler_catalogue_panics_total",
			"Reads of a kind's catalogue at which the database's driver panicked; each failed.", "kind"),
	}
}

func (m *metrics) forget(kind string) {
	m.duration.DeletePartialMatch(prometheus.Labels{"kind": kind})
	m.unread.DeleteLabelValues(kind)
	m.panics.DeleteLabelValues(kind)
}
