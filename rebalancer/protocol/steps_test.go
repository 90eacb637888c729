package protocol

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// world is a State with something of everything: 0 owns a0…a4, 1 owns b0 and is closed, 2 owns
// nothing; p0…p2 wait in the pool; x0 moves from 0 to 1, x1 is being deleted.
func world(t testing.TB) (*fake, *State) {
	f := newFake()
	s := led(t, f, 10, 0, 1, 2)
	give := func(n int, k int64, ids ...string) {
		m, err := Create(s, k, ids)
		f.must(t, s, m, err)
		m, err = Assign(s, Give{n, []Take{{Name: PieceName(1, k)}}})
		f.must(t, s, m, err)
	}
	give(0, 0, "a0", "a1", "a2", "a3", "a4", "x0", "x1")
	give(1, 1, "b0")
	m, err := Create(s, 2, names("p", 3))
	f.must(t, s, m, err)
	m, err = Revoke(s, 0, []string{"x0", "x1"}, []int{1, ToDelete}, "uid")
	f.must(t, s, m, err)
	m, err = SetOpen(s, []int{0, 2})
	f.must(t, s, m, err)
	return f, s
}

// What would break an invariant is refused, and says why.
func TestStepsRefuse(t *testing.T) {
	long := strings.Repeat("x", 257)
	for want, step := range map[string]func(s *State) (Multi, error){
		`create: id "a": is given twice`:                func(s *State) (Multi, error) { return Create(s, 9, []string{"a", "a"}) },
		`create: id: is empty`:                          func(s *State) (Multi, error) { return Create(s, 9, []string{""}) },
		`257 bytes, at most 256`:                        func(s *State) (Multi, error) { return Create(s, 9, []string{long}) },
		`create: piece 1-9: no ids`:                     func(s *State) (Multi, error) { return Create(s, 9, nil) },
		`create: piece 1-2: exists`:                     func(s *State) (Multi, error) { return Create(s, 2, []string{"a"}) },
		`create: piece number -1: want 0 to`:            func(s *State) (Multi, error) { return Create(s, -1, []string{"a"}) },
		`ids, the first 3360 fill a piece of 131072 by`: func(s *State) (Multi, error) { return Create(s, 9, uuids(5000, 0)[:4000]) },

		`assign: ordinal 1: is closed`:            func(s *State) (Multi, error) { return Assign(s, Give{1, []Take{{Name: "1-2"}}}) },
		`assign: ordinal 7: has no znodes`:        func(s *State) (Multi, error) { return Assign(s, Give{7, []Take{{Name: "1-2"}}}) },
		`assign: 0 lists, want 1 to 2`:            func(s *State) (Multi, error) { return Assign(s) },
		`assign: ordinal 0: no ids`:               func(s *State) (Multi, error) { return Assign(s, Give{To: 0}) },
		`assign: ordinal 0: is given twice`:       func(s *State) (Multi, error) { return Assign(s, Give{To: 0}, Give{To: 0}) },
		`assign: piece 1-8: does not exist`:       func(s *State) (Multi, error) { return Assign(s, Give{0, []Take{{Name: "1-8"}}}) },
		`assign: piece 1-2: id "q": is not there`: func(s *State) (Multi, error) { return Assign(s, Give{0, []Take{{"1-2", []string{"q"}}}}) },
		`assign: piece 1-2: nothing to take`:      func(s *State) (Multi, error) { return Assign(s, Give{0, []Take{{"1-2", []string{}}}}) },
		`assign: piece 1-2: id "p0": is taken twice`: func(s *State) (Multi, error) {
			return Assign(s, Give{0, []Take{{"1-2", []string{"p0"}}}}, Give{2, []Take{{Name: "1-2"}}})
		},
		`assign: piece 1-2: id "p1": is taken twice`: func(s *State) (Multi, error) {
			return Assign(s, Give{0, []Take{{"1-2", []string{"p1", "p1"}}}})
		},

		`revoke: ordinal 0: id "p0": is not there`:    func(s *State) (Multi, error) { return Revoke(s, 0, []string{"p0"}, nil, "") },
		`revoke: ordinal 0: an id is given twice`:     func(s *State) (Multi, error) { return Revoke(s, 0, []string{"a0", "a0"}, nil, "") },
		`revoke: ordinal 0: 0 ids with 0 destinat`:    func(s *State) (Multi, error) { return Revoke(s, 0, nil, nil, "") },
		`revoke: ordinal 0: 1 ids with 2 destinat`:    func(s *State) (Multi, error) { return Revoke(s, 0, []string{"a0"}, []int{1, 1}, "") },
		`revoke: destination -3: want an ordinal, -1`: func(s *State) (Multi, error) { return Revoke(s, 0, []string{"a0"}, []int{-3}, "") },
		`revoke: ordinal 8: has no znodes`:            func(s *State) (Multi, error) { return Revoke(s, 8, []string{"a0"}, nil, "") },

		`grant: flight 0-2: id "x1": is not there, or not of that destination`: func(s *State) (Multi, error) {
			return Grant(s, Give{2, []Take{{"0-2", []string{"x1"}}}})
		},
		`grant: flight 0-2: some of it are deletes`: func(s *State) (Multi, error) { return Grant(s, Give{2, []Take{{Name: "0-2"}}}) },
		`grant: flight 0-9: does not exist`:         func(s *State) (Multi, error) { return Grant(s, Give{2, []Take{{Name: "0-9"}}}) },
		`grant: ordinal 1: is closed`:               func(s *State) (Multi, error) { return Grant(s, Give{1, []Take{{"0-2", []string{"x0"}}}}) },
		`forget: flight 0-2: id "x0": is not`:       func(s *State) (Multi, error) { return Forget(s, Take{"0-2", []string{"x0"}}) },
		`release: flight 0-2: some of it are del`:   func(s *State) (Multi, error) { return ReleaseToPool(s, 9, Take{Name: "0-2"}) },
		`redirect: flight 0-2: id "a0": is not t`:   func(s *State) (Multi, error) { return Redirect(s, "0-2", []string{"a0"}, 1) },
		`redirect: destination -3`:                  func(s *State) (Multi, error) { return Redirect(s, "0-2", []string{"x0"}, -3) },

		`open: ordinal 9: has no znodes`:                      func(s *State) (Multi, error) { return SetOpen(s, []int{0, 9}) },
		`open: 40000 ordinals: head of 280043 bytes, at most`: func(s *State) (Multi, error) { return SetOpen(s, many(s, 40_000)) },
		`open: ordinal 0 after 2: want 0 to`:                  func(s *State) (Multi, error) { return SetOpen(s, []int{2, 0}) },
		`add-ordinal: ordinal 0 with capacity 10: exists alr`: func(s *State) (Multi, error) { return AddOrdinal(s, 0, 10) },
		`remove-ordinal: ordinal 2: is open`:                  func(s *State) (Multi, error) { return RemoveOrdinal(s, 2) },
		`remove-ordinal: ordinal 1: owns 1 resources`:         func(s *State) (Multi, error) { return RemoveOrdinal(s, 1) },
		`keep: document "head": want a name`:                  func(s *State) (Multi, error) { return StoreDoc(s, "head", nil) },
		`keep: document "a/b": want a name`:                   func(s *State) (Multi, error) { return StoreDoc(s, "a/b", nil) },
		`keep: document big: 262145 bytes, at most 262144`:    func(s *State) (Multi, error) { return StoreDoc(s, "big", make([]byte, MaxDocBytes+1)) },
		`keep: part "../head" of history: want a name`: func(s *State) (Multi, error) {
			return StoreDoc(s, "history", nil, Part{Name: "../head", Data: []byte{}, Version: -1})
		},
		`keep: part a of history: 262145 bytes, at most 262144`: func(s *State) (Multi, error) {
			return StoreDoc(s, "history", nil, Part{Name: "a", Data: make([]byte, MaxDocBytes+1), Version: -1})
		},
	} {
		t.Run(want, func(t *testing.T) {
			_, s := world(t)
			before := everything(s)
			m, err := step(s)
			require.ErrorContains(t, err, want)
			require.True(t, m.Empty())
			require.Equal(t, before, everything(s))
		})
	}
}

