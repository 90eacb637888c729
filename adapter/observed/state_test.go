package observed

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/internal/config"
)

var epoch = time.Unix(1_760_000_000, 0).UTC()

func at(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }

func things() []config.Kind {
	return []config.Kind{
		{Name: "Thing", StatefulSet: "iota-dac", Heartbeat: &config.Heartbeat{StartupGrace: config.Duration(180 * time.Second)}},
		{Name: "Rule", StatefulSet: "iota-rules-engine"},
	}
}

func TestNothingIsKnownAtFirst(t *testing.T) {
	s := New("iota", things())
	snap := s.Snapshot(at(0))
	require.Equal(t, at(0), snap.At)
	require.Len(t, snap.Kinds, 2)
	thing := snap.Kind("Thing")
	require.Equal(t, "iota", thing.Namespace)
	require.Nil(t, thing.Workload)
	require.Empty(t, thing.Instances)
	require.NotNil(t, thing.Sources.Bus)
	require.False(t, thing.Sources.Bus.Known())
	require.Nil(t, snap.Kind("Rule").Sources.Bus, "a kind without heartbeat has no bus")
	require.Nil(t, snap.Kind("Camera"))
}

func TestInstancesAreTheUnionOfPodsAndLists(t *testing.T) {
	s := New("iota", things())
	s.Apply(Cluster{Kind: "Thing", At: at(1), Pods: map[int]Pod{2: {Name: "iota-dac-2"}, 0: {Name: "iota-dac-0"}}})
	s.Apply(Assignment{Kind: "Thing", At: at(2), Lists: map[int]List{7: {Count: 3}, 2: {Count: 1}}, Assigned: 4})
	k := s.Snapshot(at(3)).Kind("Thing")
	var ordinals []int
	for _, inst := range k.Instances {
		ordinals = append(ordinals, inst.Ordinal)
	}
	require.Equal(t, []int{0, 2, 7}, ordinals)
	require.Nil(t, k.Instance(7).Pod)
	require.Nil(t, k.Instance(0).List)
	require.Equal(t, 1, k.Instance(2).List.Count)
	require.Nil(t, k.Instance(1))
	require.Equal(t, at(1), k.Sources.Cluster.At)
	require.Equal(t, at(2), k.Sources.Store.At)
}

func TestBeatsCountFromThePodsStart(t *testing.T) {
	s := New("iota", things())
	lastBeat := func() *time.Time { return s.Snapshot(at(500)).Kind("Thing").Instance(0).LastBeat }
	beat := func(stamp, arrived int) {
		s.Apply(Beat{Kind: "Thing", Ordinal: 0, At: at(stamp), Arrived: at(arrived)})
	}
	beat(90, 90) // before the cluster was seen at all
	s.Apply(Cluster{Kind: "Thing", At: at(100), Pods: map[int]Pod{0: {UID: "a", Started: at(80)}}})
	require.Equal(t, at(90), *lastBeat())
	beat(70, 101)
	require.Equal(t, at(90), *lastBeat(), "an older timestamp that arrives later changes nothing")
	beat(200, 150)
	require.Equal(t, at(150), *lastBeat(), "a clock that runs ahead is cut at the arrival")

	s.Apply(Cluster{Kind: "Thing", At: at(160), Pods: map[int]Pod{0: {UID: "b", Started: at(155)}}})
	require.Nil(t, lastBeat(), "a new pod starts without beats")
	beat(155, 156)
	require.Equal(t, at(155), *lastBeat(), "the second of the start counts: both are whole seconds")

	s.Apply(Cluster{Kind: "Thing", At: at(170), Pods: map[int]Pod{0: {UID: "c"}}})
	require.Nil(t, lastBeat(), "a pod that has not started cannot have beaten")
}

