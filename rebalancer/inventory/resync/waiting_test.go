package resync

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// lose has the catalogue lose the first n ids that are known and do not wait, and reads it twice.
func (b *bench) lose(t require.TestingT, n int) Outcome {
	lost := slices.DeleteFunc(slices.Sorted(maps.Keys(b.w)), b.waiting.has)[:n]
	rows := without(b.w, slices.Concat(lost, slices.Collect(maps.Keys(b.waiting.by)))...)
	b.read(t, rows)
	return b.read(t, rows)
}

func TestAFewDeletesOfASmallKindNeedNoPerson(t *testing.T) {
	b := newBench(ids(9))
	b.l.MaxDeletes = 5
	for range 5 {
		require.Len(t, b.after(5*time.Minute).lose(t, 1).Deletes, 1)
	}
	require.Empty(t, b.after(5*time.Minute).lose(t, 1).Deletes, "a large loss in small parts is a large loss")
	require.Equal(t, 1, b.Waiting().Count)
	require.Len(t, b.after(time.Hour).lose(t, 1).Deletes, 1, "and it waits beside the other one")
	require.Equal(t, 1, b.Waiting().Count)
}

func TestSmallLossesGoWhileALargeOneWaits(t *testing.T) {
	b := newBench(ids(100))
	b.l.MaxDeletes = 5
	require.Empty(t, b.lose(t, 40).Deletes)
	require.Len(t, b.after(time.Minute).lose(t, 7).Deletes, 7)
	require.Empty(t, b.after(time.Minute).lose(t, 4).Deletes, "11 of 100 within an hour")
	require.Len(t, b.after(time.Minute).lose(t, 3).Deletes, 3)
	w := b.Waiting()
	require.Equal(t, 44, w.Count)
	require.Equal(t, []Set{
		{Set: 1, Count: 40, Known: 100, Share: 0.4, Since: t0},
		{Set: 2, Count: 4, Known: 93, Share: 4.0 / 93, Since: t0.Add(2 * time.Minute)},
	}, w.Sets)
	require.Equal(t, t0, w.Since)
}

func TestASetIsConfirmedByItsNumberAndSize(t *testing.T) {
	b := newBench(ids(200))
	for _, n := range []int{30, 25, 30, 28} {
		b.lose(t, n)
	}
	confirm := func(set, count int) (int, error) {
		ids, err := b.Confirm(set, count)
		return len(ids), err
	}
	for given, want := range map[[2]int]string{
		{0, 31}: "confirm deletes: count 31 given, 113 wait: set 1 of 30, set 2 of 25, set 3 of 30, set 4 of 28",
		{0, 30}: "confirm deletes: count 30 given: several sets have that size; name one: set 1 of 30, set 2 of 25, set 3 of 30, set 4 of 28",
		{2, 30}: "confirm deletes: set 2, count 30 given; waiting: set 1 of 30, set 2 of 25, set 3 of 30, set 4 of 28",
		{5, 28}: "confirm deletes: set 5, count 28 given; waiting: set 1 of 30, set 2 of 25, set 3 of 30, set 4 of 28",
	} {
		_, err := confirm(given[0], given[1])
		require.EqualError(t, err, want)
	}
	n, err := confirm(3, 30)
	require.NoError(t, err)
	require.Equal(t, 30, n)
	_, err = confirm(3, 30)
	require.Error(t, err, "once")
	n, err = confirm(0, 30)
	require.NoError(t, err, "there is only one of that size now")
	require.Equal(t, 30, n)
	n, err = confirm(0, 25+28)
	require.NoError(t, err, "all that wait")
	require.Equal(t, 53, n)
	require.Nil(t, b.Waiting())
}

func TestASetShrinksAndGoes(t *testing.T) {
	b := newBench(ids(100))
	b.lose(t, 20)
	b.lose(t, 15)
	for i := range 19 {
		b.said(Created, fmt.Sprintf("id-%03d", i))
	}
	require.Equal(t, 1, b.Waiting().Sets[0].Count)
	b.said(Deleted, "id-019")
	require.Len(t, b.Waiting().Sets, 1)
	require.Equal(t, 2, b.Waiting().Sets[0].Set, "numbers stay")
}

func TestSetsAreNotWithoutNumber(t *testing.T) {
	b := newBench(ids(1000))
	b.l.MaxShare = 0
	for range 2 * maxSets {
		b.after(5*time.Minute).lose(t, 3)
	}
	w := b.Waiting()
	require.Len(t, w.Sets, maxSets)
	require.Equal(t, 6*maxSets, w.Count)
	require.Equal(t, 3*(maxSets+1), w.Sets[maxSets-1].Count, "the newest took up the others")
}

// TestNoHourTakesMoreThanTheShare plays losses of any size at any time, and a leader that changes.
func TestNoHourTakesMoreThanTheShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{3, 9, 40, 200}).Draw(t, "known")
		b := newBench(ids(n))
		b.l.MaxDeletes = rapid.IntRange(0, 6).Draw(t, "maxDeletes")
		type loss struct {
			at   time.Time
			went int
		}
		var losses []loss
		for range rapid.IntRange(1, 30).Draw(t, "losses") {
			b.after(time.Duration(rapid.IntRange(0, 40).Draw(t, "minutes")) * time.Minute)
			if rapid.IntRange(0, 5).Draw(t, "leader") == 0 {
				went := b.Went()
				next := newBench(b.w)
				next.Comparison, next.now, next.l = New(b.now), b.now, b.l
				b = next
				b.Resume(went)
			}
			known := len(b.w)
			free := known - len(b.waiting.by)
			lost := rapid.IntRange(0, min(free, 12)).Draw(t, "lost")
			went := len(b.lose(t, lost).Deletes)
			require.Contains(t, []int{0, lost}, went, "all or none of what a read has found")
			within := func(span time.Duration) (sum int) {
				for _, l := range losses {
					if b.now.Sub(l.at) < span {
						sum += l.went
					}
				}
				return sum
			}
			if lost == 0 {
				continue
			}
			limit := func(spent int) float64 { return max(float64(b.l.MaxDeletes), b.l.MaxShare*float64(known+spent)) }
			if went > 0 {
				require.LessOrEqual(t, float64(within(budgetSpan)+went), limit(within(budgetSpan)), "in an hour")
			} else {
				spent := within(budgetSpan + 2*wentStep)
				require.Greater(t, float64(spent+lost), limit(spent), "it waits though there was room")
			}
			losses = append(losses, loss{b.now, went})
		}
	})
}