// many gives the State so many ordinals.
func many(s *State, n int) (ns []int) {
	for i := range n {
		ns = append(ns, 100_000+i)
		s.Instances[100_000+i] = nothing(100_000 + i)
	}
	return ns
}

func TestCapacityIsAHardLimit(t *testing.T) {
	f, s := world(t)
	m, needed, err := Repair(s, 0, 7) // lowered live; it owns 5
	require.True(t, needed)
	f.must(t, s, m, err)
	_, err = Assign(s, Give{0, []Take{{Name: "1-2"}}})
	require.EqualError(t, err, "assign: ordinal 0: 5 resources and 3 more, capacity 7")
	m, needed, err = Repair(s, 0, 3) // below what it owns: that stays
	require.True(t, needed)
	f.must(t, s, m, err)
	require.Len(t, s.Instances[0].IDs.Strings(), 5)
	_, err = Assign(s, Give{0, []Take{{"1-2", []string{"p0"}}}})
	require.ErrorContains(t, err, "capacity 3")
	m, err = Revoke(s, 0, []string{"a0"}, []int{2}, "")
	f.must(t, s, m, err)
}

func TestBytesAreAHardLimit(t *testing.T) {
	f := newFake()
	s := led(t, f, 10_000, 0, 1)
	long := names(strings.Repeat("x", 240), 2500) // 617 kB in all
	take := func(k int64, ids []string) (Multi, error) {
		m, err := Create(s, k, ids)
		f.must(t, s, m, err)
		return Assign(s, Give{0, []Take{{Name: PieceName(1, k)}}})
	}
	var err error
	for k := 0; len(long) > 0; k++ {
		n := Fit(long, 95_000)
		piece := long[:n]
		long = long[n:]
		var m Multi
		if m, err = take(int64(k), piece); err != nil {
			break
		}
		f.must(t, s, m, nil)
	}
	require.ErrorIs(t, err, ErrTooLarge)
	require.LessOrEqual(t, s.Instances[0].Bytes, MaxListBytes)
	require.Greater(t, s.Instances[0].Bytes, MaxListBytes-MaxPieceBytes)

	_, err = Revoke(s, 0, s.Instances[0].IDs.Strings(), nil, "")
	require.ErrorIs(t, err, ErrTooLarge, "a flight piece has its limit")
	m, err := Revoke(s, 0, s.Instances[0].IDs.Strings()[:Fit(s.Instances[0].IDs.Strings(), MaxFlight-200)], nil, "")
	f.must(t, s, m, err)

	// Two lists and what is left of a piece are more than 400 kB: split. One list and one piece may
	// be.
	name := s.FlightNames()[0]
	ids := s.Flight[name].IDs.Strings()
	m, err = Redirect(s, name, ids, 1)
	f.must(t, s, m, err)
	_, err = Grant(s, Give{0, []Take{{name, ids[:500]}}}, Give{1, []Take{{name, ids[500:1000]}}})
	require.ErrorIs(t, err, ErrTooLarge)
	m, err = Grant(s, Give{0, []Take{{name, ids[:500]}}})
	f.must(t, s, m, err)
	require.NoError(t, s.Check())
}

