package rebalancer

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/catalog"
	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// lagging lets reads be up to lag behind, and has the catalogue read at each interval.
func lagging(lag, interval time.Duration) func(o *orders.Orders) {
	return func(o *orders.Orders) {
		o.Catalogue.Lag, o.Catalogue.Interval = ptr(config.Duration(lag)), config.Duration(interval)
	}
}

// gone is one complete read that lacks some of what is known, and when the next one is asked for.
func (r *rig) gone(ids []string, lacks ...string) time.Time {
	r.t.Helper()
	r.e.BeginRead(time.Now())
	next, err := r.e.EndRead(r.t.Context(), known(without(ids, lacks...)))
	require.NoError(r.t, err)
	return next
}

func TestWhatAMessageCreatedIsMissedOnlyAfterTheLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		r.order(lagging(10*time.Minute, 5*time.Minute))
		ids := names("a", 100)
		r.wait(20 * time.Minute)
		r.create(ids...)
		for range 9 {
			r.wait(time.Minute)
			require.Zero(t, r.gone(ids, "a-00007"), "the standby may be behind")
		}
		r.wait(time.Minute)
		require.Equal(t, time.Now().Add(5*time.Minute), r.gone(ids, "a-00007"))
		r.wait(5*time.Minute - 1)
		r.gone(ids, "a-00007")
		r.settled(ids)
		r.wait(1)
		require.Zero(t, r.gone(ids, "a-00007"))
		r.wait(3 * time.Second)
		r.settled(without(ids, "a-00007"))
	})
}

// TestAReadThatIsBehindMakesNothingAgain, for 30 s; then the row counts as restored.
func TestAReadThatIsBehindMakesNothingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		r.order(lagging(10*time.Minute, 5*time.Minute))
		ids := names("a", 100)
		r.create(ids...)
		r.wait(time.Minute)
		require.NoError(t, r.e.Delete(t.Context(), ids[:1]))
		r.wait(29 * time.Second)
		asked := r.resyncs.Load()
		r.gone(ids)
		r.settled(ids[1:])
		r.wait(time.Second)
		require.Equal(t, asked+1, r.resyncs.Load(), "a read is asked for when it will be believed")
		r.gone(ids)
		r.wait(3 * time.Second)
		r.settled(ids)
		r.gone(ids, ids[0]) // the standby has caught up
		r.wait(3 * time.Second)
		r.settled(ids[1:])
	})
}

// TestANewLeaderTakesAllAsCreatedAtItsStart: what messages told its predecessor it does not know.
func TestANewLeaderTakesAllAsCreatedAtItsStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		first := newRig(t, d).lead(0)
		ids := names("a", 100)
		first.create(ids...)
		first.wait(time.Hour)
		first.halt()
		second := newRig(t, d)
		second.order(lagging(10*time.Minute, 5*time.Minute))
		second.lead(0)
		second.wait(10*time.Minute - 1)
		require.Zero(t, second.gone(ids, "a-00007"))
		second.wait(1)
		require.NotZero(t, second.gone(ids, "a-00007"))
	})
}

// TestAClaimWaitsForACatalogueThatIsBehind: a read that still has the row asks for others, less and
// less often, until the lag is over.
func TestAClaimWaitsForACatalogueThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		r.order(lagging(10*time.Minute, 5*time.Minute))
		ids := names("a", 100)
		r.create(ids...)
		r.wait(time.Minute)
		r.claim("a-00003", "a-00004")
		begun, asked := time.Now(), r.resyncs.Load()
		var at []time.Duration
		for time.Since(begun) < 12*time.Minute {
			if now := r.resyncs.Load(); len(at) == 0 || now > asked {
				asked = now
				at = append(at, time.Since(begun))
				r.gone(ids)
				if len(at) == 5 {
					ids = without(ids, "a-00003")
					r.gone(ids)
				}
			}
			r.wait(time.Second)
		}
		require.Equal(t, []time.Duration{0, 1e9, 2e9, 4e9, 8e9, 16e9, 32e9, 64e9, 128e9, 256e9, 512e9}, at)
		r.settled(ids)
		r.gone(ids)
		r.gone(ids, "a-00004")
		r.wait(time.Minute)
		r.settled(ids)
	})
}

// TestAnOpenTransactionDeletesNothing: it hides its rows from every read until its commit, and
// messages have told of them before.
func TestAnOpenTransactionDeletesNothing(t *testing.T) {
	env := servers.Require(t, servers.PartZooKeeper, servers.PartPostgres)
	l := startLive(t, env.ZooKeeper.Connect+env.ZooKeeper.Path(t), 100, 0)
	l.order(lagging(time.Hour, readEvery))
	l.order(func(o *orders.Orders) { o.Catalogue.MaxDeleteShare = ptr(1.0) })
	db := env.Postgres.NewDatabase(t)
	rec := readCatalogue(t, db, l.e)
	reads := func(n int) { // and the last of them has been compared
		mark := rec.Mark()
		for range n + 1 {
			_, mark = observedtest.Await(t, rec, mark, "complete read", func(observed.Catalogued) bool { return true })
		}
	}
	conn, err := pgx.Connect(t.Context(), db.URL)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	ids := names("a", 20)
	_, err = tx.Exec(t.Context(), `INSERT INTO "Thing"(id) SELECT unnest($1::text[])`, ids)
	require.NoError(t, err)
	require.NoError(t, l.e.Create(t.Context(), known(ids)))
	reads(3)
	require.Equal(t, ids, everything(l.e.State()))
	require.NoError(t, tx.Commit(t.Context()))
	reads(1)
	require.Equal(t, ids, everything(l.e.State()))

	l.order(lagging(0, readEvery))
	// without any message
	require.NoError(t, db.Exec(t.Context(), `DELETE FROM "Thing" WHERE id = 'a-00007'`))
	l.eventually("it is missed", func() bool { return len(everything(l.e.State())) == len(ids)-1 })
	require.Equal(t, without(ids, "a-00007"), everything(l.e.State()))
}