func TestBeatsOfStrangersAreBoundedAndForgotten(t *testing.T) {
	s := New("iota", things())
	for n := range 10 * strangerBeats {
		s.Apply(Beat{Kind: "Thing", Ordinal: n, At: at(0), Arrived: at(0)})
	}
	held := func() int { return len(s.kinds["Thing"].beats.by) }
	require.Equal(t, 2*strangerBeats, held())
	s.Apply(Beat{Kind: "Thing", Ordinal: -1, At: at(0), Arrived: at(0)})
	s.Apply(Cluster{Kind: "Thing", At: at(10), Pods: map[int]Pod{1: {}}})
	require.Equal(t, 2*strangerBeats, held(), "a pod may beat before it is seen")
	s.Apply(Cluster{Kind: "Thing", At: at(601), Pods: map[int]Pod{1: {}}})
	require.Equal(t, 1, held())
	s.Apply(Beat{Kind: "Thing", Ordinal: 5 * strangerBeats, At: at(602), Arrived: at(602)})
	require.Equal(t, 2, held(), "there is room again")
}

// However many ordinals that do not exist beat on the topic, the beats of those that do exist
// count.
func TestBeatsOfStrangersShutNoPodOut(t *testing.T) {
	pods := func(start, n int, at time.Time) Cluster {
		c := Cluster{Kind: "Thing", At: at, Workload: &Workload{Start: start}, Pods: map[int]Pod{}}
		for ordinal := start; ordinal < start+n; ordinal++ {
			c.Pods[ordinal] = Pod{Started: epoch}
		}
		return c
	}
	for _, c := range []struct {
		name         string
		start, first int  // ordinals: the StatefulSet's first, the strangers' first
		seen         bool // the pods are known before anything beats
	}{
		{"pods that are known", 0, 10, true},
		{"pods that are known and do not begin at 0", 5000, 0, true},
		{"pods that are not known yet", 0, 10, false},
	} {
		s := New("iota", things())
		if c.seen {
			s.Apply(pods(c.start, 3, at(1)))
		}
		beat := func(ordinal int) { s.Apply(Beat{Kind: "Thing", Ordinal: ordinal, At: at(2), Arrived: at(2)}) }
		for n := range 10 * strangerBeats {
			beat(c.first + n)
		}
		for n := range 4 { // the fourth is just being made
			beat(c.start + n)
		}
		s.Apply(pods(c.start, 4, at(3)))
		for n := range 4 {
			require.NotNil(t, s.Snapshot(at(4)).Kind("Thing").Instance(c.start+n).LastBeat, "%s: the beat of instance %d", c.name, n)
		}
	}
}

// What strangers beat changes nothing that is shown, and so is no reason for a new layout.
func TestBeatsOfStrangersCostNoLayout(t *testing.T) {
	s := New("iota", things())
	s.Apply(Cluster{Kind: "Thing", At: at(1), Pods: map[int]Pod{0: {Started: at(0)}}})
	before := s.Snapshot(at(1)).Kind("Thing")
	for n := range 10 * strangerBeats {
		s.Apply(Beat{Kind: "Thing", Ordinal: 1 + n%strangerBeats, At: at(2 + n), Arrived: at(2 + n)})
	}
	require.Same(t, &before.Instances[0], &s.Snapshot(at(3)).Kind("Thing").Instances[0])
}

func TestUsageOfAFormerPodIsNotUsed(t *testing.T) {
	s := New("iota", things())
	s.Apply(PodUsage{Kind: "Thing", At: at(60), Usage: map[int]Usage{0: {At: at(50), CPU: 100}, 1: {At: at(50), CPU: 200}}})
	s.Apply(Cluster{Kind: "Thing", At: at(60), Pods: map[int]Pod{0: {Created: at(40)}, 1: {Created: at(55)}}})
	k := s.Snapshot(at(60)).Kind("Thing")
	require.EqualValues(t, 100, k.Instance(0).Usage.CPU)
	require.Nil(t, k.Instance(1).Usage)
}