func TestPoolHasAtMostSoManyPieces(t *testing.T) {
	f := newFake()
	s := led(t, f, 10)
	for k := range int64(MaxPool) {
		m, err := Create(s, k, []string{PieceName(7, k)})
		f.must(t, s, m, err)
	}
	require.EqualValues(t, MaxPool, s.NextPiece())
	_, err := Create(s, MaxPool, []string{"one more"})
	require.EqualError(t, err, "create: 500 pool pieces, at most 500: compact the pool first")
	m, ok := CompactPool(s, MaxPool)
	require.True(t, ok)
	f.must(t, s, m, nil)
	require.Len(t, s.Pool, 1)
	require.Len(t, everything(s), MaxPool)
	require.Equal(t, "7-0", s.Pool["1-500"].IDs.Strings()[0], "the oldest first")
	m, err = Create(s, MaxPool+1, []string{"one more"})
	f.must(t, s, m, err)
	same(t, f.load(t, thing), s)
}

// What names were used stays used, also when another client has deleted the head.
func TestEpochOutlivesTheHead(t *testing.T) {
	f, s := world(t)
	m, err := Lead(s, "pod/1")
	f.must(t, s, m, err)
	m, err = Create(s, 0, []string{"z"})
	f.must(t, s, m, err)
	delete(f.nodes, HeadPath(thing))
	s = f.load(t, thing)
	_, err = Create(s, 1, []string{"y"})
	require.EqualError(t, err, "create: there is no head, the record of who leads: lead first")
	m, err = Lead(s, "pod/2")
	f.must(t, s, m, err)
	require.EqualValues(t, 3, s.Head.Epoch)
}

