package catalog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

// slowDB is a database without rows whose queries take as long as a test says, by virtual time.
type slowDB struct {
	mu    sync.Mutex
	takes func(n int) time.Duration // of the query of that number
	fails bool
	spans []span
}

type span struct{ began, ended time.Time }

func (d *slowDB) Connect(context.Context) (driver.Conn, error)                 { return d, nil }
func (d *slowDB) Driver() driver.Driver                                        { return nil }
func (d *slowDB) Prepare(string) (driver.Stmt, error)                          { return nil, errors.ErrUnsupported }
func (d *slowDB) Close() error                                                 { return nil }
func (d *slowDB) Begin() (driver.Tx, error)                                    { return d, nil }
func (d *slowDB) Commit() error                                                { return nil }
func (d *slowDB) Rollback() error                                              { return nil }
func (d *slowDB) Columns() []string                                            { return []string{"id"} }
func (d *slowDB) Next([]driver.Value) error                                    { return io.EOF }
func (d *slowDB) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) { return d, nil }

func (d *slowDB) QueryContext(ctx context.Context, _ string, _ []driver.NamedValue) (driver.Rows, error) {
	d.mu.Lock()
	takes, fails := d.takes(len(d.spans)), d.fails
	d.mu.Unlock()
	began := time.Now()
	sleep(ctx, takes, nil)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.spans = append(d.spans, span{began, time.Now()})
	if fails {
		return nil, errors.New("no such table")
	}
	return d, nil
}

// begins are the times at which queries have begun, from since on.
func (d *slowDB) begins(since time.Time) (all []time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.spans {
		all = append(all, s.began.Sub(since))
	}
	return all
}

func (d *slowDB) busy() (sum time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.spans {
		sum += s.ended.Sub(s.began)
	}
	return sum
}

// compared is a Reconciler that asks for another read so long after each of the first ones.
type compared struct {
	mu   sync.Mutex
	next []time.Duration
}

func (*compared) BeginRead(time.Time)           {}
func (*compared) AbortRead()                    {}
func (*compared) Rows([]observed.ResourceKnown) {}

func (c *compared) EndRead(context.Context, []observed.ResourceKnown) (next time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.next) > 0 {
		if c.next[0] >= 0 {
			next = time.Now().Add(c.next[0])
		}
		c.next = c.next[1:]
	}
	return next, nil
}

// readSlowly reads a slow database by virtual time until the test ends.
func readSlowly(t *testing.T, d *slowDB, interval time.Duration, c *compared) *Source {
	kind := config.Default("Thing", "iota-dac")
	kind.Catalogue.Interval = config.Duration(interval)
	s, err := New(At("postgres://u:p@h/db"), func(string) (Reconciler, bool) { return c, true },
		slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(t, err)
	s.timeout = time.Hour
	s.Configure([]config.Kind{kind})
	db := sql.OpenDB(d)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.readUntilChanged(ctx, db, s.last(), func(observed.Signal) {})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = db.Close()
	})
	return s
}

// flood asks for a read again and again.
func flood(s *Source, span time.Duration) {
	for begun := time.Now(); time.Since(begun) < span; time.Sleep(100 * time.Millisecond) {
		s.Trigger("Thing")
	}
}

func always(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }

func TestReadsThatMessagesAskForTakeATwentiethOfTheTime(t *testing.T) {
	for name, takes := range map[string]func(n int) time.Duration{
		"even":       always(2 * time.Second),
		"fast":       always(time.Millisecond),
		"uneven":     func(n int) time.Duration { return []time.Duration{50, 8000, 300, 1, 20_000}[n%5] * time.Millisecond },
		"ever worse": func(n int) time.Duration { return time.Duration(n) * time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &slowDB{takes: takes}
				s := readSlowly(t, d, 24*time.Hour, &compared{})
				begun := time.Now()
				const hours = 4 * time.Hour
				flood(s, hours)
				first := takes(0)
				require.LessOrEqual(t, d.busy()-first, time.Since(begun)/20+takes(len(d.begins(begun))-1))
				require.Greater(t, len(d.begins(begun)), 20, "they are not starved")
			})
		})
	}
}

func TestOneReadAnswersAllThatAskedBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDB{takes: always(2 * time.Second)}
		s := readSlowly(t, d, 24*time.Hour, &compared{})
		begun := time.Now()
		at := func(d time.Duration) { time.Sleep(time.Until(begun.Add(d))) }
		at(10 * time.Second)
		s.Trigger("Thing") // the first: at once
		at(11 * time.Second)
		s.Trigger("Thing") // while that one runs: after it has been paid for, at 12 s + 19 × 2 s
		at(20 * time.Second)
		s.Trigger("Thing")
		at(40 * time.Minute)
		s.Trigger("Thing")
		at(90 * time.Minute)
		require.Equal(t, []time.Duration{0, 10 * time.Second, 50 * time.Second, 40 * time.Minute}, d.begins(begun))
	})
}

func TestAFloodDoesNotPutOffThePeriodicRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDB{takes: always(time.Minute)}
		s := readSlowly(t, d, 5*time.Minute, &compared{})
		begun := time.Now()
		flood(s, 31*time.Minute)
		// The one asked for at once has to be paid for with 19 minutes; what is asked meanwhile is
		// answered by those that come anyway.
		require.Equal(t, []time.Duration{
			0, time.Minute + leastPause, 7*time.Minute + leastPause, 13*time.Minute + leastPause, 19*time.Minute + leastPause,
			21*time.Minute + leastPause, 27*time.Minute + leastPause,
		}, d.begins(begun))
	})
}

func TestAFloodDoesNotHurryARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDB{takes: always(time.Millisecond), fails: true}
		s := readSlowly(t, d, 5*time.Minute, &compared{})
		begun := time.Now()
		flood(s, 10*time.Minute)
		require.Equal(t, 15, len(d.begins(begun)), "1, 2, 4 … seconds after each other, and then a minute")
	})
}

func TestTheReadThatConfirmsComesWhenItIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDB{takes: always(time.Second)}
		c := &compared{next: []time.Duration{0, 3 * time.Minute, -1}}
		readSlowly(t, d, 5*time.Minute, c)
		begun := time.Now()
		time.Sleep(9 * time.Minute)
		require.Equal(t, []time.Duration{0, time.Second, 3*time.Minute + 2*time.Second, 8*time.Minute + 3*time.Second}, d.begins(begun))
	})
}
