package resync

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"
	"time"
	"unsafe"

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

// bench is a Comparison, what is known beside it, and a clock. Its limits have no lag.
type bench struct {
	*Comparison
	w   world
	now time.Time
	l   Limits
}

func newBench(w world) *bench {
	b := &bench{Comparison: New(t0), w: w, now: t0, l: Limits{MaxShare: 0.1}}
	b.dates.step = 0 // tests tell times apart that are nanoseconds apart
	return b
}

// after lets time pass.
func (b *bench) after(d time.Duration) *bench {
	b.now = b.now.Add(d)
	return b
}

func (b *bench) begin() {
	known := maps.Clone(b.w)
	b.Begin(b.now, lent(known), len(known))
}

// lent yields each id until the next one: then its text becomes another's.
func lent(w world) iter.Seq[string] {
	return func(yield func(string) bool) {
		text := make([]byte, 256)
		for id := range w {
			if n := copy(text, id); !yield(unsafe.String(&text[0], n)) {
				return
			}
			clear(text)
		}
	}
}

// read plays a whole read that returns rows.
func (b *bench) read(t require.TestingT, rows world) Outcome {
	b.begin()
	return b.end(t, rows)
}

func (b *bench) end(t require.TestingT, rows world) Outcome {
	for id := range rows {
		b.Row(id, b.w[id])
	}
	out, err := b.End(b.now, b.l, b.w.has)
	require.NoError(t, err)
	for _, id := range out.Creates.All() {
		b.w[id] = true
	}
	for _, id := range slices.Concat(out.Claimed, out.Deletes) {
		delete(b.w, id)
	}
	return out
}

// said is a message that arrives now, and its commit.
func (b *bench) said(op Op, id string) {
	b.Said(b.now, op, id, b.w[id])
	if op == Created {
		b.w[id] = true
	} else {
		delete(b.w, id)
	}
}

func (b *bench) claim(ids ...string) {
	for _, id := range ids {
		b.Claim(b.now, id)
	}
}

func without(w world, gone ...string) world {
	c := maps.Clone(w)
	for _, id := range gone {
		delete(c, id)
	}
	return c
}

func TestMissingTwiceIsDeletedOnce(t *testing.T) {
	b := newBench(ids(50))
	rows := without(b.w, "id-007")
	out := b.read(t, rows)
	require.Empty(t, out.Deletes, "one read proves nothing")
	require.Equal(t, b.now, out.Confirm)
	out = b.read(t, rows)
	require.Equal(t, []string{"id-007"}, out.Deletes)
	require.Zero(t, out.Confirm)
	require.Empty(t, b.read(t, rows).Deletes)
}

func TestMissingThenBackThenMissingIsNotTwice(t *testing.T) {
	b := newBench(ids(50))
	rows := without(b.w, "id-007")
	b.read(t, rows)
	b.read(t, ids(50))
	require.Empty(t, b.read(t, rows).Deletes, "the two reads must follow each other")
}

func TestAReadThatFailsCountsForNothing(t *testing.T) {
	b := newBench(ids(50))
	rows := without(b.w, "id-007")
	b.read(t, rows)
	b.begin() // and never ends
	require.Equal(t, []string{"id-007"}, b.read(t, rows).Deletes)
}

func TestNewInTheCatalogueIsCreated(t *testing.T) {
	b := newBench(ids(50))
	rows := ids(52)
	require.ElementsMatch(t, []string{"id-050", "id-051"}, b.read(t, rows).Creates.Strings())
}

func TestCreatedWhileTheReadRanIsNotMissing(t *testing.T) {
	b := newBench(ids(50))
	rows := ids(50)
	for range 2 {
		b.begin()
		b.said(Created, "late")
		require.Empty(t, b.end(t, rows).Deletes)
		delete(b.w, "late")
	}
}

func TestAMessageBetweenTheReadsWins(t *testing.T) {
	b := newBench(ids(50))
	rows := without(b.w, "id-007")
	b.read(t, rows)
	b.said(Created, "id-007")
	require.Empty(t, b.read(t, rows).Deletes, "a message spoke of it after the first read")
}

func TestDeletedByMessageWhileTheReadRanIsNotCreatedAgain(t *testing.T) {
	b := newBench(ids(50))
	b.begin()
	b.said(Deleted, "id-007")
	require.Empty(t, b.end(t, ids(50)).Creates.Strings())
}

