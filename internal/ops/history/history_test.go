package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// noise is text that no packer makes shorter.
func noise(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[r.IntN(64)]
	}
	return string(b)
}

func decisionRecord(at time.Time, summary string, whole int, r *rand.Rand) Record {
	e := Record{Entry: ops.Entry{At: at, Type: TypeDecision, Decision: &ops.DecisionEntry{Verb: "keep", Reason: "count", Summary: summary}}}
	if whole > 0 {
		e.Whole, _ = json.Marshal(outcome.Report{Decision: decide.Decision{Kind: "Thing", Summary: summary, Blind: noise(r, whole)}})
	}
	return e
}

// Whatever is recorded, and whenever leaders end: no day takes more than its MiB and no piece more
// than 256 KiB, ids are unique and in order, all that is stored is read again, and where something
// was left out a gap says so.
func TestWhateverIsRecordedFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)) //nolint:gosec // it can be made again, no secret
		s := newShelf(t)
		w := &writer{shelf: s}
		now := midnight
		var want []string
		for range rapid.IntRange(1, 15).Draw(t, "flushes") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{60, 60, 600, 20_000, 90_000}).Draw(t, "pause")) * time.Second)
			for range rapid.IntRange(0, 30).Draw(t, "records") {
				summary := noise(r, rapid.IntRange(1, 900).Draw(t, "summary"))
				switch rapid.IntRange(0, 2).Draw(t, "what") {
				case 0:
					w.Changed(now, ops.ChangeEntry{By: summary, What: "pause"})
				default:
					w.add(decisionRecord(second(now), summary, rapid.SampledFrom([]int{0, 1000, 20_000}).Draw(t, "whole"), r))
				}
				want = append(want, summary)
			}
			if rapid.IntRange(0, 5).Draw(t, "leader") == 0 {
				require.LessOrEqual(t, len(w.waiting), maxWaiting)
				want = want[:len(want)-min(len(want), len(w.waiting))]
				w.Recorder, w.last = Recorder{}, nil // it dies, and the next one knows the pieces or not
				if c := s.read(); len(c.Pieces) > 0 && rapid.Bool().Draw(t, "reads") {
					text, err := Decode(s.pieces[c.Pieces[len(c.Pieces)-1].Name].Data)
					require.NoError(t, err)
					w.last = &text
				}
			}
			if err := w.flush(now, false); err != nil {
				require.ErrorIs(t, err, ErrFull)
			}
			for day := midnight; !day.After(now); day = day.Add(24 * time.Hour) {
				require.LessOrEqual(t, s.size(day), MaxDay)
			}
		}
		if len(w.waiting) > 0 {
			return // what waits is not stored yet
		}
		all, last, found := s.all(Query{}), "~", map[string]bool{}
		missing := 0
		for _, e := range all {
			require.Less(t, e.ID, last)
			last = e.ID
			switch {
			case e.Change != nil:
				found[e.Change.By] = true
			case e.Decision != nil:
				found[e.Decision.Summary] = true
				c := s.read()
				d, kept := c.Decided(e.ID, s.piece)
				require.Equal(t, e.Decision.Whole, kept)
				if kept {
					require.Equal(t, e.Decision.Summary, d.Report.Summary)
				}
			case e.Gap != nil:
				missing += e.Gap.Lost
			}
		}
		if c := s.read(); len(c.Pieces) == 0 || now.Sub(c.Pieces[0].From) > KeepDays*24*time.Hour {
			return // old ones may have gone
		}
		for _, text := range want {
			if !found[text] {
				missing--
			}
		}
		require.GreaterOrEqual(t, missing, 0, "what is missing is counted")
	})
}

func stored(t testing.TB, records ...Record) (*shelf, *writer) {
	s := newShelf(t)
	w := &writer{shelf: s}
	for _, r := range records {
		w.add(r)
	}
	require.NoError(t, w.flush(midnight.Add(time.Hour), true))
	return s, w
}