func TestAFailureKeepsWhatWasReadAndItsAge(t *testing.T) {
	s := New("iota", things())
	s.Apply(Assignment{Kind: "Thing", At: at(10), Assigned: 7})
	s.Apply(Failed{Kind: "Thing", Source: SourceStore, At: at(20), Err: errors.New("no quorum")})
	s.Apply(Failed{Kind: "Thing", Source: SourceStore, At: at(25), Err: errors.New("refused")})
	k := s.Snapshot(at(30)).Kind("Thing")
	require.Equal(t, 7, k.Assigned)
	require.Equal(t, Source{At: at(10), Error: "refused", ErrorAt: at(20)}, k.Sources.Store)
	s.Apply(Read{Kind: "Thing", Source: SourceStore, At: at(15)})
	require.NotEmpty(t, s.Snapshot(at(30)).Kind("Thing").Sources.Store.Error, "a read from before the failure does not heal it")
	s.Apply(Read{Kind: "Thing", Source: SourceStore, At: at(31)})
	require.Equal(t, Source{At: at(31)}, s.Snapshot(at(31)).Kind("Thing").Sources.Store)
	s.Apply(Failed{Kind: "Thing", Source: SourceStore, At: at(30), Err: errors.New("late")})
	require.Empty(t, s.Snapshot(at(31)).Kind("Thing").Sources.Store.Error, "nor does a failure from before a read break it")
}

// A source that follows objects says by Read that they are as it told. Of another StatefulSet it
// has told nothing yet.
func TestWhatWasNotToldIsNotConfirmed(t *testing.T) {
	s := New("iota", things())
	for _, source := range []SourceName{SourceCluster, SourceGroups, SourceHPAs} {
		s.Apply(Read{Kind: "Thing", Source: source, At: at(1)})
	}
	k := s.Snapshot(at(1)).Kind("Thing")
	require.False(t, k.Sources.Cluster.Known() || k.Sources.Groups.Known() || k.Sources.HPAs.Known())

	s.Apply(Cluster{Kind: "Thing", At: at(2), Workload: &Workload{UID: "a"}})
	s.Apply(Read{Kind: "Thing", Source: SourceCluster, At: at(3)})
	require.Equal(t, at(3), s.Snapshot(at(3)).Kind("Thing").Sources.Cluster.At)
	another := things()
	another[0].StatefulSet = "another"
	s.Configure(another)
	s.Apply(Read{Kind: "Thing", Source: SourceCluster, At: at(4)})
	require.False(t, s.Snapshot(at(4)).Kind("Thing").Sources.Cluster.Known())
}

func TestSnapshotsAreValues(t *testing.T) {
	s := New("iota", things())
	s.Apply(Cluster{Kind: "Thing", At: at(1), Pods: map[int]Pod{0: {UID: "a", Started: at(0)}}})
	s.Apply(Beat{Kind: "Thing", At: at(1), Arrived: at(1)})
	before := s.Snapshot(at(2))
	want := fmt.Sprintf("%+v %v", *before.Kinds[0].Instances[0].Pod, before.Kinds[0].Instances[0].LastBeat)
	s.Apply(Beat{Kind: "Thing", At: at(3), Arrived: at(3)})
	s.Apply(Cluster{Kind: "Thing", At: at(4), Pods: map[int]Pod{0: {UID: "b"}}})
	s.Apply(Failed{Kind: "Thing", Source: SourceBus, At: at(5)})
	s.Snapshot(at(6))
	require.Equal(t, want, fmt.Sprintf("%+v %v", *before.Kinds[0].Instances[0].Pod, before.Kinds[0].Instances[0].LastBeat))
	require.Empty(t, before.Kinds[0].Sources.Bus.Error)
}

func TestTheOldestInstanceGroupOfTheStatefulSetCounts(t *testing.T) {
	s := New("iota", things())
	groups := Groups{Kind: "Thing", At: at(1), Groups: []Group{{Name: "a", StatefulSet: "other"}, {Name: "b", StatefulSet: "iota-dac", Requested: 3}, {Name: "c", StatefulSet: "iota-dac"}}}
	s.Apply(groups)
	s.Apply(HPAs{Kind: "Thing", At: at(2), HPAs: []HPA{{Name: "x", Target: "iota-dac"}}})
	k := s.Snapshot(at(3)).Kind("Thing")
	require.Equal(t, "b", k.GroupFor("iota-dac").Name)
	require.Nil(t, k.GroupFor("nobody"))
	require.Equal(t, at(1), k.Sources.Groups.At)
	require.Equal(t, at(2), k.Sources.HPAs.At)

	ch := s.Changed("Thing")
	groups.At = at(4)
	s.Apply(groups)
	select {
	case <-ch:
		t.Fatal("woken by an age: a writer of a status would wake itself")
	default:
	}
	s.Apply(Groups{Kind: "Thing", At: at(5), Groups: groups.Groups[:1]})
	<-ch
	require.Nil(t, s.Snapshot(at(6)).Kind("Thing").GroupFor("iota-dac"))
}

