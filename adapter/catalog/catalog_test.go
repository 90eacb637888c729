package catalog

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/pins"
	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// reader is a Reconciler that remembers what it was given.
type reader struct {
	mu       sync.Mutex
	begun    int
	aborted  int
	current  []observed.ResourceKnown
	complete [][]observed.ResourceKnown
	again    int // how many more reads EndRead asks for, at once
	// comparing is how long EndRead takes, compared when it began.
	comparing time.Duration
	compared  time.Time
	ended     chan struct{}
	void      int // how many reads count for nothing
}

func newReader() *reader { return &reader{ended: make(chan struct{}, 100)} }

func (r *reader) BeginRead(time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun++
	r.current = nil
}

func (r *reader) Rows(rs []observed.ResourceKnown) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current = append(r.current, rs...)
}

func (r *reader) EndRead(_ context.Context, rs []observed.ResourceKnown) (next time.Time, err error) {
	r.compared = time.Now()
	time.Sleep(r.comparing)
	r.Rows(rs)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.void--; r.void >= 0 {
		defer func() { r.ended <- struct{}{} }()
		return next, fmt.Errorf("%w: another term", ErrVoid)
	}
	r.complete = append(r.complete, slices.Clone(r.current))
	r.ended <- struct{}{}
	if r.again--; r.again >= 0 {
		next = time.Now()
	}
	return next, nil
}

func (r *reader) AbortRead() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.aborted++
	r.ended <- struct{}{}
}

// catalogue starts a Source over a database of its own with kind Thing, and returns what it
// reported.
func catalogue(t *testing.T, url, query string, r *reader) (s *Source, rec *observedtest.Recorder) {
	t.Helper()
	kind := config.Default("Thing", "iota-dac")
	if query != "" {
		kind.Catalogue.Query = query
	}
	return catalogueOf(t, url, kind, r)
}

func catalogueOf(t *testing.T, url string, kind config.Kind, r *reader) (s *Source, rec *observedtest.Recorder) {
	t.Helper()
	return catalogueAt(t, At(url), kind, r)
}

func catalogueAt(t *testing.T, address func() (string, error), kind config.Kind, r *reader) (s *Source, rec *observedtest.Recorder) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	s, err := New(address, func(string) (Reconciler, bool) { return r, true }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(t, err)
	s.timeout, s.lookEvery = 20*time.Second, 50*time.Millisecond
	s.Configure([]config.Kind{kind})
	rec = &observedtest.Recorder{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Run(ctx, rec.Sink)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		goleak.VerifyNone(t, before)
	})
	return s, rec
}

// first waits for the first signal, which comes after the read has ended.
func first(t *testing.T, rec *observedtest.Recorder) observed.Signal {
	t.Helper()
	sig, _ := observedtest.Await(t, rec, 0, "signal", func(observed.Signal) bool { return true })
	return sig
}

func TestAReadIsStreamedWholeWithWeightsAndLabels(t *testing.T) {
	env := servers.Require(t, servers.PartPostgres)
	db := env.Postgres.NewDatabase(t)
	require.NoError(t, db.Exec(t.Context(), `INSERT INTO "Thing"(id, weight, labels) SELECT 'thing-'||n, n, '{"site":"a"}' FROM generate_series(1, 2500) n`))
	r := newReader()
	_, rec := catalogue(t, db.ReaderURL, `SELECT id, weight, labels FROM "Thing"`, r)
	<-r.ended
	require.Len(t, r.complete[0], 2500, "more than two batches")
	i := slices.IndexFunc(r.complete[0], func(k observed.ResourceKnown) bool { return k.ID == "thing-7" })
	require.Equal(t, observed.ResourceKnown{ID: "thing-7", Weight: 7, Labels: map[string]string{"site": "a"}}, r.complete[0][i])
	require.Equal(t, 2500, first(t, rec).(observed.Catalogued).Count)
}