// A damaged piece is a gap with its reason, and the others are read.
func TestADamagedPieceIsAGap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0)) //nolint:gosec // it can be made again, no secret
	build := func() *shelf {
		s := newShelf(t)
		for i := range 3 {
			w := &writer{shelf: s} // which begins a piece of its own
			at := midnight.Add(time.Duration(i) * time.Hour)
			for j := range 3 {
				w.add(decisionRecord(at.Add(time.Duration(j)*time.Second), fmt.Sprint("decision ", i, j), 100, r))
			}
			require.NoError(t, w.flush(at.Add(time.Minute), true))
		}
		require.Len(t, s.pieces, 3)
		return s
	}
	var bomb Text
	bomb.Entries = make([]byte, maxText+1)
	other := (&Text{First: 7, Entries: []byte("{}\n"), Count: 1}).Encode()
	for name, damage := range map[string]func(h *Held){
		"nothing is there": func(h *Held) { h.Data = []byte{} },
		"cut":              func(h *Held) { h.Data = h.Data[:len(h.Data)-1] },
		"a bit": func(h *Held) {
			_, entries, decisions, err := frames(h.Data)
			require.NoError(t, err)
			h.Data = slices.Clone(h.Data)
			h.Data[len(h.Data)-len(decisions)-len(entries)/2] ^= 1
		},
		"of a newer format":   func(h *Held) { h.Data = []byte(strings.Replace(string(h.Data), `"v":1`, `"v":2`, 1)) },
		"other entries":       func(h *Held) { h.Data = other },
		"unpacks to too much": func(h *Held) { h.Data = bomb.Encode() },
		"lengths of another one": func(h *Held) {
			h.Data = []byte("{\"v\":1,\"first\":1,\"entries\":9223372036854775807,\"decisions\":9}\n12345")
		},
		"it could not be read": func(h *Held) { h.Err = errors.New("no session") },
	} {
		t.Run(name, func(t *testing.T) {
			s := build()
			c := s.read()
			bad := c.Pieces[1]
			h := s.pieces[bad.Name]
			damage(&h)
			if h.Err == nil {
				h = Hold(h.Version, h.Data)
			}
			s.pieces[bad.Name] = h
			all := s.all(Query{})
			gaps := slices.DeleteFunc(slices.Clone(all), func(e ops.Entry) bool {
				return e.Type != TypeGap || e.Gap.Reason != GapDamaged && e.Gap.Reason != GapUnread
			})
			require.Len(t, gaps, 1)
			require.Equal(t, ops.Entry{ID: ID(bad.First), At: bad.From, Until: bad.To, Type: TypeGap, Gap: gaps[0].Gap}, gaps[0])
			require.Equal(t, int(bad.Last-bad.First+1), gaps[0].Gap.Lost)
			require.NotEmpty(t, gaps[0].Gap.Text)
			decisions := s.all(Query{Types: []string{TypeDecision}})
			require.Len(t, decisions, 6)
			_, kept := c.Decided(ID(bad.First), s.piece)
			require.False(t, kept)
			_, kept = c.Decided(decisions[0].ID, s.piece)
			require.True(t, kept)

			w := &writer{shelf: s} // and a leader goes on, in another piece
			w.add(decisionRecord(midnight.Add(4*time.Hour), "later", 0, r))
			require.NoError(t, w.flush(midnight.Add(4*time.Hour), true))
			require.Equal(t, "later", s.all(Query{Types: []string{TypeDecision}})[0].Decision.Summary)
		})
	}
}

// Pieces of days that are not kept any more go; a week and the present day stay whole.
func TestOldPiecesGo(t *testing.T) {
	s := newShelf(t)
	w := &writer{shelf: s}
	for day := range 20 {
		w.Changed(midnight.AddDate(0, 0, day), ops.ChangeEntry{By: "a", What: fmt.Sprint(day)})
		require.NoError(t, w.flush(midnight.AddDate(0, 0, day).Add(time.Minute), false))
	}
	require.Len(t, s.pieces, KeepDays+1)
	list := s.all(Query{Types: []string{TypeChange}})
	require.Equal(t, "19", list[0].Change.What)
	require.Equal(t, "11", list[len(list)-1].Change.What)
	c := s.read()
	require.Equal(t, midnight.AddDate(0, 0, 11), c.List(Query{Limit: 1}, s.piece).Since)
}

// After conflicts another piece is begun, and nothing is deleted: whatever others did, the history
// goes on.
func TestAfterConflictsAnotherPieceIsBegun(t *testing.T) {
	s, w := stored(t, decisionRecord(midnight, "first", 0, nil))
	c := s.read()
	records := []Record{decisionRecord(midnight.Add(time.Hour), "second", 0, nil)}
	names := map[string]bool{c.Pieces[0].Name: true}
	for conflicts := 1; conflicts < 4; conflicts++ {
		u, err := Append(s.contents, c, w.last, records, Flush{Now: midnight.AddDate(0, 0, 30), Conflicts: conflicts})
		require.NoError(t, err)
		require.Len(t, u.Parts, 1)
		require.EqualValues(t, -1, u.Parts[0].Version)
		require.False(t, names[u.Name], "each time another one")
		names[u.Name] = true
	}
}

