package reconcile

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var t0 = time.Unix(1_760_000_000, 0)

// world is what is known, changed at once by what the reconciler says.
type world map[string]bool

func ids(n int) world {
	w := world{}
	for i := range n {
		w[fmt.Sprintf("id-%03d", i)] = true
	}
	return w
}

func (w world) has(id string) bool { return w[id] }

func (w world) begin(r *Reconciler) {
	known := maps.Clone(w)
	r.Begin(maps.Keys(known), len(known))
}

// read plays a whole read that returns rows.
func (w world) read(t require.TestingT, r *Reconciler, rows world) Outcome {
	w.begin(r)
	return w.end(t, r, rows)
}

func (w world) end(t require.TestingT, r *Reconciler, rows world) Outcome {
	for id := range rows {
		r.Row(id, w[id])
	}
	out, err := r.End(t0, 0.1, w.has)
	require.NoError(t, err)
	for _, id := range out.Creates {
		w[id] = true
	}
	for _, id := range slices.Concat(out.Claimed, out.Deletes) {
		delete(w, id)
	}
	return out
}

func without(w world, gone ...string) world {
	c := maps.Clone(w)
	for _, id := range gone {
		delete(c, id)
	}
	return c
}

func TestMissingTwiceIsDeletedOnce(t *testing.T) {
	w, r := ids(50), New()
	rows := without(w, "id-007")
	out := w.read(t, r, rows)
	require.Empty(t, out.Deletes, "one read proves nothing")
	require.True(t, out.Again)
	out = w.read(t, r, rows)
	require.Equal(t, []string{"id-007"}, out.Deletes)
	require.False(t, out.Again)
	require.Empty(t, w.read(t, r, rows).Deletes)
}

func TestMissingThenBackThenMissingIsNotTwice(t *testing.T) {
	w, r := ids(50), New()
	rows := without(w, "id-007")
	w.read(t, r, rows)
	w.read(t, r, ids(50))
	require.Empty(t, w.read(t, r, rows).Deletes, "the two reads must follow each other")
}

func TestAReadThatFailsCountsForNothing(t *testing.T) {
	w, r := ids(50), New()
	rows := without(w, "id-007")
	w.read(t, r, rows)
	w.begin(r) // and never ends
	require.Equal(t, []string{"id-007"}, w.read(t, r, rows).Deletes)
}

func TestNewInTheCatalogueIsCreated(t *testing.T) {
	w, r := ids(50), New()
	rows := ids(52)
	require.ElementsMatch(t, []string{"id-050", "id-051"}, w.read(t, r, rows).Creates)
}

func TestCreatedWhileTheReadRanIsNotMissing(t *testing.T) {
	w, r := ids(50), New()
	rows := ids(50)
	for range 2 {
		w.begin(r)
		r.Said(Created, "late", false)
		w["late"] = true
		require.Empty(t, w.end(t, r, rows).Deletes)
		delete(w, "late")
	}
}

func TestAMessageBetweenTheReadsWins(t *testing.T) {
	w, r := ids(50), New()
	rows := without(w, "id-007")
	w.read(t, r, rows)
	r.Said(Created, "id-007", true)
	require.Empty(t, w.read(t, r, rows).Deletes, "a message spoke of it after the first read")
}

func TestDeletedByMessageWhileTheReadRanIsNotCreatedAgain(t *testing.T) {
	w, r := ids(50), New()
	w.begin(r)
	r.Said(Deleted, "id-007", true)
	delete(w, "id-007")
	require.Empty(t, w.end(t, r, ids(50)).Creates)
}

func TestDeletedAndCreatedByMessagesWhileTheReadRanStays(t *testing.T) {
	w, r := ids(50), New()
	rows := without(w, "id-007")
	for range 3 {
		w.begin(r)
		r.Said(Deleted, "id-007", true)
		delete(w, "id-007")
		r.Said(Created, "id-007", false)
		w["id-007"] = true
		require.Empty(t, w.end(t, r, rows).Deletes)
	}
}

