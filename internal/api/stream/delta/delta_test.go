package delta

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/internal/api/packed"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/ops"
)

// replica is a server: its frames, and what it keeps.
type replica struct {
	frame *Frame
	rings map[string]*Ring
}

func (r *replica) see(t require.TestingT, w *world) {
	var err error
	r.frame, err = NextFrame(r.frame, w.now, w.kinds)
	require.NoError(t, err)
	for _, shot := range r.frame.Kinds {
		if r.rings[shot.Name()] == nil {
			r.rings[shot.Name()] = &Ring{}
		}
		r.rings[shot.Name()].Add(shot.Version)
	}
}

func (r *replica) kept(kind, id string) *Version {
	if r.rings[kind] == nil {
		return nil
	}
	return r.rings[kind].Find(id)
}

// event is what a client at has gets, and where it is then. may says which kinds it may see.
func (r *replica) event(t require.TestingT, has Position, may func(string) bool) (Position, []byte) {
	shots := []*Shot{}
	for i := range r.frame.Kinds {
		if may(r.frame.Kinds[i].Name()) {
			shots = append(shots, &r.frame.Kinds[i])
		}
	}
	next, changes, err := has.Advance(shots, func(before *Version, shot *Shot) (packed.Part, error) {
		text, err := Change(before, shot.Version)
		return packed.Own(text), err
	})
	require.NoError(t, err)
	pieces, err := Envelope(has == nil, r.frame.At, shots, changes)
	require.NoError(t, err)
	var text []byte
	for _, p := range pieces {
		text = append(text, p.Plain...)
	}
	return next, text
}

// A client that follows either of two replicas, changes between them and is cut off at any time
// holds what they see; both have the same ids for the same documents.
func TestClientsHoldWhatServersSee(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := world{now: begin}
		w.configure([]string{"Thing", "Rule"})
		servers := []*replica{{rings: map[string]*Ring{}}, {rings: map[string]*Ring{}}}
		at, client, has, hidden := 0, Mirror{}, Position(nil), rapid.SampledFrom([]string{"", "Rule"}).Draw(t, "hidden")
		may := func(kind string) bool { return kind != hidden }
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			w.step(t)
			servers[0].see(t, &w)
			if rapid.Bool().Draw(t, "both") || servers[1].frame == nil {
				servers[1].see(t, &w)
				require.Equal(t, idOf(servers[0].frame), idOf(servers[1].frame))
			}
			if rapid.IntRange(0, 3).Draw(t, "cut off") == 0 {
				at = rapid.IntRange(0, 1).Draw(t, "server")
				has = reconnected(servers[at], has, may)
			}
			var data []byte
			has, data = servers[at].event(t, has, may)
			require.NoError(t, client.Apply(data))
			requireSame(t, servers[at].frame, &client, may)
		}
	})
}

func idOf(f *Frame) string {
	var p Position
	for _, shot := range f.Kinds {
		p = append(p, Place{Version: shot.Version})
	}
	return p.ID()
}

// reconnected is what a server knows of a client that names its last event.
func reconnected(r *replica, has Position, may func(string) bool) Position {
	var names []string
	for _, shot := range r.frame.Kinds {
		if may(shot.Name()) {
			names = append(names, shot.Name())
		}
	}
	if p, ok := Located(has.ID(), names, r.kept); ok {
		return p
	}
	return nil
}

// requireSame holds what a client has to the documents that went into a frame: every member.
func requireSame(t require.TestingT, f *Frame, client *Mirror, may func(string) bool) {
	got, err := client.Seen(f.At)
	require.NoError(t, err)
	var want []*Shot
	for i := range f.Kinds {
		if may(f.Kinds[i].Name()) {
			want = append(want, &f.Kinds[i])
		}
	}
	require.Len(t, got, len(want))
	again, err := NextFrame(nil, f.At, got)
	require.NoError(t, err)
	for i := range want {
		require.Equal(t, string(want[i].whole()), string(again.Kinds[i].whole()))
		require.Equal(t, want[i].ID(), again.Kinds[i].ID())
		require.Equal(t, want[i].Dated.Sources, again.Kinds[i].Dated.Sources)
	}
}

// The documents that a client shows are those of the server, ages too.
func TestAClientShowsTheDocumentsOfGET(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := world{now: begin}
		w.configure([]string{"Thing"})
		r := &replica{rings: map[string]*Ring{}}
		var client Mirror
		var has Position
		for range 4 {
			w.step(t)
			r.see(t, &w)
			var data []byte
			has, data = r.event(t, has, func(string) bool { return true })
			require.NoError(t, client.Apply(data))
		}
		got, err := client.Seen(w.now)
		require.NoError(t, err)
		require.Len(t, got, len(w.kinds))
		for i := range got {
			require.JSONEq(t, documents(t, w.kinds[i]), documents(t, got[i]))
		}
	})
}