func TestRemovedOrdinalComesBack(t *testing.T) {
	f, s := world(t)
	m, err := SetOpen(s, []int{0})
	f.must(t, s, m, err)
	s.Instances[2].statusVersion, s.Instances[2].Live = 3, true
	_, err = RemoveOrdinal(s, 2)
	require.EqualError(t, err, "remove-ordinal: ordinal 2: has a live status")
	s.Instances[2].statusVersion, s.Instances[2].Live = -1, false
	m, err = RemoveOrdinal(s, 2)
	f.must(t, s, m, err)
	require.Equal(t, []int{0, 1}, s.Ordinals())
	m, err = AddOrdinal(s, 2, 10)
	f.must(t, s, m, err)
	require.Zero(t, s.Instances[2].Times)

	// What is in flight from an ordinal keeps its numbers, also when a client has deleted its
	// znodes.
	for _, path := range []string{"", "/tmp", "/_reload", "/resources"} {
		delete(f.nodes, InstancePath(thing, 0)+path)
	}
	delete(s.Instances, 0)
	m, err = AddOrdinal(s, 0, 10)
	f.must(t, s, m, err)
	require.EqualValues(t, 2, s.Instances[0].Times, "0-2 is in flight")
}

// A new _reload starts above what the instance said it has applied: else it would take no notice.
func TestRepairedReloadStartsAboveTheStatus(t *testing.T) {
	f, s := world(t)
	delete(f.nodes, ReloadPath(thing, 2))
	in := *s.Instances[2]
	in.Times, in.ReloadVersion, in.Status = -1, -1, &Status{Times: 41, Pod: "uid"}
	s.Instances[2] = &in
	_, err := Assign(s, Give{2, []Take{{Name: "1-2"}}})
	require.EqualError(t, err, "assign: ordinal 2: its data or _reload cannot be read: repair it first")
	m, needed, err := Repair(s, 2, 10)
	require.True(t, needed)
	f.must(t, s, m, err)
	require.EqualValues(t, 42, s.Instances[2].Times)
}