func TestTooManyWaitForAPersonAndNotForRepetition(t *testing.T) {
	w, r := ids(50), New()
	rows := ids(40)
	for range 5 {
		require.Empty(t, w.read(t, r, rows).Deletes)
	}
	require.Equal(t, &Waiting{Count: 10, Known: 50, Share: 0.2, Since: t0}, r.Waiting())

	_, err := r.Confirm(9)
	require.EqualError(t, err, "confirm deletes: count 9 given, 10 wait")
	gone, err := r.Confirm(10)
	require.NoError(t, err)
	require.Len(t, gone, 10)
	require.Nil(t, r.Waiting())
	_, err = r.Confirm(10)
	require.EqualError(t, err, "confirm deletes: count 10 given, none wait")
}

func TestWhatWaitsIsNotReleasedByGrowth(t *testing.T) {
	w, r := ids(50), New()
	rows := ids(40)
	w.read(t, r, rows)
	w.read(t, r, rows)
	for i := range 1000 {
		rows[fmt.Sprint("new-", i)] = true
	}
	w.read(t, r, rows)
	require.Empty(t, w.read(t, r, rows).Deletes, "10 of 1050 are under the share, but they were too many when they vanished")
	require.Equal(t, 10, r.Waiting().Count)
}

func TestWhatComesBackWaitsNoMore(t *testing.T) {
	w, r := ids(50), New()
	rows := ids(40)
	w.read(t, r, rows)
	w.read(t, r, rows)
	require.Equal(t, 9, w.read(t, r, ids(41)).Waiting.Count)
	r.Said(Created, "id-045", true)
	require.Equal(t, 8, r.Waiting().Count)
	require.Nil(t, w.read(t, r, ids(50)).Waiting)
}

func TestEndWithoutBegin(t *testing.T) {
	_, err := New().End(t0, 0.1, world{}.has)
	require.EqualError(t, err, "end read of catalogue: none has begun")
}

// TestNothingIsDeletedThatExists plays random catalogues, reads that see any moment between their begin and their end, and messages
// that arrive at any time after their commit, and demands that nothing is ever deleted that the catalogue held all the time from its
// last creation on, and that everything agrees once it is quiet.
func TestNothingIsDeletedThatExists(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		catalogue, w, r := ids(12), ids(12), New()
		type message struct {
			op Op
			id string
		}
		var late []message // committed in the catalogue, the message still on its way, in order
		deliver := func() {
			m := late[0]
			late = late[1:]
			r.Said(m.op, m.id, w[m.id])
			if m.op == Created {
				w[m.id] = true
			} else {
				delete(w, m.id)
			}
		}
		var rows world // the moment which the running read sees; nil: not yet
		reading := false
		end := func() {
			if rows == nil {
				rows = maps.Clone(catalogue)
			}
			for id := range rows {
				r.Row(id, w[id])
			}
			out, err := r.End(t0, 1, w.has)
			require.NoError(t, err)
			for _, id := range out.Deletes {
				require.False(t, catalogue[id] && !slices.ContainsFunc(late, func(m message) bool { return m.id == id }),
					"%s deleted, it is in the catalogue and no message is on its way", id)
				delete(w, id)
			}
			for _, id := range out.Creates {
				w[id] = true
			}
			reading, rows = false, nil
		}
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				id := rapid.SampledFrom(slices.Sorted(maps.Keys(ids(16)))).Draw(t, "id")
				if catalogue[id] {
					delete(catalogue, id)
					late = append(late, message{Deleted, id})
				} else {
					catalogue[id] = true
					late = append(late, message{Created, id})
				}
			},
			"deliver": func(t *rapid.T) {
				if len(late) > 0 {
					deliver()
				}
			},
			"begin": func(t *rapid.T) {
				known := maps.Clone(w)
				r.Begin(maps.Keys(known), len(known))
				reading, rows = true, nil
			},
			"see": func(t *rapid.T) {
				if reading && rows == nil {
					rows = maps.Clone(catalogue)
				}
			},
			"end": func(t *rapid.T) {
				if reading {
					end()
				}
			},
		})
		for len(late) > 0 {
			deliver()
		}
		for range 3 {
			known := maps.Clone(w)
			r.Begin(maps.Keys(known), len(known))
			reading = true
			end()
		}
		require.Equal(t, slices.Sorted(maps.Keys(catalogue)), slices.Sorted(maps.Keys(w)))
	})
}