const readEvery = 100 * time.Millisecond

// readCatalogue has the engine read a database at each readEvery until the test ends.
func readCatalogue(t *testing.T, db servers.Database, e *Engine) *observedtest.Recorder {
	kind := config.Default("Thing", "iota-dac")
	kind.Catalogue.Interval = config.Duration(readEvery)
	s, err := catalog.New(catalog.At(db.ReaderURL), func(string) (catalog.Reconciler, bool) { return e, true },
		slog.New(slog.NewTextHandler(t.Output(), nil)), prometheus.NewRegistry())
	require.NoError(t, err)
	s.Configure([]config.Kind{kind})
	rec := &observedtest.Recorder{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Run(ctx, rec.Sink)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return rec
}

func TestRowsThatKeepAppearingWithoutAMessageAreAWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		rows := names("a", 100)
		read := func(fresh int) string {
			rows = append(rows, names(fmt.Sprint("b-", len(rows)), fresh)...)
			r.read(known(rows)...)
			r.wait(5 * time.Minute)
			return r.e.Progress().Unannounced
		}
		require.Empty(t, read(0), "what the first read finds is old")
		require.Empty(t, read(1))
		require.Empty(t, read(2))
		require.Empty(t, read(0), "in between nothing is new")
		warning := read(3)
		require.Contains(t, warning, "for which no notification came")
		require.Equal(t, warning, read(7), "folded: the text stays the same")
		require.InDelta(t, 13, r.metric("unannounced_rows")[""], 0)

		r.e.Heard()
		r.wait(5 * time.Second)
		require.Empty(t, r.e.Progress().Unannounced, "a message has come")
		require.Zero(t, r.metric("unannounced_rows")[""])
		require.Empty(t, read(1))
		require.Empty(t, read(1))
		require.Empty(t, read(1))
		require.NotEmpty(t, read(1))
	})
}

// TestWhatWentIsKeptForTheNextLeader: else a change of leaders would let go of another share.
func TestWhatWentIsKeptForTheNextLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		ids := names("a", 9)
		first := newRig(t, d).lead(0)
		first.create(ids...)
		first.wait(3 * time.Second)
		lose := func(r *rig, n int) {
			r.gone(ids, ids[:n]...)
			r.gone(ids, ids[:n]...)
			r.wait(3 * time.Second)
		}
		lose(first, 4)
		require.Nil(t, first.e.Waiting())
		first.settled(ids[4:])
		first.halt()
		second := newRig(t, d).lead(0)
		lose(second, 6)
		require.Equal(t, 2, second.e.Waiting().Count, "4 have gone, and 2 more are above 5")
		second.settled(ids[4:])
		require.NoError(t, second.e.Confirm(t.Context(), 1, 2))
		second.wait(3 * time.Second)
		second.settled(ids[6:])
	})
}

// TestWhatIsBeingDeletedIsNotMissedAgain: its instance may take as long as it likes, and what went
// counts once.
func TestWhatIsBeingDeletedIsNotMissedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		r.order(func(o *orders.Orders) {
			o.HandOff, o.Pods = config.HandOffAcknowledged, map[int]string{0: "zero"}
			lagging(0, time.Minute)(o)
		})
		ids := names("a", 100)
		r.create(ids...)
		r.wait(3 * time.Second)
		r.answering(0)
		for range 5 {
			r.gone(ids, ids[:5]...)
			r.wait(time.Minute)
			require.Nil(t, r.e.Waiting())
		}
		require.Equal(t, 5, r.d.snapshot().InFlight(), "the instance has not let go of it")
		for range 5 {
			r.gone(ids, ids[:10]...)
			r.wait(time.Minute)
			require.Nil(t, r.e.Waiting(), "ten of a hundred in all")
		}
		require.Equal(t, 10, r.d.snapshot().InFlight())
		for range 2 {
			r.gone(ids, ids[:11]...)
			r.wait(time.Minute)
		}
		require.Equal(t, 1, r.e.Waiting().Count)
		require.NoError(t, r.e.Confirm(t.Context(), 0, 1))
		for range 3 {
			r.gone(ids, ids[:11]...)
			r.wait(time.Minute)
			require.Nil(t, r.e.Waiting(), "it was confirmed")
		}
		require.Equal(t, 11, r.d.snapshot().InFlight())
	})
}