// What a leader finds stored says what is missing before its term.
func TestATimeWithoutALeaderIsAGap(t *testing.T) {
	begun := midnight.Add(time.Hour)
	for name, c := range map[string]struct {
		before Contents
		want   string // "": there is no gap
	}{
		"the first one ever":                {Contents{}, ""},
		"another ended a moment ago":        {Contents{Until: begun.Add(-20 * time.Second), Ended: true}, ""},
		"another ended long ago":            {Contents{Until: begun.Add(-20 * time.Minute), Ended: true}, GapNoLeader},
		"another died a moment ago":         {Contents{Until: begun.Add(-20 * time.Second)}, GapLeaderEnded},
		"its clock was ahead":               {Contents{Until: begun.Add(20 * time.Second)}, ""},
		"another died, long before":         {Contents{Until: begun.Add(-20 * time.Hour)}, GapLeaderEnded},
		"it stored all at this very second": {Contents{Until: begun}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var r Recorder
			r.Join(Contents{Until: begun.Add(-time.Hour)}, begun) // and then there was a last word
			require.Len(t, r.Waiting(begun), 1)
			r.Join(c.before, begun)
			records := r.Waiting(begun)
			r.Stored(len(records))
			r.Join(Contents{Until: begun.Add(-time.Hour)}, begun)
			require.Empty(t, r.Waiting(begun), "what is stored is settled")
			if c.want == "" {
				require.Empty(t, records)
				return
			}
			require.Len(t, records, 1)
			require.Equal(t, c.want, records[0].Gap.Reason)
			require.Equal(t, []time.Time{c.before.Until, begun}, []time.Time{records[0].At, records[0].Until})
		})
	}
}

// A recorder takes a sample a minute, decisions that mean something new, moves by minute, plan and
// reason; and says when it could take none.
func TestWhatIsRecorded(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 0)) //nolint:gosec // it can be made again, no secret
	var rec Recorder
	cfg, k := fleetConfig(4), fleet(r, midnight, 4)
	report := func(desired int, summary string) *outcome.Report {
		current := 4
		return &outcome.Report{Decision: decide.Decision{
			Verb: decide.NoChange, Reason: decide.ByCount, Current: &current, Desired: desired, Summary: summary,
			Signals: []decide.Signal{{Name: decide.ByCount, Proposed: 4, Need: 3.14159}, {Name: decide.ByCPU, Missing: "no sample"}},
		}}
	}
	tick := func(after time.Duration, d *outcome.Report) {
		now := midnight.Add(after)
		k.Sources.Store.At = now
		rec.Tick(Tick{Now: now, Config: cfg, Observed: k, Report: d})
	}
	tick(5*time.Second, report(4, "keep 4"))
	tick(7*time.Second, report(4, "keep 4, with other numbers"))
	tick(40*time.Second, report(5, "grow"))
	tick(65*time.Second, report(5, "grow"))
	rec.Moved(midnight.Add(10*time.Second), "plan", "drain", 5)
	rec.Moved(midnight.Add(11*time.Second), "plan", "spread", 1)
	rec.Moved(midnight.Add(50*time.Second), "plan", "drain", 7)
	rec.Moved(midnight.Add(80*time.Second), "plan", "drain", 1)
	records := rec.Waiting(midnight.Add(90 * time.Second))
	var got []string
	for _, e := range records {
		text := e.Type
		switch {
		case e.Moves != nil:
			text += fmt.Sprint(" ", e.Moves.Reason, " ", e.Moves.Count)
		case e.Decision != nil:
			text += " " + e.Decision.Summary
			require.NotNil(t, e.Whole)
		}
		got = append(got, fmt.Sprint(e.At.Sub(midnight).Seconds(), " ", text))
	}
	require.Equal(t, []string{"5 sample", "5 decision keep 4", "10 moves drain 12", "11 moves spread 1", "40 decision grow", "65 sample", "80 moves drain 1"}, got)
	first := records[0].Sample
	require.Equal(t, map[string]float64{"count": 3.14}, first.Signals)
	require.Equal(t, k.Resources(), first.Resources)
	require.NotEmpty(t, first.WorstLag)
	rec.Stored(len(records))
	require.Empty(t, rec.Waiting(midnight.Add(90*time.Second)))

	// ZooKeeper is away for three minutes
	k.Sources.Store = observed.Source{At: midnight.Add(65 * time.Second), Error: "no session"}
	for s := 100 * time.Second; s <= 280*time.Second; s += 10 * time.Second {
		rec.Tick(Tick{Now: midnight.Add(s), Config: cfg, Observed: k})
	}
	k.Sources.Store.Error = ""
	tick(300*time.Second, nil)
	records = rec.Waiting(midnight.Add(310 * time.Second))
	require.Len(t, records, 2)
	require.Equal(t, GapBlind, records[0].Gap.Reason)
	require.Contains(t, records[0].Gap.Text, "no session")
	require.Equal(t, []time.Time{midnight.Add(100 * time.Second), midnight.Add(300 * time.Second)}, []time.Time{records[0].At, records[0].Until})
	require.Equal(t, TypeSample, records[1].Type)
}