func TestDeletedAndCreatedByMessagesWhileTheReadRanStays(t *testing.T) {
	b := newBench(ids(50))
	rows := without(b.w, "id-007")
	for range 3 {
		b.begin()
		b.said(Deleted, "id-007")
		b.said(Created, "id-007")
		require.Empty(t, b.end(t, rows).Deletes)
	}
}

func TestTooManyWaitForAPersonAndNotForRepetition(t *testing.T) {
	b := newBench(ids(50))
	rows := ids(40)
	for range 5 {
		require.Empty(t, b.read(t, rows).Deletes)
	}
	require.Equal(t, &Waiting{
		Count: 10, Known: 50, Share: 0.2, Since: t0, Sets: []Set{{Set: 1, Count: 10, Known: 50, Share: 0.2, Since: t0}},
	}, b.Waiting())

	_, err := b.Confirm(0, 9)
	require.EqualError(t, err, "confirm deletes: count 9 given, 10 wait: set 1 of 10")
	gone, err := b.Confirm(0, 10)
	require.NoError(t, err)
	require.Len(t, gone, 10)
	require.Nil(t, b.Waiting())
	_, err = b.Confirm(0, 10)
	require.EqualError(t, err, "confirm deletes: count 10 given, none wait")
}

func TestWhatWaitsIsNotReleasedByGrowth(t *testing.T) {
	b := newBench(ids(50))
	rows := ids(40)
	b.read(t, rows)
	b.read(t, rows)
	for i := range 1000 {
		rows[fmt.Sprint("new-", i)] = true
	}
	b.read(t, rows)
	require.Empty(t, b.read(t, rows).Deletes, "10 of 1050 are under the share, but they were too many when they vanished")
	require.Equal(t, 10, b.Waiting().Count)
}

func TestWhatComesBackWaitsNoMore(t *testing.T) {
	b := newBench(ids(50))
	rows := ids(40)
	b.read(t, rows)
	b.read(t, rows)
	require.Equal(t, 9, b.read(t, ids(41)).Waiting.Count)
	b.said(Created, "id-045")
	require.Equal(t, 8, b.Waiting().Count)
	require.Nil(t, b.read(t, ids(50)).Waiting)
}

func TestEndWithoutBegin(t *testing.T) {
	_, err := New(t0).End(t0, Limits{}, world{}.has)
	require.EqualError(t, err, "end read of catalogue: none has begun")
}

func TestWhatAMessageCreatedWithinTheLagIsNoSuspect(t *testing.T) {
	b := newBench(ids(50))
	b.l.Lag, b.l.Gap = 10*time.Minute, 5*time.Minute
	out := b.read(t, ids(49))
	require.Zero(t, out.Confirm, "it may have been created just before the start")
	require.Equal(t, t0.Add(10*time.Minute), out.Resync, "no message need come before the next read finds it")
	// its transaction is open, or the standby is behind
	b.after(7*time.Minute).said(Created, "late")
	rows := without(b.w, "late", "id-049")
	b.after(3 * time.Minute)
	require.Equal(t, b.now.Add(5*time.Minute), b.read(t, rows).Confirm, "the start is the lag ago")
	out = b.after(5*time.Minute).read(t, rows)
	require.Equal(t, []string{"id-049"}, out.Deletes)
	require.Zero(t, out.Confirm, "late was created eight minutes ago")
	out = b.after(2*time.Minute).read(t, rows)
	require.Empty(t, out.Deletes)
	require.Equal(t, b.now.Add(5*time.Minute), out.Confirm)
	require.Equal(t, []string{"late"}, b.after(5*time.Minute).read(t, rows).Deletes)
}