// Of 1,000 kinds one is told of its own: no signal costs a look at all.
func TestAKindIsToldOfItsOwnChangesAlone(t *testing.T) {
	s := New("iota", things())
	require.Len(t, things(), 2)
	other := things()[1].Name
	mine, others := s.Changed("Thing"), s.Changed(other)
	s.Apply(Cluster{Kind: "Thing", At: at(1), Workload: &Workload{UID: "w"}})
	<-mine
	select {
	case <-others:
		t.Fatal("woken by another kind")
	default:
	}
	require.Equal(t, "w", s.Kind("Thing").Workload.UID)
	require.Same(t, s.Kind("Thing"), s.Kind("Thing"), "it is shared until it changes")
	require.Equal(t, s.Snapshot(at(2)).Kinds[1], *s.Kind(other))
	require.Nil(t, s.Kind("nobody"))

	stranger := s.Changed("nobody")
	s.Configure(things())
	<-others
	<-stranger
}

func TestConfigureForgetsWhatIsNotConfigured(t *testing.T) {
	s := New("iota", things())
	fill := func() {
		s.Apply(Cluster{Kind: "Thing", At: at(1), Workload: &Workload{UID: "w"}, Pods: map[int]Pod{0: {Started: at(0)}}})
		s.Apply(Assignment{Kind: "Thing", At: at(1), Lists: map[int]List{0: {Count: 3}}})
		s.Apply(Beat{Kind: "Thing", At: at(1), Arrived: at(1)})
		s.Apply(Read{Kind: "Thing", Source: SourceBus, At: at(1)})
	}
	fill()
	kinds := things()
	kinds[0].Heartbeat = nil
	s.Configure(kinds)
	k := s.Snapshot(at(2)).Kind("Thing")
	require.Nil(t, k.Sources.Bus)
	require.Nil(t, k.Instance(0).LastBeat)
	require.NotNil(t, k.Workload)

	kinds[0].StatefulSet = "iota-dac-2"
	s.Configure(kinds)
	k = s.Snapshot(at(2)).Kind("Thing")
	require.Nil(t, k.Workload)
	require.False(t, k.Sources.Cluster.Known())
	require.Equal(t, 3, k.Instance(0).List.Count, "what ZooKeeper holds does not depend on who runs it")

	s.Configure(kinds[1:])
	require.Nil(t, s.Snapshot(at(2)).Kind("Thing"))
	fill()
	s.Configure(things())
	require.Empty(t, s.Snapshot(at(2)).Kind("Thing").Instances, "signals of a kind that was not configured were dropped")
}

func TestChangedWakesForSubstanceOnly(t *testing.T) {
	s := New("iota", things())
	woken := func(sig Signal) bool {
		ch := s.Changed("Thing")
		s.Apply(sig)
		select {
		case <-ch:
			return true
		default:
			return false
		}
	}
	require.True(t, woken(Cluster{Kind: "Thing", At: at(1)}))
	require.False(t, woken(Cluster{Kind: "Thing", At: at(0)}), "older than what is held")
	require.False(t, woken(Cluster{Kind: "Camera", At: at(1)}))
	require.False(t, woken(Beat{Kind: "Thing", At: at(1), Arrived: at(1)}))
	require.True(t, woken(Failed{Kind: "Thing", Source: SourceStore, At: at(2)}))
	require.False(t, woken(Failed{Kind: "Thing", Source: SourceStore, At: at(3)}))
	require.True(t, woken(Read{Kind: "Thing", Source: SourceStore, At: at(4)}))
	require.False(t, woken(Read{Kind: "Thing", Source: SourceStore, At: at(5)}))
	require.False(t, woken(Read{Kind: "Rule", Source: SourceBus, At: at(5)}), "a kind without heartbeat has no bus")
}

