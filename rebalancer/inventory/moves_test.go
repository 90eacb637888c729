package inventory

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// placed is a State made of where each id is: an ordinal, InPool, or flightFrom its source. Pieces
// are cut by chance, so that ids also go from one piece to another.
func placed(at map[string]int32, open []int, when time.Time, cut func() int) *protocol.State {
	st := protocol.NewState("Thing")
	st.ReadAt, st.Head.Open = when, open
	lists, flights, pool := map[int][]string{}, map[string][]string{}, map[string][]string{}
	for _, id := range slices.Sorted(maps.Keys(at)) {
		switch place := at[id]; {
		case place >= 0:
			lists[int(place)] = append(lists[int(place)], id)
		case place == InPool:
			name := protocol.PieceName(1, int64(cut()))
			pool[name] = append(pool[name], id)
		default:
			name := protocol.FlightName(int(firstFlight-place), int64(cut()))
			flights[name] = append(flights[name], id)
		}
	}
	for n, ids := range lists {
		st.Instances[n] = &protocol.Instance{Ordinal: n, IDs: protocol.NewIDs(ids)}
	}
	for name, ids := range pool {
		st.Pool[name] = &protocol.Piece{Name: name, IDs: protocol.NewIDs(ids)}
	}
	for name, ids := range flights {
		f := &protocol.Flight{Name: name, IDs: protocol.NewIDs(ids)}
		_, err := fmt.Sscanf(name, "%d-%d", &f.From, &f.Times)
		if err != nil {
			panic(err)
		}
		st.Flight[name] = f
	}
	return st
}

// told is the plain account of an id that the index is compared with.
type told struct {
	place   int32
	since   time.Time
	created bool
	deleted bool
	moves   []Moved // without why; also those before it was deleted and created again
}

// An index that follows tells of every id the same as an account kept by hand.
func TestMovesAreThoseThatWereSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		places := []int32{0, 1, 2, InPool, flightFrom(0), flightFrom(1), flightFrom(2)}
		cut := func() int { return rapid.IntRange(0, 2).Draw(t, "piece") }
		at, account, now := map[string]int32{}, map[string]*told{}, noon
		for i := range rapid.IntRange(0, 8).Draw(t, "ids") {
			id := fmt.Sprint("old-", i)
			at[id] = rapid.SampledFrom(places).Draw(t, "place")
			account[id] = &told{place: at[id]}
		}
		x := &Index{each: inTurn}
		x.start(placed(at, nil, now, cut))
		x.CatchUp()
		for step := range rapid.IntRange(1, 12).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 50).Draw(t, "pause")) * time.Second)
			for range rapid.IntRange(0, 6).Draw(t, "changes") {
				id := fmt.Sprint(rapid.SampledFrom([]string{"old-", "new-"}).Draw(t, "age"), rapid.IntRange(0, 8).Draw(t, "id"))
				if _, there := at[id]; there && rapid.IntRange(0, 9).Draw(t, "delete") == 0 {
					delete(at, id)
				} else if place := rapid.SampledFrom(places).Draw(t, "place"); there || place >= InPool {
					at[id] = place
				}
			}
			x.follow(placed(at, nil, now, cut))
			x.CatchUp()
			follow(account, at, now)
			for id, want := range account {
				got, known := x.Track(id)
				require.Equal(t, !want.deleted, known)
				if want.deleted {
					continue
				}
				require.Equal(t, shown(want.place), int32(got.Place), "%s after %d steps", id, step)
				require.True(t, want.since.Equal(got.Since), "%s: want %s, got %s", id, want.since, got.Since)
				require.Equal(t, want.created, got.Why == "created", "%s: %s", id, got.Why)
				require.True(t, got.KeptSince.Equal(noon))
				for i := range got.Moves {
					got.Moves[i].Why = ""
					require.True(t, got.Moves[i].At.Equal(want.moves[i].At))
					got.Moves[i].At = want.moves[i].At
				}
				require.Equal(t, want.moves, got.Moves, "%s after %d steps", id, step)
			}
			_, known := x.Track("no such id")
			require.False(t, known)
		}
	})
}

// follow brings the account to where ids are now.
func follow(account map[string]*told, at map[string]int32, now time.Time) {
	for id, was := range account {
		if _, there := at[id]; !there {
			was.deleted = true
		}
	}
	for id, place := range at {
		was := account[id]
		switch {
		case was == nil:
			account[id] = &told{place: place, since: now, created: true}
			continue
		case was.deleted:
			account[id] = &told{place: place, since: now, created: true, moves: was.moves}
			continue
		case was.place == place:
			continue
		case place <= firstFlight: // it is on its way, and has not arrived
			was.created = was.created && was.place < 0
		case was.place == InPool && was.created:
		default:
			from := int(was.place)
			if was.place <= firstFlight {
				from = int(firstFlight - was.place)
			}
			was.moves = slices.Insert(was.moves, 0, Moved{At: now, From: from, To: int(place)})
			was.created = false
		}
		was.place, was.since = place, now
	}
}