func TestAReadThatIsBehindMakesNothingAgain(t *testing.T) {
	b := newBench(ids(50))
	b.l.Lag, b.l.Revive = 10*time.Minute, 30*time.Second
	all := ids(50)
	b.said(Deleted, "id-007")
	for range 3 {
		out := b.after(5*time.Second).read(t, all)
		require.Empty(t, out.Creates.Strings(), "the standby has not heard of it")
		require.Equal(t, t0.Add(30*time.Second), out.Resync)
	}
	out := b.after(15*time.Second).read(t, all)
	require.Equal(t, []string{"id-007"}, out.Creates.Strings(), "it may have been restored, and no message says so")
	require.Equal(t, t0.Add(time.Minute), out.Resync, "it stays in doubt")
	require.Equal(t, []string{"id-007"}, b.after(30*time.Second).read(t, without(all, "id-007")).Claimed)
	require.Zero(t, b.after(time.Second).read(t, without(all, "id-007")).Resync)

	b.said(Deleted, "id-008")
	b.said(Created, "id-008")
	b.said(Deleted, "id-009")
	out = b.after(10*time.Minute).read(t, all)
	require.ElementsMatch(t, []string{"id-007", "id-009"}, out.Creates.Strings())
	require.Zero(t, out.Resync, "the last delete is the lag ago")
	require.Zero(t, b.Claimed())
}

func TestOnlyAReadAfterTheGapConfirms(t *testing.T) {
	b := newBench(ids(50))
	b.l.Gap = 5 * time.Minute
	rows := without(b.w, "id-007")
	due := b.now.Add(b.l.Gap)
	require.Equal(t, due, b.read(t, rows).Confirm)
	for range 4 {
		out := b.after(time.Minute).read(t, rows)
		require.Empty(t, out.Deletes, "messages may ask for reads in between")
		require.Equal(t, due, out.Confirm)
	}
	out := b.after(time.Minute).read(t, rows)
	require.Equal(t, []string{"id-007"}, out.Deletes)
	require.Zero(t, out.Confirm)
}

func TestTheReadThatConfirmsAsksForNoOther(t *testing.T) {
	b := newBench(ids(50))
	require.NotZero(t, b.read(t, without(b.w, "id-007")).Confirm)
	out := b.read(t, without(b.w, "id-007", "id-008"))
	require.Equal(t, []string{"id-007"}, out.Deletes)
	require.Zero(t, out.Confirm)
	require.Equal(t, []string{"id-008"}, b.read(t, without(b.w, "id-008")).Deletes)
}

func TestWhatIsOldIsNotRemembered(t *testing.T) {
	b := newBench(ids(1))
	b.l.Lag = time.Minute
	for i := range 100 {
		b.said(Created, fmt.Sprint("new-", i))
	}
	for i := range 100 {
		b.said(Deleted, fmt.Sprint("old-", i))
	}
	b.after(time.Minute-1).read(t, b.w)
	require.Len(t, b.dates.created, 1)
	require.Len(t, b.dates.created[0].hashes, 100)
	require.Len(t, b.dates.deleted, 100)
	b.after(1).read(t, b.w)
	require.Empty(t, b.dates.created)
	require.Empty(t, b.dates.deleted)
}

// An import's dates take 4 bytes an id, and no create is taken for older than it is.
func TestDatesOfAnImportAreKeptInBatches(t *testing.T) {
	const lag, n = 10 * time.Minute, 3 * batchIDs
	d := newDates(t0)
	d.forget(t0, lag) // a read has told the lag
	for i := range n {
		d.note(t0.Add(lag+time.Duration(i)*time.Millisecond), Created, fmt.Sprint(i))
	}
	held := 0
	for _, b := range d.created {
		held += cap(b.hashes)
		require.LessOrEqual(t, b.last-b.first, lag/stepsALag)
	}
	require.Less(t, held, n+n/2)
	require.Less(t, len(d.created), 20)
	for _, i := range []int{0, 1, batchIDs, n - 1} {
		created := t0.Add(lag + time.Duration(i)*time.Millisecond)
		require.True(t, d.young(created.Add(lag-1), lag)(fmt.Sprint(i)), i)
		require.False(t, d.young(created.Add(lag+lag/stepsALag), lag)(fmt.Sprint(i)), i)
	}
	d.forget(t0.Add(3*lag), lag)
	require.Empty(t, d.created)
}