// Whatever order signals come in, and however often, the end is the same: each source's newest
// picture, each ordinal's newest beat.
func TestOrderAndRepetitionDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		signals := rapid.SliceOfN(rapid.Custom(drawSignal), 1, 20).Draw(t, "signals")
		shuffled := rapid.Permutation(signals).Draw(t, "shuffled")
		twice := slices.Concat(shuffled, rapid.Permutation(signals).Draw(t, "again"))
		fold := func(all []Signal) Snapshot {
			s := New("iota", things())
			s.Apply(Cluster{Kind: "Thing", At: at(0), Pods: map[int]Pod{0: {}, 1: {Started: at(5)}}})
			for _, sig := range all {
				s.Apply(sig)
				s.Snapshot(at(99)) // building in between must not matter
			}
			return s.Snapshot(at(99))
		}
		if diff := cmp.Diff(fold(signals), fold(twice)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// drawSignal draws a signal whose content is a function of its kind, type and time, as a source's
// would be.
func drawSignal(t *rapid.T) Signal {
	kind := rapid.SampledFrom([]string{"Thing", "Rule"}).Draw(t, "kind")
	sec := rapid.IntRange(1, 30).Draw(t, "at")
	switch rapid.IntRange(0, 6).Draw(t, "type") {
	case 5:
		return Groups{Kind: kind, At: at(sec), Groups: []Group{{Name: "things", Requested: sec}}}
	case 6:
		return HPAs{Kind: kind, At: at(sec), HPAs: []HPA{{Name: fmt.Sprint(sec)}}}
	case 0:
		return Beat{Kind: kind, Ordinal: sec % 2, At: at(sec), Arrived: at(sec)}
	case 1:
		return Cluster{Kind: kind, At: at(sec), Pods: map[int]Pod{sec % 2: {UID: fmt.Sprint(sec), Started: at(sec / 2)}}}
	case 2:
		return PodUsage{Kind: kind, At: at(sec), Usage: map[int]Usage{sec % 2: {At: at(sec), CPU: int64(sec)}}}
	case 3:
		return Assignment{Kind: kind, At: at(sec), Assigned: sec, Lists: map[int]List{sec % 3: {Count: sec}}}
	default:
		return Catalogued{Kind: kind, At: at(sec), Count: sec}
	}
}

func BenchmarkSnapshot(b *testing.B) {
	for _, pods := range []int{100, 10_000} {
		s := New("iota", things())
		c := Cluster{Kind: "Thing", At: at(1), Pods: map[int]Pod{}}
		a := Assignment{Kind: "Thing", At: at(1), Lists: map[int]List{}}
		for n := range pods {
			c.Pods[n] = Pod{Name: fmt.Sprintf("iota-dac-%d", n), Started: at(0)}
			a.Lists[n] = List{Count: n}
		}
		s.Apply(c)
		s.Apply(a)
		b.Run(fmt.Sprintf("pods=%d/unchanged", pods), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Snapshot(at(2))
			}
		})
		b.Run(fmt.Sprintf("pods=%d/after-a-beat", pods), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s.Apply(Beat{Kind: "Thing", At: at(i), Arrived: at(i)})
				s.Snapshot(at(2))
			}
		})
	}
}

func TestAPictureThatIsOnlyYoungerWakesNobody(t *testing.T) {
	s := New("ns", []config.Kind{config.Default("Thing", "iota-dac")})
	at := time.Unix(1000, 0)
	picture := Assignment{Kind: "Thing", At: at, Lists: map[int]List{0: {Count: 1}}, Assigned: 1, Open: []int{0}}
	s.Apply(picture)

	changed := s.Changed("Thing")
	younger := picture
	younger.At = at.Add(time.Second)
	s.Apply(younger)
	select {
	case <-changed:
		t.Fatal("woken by an age")
	default:
	}
	require.Equal(t, younger.At, s.Snapshot(younger.At).Kinds[0].Sources.Store.At, "the age is taken up all the same")

	younger.Assigned, younger.At = 2, at.Add(2*time.Second)
	s.Apply(younger)
	<-changed
}
