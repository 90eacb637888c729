package outcome

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/scaler/decide"
)

// A report says more of instances than was decided, and the decision does not.
func TestNotesStandInTheReportAlone(t *testing.T) {
	d := decide.Decision{
		Lost:   []decide.Lost{{Ordinal: 2, Text: "lost"}, {Ordinal: 3, Text: "lost too"}},
		Health: decide.Health{Verdicts: []decide.Verdict{{Ordinal: 2, Text: "silent"}, {Ordinal: 4, Text: "crashes"}}},
	}
	fate := decide.Fate{Unproven: "the status is absent"}
	r := NewReport(d, Outcome{Notes: Notes{
		Lost: map[int]Note{2: {Fate: fate, Text: "; it keeps all"}}, Verdicts: map[int]string{4: "; it gives all"},
	}})
	require.Equal(t, []decide.Lost{{Ordinal: 2, Fate: fate, Text: "lost; it keeps all"}, {Ordinal: 3, Text: "lost too"}}, r.Lost)
	require.Equal(t, []decide.Verdict{{Ordinal: 2, Text: "silent"}, {Ordinal: 4, Text: "crashes; it gives all"}}, r.Health.Verdicts)
	require.Equal(t, "lost", d.Lost[0].Text)
	require.Empty(t, d.Lost[0].Fate)
	require.Equal(t, "crashes", d.Health.Verdicts[1].Text)
}

// No text says the year 1: what was kept may lack a time.
func TestADrainWithoutATimeSaysSo(t *testing.T) {
	dr := Drain{Phase: Emptying, Ordinals: []int{3}, Left: 2}
	require.Equal(t, "emptying instance 3, resources left: 2, since an unknown time", dr.String())
}

// The decision of a former leader lacks since when its drain lasts: it begins to count anew.
func TestADrainThatDoesNotSaySinceWhenBeginsNow(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	before := &Drain{Phase: Emptying, Ordinals: []int{3}, Left: 2, Blocked: "instance 3 has not released 2 resources"}
	require.False(t, before.BlockedFor(now, ShownAfter), "it is not known for how long")
	next := *before
	next.continues(before, now)
	require.Equal(t, []time.Time{now, now, now}, []time.Time{next.Since, next.PhaseSince, next.BlockedSince})
	last := next
	last.continues(&next, now.Add(time.Hour))
	require.Equal(t, []time.Time{now, now, now}, []time.Time{last.Since, last.PhaseSince, last.BlockedSince})
}