// TestNothingIsDeletedThatExists plays random catalogues, reads that see any moment between their
// begin and their end, and messages that arrive at any time after their commit, some of which claim
// more than was deleted, and demands that nothing is ever deleted that the catalogue held all the
// time from its last creation on, and that everything agrees once it is quiet.
func TestNothingIsDeletedThatExists(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		catalogue, b := ids(12), newBench(ids(12))
		b.l.MaxShare = 1
		type message struct {
			op Op
			id string
		}
		var late []message // committed in the catalogue, the message still on its way, in order
		deliver := func() {
			m := late[0]
			late = late[1:]
			if m.op == claimed {
				b.claim(m.id)
			} else {
				b.said(m.op, m.id)
			}
		}
		id := rapid.SampledFrom(slices.Sorted(maps.Keys(ids(16))))
		var rows world // the moment which the running read sees; nil: not yet
		reading := false
		end := func() {
			if rows == nil {
				rows = maps.Clone(catalogue)
			}
			out := b.end(t, rows)
			for _, id := range slices.Concat(out.Claimed, out.Deletes) {
				require.False(t, catalogue[id] && !slices.ContainsFunc(late, func(m message) bool { return m.id == id }),
					"%s deleted, it is in the catalogue and no message is on its way", id)
			}
			reading, rows = false, nil
		}
		begin := func() {
			b.begin()
			reading, rows = true, nil
		}
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				id := id.Draw(t, "id")
				if !catalogue[id] {
					catalogue[id] = true
					late = append(late, message{Created, id})
					return
				}
				delete(catalogue, id)
				late = append(late, message{rapid.SampledFrom([]Op{Deleted, claimed}).Draw(t, "op"), id})
			},
			"claim": func(t *rapid.T) { late = append(late, message{claimed, id.Draw(t, "id")}) },
			"deliver": func(t *rapid.T) {
				if len(late) > 0 {
					deliver()
				}
			},
			"begin": func(*rapid.T) { begin() },
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
			begin()
			end()
		}
		require.Equal(t, slices.Sorted(maps.Keys(catalogue)), slices.Sorted(maps.Keys(b.w)))
	})
}

// claimed is a message of the tests beside the two that Said takes.
const claimed = Deleted + 1

// TestALaggingCatalogueLosesNothing plays reads that see the catalogue as it was at any moment of
// the lag before they began, and creates that are told up to the lag before their commit.
func TestALaggingCatalogueLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const lag = 10
		b := newBench(ids(8))
		b.l = Limits{MaxShare: 1, Lag: lag, Gap: time.Duration(rapid.IntRange(0, lag).Draw(t, "gap"))}
		type version struct {
			at   time.Time
			rows world
		}
		versions := []version{{b.now.Add(-time.Hour), maps.Clone(b.w)}}
		now := func() world { return versions[len(versions)-1].rows }
		// what was told and is not committed yet, and when it will be
		open := map[string]time.Time{}
		commit := func() {
			for _, id := range slices.Sorted(maps.Keys(open)) {
				if !open[id].After(b.now) {
					rows := maps.Clone(now())
					rows[id] = true
					versions = append(versions, version{b.now, rows})
					delete(open, id)
				}
			}
		}
		var began time.Time
		reading := false
		t.Repeat(map[string]func(*rapid.T){
			"wait": func(t *rapid.T) {
				for range rapid.IntRange(1, 8).Draw(t, "time") {
					b.after(1)
					commit()
				}
			},
			"create": func(t *rapid.T) {
				id := fmt.Sprintf("id-%03d", rapid.IntRange(0, 15).Draw(t, "id"))
				if _, told := open[id]; told || now()[id] {
					return
				}
				b.said(Created, id)
				open[id] = b.now.Add(time.Duration(rapid.IntRange(0, lag/2).Draw(t, "commit")))
				commit()
			},
			"delete": func(t *rapid.T) { // without any message
				id := fmt.Sprintf("id-%03d", rapid.IntRange(0, 15).Draw(t, "id"))
				rows := maps.Clone(now())
				delete(rows, id)
				versions = append(versions, version{b.now, rows})
			},
			"begin": func(*rapid.T) {
				b.begin()
				began, reading = b.now, true
			},
			"end": func(t *rapid.T) {
				if !reading {
					return
				}
				reading = false
				seen := began.Add(-time.Duration(rapid.IntRange(0, lag/2).Draw(t, "behind")))
				var rows world
				for _, v := range versions {
					if !v.at.After(seen) {
						rows = v.rows
					}
				}
				for _, id := range b.end(t, rows).Deletes {
					_, told := open[id]
					require.False(t, told || now()[id], "%s deleted, and it exists", id)
				}
			},
		})
	})
}