// The file with the password is renewed while a server runs; what is no address changes nothing.
func TestANewPasswordIsTakenIntoUse(t *testing.T) {
	env := servers.Require(t, servers.PartPostgres)
	right := env.Postgres.NewDatabase(t).ReaderURL
	wrong, err := url.Parse(right)
	require.NoError(t, err)
	wrong.User = url.UserPassword(wrong.User.Username(), "former")
	var file atomic.Pointer[string]
	write := func(text string) { file.Store(&text) }
	write(wrong.String())
	r := newReader()
	s, rec := catalogueAt(t, func() (string, error) { return *file.Load(), nil }, config.Default("Thing", "iota-dac"), r)
	failed, ok := first(t, rec).(observed.Failed)
	require.True(t, ok)
	require.NotContains(t, failed.Err.Error(), "former")
	<-r.ended
	write(right)
	<-r.ended
	require.Len(t, r.complete, 1)
	write("postgres://user:secret%@host")
	time.Sleep(4 * s.lookEvery)
	s.Trigger("Thing")
	<-r.ended
	require.Len(t, r.complete, 2)
}

func TestTriggersAndSecondReads(t *testing.T) {
	env := servers.Require(t, servers.PartPostgres)
	db := env.Postgres.NewDatabase(t)
	r := newReader()
	r.again = 1
	s, _ := catalogue(t, db.ReaderURL, "", r)
	<-r.ended
	<-r.ended // the second read came at once, not after the interval of five minutes
	require.NoError(t, db.Exec(t.Context(), `INSERT INTO "Thing"(id) VALUES ('late')`))
	s.Trigger("Thing")
	s.Trigger("Nobody")
	<-r.ended
	require.Equal(t, "late", r.complete[2][0].ID, "a triggered read begins after its trigger")
}

// A read between two terms is no failure of the catalogue's, and who asks for the next one does not
// pay for it.
func TestAReadInVainIsNoFailure(t *testing.T) {
	env := servers.Require(t, servers.PartPostgres)
	db := env.Postgres.NewDatabase(t)
	r := newReader()
	r.void = 1
	s, rec := catalogue(t, db.ReaderURL, `SELECT 'a' AS id`, r)
	<-r.ended
	require.Empty(t, r.complete)
	s.Trigger("Thing")
	<-r.ended
	require.Len(t, r.complete, 1)
	for _, sig := range rec.All() {
		require.IsType(t, observed.Catalogued{}, sig)
	}
}

