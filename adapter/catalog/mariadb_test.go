package catalog

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

// What these tests say of MariaDB, catalog_test.go says of PostgreSQL.
func TestMariaDB(t *testing.T) {
	server := startMariaDB(t)
	require.ErrorContains(t, execMySQL(t.Context(), "shardscaler:wrong@tcp("+server.Addr+")/", "SELECT 1"), "Access denied")
	for _, statement := range []string{
		`INSERT INTO ` + "`Thing`" + `(id, weight, labels) SELECT CONCAT('thing-', seq), seq, '{"site":"a"}' FROM seq_1_to_2500`,
		`CREATE TABLE ids (c CHAR(9), v VARCHAR(9), l VARCHAR(9) CHARACTER SET latin1, u UUID, n BIGINT UNSIGNED, e ENUM('a'),
			b BINARY(2), vb VARBINARY(9), bl BLOB, d DOUBLE, dt DATETIME)`,
		`INSERT INTO ids VALUES ('a', 'a ', 'é', '05ecb845-c150-4f97-ac00-e556b6541c1e', 18446744073709551615, 'a', 'a', 'a', 'a', 1, NOW())`,
	} {
		server.exec(t, statement)
	}
	read := func(t *testing.T, query string) (*reader, observed.Signal) {
		r := newReader()
		_, rec := catalogue(t, server.readerURL(), query, r)
		<-r.ended
		return r, first(t, rec)
	}

	t.Run("a read is streamed whole", func(t *testing.T) {
		r, sig := read(t, `SELECT id, weight, labels FROM "Thing"`)
		require.Equal(t, 2500, sig.(observed.Catalogued).Count)
		i := slices.IndexFunc(r.complete[0], func(k observed.ResourceKnown) bool { return k.ID == "thing-7" })
		require.Equal(t, observed.ResourceKnown{ID: "thing-7", Weight: 7, Labels: map[string]string{"site": "a"}}, r.complete[0][i])
	})

	t.Run("the default query", func(t *testing.T) {
		r := newReader()
		_, rec := catalogueOf(t, strings.Replace(server.readerURL(), "mysql://", "mariadb://", 1), config.Default("Thing", "iota-dac"), r)
		require.Equal(t, 2500, first(t, rec).(observed.Catalogued).Count)
	})

	t.Run("a limit of the session does not shorten a read", func(t *testing.T) {
		server.exec(t, `SET GLOBAL sql_select_limit = 10`)
		defer server.exec(t, `SET GLOBAL sql_select_limit = DEFAULT`)
		_, sig := read(t, `SELECT id FROM "Thing"`)
		require.Equal(t, 2500, sig.(observed.Catalogued).Count)
	})

	t.Run("a partial read is an error", func(t *testing.T) {
		r, sig := read(t, `SELECT id FROM "Thing" WHERE EXTRACTVALUE('<a/>', IF(id = 'thing-2001', '<', '/a')) = ''`)
		require.ErrorContains(t, sig.(observed.Failed).Err, "XPATH")
		require.Empty(t, r.complete)
	})

	t.Run("ids that have a text", func(t *testing.T) {
		for column, want := range map[string]string{
			"c": "a", "v": "a ", "l": "é", "u": "05ecb845-c150-4f97-ac00-e556b6541c1e", "n": "18446744073709551615", "e": "a",
		} {
			r := newReader()
			s, _ := catalogue(t, server.readerURL(), `SELECT `+column+` AS id FROM ids`, r)
			<-r.ended
			require.Len(t, r.complete, 1, column)
			require.Equal(t, want, r.complete[0][0].ID, column)
			// a UUID is sent as a CHAR, and ends with none
			require.Equal(t, column == "c" || column == "u", s.Padded("Thing"), column)
		}
	})

	t.Run("a server that pads", func(t *testing.T) {
		server.exec(t, `SET GLOBAL sql_mode = CONCAT(@@sql_mode, ',PAD_CHAR_TO_FULL_LENGTH')`)
		defer server.exec(t, `SET GLOBAL sql_mode = DEFAULT`)
		r, _ := read(t, `SELECT c AS id FROM ids`)
		require.Equal(t, "a", r.complete[0][0].ID)
	})

	t.Run("ids that have none", func(t *testing.T) {
		for column, kind := range map[string]string{"b": "BINARY", "vb": "VARBINARY", "bl": "BLOB", "d": "DOUBLE", "dt": "DATETIME"} {
			r, sig := read(t, `SELECT `+column+` AS id FROM ids`)
			require.ErrorContains(t, sig.(observed.Failed).Err, "column id has the type "+kind+": want text or whole numbers")
			require.Empty(t, r.complete)
		}
	})

	t.Run("rows that cannot be read whole", func(t *testing.T) {
		r, _ := read(t, `SELECT 'a' AS id, 'much' AS weight, '{"x":"y"}' AS labels UNION ALL SELECT 'b', '2', '{"x":"y","x":"z"}'
			UNION ALL SELECT 'c', '3', '{"x":"y"}'`)
		require.Equal(t, []observed.ResourceKnown{
			{ID: "a", Unread: true}, {ID: "b", Unread: true}, {ID: "c", Weight: 3, Labels: map[string]string{"x": "y"}},
		}, r.complete[0])
	})

	t.Run("nothing is written", func(t *testing.T) {
		_, sig := read(t, `INSERT INTO ids(c) VALUES ('z') RETURNING c AS id`)
		require.Error(t, sig.(observed.Failed).Err)
		_, sig = read(t, `SELECT id FROM "Nowhere"`)
		require.ErrorContains(t, sig.(observed.Failed).Err, "Nowhere")
	})
}