// Why a resource moved is told by the stored wave, by the open ordinals, or not at all.
func TestWhyOfAMove(t *testing.T) {
	const wave = `{"v":1,"plan":"p","reason":%q,"why":"x","window":[{"at":"2026-03-01T12:00:00Z","n":1}],"reassigned":[2],"moves":`
	for name, c := range map[string]struct {
		plan     string // "": none is stored
		from, to int32
		open     []int
		want     string
	}{
		"drain":                          {fmt.Sprintf(wave, "drain"), 1, 0, []int{0}, "drain"},
		"reassigned":                     {fmt.Sprintf(wave, "drain"), 2, 0, []int{0, 1}, "reassigned"},
		"a pin during a drain":           {fmt.Sprintf(wave, "drain"), 1, 0, []int{0, 1}, "pin"},
		"pin":                            {fmt.Sprintf(wave, "pin"), 1, 0, []int{0, 1}, "pin"},
		"spread":                         {fmt.Sprintf(wave, "spread"), 1, 0, []int{0, 1}, "spread"},
		"undo":                           {fmt.Sprintf(wave, "undo"), 1, 0, []int{0, 1}, "undone"},
		"a wave of another build":        {fmt.Sprintf(wave, "sort"), 1, 0, []int{0, 1}, "moved"},
		"no wave, and the source closed": {"", 1, 0, []int{0}, "drain"},
		"no wave":                        {"", 1, 0, []int{0, 1}, "moved"},
		"an unreadable wave":             {`{"v":1,"reason`, 1, 0, []int{0, 1}, "moved"},
		"back":                           {fmt.Sprintf(wave, "spread"), 1, 1, []int{0, 1}, "undone"},
	} {
		for _, seen := range []bool{true, false} { // in flight
			if !seen && c.from == c.to {
				continue
			}
			t.Run(fmt.Sprint(name, ", seen in flight: ", seen), func(t *testing.T) {
				cut := func() int { return 1 }
				x := &Index{each: inTurn}
				x.start(placed(map[string]int32{"a": c.from}, c.open, noon, cut))
				x.CatchUp()
				during := placed(map[string]int32{"a": flightFrom(int(c.from))}, c.open, noon.Add(time.Second), cut)
				if c.plan != "" {
					during.Plan = &protocol.StoredPlan{ID: "p", Data: []byte(c.plan + `[{"from":1`)}
				}
				x.follow(during)
				if seen {
					x.CatchUp()
					got, _ := x.Track("a")
					require.Equal(t, InFlight, int32(got.Place))
					require.Equal(t, int(c.from), got.From)
				}
				x.follow(placed(map[string]int32{"a": c.to}, c.open, noon.Add(2*time.Second), cut)) // the wave has ended
				got, _ := x.Track("a")
				require.Equal(t, []Moved{{At: got.Since, From: int(c.from), To: int(c.to), Why: c.want}}, got.Moves)
				require.Equal(t, c.want, got.Why)
				require.True(t, got.Since.Equal(noon.Add(2*time.Second)))
			})
		}
	}
}

// An import of any size is no move; a log that is full keeps the newest, and says since when.
func TestTheLogOfMovesIsBounded(t *testing.T) {
	ids := uuids(maxMoves + 1000)
	x := &Index{each: inTurn}
	x.start(protocol.NewState("Thing"))
	x.CatchUp()
	at := func(n int, when time.Time) *protocol.State {
		st := protocol.NewState("Thing")
		st.Instances[n], st.ReadAt = &protocol.Instance{Ordinal: n, IDs: protocol.NewIDs(ids)}, when
		return st
	}
	x.follow(at(0, noon))
	x.CatchUp()
	require.Empty(t, x.log.ring, "creates are no moves")
	x = &Index{each: inTurn}
	x.start(at(0, noon))
	x.CatchUp()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 3 {
		x.follow(at(1+i, noon.Add(time.Duration(i+1)*time.Hour)))
		x.CatchUp()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / maxMoves
	t.Logf("%.1f bytes a move, of which the log %d", each, unsafe.Sizeof(entry{}))
	require.LessOrEqual(t, each, 40.0)
	require.Len(t, x.log.ring, maxMoves)
	got, _ := x.Track(ids[len(ids)-1])
	require.Equal(t, []Moved{{At: got.Since, From: 2, To: 3, Why: "drain"}}, got.Moves)
	require.Equal(t, noon.Add(3*time.Hour+time.Second), got.KeptSince, "moves of the third hour are lost in part")
	first, _ := x.Track(ids[0])
	require.Empty(t, first.Moves)
	require.Equal(t, "drain", first.Why, "since when and why is known of every one")
	require.True(t, first.Since.Equal(noon.Add(3*time.Hour)))

	x.follow(at(4, noon.Add(30*time.Hour)))
	got, _ = x.Track(ids[len(ids)-1])
	require.Len(t, got.Moves, 1, "what is older than a day is not told")
	runtime.KeepAlive(x)
}