func documents(t require.TestingT, s Seen) string {
	k, err := encode(s.Kind)
	require.NoError(t, err)
	in, err := exact.Marshal(append([]ops.Instance{}, s.Instances...))
	require.NoError(t, err)
	return fmt.Sprintf(`{"kind":%s,"instances":%s}`, k, in)
}

func TestTimeAloneChangesNoID(t *testing.T) {
	w := world{now: begin, kinds: []Seen{thing(500, 0)}}
	a, err := NextFrame(nil, w.now, w.kinds)
	require.NoError(t, err)
	later := thing(500, 0)
	later.Kind.At = begin.Add(time.Minute)
	later.Kind.Sources[0].At, later.Kind.Sources[0].Age = later.Kind.At, "1s"
	later.Kind.WorstLag.Lag = "1m1s"
	later.Kind.Progress.PerMinute = 7
	for i := range later.Instances {
		later.Instances[i].Lag = "1m1s"
	}
	b, err := NextFrame(a, later.Kind.At, []Seen{later})
	require.NoError(t, err)
	require.Same(t, a.Kinds[0].Version, b.Kinds[0].Version)
	require.True(t, a.Same(b))
	other := thing(500, 1)
	c, err := NextFrame(b, later.Kind.At, []Seen{other})
	require.NoError(t, err)
	require.NotEqual(t, b.Kinds[0].ID(), c.Kinds[0].ID())
	require.False(t, b.Same(c))
}

// thing is a kind of n instances, of which the first changed differ from those of thing(n, 0) by a
// heartbeat, a move and a sample of the metrics.
func thing(n, changed int) Seen {
	s := Seen{Kind: ops.Kind{
		Name: "Thing", At: begin, Why: "350000 Things at 4500 an instance need 78", Verb: "keep", Reason: "count",
		Groups: []ops.Group{{StatefulSet: "iota-dac", Namespace: "iot", Max: n, Open: fmt.Sprintf("0-%d", n-1)}},
		Alarms: []ops.Alarm{}, Overrides: []ops.Override{}, WorstLag: &ops.WorstLag{Instance: 3, Lag: "1m"},
		Sources: []ops.Source{{Name: "store", At: begin, Age: "0s"}, {Name: "cluster", At: begin}, {Name: "metrics", At: begin}, {Name: "bus", At: begin}},
	}}
	for i := range n {
		at, count := begin, 4500
		if i < changed {
			at, count = begin.Add(time.Minute), 4499
		}
		ratio := 0.6 + float64(count%7)/13
		s.Instances = append(s.Instances, ops.Instance{
			Ordinal: i, StatefulSet: "iota-dac", Pod: fmt.Sprintf("iota-dac-%d", i), UID: fmt.Sprintf("0b8a1f6e-5d0c-4f5e-9f5d-%012d", i),
			Node: fmt.Sprintf("node-%d", i%40), State: "open", Health: ops.Health{Condition: "Healthy", By: "heartbeat"},
			List: ops.List{Count: count, Capacity: 5000, Changed: at}, Lag: "31s", Beat: at, Started: begin.Add(-time.Hour),
			CPU:    &ops.Load{Usage: int64(count) / 9, Request: 500, Ratio: &ratio, At: at},
			Memory: &ops.Load{Usage: int64(count) << 18, Request: 1 << 30, At: at},
		})
	}
	return s
}

// 500 instances of which 50 change are a small update: measured, against whole documents.
func TestUpdatesAreSmall(t *testing.T) {
	a, err := Next(nil, new(thing(500, 0)))
	require.NoError(t, err)
	b, err := Next(a, new(thing(500, 50)))
	require.NoError(t, err)
	change, err := Change(a, b)
	require.NoError(t, err)
	whole := 0
	for _, in := range b.instances[:50] {
		whole += len(in.json)
	}
	t.Logf("all of 500 instances: %d bytes; 50 that changed, whole: %d; as patches: %d", len(b.whole()), whole, len(change))
	require.Less(t, len(change), whole/2)
	require.Less(t, len(change), 12_000)
}

func TestRingsAreBounded(t *testing.T) {
	var r Ring
	var versions []*Version
	for i := range 400 {
		v, err := Next(nil, new(thing(100, i%100+1))) // shares nothing: about 50 kB each
		require.NoError(t, err)
		versions = append(versions, v)
		r.Add(v)
		require.LessOrEqual(t, len(r.versions), maxVersions)
		require.LessOrEqual(t, r.bytes, maxBytes)
	}
	require.Greater(t, len(r.versions), 20)
	require.Same(t, versions[399], r.Find(versions[399].ID()))
	r = Ring{}
	first, err := Next(nil, new(thing(1, 0)))
	require.NoError(t, err)
	r.Add(first)
	for i := range maxVersions - 1 {
		v, err := Next(nil, new(Seen{Kind: ops.Kind{Name: "Thing", Generation: int64(i + 1)}}))
		require.NoError(t, err)
		r.Add(v)
		r.Add(v) // the same again is not kept twice
	}
	require.Same(t, first, r.Find(first.ID()))
	last, err := Next(nil, new(thing(1, 1)))
	require.NoError(t, err)
	r.Add(last)
	require.Nil(t, r.Find(first.ID()))
}