// Rule 11: flight before a list with a live status before the lowest ordinal before the pool.
func TestDedupe(t *testing.T) {
	f, _ := world(t)
	f.put(ResourcesPath(thing, 0), `{"ids":["a0","x0","d1","d2","d2","d3"]}`)
	f.put(ResourcesPath(thing, 1), `{"ids":["d1","d2"]}`)
	f.put(ResourcesPath(thing, 2), `{"ids":["d2","x1"]}`)
	f.put(PiecePath(thing, "1-3"), `{"ids":["d3","p0"]}`)
	f.put(FlightPath(thing, "2-8"), `{"from":2,"times":8,"pod":"u","ids":["x1","y"],"to":[0,1]}`)
	s := f.load(t, thing)
	s.Instances[2].Live = true
	require.Error(t, s.Check())
	twice, err := Dedupe(s)
	require.NoError(t, err)
	var duplicates []Duplicate
	for _, d := range twice {
		duplicates = append(duplicates, d.Found...)
	}
	require.Equal(t, []Duplicate{
		{"x1", "flight", "flight"},
		{"x1", "flight", "2"},
		{"x0", "flight", "0"},
		{"d2", "2", "0"},
		{"d2", "2", "0"},
		{"d1", "0", "1"},
		{"d2", "2", "1"},
		{"d3", "0", "pool"},
		{"p0", "pool", "pool"},
	}, duplicates)
	for i, d := range twice {
		for _, o := range twice[:i] {
			require.False(t, d.Multi.Overlaps(o.Multi))
		}
		f.must(t, s, d.Multi, nil)
	}
	require.NoError(t, s.Check())
	same(t, f.load(t, thing), s)
	require.Equal(t, []string{"a0", "d1", "d3"}, s.Instances[0].IDs.Strings())
	require.Empty(t, s.Instances[1].IDs.Strings())
	require.Equal(t, []string{"d2"}, s.Instances[2].IDs.Strings())
	require.NotContains(t, s.Pool, "1-3")
	require.Equal(t, []int{1}, s.Flight["2-8"].To)
	twice, err = Dedupe(s)
	require.NoError(t, err)
	require.Empty(t, twice)
}

func TestCounters(t *testing.T) {
	_, s := world(t)
	require.Equal(t, []int{6, 2, 3}, []int{s.Assigned(), s.InFlight(), s.Unassigned()})
	require.Equal(t, map[int]Size{1: {1, len(`"x0",`)}}, s.Reserved())
	in := *s.Instances[1]
	in.Fault = "unreadable"
	s.Instances[1] = &in
	require.Equal(t, []int{5, 3, 3}, []int{s.Assigned(), s.InFlight(), s.Unassigned()}, "what cannot be read is in flight, not free")
}

