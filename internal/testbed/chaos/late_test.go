//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// rows are a catalogue whose reads come late: each shows what was committed some seconds before
// it began, as a standby does whose replay is behind, and takes its time.
type rows struct{ db servers.Database }

// behind is how far a read is behind when it begins, slow how long it takes. The lag that is
// configured is more than the former.
const (
	behind = 4 * time.Second
	slow   = time.Second
	lag    = 6 * time.Second
)

var (
	upLate = scene{
		work: "up beside a late catalogue",
		points: []string{
			"create.replied", "message.parsed", "create.sending", "create.published", "message.acknowledged", "assign.sent", "create.applied",
		},
		begin: func(l *lane, w *wires) { l.atLateRest(w, false) },
		do:    func(l *lane, w *wires) { l.upWith(w.rows) },
		end:   func(l *lane, w *wires) { l.settled(); l.readTwice(); l.keepsRows() },
	}
	downLate = scene{
		work: "down beside a late catalogue",
		points: []string{
			"delete.replied", "message.parsed", "delete.sending", "delete.published", "message.acknowledged", "forget.replied", "delete.applied",
		},
		begin: func(l *lane, w *wires) { l.atLateRest(w, true) },
		do:    func(l *lane, w *wires) { l.downWith(w.rows) },
		end:   func(l *lane, w *wires) { l.readTwice(); l.keepsRows() },
	}
)

// lateTable makes a view of the table. What was committed later than that before the read began,
// it does not show.
const lateTable = `
DROP TABLE "Thing";
CREATE TABLE things (id text PRIMARY KEY, made timestamptz NOT NULL, gone timestamptz);
CREATE VIEW "Thing" AS SELECT id FROM things, (SELECT pg_sleep(%g)) AS slow
WHERE made <= now() - interval '%[2]g s' AND (gone IS NULL OR gone > now() - interval '%[2]g s');
GRANT SELECT ON "Thing" TO shardscaler;
INSERT INTO things SELECT 'r' || lpad(n::text, 5, '0'), now() - interval '1 h', NULL FROM generate_series(0, %[3]d) AS n`

// lateCatalogue reads it often, and lets deletes go without a person.
func lateCatalogue(t *testing.T, w *wires) laneOptions {
	all, often, behindBy := 1.0, config.Duration(2*time.Second), config.Duration(lag)
	return laneOptions{
		config: func(k *config.Kind) {
			k.Catalogue.Interval, k.Catalogue.Lag, k.Catalogue.MaxDeleteShare = often, &behindBy, &all
		},
		change: func(o *product.Options) {
			w.rows = &rows{o.Catalogue}
			o.Before = func(ctx context.Context, s *product.Stack) error {
				return o.Catalogue.Exec(ctx, fmt.Sprintf(lateTable, slow.Seconds(), behind.Seconds(), least-1))
			}
		},
	}
}

func (r *rows) exec(l *lane, sql string, ids []string) {
	l.t.Helper()
	require.NoError(l.t, r.db.Exec(l.t.Context(), sql, ids))
}

// upWith commits rows and says so.
func (l *lane) upWith(r *rows) {
	l.t.Helper()
	fresh := make([]string, batch)
	for i := range fresh {
		fresh[i] = resourceName(l.made + i)
	}
	r.exec(l, "INSERT INTO things SELECT id, clock_timestamp(), NULL FROM unnest($1::text[]) AS id", fresh)
	l.up()
}

// downWith commits deletions and says so.
func (l *lane) downWith(r *rows) {
	l.t.Helper()
	ids := l.leaving()
	r.exec(l, "UPDATE things SET gone = clock_timestamp() WHERE id = ANY($1)", ids)
	l.take(ids)
}

// keepsRows requires that no row that is there was taken from its instance, or from the pool, as
// one that is not.
func (l *lane) keepsRows() {
	l.t.Helper()
	require.Empty(l.t, l.judgeMoves().faults)
}

func (l *lane) atLateRest(w *wires, large bool) {
	l.t.Helper()
	switch is := len(l.ids) >= least+batch; {
	case large && !is:
		l.upWith(w.rows)
	case !large && is:
		l.downWith(w.rows)
	}
	l.settled()
}

var completeReads = regexp.MustCompile(`(?m)^shardscaler_catalogue_read_duration_seconds_count\{kind="` + thing + `",outcome="complete"\} (\S+)$`)

// readTwice waits until the catalogue was read twice by the present process, both reads begun
// after what happened last: a read that was under way is not counted.
func (l *lane) readTwice() {
	l.t.Helper()
	first, last := -1.0, -1.0
	l.until("the catalogue was read twice", func(ctx context.Context) error {
		text, err := l.server().Text(ctx, "/metrics")
		if err != nil {
			return err
		}
		n := 0.0
		if m := completeReads.FindStringSubmatch(text); m != nil {
			n, err = strconv.ParseFloat(m[1], 64)
		}
		if first < 0 || n < last { // it is another process
			first = n
		}
		if last = n; err == nil && n < first+3 {
			err = errors.New("it was not")
		}
		return err
	})
}