func TestAFloodOfTriggersIsNotAFloodOfReads(t *testing.T) {
	env := servers.Require(t, servers.PartPostgres)
	db := env.Postgres.NewDatabase(t)
	r := newReader()
	s, _ := catalogue(t, db.ReaderURL, "", r)
	<-r.ended
	began := time.Now()
	for len(r.ended) == 0 || time.Since(began) < 2*leastPause {
		s.Trigger("Thing")
		time.Sleep(time.Millisecond)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	require.LessOrEqual(t, r.begun, 2+int(time.Since(began)/leastPause), "each read is followed by a pause")
}

func TestAPartialReadIsAnErrorAndNotFewerResources(t *testing.T) {
	env := servers.Require(t, servers.PartPostgres)
	db := env.Postgres.NewDatabase(t)
	r := newReader()
	// The 2,001st row divides by zero: two batches were handed on by then.
	_, rec := catalogue(t, db.ReaderURL, `SELECT ('t'||n||(1/(2001-n))::text) AS id FROM generate_series(1, 3000) n`, r)
	<-r.ended
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Empty(t, r.complete)
	require.Equal(t, 1, r.aborted)
	require.ErrorContains(t, first(t, rec).(observed.Failed).Err, "division by zero")
}

// A row is kept whole while it is read.
func TestARowThatIsTooLongEndsTheReadAndNotTheProcess(t *testing.T) {
	env := servers.Require(t, servers.PartPostgres)
	db := env.Postgres.NewDatabase(t)
	r := newReader()
	_, rec := catalogue(t, db.ReaderURL, `SELECT 'a' AS id, '{"site":"' || repeat('x', 9000000) || '"}' AS labels`, r)
	<-r.ended
	failed, ok := first(t, rec).(observed.Failed)
	require.True(t, ok, "a row of 9 MB was read")
	require.ErrorContains(t, failed.Err, "expected at most 8388608, but got")
	require.Empty(t, r.complete)
}

func TestADatabaseThatGoesAndComesBackIsReadAgain(t *testing.T) {
	env := servers.Require(t, servers.PartPostgres)
	pg := env.NewPostgres(t)
	db := pg.NewDatabase(t)
	r := newReader()
	s, rec := catalogue(t, db.ReaderURL, "", r)
	<-r.ended
	require.NoError(t, pg.Stop())
	s.Trigger("Thing")
	<-r.ended
	require.Equal(t, 1, r.aborted)
	require.NoError(t, pg.Start(t.Context()))
	for range 20 {
		<-r.ended
		r.mu.Lock()
		n := len(r.complete)
		r.mu.Unlock()
		if n == 2 {
			break
		}
	}
	_, failed := observedtest.Await(t, rec, 0, "failure", func(observed.Failed) bool { return true })
	observedtest.Await(t, rec, failed, "complete read", func(observed.Catalogued) bool { return true })
	all := rec.All()
	_, ok := all[len(all)-1].(observed.Catalogued)
	require.True(t, ok, "the newest word is a complete read")
}

func TestColumnsAndRowsThatAreNotUnderstoodAreNamed(t *testing.T) {
	env := servers.Require(t, servers.PartPostgres)
	db := env.Postgres.NewDatabase(t)
	for query, want := range map[string]string{
		`SELECT 'a' AS name`:               `column "name": want id`,
		`SELECT 1 AS weight`:               "no column id",
		`SELECT 'a' AS id, 'b' AS id`:      `column "id" comes twice`,
		`SELECT NULL::text AS id`:          "row 1",
		`SELECT '\x61'::bytea AS id`:       "column id has the type BYTEA: want text or whole numbers",
		`SELECT 1.5 AS id`:                 "column id has the type NUMERIC",
		`SELECT now() AS id`:               "column id has the type TIMESTAMPTZ",
		`SELECT true AS id WHERE false`:    "column id has the type BOOL",
		`SELECT 'a' AS id FROM "Nowhere"`:  "Nowhere",
		`DELETE FROM "Thing" RETURNING id`: "read-only",
	} {
		r := newReader()
		_, rec := catalogue(t, db.URL, query, r)
		<-r.ended
		failed, ok := first(t, rec).(observed.Failed)
		require.True(t, ok, query)
		require.ErrorContains(t, failed.Err, want, query)
		require.Empty(t, r.complete, query)
	}
}

func TestAKindThatNeedsAColumnIsNotReadWithoutIt(t *testing.T) {
	env := servers.Require(t, servers.PartPostgres)
	db := env.Postgres.NewDatabase(t)
	for want, change := range map[string]func(k *config.Kind){
		"no column weight, and the kind is balanced by weight":          func(k *config.Kind) { k.Balance = config.BalanceWeight },
		"no column labels, and the kind has pins that select by labels": func(k *config.Kind) { k.Pins = []pins.Rule{{Selector: &pins.Selector{}}} },
	} {
		kind := config.Default("Thing", "iota-dac")
		change(&kind)
		r := newReader()
		_, rec := catalogueOf(t, db.URL, kind, r)
		<-r.ended
		require.ErrorContains(t, first(t, rec).(observed.Failed).Err, want)
		require.Empty(t, r.complete)
	}
}

// A row whose weight or labels cannot be read is there all the same.
func TestARowThatCannotBeReadWholeStopsNoOther(t *testing.T) {
	env := servers.Require(t, servers.PartPostgres)
	db := env.Postgres.NewDatabase(t)
	r := newReader()
	s, rec := catalogue(t, db.ReaderURL, `SELECT * FROM (VALUES
		('a', '1', '{"site":"x"}'), ('b', '1', '[1]'), ('c', '-1', '{}'), ('d', 'NaN', NULL), ('e', 'much', NULL),
		('f', '2', '{"site":"x","site":"y"}'), ('g', '2', '{"site":7}'), ('h', '2', 'null'), ('i', NULL, ''),
		('j', '2', '{"site":"' || repeat('x', 4085) || '"}'), ('k', '2', '{"site":"' || repeat('x', 4086) || '"}')) v(id, weight, labels)`, r)
	<-r.ended
	require.Equal(t, 11, first(t, rec).(observed.Catalogued).Count)
	require.Equal(t, []observed.ResourceKnown{
		{ID: "a", Weight: 1, Labels: map[string]string{"site": "x"}},
		{ID: "b", Unread: true},
		{ID: "c", Unread: true},
		{ID: "d", Unread: true},
		{ID: "e", Unread: true},
		{ID: "f", Unread: true},
		{ID: "g", Unread: true},
		{ID: "h", Weight: 2},
		{ID: "i"},
		{ID: "j", Weight: 2, Labels: map[string]string{"site": strings.Repeat("x", 4085)}},
		{ID: "k", Unread: true},
	}, r.complete[0])
	require.EqualValues(t, 7, testutil.ToFloat64(s.metrics.unread.WithLabelValues("Thing")))
}

func TestIDsOfEachTypeThatHasAText(t *testing.T) {
	env := servers.Require(t, servers.PartPostgres)
	db := env.Postgres.NewDatabase(t)
	require.NoError(t, db.Exec(t.Context(), `CREATE TYPE mood AS ENUM ('a')`))
	for query, want := range map[string]string{
		`SELECT 'a '::text AS id`:                                   "a ",
		`SELECT 'a '::varchar(9) AS id`:                             "a ",
		`SELECT 'a'::char(9) AS id`:                                 "a", // as MariaDB gives it
		`SELECT 'a'::name AS id`:                                    "a",
		`SELECT 'a'::mood AS id`:                                    "a",
		`SELECT 7::bigint AS id`:                                    "7",
		`SELECT '05ECB845-C150-4F97-AC00-E556B6541C1E'::uuid AS id`: "05ecb845-c150-4f97-ac00-e556b6541c1e",
	} {
		r := newReader()
		s, _ := catalogue(t, db.ReaderURL, query, r)
		<-r.ended
		require.Len(t, r.complete, 1, query)
		require.Equal(t, want, r.complete[0][0].ID, query)
		require.Equal(t, strings.Contains(query, "::char("), s.Padded("Thing"), query)
		require.False(t, s.Padded("Rule"), "nothing is known of it")
	}
}

// What a read costs is what it costs the database: the comparison may wait for ZooKeeper.
func TestTheComparisonIsNoPartOfWhatAReadCosts(t *testing.T) {
	env := servers.Require(t, servers.PartPostgres)
	r := newReader()
	r.comparing = 50 * time.Millisecond
	s, err := New(At(env.Postgres.NewDatabase(t).ReaderURL), func(string) (Reconciler, bool) { return r, true },
		slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(t, err)
	s.Configure([]config.Kind{config.Default("Thing", "iota-dac")})
	db, err := s.dsn.open()
	require.NoError(t, err)
	defer db.Close()
	began := time.Now()
	_, took, err := s.read(t.Context(), db, s.kinds["Thing"], func(observed.Signal) {})
	require.NoError(t, err)
	require.Positive(t, took)
	require.False(t, began.Add(took).After(r.compared), "%s", took)
}

func TestEqualLabelsAreDecodedOnce(t *testing.T) {
	s := scanner{known: map[string]map[string]string{}}
	text := []byte(`{"site":"a"}`)
	labels, err := s.labelSet(text)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"site": "a"}, labels)
	require.Zero(t, testing.AllocsPerRun(10, func() { labels, _ = s.labelSet(text) }))
	require.Equal(t, map[string]string{"site": "a"}, labels)
	for i := range knownLabels + 10 {
		_, err := s.labelSet(fmt.Appendf(nil, `{"site":"%d"}`, i))
		require.NoError(t, err)
	}
	require.Len(t, s.known, knownLabels, "as many label sets as rows are not all kept")
	_, err = s.labelSet([]byte(`[1]`))
	require.Error(t, err)
	_, err = s.labelSet([]byte(`{"site":"a","site":"b"}`))
	require.ErrorContains(t, err, `duplicate field "site"`)
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]dsn{
		"postgres://u:p@h:1/db?sslmode=disable":                          {"pgx", "postgres://u:p@h:1/db?default_query_exec_mode=exec&sslmode=disable"},
		"postgres://u:p%40ss@h/db?default_query_exec_mode=describe_exec": {"pgx", "postgres://u:p%40ss@h/db?default_query_exec_mode=describe_exec"},
		"mysql://u:p%40ss@h/db":                                          {"mysql", "u:p@ss@tcp(h:3306)/db?sql_mode=CONCAT%28%40%40sql_mode%2C%27%2CANSI_QUOTES%27%29&sql_select_limit=18446744073709551615"},
		"mysql://u:p@h/d%3Fallow%26AllFiles=true?timeout=5s":             {"mysql", "u:p@tcp(h:3306)/d%3Fallow&AllFiles=true?timeout=5s&sql_mode=CONCAT%28%40%40sql_mode%2C%27%2CANSI_QUOTES%27%29&sql_select_limit=18446744073709551615"},
		"mariadb://u:p@h:1/db":                                           {"mysql", "u:p@tcp(h:1)/db?sql_mode=CONCAT%28%40%40sql_mode%2C%27%2CANSI_QUOTES%27%29&sql_select_limit=18446744073709551615"},
	} {
		got, err := parseDSN(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, bad := range []string{
		"", "h:1/secret", "oracle://u:secret@h/db", "postgres:///db", "postgres://u:secret@[h/db",
		"postgres://u:secret@h/db?default_query_exec_mode=simple_protocol", "mysql://u:secret@h/db?multiStatements=true",
	} {
		_, err := parseDSN(bad)
		require.Error(t, err, bad)
		require.False(t, strings.Contains(err.Error(), "secret"), "an error never shows a password: %v", err)
	}
}

// What an address says is in force, or refused.
func TestNoOptionOfAnAddressIsDropped(t *testing.T) {
	for options, fault := range map[string]string{
		"?sslmode=disable&sslmode=verify-full":    `option "sslmode" comes 2 times: want it once`,
		"?a=1&%61=2&a=3":                          `option "a" comes 3 times`,
		"?sslmode=verify-full;sslrootcert=secret": `a semicolon in or after option "sslmode": options are separated by &`,
		"?a=1&sslmode;secret=1":                   `a semicolon in or after option "sslmode"`,
		"?sslmode=%zzsecret":                      `option "sslmode": its value is not escaped rightly`,
		"?sslmode=disable#secret":                 "a part that begins with #",
		"postgres?host=secret":                    `option "host" repeats what`,
		"postgres?port=1":                         `option "port" repeats what`,
		"postgres?user=secret":                    `option "user" repeats what`,
		"postgres?password=secret":                `option "password" repeats what`,
		"postgres?dbname=secret":                  `option "dbname" repeats what`,
		"postgres?database=secret":                `option "database" repeats what`,
		"mysql?sql_mode=TRADITIONAL":              `option "sql_mode": shardscaler sets it to CONCAT(`,
		"mysql?sql_select_limit=5":                `option "sql_select_limit": shardscaler sets it to 18446744073709551615`,
		"postgres?default_query_exec_mode=exec&default_query_exec_mode=simple_protocol": `"default_query_exec_mode" comes 2 times`,
	} {
		only, options, _ := strings.Cut(options, "?")
		for _, scheme := range []string{"postgres", "postgresql", "mysql", "mariadb"} {
			if !strings.HasPrefix(scheme, only) {
				continue
			}
			_, err := parseDSN(scheme + "://u:secret@h:1/db?" + options)
			require.ErrorContains(t, err, fault, options)
			require.NotContains(t, err.Error(), "secret", "an error never shows a password")
		}
	}
	_, err := parseDSN("postgres://u@h?dbname=a&database=b&password=c&port=1")
	require.ErrorContains(t, err, `option "database" repeats what`)
	_, err = parseDSN("postgres://u@h?dbname=a&password=c&port=1&application_name=x%3By%23%25")
	require.NoError(t, err)
}

func TestAQueryIsOneStatement(t *testing.T) {
	db := servers.Require(t, servers.PartPostgres).Postgres.NewDatabase(t)
	require.NoError(t, db.Exec(t.Context(), `INSERT INTO "Thing" (id) VALUES ('a')`))
	r := newReader()
	_, rec := catalogue(t, db.URL, `SELECT id FROM "Thing"; COMMIT; DELETE FROM "Thing"`, r)
	require.ErrorContains(t, first(t, rec).(observed.Failed).Err, "multiple commands")
	require.Empty(t, r.complete)
	conn, err := pgx.Connect(t.Context(), db.URL)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	var left int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM "Thing"`).Scan(&left))
	require.Equal(t, 1, left)
}
