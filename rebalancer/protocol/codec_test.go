package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestDecodeIDs(t *testing.T) {
	for data, want := range map[string][]string{
		`{"ids":[]}`:                                   {},
		`{"ids":["a"]}`:                                {"a"},
		`{"ids":["a","b c","é"]}`:                      {"a", "b c", "é"},
		`{"ids":["],[","a,b","{}"]}`:                   {"],[", "a,b", "{}"},
		"{\n \"ids\" : [ \"a\" , \"b\" ] }":            {"a", "b"},
		`{"ids":["a\"b","\u00e9","\\"]}`:               {`a"b`, "é", `\`},
		`{"ids":[1,-2,3.50,12345678901234567890,"x"]}`: {"1", "-2", "3.50", "12345678901234567890", "x"},
		`{"v":1,"ids":["a"],"other":{"ids":["z"]}}`:    {"a"},
	} {
		got, err := DecodeIDs([]byte(data))
		require.NoError(t, err, data)
		require.Equal(t, want, got.Strings(), data)
	}
	for data, want := range map[string]string{
		``:                            "is no list of ids: is no JSON: it ends too early",
		`[]`:                          "is no list of ids: a list: want an object",
		`{}`:                          "ids: is missing",
		`{"ids":null}`:                "ids: is missing",
		`{"ids":"a"}`:                 `is no list of ids: field "ids": "a": want a list`,
		`{"ids":[null]}`:              "id null: want a string or a number",
		`{"ids":[true]}`:              "id true: want a string or a number",
		`{"ids":[["a"]]}`:             `id ["a"]: want a string or a number`,
		`{"ids":[""]}`:                "ids: id: is empty",
		`{"ids":["a",]}`:              "is no list of ids: is no JSON: line 1, byte 13",
		`{"ids":["a"]`:                "is no list of ids: is no JSON: it ends too early",
		`{"ids":["a"]}{}`:             "is no list of ids: is no JSON: line 1, byte 14",
		"{\"ids\":[\"a\xff\"]}":       "is not UTF-8",
		`{"ids":["\ud800","\ud801"]}`: `\ud800 is half a surrogate pair`,
		`{"v":2,"ids":["a"]}`:         "v: schema 2, at most 1 is understood",
		`{"ids":["a"],"ids":["b"]}`:   `duplicate field "ids"`,
		`{"v":1,"ids":["a"],"v":2}`:   `duplicate field "v"`,
		`{"IDS":["a"]}`:               "ids: is missing",
		`{"v":"x","ids":[]}`:          `v: schema "x", at most 1 is understood`,
		`{"ids":["` + strings.Repeat("x", 257) + `"]}`: "257 bytes, at most 256",
	} {
		_, err := DecodeIDs([]byte(data))
		require.ErrorContains(t, err, want, data)
	}
}

func TestDocumentsHaveOneMeaning(t *testing.T) {
	ids, err := DecodeIDs([]byte(`{"v":1,"ids":["a"],"IDs":["b"],"V":2,"newer":{"x":1}}`))
	require.NoError(t, err, "what is unknown is passed over: a newer build may have added it")
	require.Equal(t, []string{"a"}, ids.Strings())

	_, err = DecodeHead([]byte(`{"v":1,"epoch":4,"holder":"p","open":[0],"open":[0,1]}`))
	require.ErrorContains(t, err, `duplicate field "open"`)
	h, err := DecodeHead([]byte(`{"v":1,"epoch":4,"holder":"p","open":[0],"Open":[0,1],"EPOCH":9}`))
	require.NoError(t, err)
	require.Equal(t, Head{V: 1, Epoch: 4, Holder: "p", Open: []int{0}}, h)

	_, err = DecodeFlight("3-7", []byte(`{"from":3,"times":7,"pod":"u","pod":"w","ids":["a"]}`))
	require.ErrorContains(t, err, `duplicate field "pod"`)
	_, err = DecodeFlight("3-7", []byte(`{"from":3,"times":7,"pod":"u","ids":["a\ud800"]}`))
	require.ErrorContains(t, err, "half a surrogate pair")
	_, err = DecodeFlight("3-7", []byte("{\"from\":3,\"times\":7,\"pod\":\"\xff\",\"ids\":[\"a\"]}"))
	require.ErrorContains(t, err, "is not UTF-8")
	f, err := DecodeFlight("3-7", []byte(`{"from":3,"times":7,"pod":"u","ids":["a"],"To":[1],"POD":"w"}`))
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, f.IDs.Strings())
	f.IDs = IDs{}
	require.Equal(t, &Flight{Name: "3-7", From: 3, Times: 7, Pod: "u"}, f)

	_, err = decodePlanHeader([]byte(`{"v":1,"id":"p","parts":3,"parts":2}`))
	require.ErrorContains(t, err, `duplicate field "parts"`)

	used, _ := DecodeData([]byte(`{"used":1,"count":2,"used":3}`))
	require.Equal(t, -1, used)
	require.EqualValues(t, -1, DecodeReload([]byte(`{"times":3,"times":9}`)))
	require.EqualValues(t, 3, DecodeReload([]byte(`{"times":3,"Times":9}`)))
	require.Nil(t, decodeStatus([]byte(`{"times":3,"times":9,"pod":"u"}`)), "no release")
	require.EqualValues(t, 3, decodeStatus([]byte(`{"times":3,"Times":9,"pod":"u"}`)).Times)
}

// The scanner reads what encoding/json reads, or leaves it to it.
func FuzzDecodeIDs(f *testing.F) {
	for _, seed := range []string{`{"ids":["a","b"]}`, `{"ids":[]}`, `{"ids":["a\n"]}`, `{"ids":["a"],"ids":["b"]}`, `{"ids":["a"],"IDS":["b"]}`, "{\"ids\":[\"\xff\"]}", `{"ids":[1]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fast, ok, _ := scanIDs(data)
		var fields map[string]json.RawMessage // exact names, unlike a struct's
		var plain struct{ IDs []string }
		err := json.Unmarshal(data, &fields)
		if err == nil && fields["ids"] != nil {
			err = json.Unmarshal(fields["ids"], &plain.IDs)
		}
		if ok {
			require.NoError(t, err)
			require.Equal(t, append([]string{}, plain.IDs...), fast.Strings())
		}
		read, err2 := DecodeIDs(data)
		if err2 != nil {
			return
		}
		ids := read.Strings()
		if err == nil {
			require.Equal(t, append([]string{}, plain.IDs...), ids)
		}
		again := encodeIDs(read)
		back, err := DecodeIDs(again)
		require.NoError(t, err)
		require.Equal(t, ids, back.Strings())
		for i, id := range ids {
			require.Equal(t, Cost(id), CostAt(read, i))
		}
		require.Equal(t, Costs(ids), CostOf(read))
		for _, bytes := range []int{0, 10, len(again) / 2, len(again), len(again) + 1} {
			require.Equal(t, Fit(ids, bytes), FitOf(read, bytes))
		}
		require.Equal(t, len(again), len(listOpen+listClose)+Costs(ids)-min(1, len(ids)), "Cost is exact, but for the comma that the first has not")
	})
}

func FuzzDecodeFlight(f *testing.F) {
	f.Add([]byte(`{"from":3,"times":7,"pod":"u","ids":["a","b"],"to":[1,-2]}`))
	f.Add([]byte(`{"from":3,"times":7,"ids":[]}`))
	f.Add([]byte(`{"from":"3","times":"7","pod":"u","ids":[1]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		fl, err := DecodeFlight("3-7", data)
		if err != nil {
			return
		}
		require.Equal(t, 3, fl.From)
		again := encodeFlight(fl)
		back, err := DecodeFlight("3-7", again)
		require.NoError(t, err)
		require.True(t, slices.Equal(fl.IDs.Strings(), back.IDs.Strings()))
		require.True(t, slices.Equal(fl.To, back.To))
		require.Equal(t, fl.Pod, back.Pod)
		for i := range fl.IDs.Len() {
			require.GreaterOrEqual(t, fl.Target(i), ToDelete)
		}
	})
}

func FuzzDecodeHead(f *testing.F) {
	f.Add([]byte(`{"v":1,"epoch":4,"holder":"p/n","open":[0,1,5]}`))
	f.Add([]byte(`{"v":2}`))
	f.Add([]byte(`{"open":[1,0]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := DecodeHead(data)
		if err != nil {
			return
		}
		require.LessOrEqual(t, h.V, schema)
		require.True(t, slices.IsSorted(h.Open))
		back, err := DecodeHead(encodeHead(h))
		require.NoError(t, err)
		require.Equal(t, encodeHead(h), encodeHead(back))
	})
}

// The small znodes: anything may stand there, nothing may harm us.
func FuzzDecodeSmall(f *testing.F) {
	f.Add([]byte(`{"used":1,"count":2}`))
	f.Add([]byte(`{"times":"3"}`))
	f.Add([]byte(`{"times":3,"pod":"u","fences":true,"sessionMs":4000}`))
	f.Add([]byte(`{"v":1,"id":"p","first":16,"parts":3,"sum":""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		used, capacity := DecodeData(data)
		require.Equal(t, used < 0, capacity < 0)
		if used >= 0 {
			u, c := DecodeData(encodeData(used, capacity))
			require.Equal(t, []int{used, capacity}, []int{u, c})
		}
		if times := DecodeReload(data); times >= 0 {
			require.Equal(t, times, DecodeReload(encodeReload(times)))
		} else {
			require.EqualValues(t, -1, times)
		}
		if s := decodeStatus(data); s != nil {
			require.GreaterOrEqual(t, s.Times, int64(0))
			again, err := json.Marshal(s)
			require.NoError(t, err)
			require.Equal(t, s, decodeStatus(again))
		}
		if h, err := decodePlanHeader(data); err == nil {
			require.LessOrEqual(t, h.First+h.Parts, 2*maxPlanParts)
		}
	})
}

func FuzzUnpackPlan(f *testing.F) {
	parts, sum, _ := packPlan([]byte("moves"))
	f.Add(bytes.Join(parts, nil), sum)
	f.Fuzz(func(t *testing.T, packed []byte, sum string) {
		data, err := unpackPlan(packed, sum)
		if err != nil {
			return
		}
		parts, sum, err := packPlan(data)
		if errors.Is(err, ErrTooLarge) {
			require.Greater(t, len(data), MaxPlanBytes-1<<10, "an older leader has compressed it")
			return
		}
		require.NoError(t, err)
		back, err := unpackPlan(bytes.Join(parts, nil), sum)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, back))
	})
}

func TestSmallZnodes(t *testing.T) {
	for data, want := range map[string][2]int{
		`{"used":3,"count":5}`: {3, 5}, `{"count":"5","used":"3","x":1}`: {3, 5}, `{"used":3}`: {-1, -1}, ``: {-1, -1},
		`{"used":-3,"count":5}`: {-1, -1}, `{"used":1.5,"count":5}`: {-1, -1}, `null`: {-1, -1}, `{"used":null,"count":1}`: {-1, -1},
	} {
		used, capacity := DecodeData([]byte(data))
		require.Equal(t, want, [2]int{used, capacity}, data)
	}
	for data, want := range map[string]int64{
		`{"times":0}`: 0, `{"times":"12"}`: 12, `{"times":9007199254740991}`: maxTimes, `{"times":9007199254740992}`: -1, `{"times":-1}`: -1,
		`{"times":1e3}`: -1, `{}`: -1, ``: -1, `7`: -1,
	} {
		require.Equal(t, want, DecodeReload([]byte(data)), data)
	}
	for data, want := range map[string]*Status{
		``: nil, `running`: nil, `{}`: nil, `{"pod":"u"}`: nil, `{"times":"x"}`: nil, `{"times":3,"pod":5}`: nil,
		`{"times":3}`: {Times: 3},
		`{"times":3,"pod":"u","fences":true,"sessionMs":4000}`: {Times: 3, Pod: "u", Fences: true, SessionMs: 4000},
	} {
		require.Equal(t, want, decodeStatus([]byte(data)), data)
	}
}

func TestNames(t *testing.T) {
	for _, bad := range []string{"", "1", "1-", "-1", "1-2-3", "01-1", "1--1", "a-1"} {
		_, _, ok := parsePair(bad)
		require.False(t, ok, bad)
	}
	sorted := []string{"2-9", "2-10", "10-1"}
	require.True(t, slices.IsSortedFunc(sorted, comparePairs))
	for path, kind := range map[string]string{
		HeadPath("Thing"): "Thing", StatusPath("Thing", 3): "Thing", KindPath("Things"): "Things", ownPath("Thing"): "Thing",
		InstancesRoot: "", OwnRoot: "", "/iota": "", "/iota/other/Thing": "",
	} {
		require.Equal(t, kind, KindOf(path), path)
	}
}

func TestFit(t *testing.T) {
	ids := uuids(10_000, 0)
	n := Fit(ids, MaxPieceBytes)
	data := encodeIDs(NewIDs(ids[:n]))
	require.LessOrEqual(t, len(data), MaxPieceBytes)
	data = encodeIDs(NewIDs(ids[:n+1]))
	require.Greater(t, len(data), MaxPieceBytes)
	require.Zero(t, Fit(ids, 10))
	require.Equal(t, 3, Fit(ids[:3], MaxPieceBytes))
}

// 350,000 ids on 100 instances take little more than the 16 bytes of a UUID each, however they came
// there.
func TestMemoryOfAFullKind(t *testing.T) {
	const instances, each = 100, 3500
	texts := make([][]byte, instances)
	for n := range texts {
		texts[n] = encodeIDs(NewIDs(uuids(each, n*each)))
	}
	before := heap()
	s := NewState(thing)
	for n, text := range texts {
		ids, err := DecodeIDs(text)
		require.NoError(t, err)
		s.Instances[n] = &Instance{Ordinal: n, IDs: ids, Capacity: each, Bytes: len(text)}
	}
	loaded := heap() - before
	require.Less(t, loaded, 7<<20)

	// Ids that travel do not keep alive the text they came with: each list gets a few from
	// everywhere.
	f := newFake()
	s.Head, s.HeadVersion = Head{V: 1, Open: s.Ordinals()}, 0
	f.put(HeadPath(thing), "")
	for n := range instances {
		f.put(InstancePath(thing, n), "")
		f.put(ResourcesPath(thing, n), "")
		f.put(ReloadPath(thing, n), "")
	}
	for round := range 2 {
		for n := range instances {
			m, err := Revoke(s, n, slices.Clone(s.Instances[n].IDs.Strings()[:35]), slices.Repeat([]int{0}, 35), "")
			f.must(t, s, m, err)
		}
		for n := range instances {
			name := s.FlightNames()[0]
			m, err := Grant(s, Give{(n + round + 1) % instances, []Take{{Name: name}}})
			f.must(t, s, m, err)
		}
	}
	f.nodes = nil
	require.NoError(t, s.Check())
	travelled := heap() - before
	require.Less(t, travelled, loaded+loaded/5)
	runtime.KeepAlive(texts)
	runtime.KeepAlive(s)
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func BenchmarkDecode195kB(b *testing.B) {
	data := encodeIDs(NewIDs(uuids(5000, 0)))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeIDs(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode195kB(b *testing.B) {
	ids := NewIDs(uuids(5000, 0))
	b.ReportAllocs()
	for b.Loop() {
		encodeIDs(ids)
	}
}

func TestQuoting(t *testing.T) {
	for _, id := range []string{"a", `"`, `\`, "\x00", "\n", "é", "<&>", "\u2028", strings.Repeat("x", 256), "😀"} {
		require.NoError(t, CheckID(id))
		data := encodeIDs(NewIDs([]string{id, "z"}))
		require.True(t, json.Valid(data) && utf8.Valid(data))
		back, err := DecodeIDs(data)
		require.NoError(t, err)
		require.Equal(t, []string{id, "z"}, back.Strings())
	}
	for id, want := range map[string]string{"": "id: is empty", "\xff": `id "\xff": is not UTF-8`, strings.Repeat("é", 129): "258 bytes, at most 256"} {
		require.ErrorContains(t, CheckID(id), want)
	}
}