func TestPositions(t *testing.T) {
	v, err := Next(nil, new(thing(1, 0)))
	require.NoError(t, err)
	kept := func(kind, id string) *Version {
		if kind == "Thing" && id == v.ID() {
			return v
		}
		return nil
	}
	entry := "2026-11-30T07:00:00Z/…\n.~"
	id := Position{{v, entry}}.ID()
	require.Regexp(t, `^[A-Za-z0-9_.~-]+$`, id)
	p, ok := Located(id, []string{"Thing"}, kept)
	require.True(t, ok)
	require.Equal(t, Position{{v, entry}}, p)
	for _, unknown := range []string{"", "-", ".", "~", id + ".", id + "x", id + "." + id, "!" + id, string(bytes.Repeat([]byte("x"), maxID+1))} {
		_, ok := Located(unknown, []string{"Thing"}, kept)
		require.False(t, ok, unknown)
	}
	_, ok = Located(id, []string{"Rule"}, kept)
	require.False(t, ok, "the version of another kind")
	p, ok = Located(Position{}.ID(), nil, kept)
	require.False(t, ok, "%v: a client that saw no kind gets everything", p)
}

// The examples of RFC 7396, appendix A, that have objects.
func TestMergePatches(t *testing.T) {
	for _, tc := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		var object, patch map[string]any
		require.NoError(t, json.Unmarshal([]byte(tc[0]), &object))
		require.NoError(t, json.Unmarshal([]byte(tc[1]), &patch))
		got, err := json.Marshal(merge(object, patch))
		require.NoError(t, err)
		require.JSONEq(t, tc[2], string(got), "%s %s", tc[0], tc[1])
	}
}

// trees are JSON objects without null members.
func trees(depth int) *rapid.Generator[map[string]any] {
	values := []*rapid.Generator[any]{
		rapid.Int64().AsAny(), rapid.Float64Range(0.1, 1e9).AsAny(), rapid.Float64Range(-1e9, -0.1).AsAny(), rapid.String().AsAny(), rapid.Bool().AsAny(),
		rapid.SliceOfN(rapid.Int64(), 0, 2).AsAny(),
	}
	if depth > 0 {
		values = append(values, trees(depth-1).AsAny())
	}
	return rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c"}), rapid.OneOf(values...), 0, 3)
}

func TestAPatchLeadsFromOneTextToTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, err := exact.Marshal(trees(2).Draw(t, "from"))
		require.NoError(t, err)
		to, err := exact.Marshal(trees(2).Draw(t, "to"))
		require.NoError(t, err)
		text, err := patch(from, to, nil)
		require.NoError(t, err)
		var object, changes map[string]any
		require.NoError(t, exact.JSON(from, &object))
		if text == nil {
			text = []byte("{}")
		}
		require.NoError(t, exact.JSON(text, &changes))
		got, err := exact.Marshal(merge(object, changes))
		require.NoError(t, err)
		require.Equal(t, string(to), string(got))
	})
}

func TestAChangeBeforeAStateIsAnError(t *testing.T) {
	var m Mirror
	require.ErrorIs(t, m.Apply([]byte(`{"at":"2026-11-30T07:00:00Z","names":[],"kinds":[],"dated":{}}`)), errNoState)
	require.Error(t, m.Apply([]byte(`{"full":true`)))
	require.NoError(t, m.Apply([]byte(`{"full":true,"at":"2026-11-30T07:00:00Z","names":["Thing"],"kinds":[],"dated":{}}`)))
	_, err := m.Seen(begin)
	require.ErrorContains(t, err, "kind Thing is named and was never sent")
}

// What a tick costs the process, however many watch, and what it costs to show 50 changes.
func BenchmarkFrameOf500InstancesOf50Changed(b *testing.B) {
	worlds := [][]Seen{{thing(500, 0)}, {thing(500, 50)}}
	frame, err := NextFrame(nil, begin, worlds[0])
	require.NoError(b, err)
	for i := 0; b.Loop(); i++ {
		next, err := NextFrame(frame, begin, worlds[(i+1)%2])
		if err == nil {
			_, err = Change(frame.Kinds[0].Version, next.Kinds[0].Version)
		}
		require.NoError(b, err)
		frame = next
	}
}