// What waits is bounded, and what was too much is counted.
func TestWhatWaitsIsBounded(t *testing.T) {
	var rec Recorder
	for i := range maxWaiting + 500 {
		rec.Changed(midnight.Add(time.Duration(i)*time.Second), ops.ChangeEntry{By: "a", What: strings.Repeat("é", 2000)})
	}
	records := rec.Waiting(midnight)
	require.Len(t, records, maxWaiting+1)
	require.LessOrEqual(t, len(records[0].Change.What), maxSaid+len("…"))
	gap := records[maxWaiting]
	require.Equal(t, GapFull, gap.Gap.Reason)
	require.Equal(t, 500, gap.Gap.Lost)
}

// A full day is one gap, however often it is tried.
func TestAFullDayIsOneGap(t *testing.T) {
	var rec Recorder
	total := 0
	for i := range 5 {
		for range 3 {
			rec.Changed(midnight.Add(time.Duration(i)*time.Minute), ops.ChangeEntry{By: "a"})
			total++
		}
		records := rec.Waiting(midnight)
		rec.Full(len(records), midnight.Add(time.Duration(i)*time.Minute+time.Second))
	}
	records := rec.Waiting(midnight)
	require.Len(t, records, 1)
	require.Equal(t, total, records[0].Gap.Lost)
	require.Equal(t, []time.Time{midnight, midnight.Add(4*time.Minute + time.Second)}, []time.Time{records[0].At, records[0].Until})
}

// Pages put together are all entries, whatever is asked for.
func TestPagesAreAllThereIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newShelf(t)
		w := &writer{shelf: s}
		now := midnight
		for range rapid.IntRange(1, 20).Draw(t, "flushes") {
			for range rapid.IntRange(0, 5).Draw(t, "records") {
				now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "pause")) * time.Second)
				if rapid.Bool().Draw(t, "change") {
					w.Changed(now, ops.ChangeEntry{By: "a", What: fmt.Sprint(now.Unix())})
				} else {
					w.Moved(now, "plan", "drain", 1)
				}
			}
			if rapid.IntRange(0, 3).Draw(t, "another piece") == 0 {
				w.last = nil
			}
			require.NoError(t, w.flush(now, false))
		}
		q := Query{Types: rapid.SampledFrom([][]string{nil, {TypeChange}, {TypeMoves, TypeGap}}).Draw(t, "types")}
		if rapid.Bool().Draw(t, "since") {
			q.Since = midnight.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "since at")) * time.Second)
		}
		if rapid.Bool().Draw(t, "until") {
			q.Until = midnight.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "until at")) * time.Second)
		}
		var want []ops.Entry
		for _, e := range s.all(Query{}) {
			if number, err := ParseID(e.ID); err == nil && q.picks(&e, number) {
				want = append(want, e)
			}
		}
		c, limit := s.read(), rapid.IntRange(1, 7).Draw(t, "limit")
		var got []ops.Entry
		for q.Limit = limit; ; {
			page := c.List(q, s.piece)
			require.LessOrEqual(t, len(page.Items), limit)
			got = append(got, page.Items...)
			if page.Continue == "" {
				break
			}
			var err error
			q.Before, err = ParseID(page.Continue)
			require.NoError(t, err)
		}
		require.Equal(t, want, got)
	})
}

func TestIDs(t *testing.T) {
	last := ""
	for _, n := range []int64{0, 1, 35, 36, 1_772_366_400, 1_772_366_401, 78_364_164_095} {
		id := ID(n)
		require.Greater(t, id, last)
		last = id
		got, err := ParseID(id)
		require.NoError(t, err)
		require.Equal(t, n, got)
	}
	for _, bad := range []string{"", "0", "00000000", "000000A", "-00001", "+000001", "00000 1", "zzzzzzzzzzzzzzzzzzzz", "../head"} {
		_, err := ParseID(bad)
		require.Error(t, err, bad)
	}
}