// Rule 6: what is a release, and above all what is none.
func TestReleased(t *testing.T) {
	f := &Flight{Name: "0-5", From: 0, Times: 5, Pod: "uid"}
	fencing := &Status{Times: 4, Pod: "uid", Fences: true, SessionMs: 4000}
	for _, test := range []struct {
		name   string
		flight *Flight
		status *Status
		pod    Fate
		absent Absence
		want   bool
		reason string
	}{
		{"applied", f, &Status{Times: 5, Pod: "uid"}, Fate{}, Absence{}, true, "i"},
		{"applied more", f, &Status{Times: 9, Pod: "uid"}, Fate{}, Absence{}, true, "i"},
		{"not yet", f, &Status{Times: 4, Pod: "uid"}, Fate{}, Absence{}, false, "the instance has applied change 4, not yet change 5"},
		{"another pod", f, &Status{Times: 5, Pod: "other"}, Fate{}, Absence{}, false, `the status is of pod "other", what is in flight was revoked from pod uid`},
		{"no pod in the status", f, &Status{Times: 5}, Fate{}, Absence{}, false, `the status is of pod "", what is in flight was revoked from pod uid`},
		{"pod gone", f, nil, Fate{Gone: true}, Absence{}, true, "ii"},
		{"pod gone, its leftover is there", f, &Status{Times: 4, Pod: "uid"}, Fate{Gone: true}, Absence{}, true, "ii"},
		{"pod gone, successor silent", f, nil, Fate{true, "next"}, Absence{}, false, `pod "uid" is gone; its successor next has not said yet what it has applied`},
		{"pod gone, successor behind", f, &Status{Times: 4, Pod: "next"}, Fate{true, "next"}, Absence{}, false, `pod "uid" is gone; its successor has applied change 4, not yet change 5`},
		{"pod gone, successor applied", f, &Status{Times: 5, Pod: "next"}, Fate{true, "next"}, Absence{}, true, "ii"},
		{"pod gone, a third one's status", f, &Status{Times: 5, Pod: "third"}, Fate{true, "next"}, Absence{}, false, `pod "uid" is gone; its successor next has not said yet what it has applied`},
		{"pod gone, but it had applied", f, &Status{Times: 5, Pod: "uid"}, Fate{true, "next"}, Absence{}, true, "i"},
		{"no pod recorded", &Flight{Times: 5}, &Status{Times: 5}, Fate{}, Absence{}, false, "no pod was recorded that could release it"},
		{"no pod recorded, the ordinal has none", &Flight{Times: 5}, nil, Fate{Gone: true}, Absence{}, true, "ii"},
		{"no pod recorded, the present one applied", &Flight{Times: 5}, &Status{Times: 5, Pod: "next"}, Fate{false, "next"}, Absence{}, true, "ii"},
		{"no pod recorded, the present one behind", &Flight{Times: 5}, &Status{Times: 4, Pod: "next"}, Fate{true, "next"}, Absence{}, false, `pod "" is gone; its successor has applied change 4, not yet change 5`},
		{"absent", f, nil, Fate{}, Absence{For: time.Hour}, false, "the status is absent, and the instance does not fence itself: that proves nothing"},
		{"absent, does not fence", f, nil, Fate{}, Absence{Last: &Status{Times: 4, Pod: "uid", SessionMs: 4000}, For: time.Hour}, false, "the status is absent, and the instance does not fence itself: that proves nothing"},
		{"absent, fences", f, nil, Fate{}, Absence{Last: fencing, For: 6 * time.Second}, true, "iii"},
		{"absent, fences, too short", f, nil, Fate{}, Absence{Last: fencing, For: 5 * time.Second}, false, "the self-fencing instance is absent for 5s, needed 6s"},
		{"absent, fences, another pod", f, nil, Fate{}, Absence{Last: &Status{Pod: "other", Fences: true, SessionMs: 1}, For: time.Hour}, false, "the status is absent, and the instance does not fence itself: that proves nothing"},
		{"no status, and something in its place", f, nil, Fate{}, Absence{Fault: "is present and empty"}, false, "the status is present and empty, which proves nothing"},
		{"fences without a session", f, nil, Fate{}, Absence{Last: &Status{Pod: "uid", Fences: true}, For: time.Hour}, false, "the status is absent, and the instance does not fence itself: that proves nothing"},
		{"present again", f, &Status{Times: 4, Pod: "uid"}, Fate{}, Absence{Last: fencing, For: time.Hour}, false, "the instance has applied change 4, not yet change 5"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, reason := Released(test.flight, test.status, test.pod, test.absent)
			require.Equal(t, test.want, got)
			require.Equal(t, test.reason, reason)
		})
	}
}

// Steps are values of their State: the same State gives the same bytes.
func TestStepsAreDeterministic(t *testing.T) {
	_, s := world(t)
	first, err := Grant(s, Give{2, []Take{{"0-2", []string{"x0"}}}})
	require.NoError(t, err)
	for range 20 {
		again, err := Grant(s.Clone(), Give{2, []Take{{"0-2", []string{"x0"}}}})
		require.NoError(t, err)
		require.Equal(t, first.Ops, again.Ops)
	}
	_, lastA, err := StorePlan(s, "p", []byte("moves"))
	require.NoError(t, err)
	_, lastB, err := StorePlan(s, "p", []byte("moves"))
	require.NoError(t, err)
	require.Equal(t, lastA.Ops, lastB.Ops)
}