func TestContentsHaveOneMeaning(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                         "history",
		`{"v":2}`:                   "schema 2",
		`{"v":1,"next":1,"next":2}`: "duplicate",
		`{"v":1,"next":9,"pieces":[{"name":"a","first":3,"last":2}]}`:                                 "entries 3 to 2",
		`{"v":1,"next":9,"pieces":[{"name":"a","first":1,"last":2},{"name":"b","first":2,"last":3}]}`: "they follow 2",
		`{"v":1,"next":2,"pieces":[{"name":"a","first":1,"last":2}]}`:                                 "next: 2",
		`{"v":1,"next":2,"pieces":[` + strings.Repeat(`{"name":"a"},`, maxPieces) + `{"name":"a"}]}`:  "at most",
	} {
		_, err := ParseContents([]byte(text))
		require.ErrorContains(t, err, want)
	}
	c, err := ParseContents([]byte(`{"v":1,"next":3,"newer":true,"pieces":[{"name":"20260301-a","first":1,"last":2}]}`))
	require.NoError(t, err)
	require.Len(t, c.Pieces, 1)
}

// FuzzPiece: whatever a piece holds, it is read or an error, within bounds, and what is read is
// written and read again the same.
func FuzzPiece(f *testing.F) {
	s, _ := stored(f, decisionRecord(midnight, "a", 10, rand.New(rand.NewPCG(1, 1))), Record{Entry: ops.Entry{At: midnight, Type: TypeChange, Change: &ops.ChangeEntry{By: "b"}}}) //nolint:gosec // no secret
	for _, h := range s.pieces {
		f.Add(h.Data)
	}
	f.Add([]byte("{\"v\":1}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text, err := Decode(data)
		if err != nil {
			_, err = Entries(data)
			_ = err
			return
		}
		require.LessOrEqual(t, len(text.Entries), maxText)
		require.LessOrEqual(t, len(text.Decisions), maxText)
		again, err := Decode(text.Encode())
		if len(text.Encode()) <= MaxPiece {
			require.NoError(t, err)
			require.Equal(t, string(text.Entries), string(again.Entries))
			require.Equal(t, string(text.Decisions), string(again.Decisions))
		}
		all, err := Entries(data)
		if err == nil {
			require.LessOrEqual(t, len(all), text.Count+1)
		}
		_, _ = Decision(data, text.First)
	})
}

// FuzzContents: contents are read or an error, and what is read is written and read again the same.
func FuzzContents(f *testing.F) {
	s, _ := stored(f, decisionRecord(midnight, "a", 0, nil))
	f.Add(s.contents)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseContents(data)
		if err != nil {
			return
		}
		again, err := ParseContents(c.encode())
		require.NoError(t, err)
		require.Equal(t, c.encode(), again.encode())
		for _, p := range c.Pieces {
			require.NotNil(t, c.piece(p.First))
		}
		require.LessOrEqual(t, len(c.List(Query{Limit: 10}, func(string) (Held, bool) { return Held{}, false }).Items), 10)
	})
}

// busy are six hours of a busy day.
func busy(b *testing.B) *writer {
	b.Helper()
	r := rand.New(rand.NewPCG(1, 0)) //nolint:gosec // no secret
	w := &writer{shelf: newShelf(b)}
	cfg := fleetConfig(100)
	for now := midnight; now.Before(midnight.Add(6 * time.Hour)); now = now.Add(20 * time.Second) {
		k := fleet(r, now, 100)
		w.Tick(Tick{Now: now, Config: cfg, Observed: k, Report: reportOf(now, cfg, k, decide.History{Adopted: true, Replicas: 100, Own: 100 + r.IntN(2)})})
		if now.Unix()%60 == 0 {
			require.NoError(b, w.flush(now, false))
		}
	}
	return w
}

// BenchmarkList is a page of the newest 1,000 of a busy day.
func BenchmarkList(b *testing.B) {
	w := busy(b)
	c := w.read()
	for b.Loop() {
		require.NotEmpty(b, c.List(Query{Limit: MaxLimit}, w.piece).Items)
	}
}

// BenchmarkGaps asks for the gaps of many pieces, of which none has one.
func BenchmarkGaps(b *testing.B) {
	w := busy(b)
	c := w.read()
	b.Logf("%d pieces, %d KiB", len(c.Pieces), w.size(midnight)>>10)
	for b.Loop() {
		require.Empty(b, c.List(Query{Types: []string{TypeGap}, Since: midnight.Add(time.Hour), Limit: MaxLimit}, w.piece).Items)
	}
}
