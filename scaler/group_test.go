package scaler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/groupstatus"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// grouped is a world in which an InstanceGroup owns the size, and which was watched for a whole
// window.
func grouped(t *testing.T, size, resources int) (*world, *Scaler) {
	w := newWorld(t, size)
	w.cfg.Replicas.Owner = config.OwnerGroup
	w.group = &observed.Group{Name: "things", UID: "g", Kind: "Thing", Generation: 1, StatefulSet: "iota-dac", Requested: 1}
	w.place(resources)
	s := w.scaler(Config{})
	for range 8 {
		w.tick(s, 2*second)
	}
	require.Equal(t, []string{"claim one/a", fmt.Sprintf("seed %d", size)}, w.took(), "set once, and the default of 1 is not followed")
	return w, s
}

func (w *world) condition(kind string) (status, reason string) {
	c := meta.FindStatusCondition(w.groupStatus.Conditions, kind)
	if c == nil {
		w.t.Fatalf("no condition %s", kind)
	}
	return string(c.Status), c.Reason
}

func (w *world) requireCondition(t *testing.T, kind, status, reason string) {
	t.Helper()
	gotStatus, gotReason := w.condition(kind)
	require.Equal(t, status+" "+reason, gotStatus+" "+gotReason, kind)
}

func TestAWishIsMirroredAndDrainedFirst(t *testing.T) {
	w, s := grouped(t, 4, 100)
	w.wish(6)
	w.tick(s, second)
	require.Equal(t, []string{"replicas 4 -> 6"}, w.took(), "at once: the windows are the HPA's")
	require.EqualValues(t, 6, w.groupStatus.Desired)
	require.Equal(t, v1alpha1.Growing, w.groupStatus.State)
	w.tick(s, second)
	w.lists[4], w.lists[5], w.perStep = 30, 30, 20
	w.wish(2)
	for range 3 {
		d := w.tick(s, 2*second)
		require.Equal(t, outcome.Draining, d.Act.Done)
		require.Equal(t, v1alpha1.Draining, w.groupStatus.State)
		w.requireCondition(t, v1alpha1.ConditionDraining, "True", v1alpha1.ReasonEmptying)
		w.requireCondition(t, v1alpha1.ConditionScalingLimited, "False", v1alpha1.ReasonWithinLimits)
	}
	require.Empty(t, w.took())
	for range 12 {
		w.tick(s, 2*second)
	}
	require.Equal(t, []string{"replicas 6 -> 2"}, w.took(), "the world refuses a write that takes what owns anything")
	w.tick(s, groupstatus.CountsEvery)
	require.Equal(t, v1alpha1.Steady, w.groupStatus.State)
	require.EqualValues(t, 2, w.groupStatus.Replicas)
	require.EqualValues(t, 160, w.groupStatus.Assigned)
	require.Equal(t, 1, count(w.events, "Seeded"))
}

func TestAnInstanceGroupSaysWhatKeepsItsDrain(t *testing.T) {
	w, s := grouped(t, 4, 100)
	w.lists[2], w.perStep, w.blocked = 50, 0, "instance 2 does not acknowledge"
	w.wish(2)
	for range 3 {
		w.tick(s, groupstatus.CountsEvery)
	}
	require.Equal(t, v1alpha1.DrainBlocked, w.groupStatus.State)
	w.requireCondition(t, v1alpha1.ConditionDraining, "True", v1alpha1.ReasonBlocked)
	require.Contains(t, meta.FindStatusCondition(w.groupStatus.Conditions, v1alpha1.ConditionDraining).Message, "does not acknowledge")
	require.Empty(t, w.took())
}

func TestAWishUnderTheResourceFloorIsNotFollowed(t *testing.T) {
	w, s := grouped(t, 4, 350)
	w.wish(1)
	for range 5 {
		d := w.tick(s, 2*second)
		require.Equal(t, 4, d.Desired)
	}
	require.Empty(t, w.took())
	w.requireCondition(t, v1alpha1.ConditionScalingLimited, "True", v1alpha1.ReasonResourceFloor)
	w.requireCondition(t, v1alpha1.ConditionScalingActive, "True", v1alpha1.ReasonFollowed)
	require.Equal(t, 1, count(w.events, v1alpha1.ReasonResourceFloor), "an event for the state, not for each tick")
	require.Equal(t, w.group.Generation, w.groupStatus.ObservedGeneration)

	w.wish(50)
	w.tick(s, 2*second)
	require.Equal(t, []string{"replicas 4 -> 20"}, w.took())
	w.requireCondition(t, v1alpha1.ConditionScalingLimited, "True", v1alpha1.ReasonTooManyReplicas)
	w.cfg.Init = 3
	for n := range w.lists {
		w.lists[n] = 0
	}
	w.wish(2)
	for range 10 {
		w.tick(s, 2*second)
	}
	require.Equal(t, []string{"replicas 20 -> 4", "replicas 4 -> 3"}, w.took(), "the count has a window, the wish has none")
	w.requireCondition(t, v1alpha1.ConditionScalingLimited, "True", v1alpha1.ReasonTooFewReplicas)
}

// An HPA with minReplicas 0 wishes for nothing when its metric is 0.
func TestAWishOfNothingIsBoundedByInit(t *testing.T) {
	w, s := grouped(t, 4, 0)
	w.wish(0)
	for range 5 {
		w.tick(s, 2*second)
	}
	require.Equal(t, []string{fmt.Sprintf("replicas 4 -> %d", w.cfg.Init)}, w.took())
	w.requireCondition(t, v1alpha1.ConditionScalingActive, "True", v1alpha1.ReasonFollowed)
	w.requireCondition(t, v1alpha1.ConditionScalingLimited, "True", v1alpha1.ReasonTooFewReplicas)
	w.wish(3)
	w.tick(s, 2*second)
	require.Equal(t, []string{fmt.Sprintf("replicas %d -> 3", w.cfg.Init)}, w.took(), "and it goes on from there")
}

// kubectl replace leaves the API's default in place of what was set, and takes the mark of it away.
func TestAnInstanceGroupThatWasReplacedIsSeededAgain(t *testing.T) {
	w, s := grouped(t, 4, 100)
	w.wish(1)
	w.group.Seeded = false
	for range 20 {
		w.tick(s, 2*second)
	}
	require.Equal(t, []string{"seed 4"}, w.took())
	w.requireCondition(t, v1alpha1.ConditionSeeded, "True", v1alpha1.ReasonSeeded)
	require.Equal(t, 2, count(w.events, "Seeded"))
}

func TestAStatusIsCompleteAtOnceAndWrittenOnlyWhenItChanged(t *testing.T) {
	w := newWorld(t, 3)
	w.group = &observed.Group{Name: "things", UID: "g", Kind: "Thing", Generation: 7, StatefulSet: "iota-dac", Requested: 1}
	w.place(100)
	s := w.scaler(Config{})
	w.tick(s, second)
	require.EqualValues(t, 3, w.groupStatus.Replicas)
	require.Equal(t, "app=iota-dac", w.groupStatus.Selector)
	w.requireCondition(t, v1alpha1.ConditionScalingActive, "False", v1alpha1.ReasonOtherOwner)
	w.requireCondition(t, v1alpha1.ConditionSeeded, "False", v1alpha1.ReasonNotSeeded)
	require.NotContains(t, w.took(), "seed 3", "an owner that is another's is not seeded")

	w.cfg.Replicas.Owner = config.OwnerGroup
	for range 40 {
		w.tick(s, 2*second)
	}
	w.requireCondition(t, v1alpha1.ConditionScalingActive, "True", v1alpha1.ReasonFollowed)
	before := w.statusWrites
	for range 40 {
		w.tick(s, 2*second)
	}
	require.Equal(t, before, w.statusWrites, "nothing changes, nothing is written")
	for range 40 {
		w.place(1)
		w.tick(s, 500*time.Millisecond)
	}
	require.Equal(t, before+4, w.statusWrites, "20 s in which a count changes all the time")

	since := meta.FindStatusCondition(w.groupStatus.Conditions, v1alpha1.ConditionSeeded).LastTransitionTime
	w.holder, w.epoch = "two/b", 2
	s = w.scaler(Config{})
	w.tick(s, second)
	require.Equal(t, since, meta.FindStatusCondition(w.groupStatus.Conditions, v1alpha1.ConditionSeeded).LastTransitionTime, "a new leader is no transition")
}

func TestWhyAnInstanceGroupIsNotFollowed(t *testing.T) {
	for reason, change := range map[string]func(*world){
		v1alpha1.ReasonUnknownKind:        func(w *world) { w.group.Kind = "Camera" },
		v1alpha1.ReasonStatefulSetDiffers: func(w *world) { w.group.StatefulSet = "other" },
		v1alpha1.ReasonOtherOwner:         func(w *world) { w.cfg.Replicas.Owner = config.OwnerShardscaler },
		v1alpha1.ReasonPaused:             func(w *world) { w.group.Paused = true },
		v1alpha1.ReasonBlind:              func(w *world) { w.fail[observed.SourceStore] = true },
		v1alpha1.ReasonOnStatefulSet:      func(w *world) { w.hpas = []observed.HPA{{Name: "dac", Target: "iota-dac"}} },
	} {
		t.Run(reason, func(t *testing.T) {
			w, s := grouped(t, 4, 100)
			change(w)
			w.wish(2)
			for range 20 {
				w.tick(s, 2*second)
			}
			w.requireCondition(t, v1alpha1.ConditionScalingActive, "False", reason)
			require.NotContains(t, w.log, "replicas 4 -> 2")
			if reason != v1alpha1.ReasonUnknownKind {
				require.EqualValues(t, 100, w.groupStatus.Assigned, "what is not known keeps its last value")
			}
		})
	}
	w, s := grouped(t, 4, 100)
	w.group.Paused = true
	w.tick(s, second)
	require.Equal(t, v1alpha1.Paused, w.groupStatus.State)
	require.Contains(t, w.orders.Suspended, "InstanceGroup things is paused")
}

func TestTwoHPAsThatStopEachOtherAreReported(t *testing.T) {
	w, s := grouped(t, 4, 100)
	w.hpas = []observed.HPA{{Name: "dac", Target: "iota-dac"}, {Name: "things", OnGroup: true, Target: "things"}}
	w.wish(5)
	w.tick(s, second)
	w.requireCondition(t, v1alpha1.ConditionConflictingHPA, "True", v1alpha1.ReasonAmbiguousSelector)
	require.Equal(t, []string{"replicas 4 -> 5"}, w.took(), "neither of them writes, so nothing is fought")
	require.Contains(t, w.events, "ConflictingHPA")
}

func TestAnHPAOnOurStatefulSetIsNotFought(t *testing.T) {
	w, s := led(t, 4, 400)
	w.hpas = []observed.HPA{{Name: "dac", Target: "iota-dac"}}
	w.scaleBy("kube-controller-manager", 2)
	for range 30 {
		d := w.tick(s, 2*second)
		require.Equal(t, config.OwnerHPA, d.Owner)
		require.Contains(t, d.Conflict.Text, "HPA dac")
	}
	require.Empty(t, w.took())
	require.Equal(t, 1, count(w.events, "ConflictingHPA"))
	w.hpas = nil
	w.tick(s, 2*second)
	require.Equal(t, []string{"replicas 2 -> 4"}, w.took())
}

// In mode recommend nothing is drained, also where an HPA writes replicas, and the act says so.
func TestWhatIsOnlyRecommendedIsNotDrained(t *testing.T) {
	for _, hpas := range [][]observed.HPA{nil, {{Name: "dac", Target: "iota-dac"}}} {
		w := newWorld(t, 4)
		w.cfg.Replicas.Mode, w.hpas = config.ModeRecommend, hpas
		w.place(100)
		s := w.scaler(Config{})
		var d outcome.Report
		for range 8 {
			d = w.tick(s, 2*second)
		}
		require.Equal(t, len(hpas) > 0, d.Conflict != nil)
		require.Less(t, d.Desired, *d.Current)
		require.Equal(t, outcome.Advised, d.Act.Done, d.Act.Text)
		require.Equal(t, []int{0, 1, 2, 3}, w.orders.Stay)
		require.NotContains(t, strings.Join(w.took(), " "), "replicas")
	}
}

// A person cuts under the resource floor: what goes would be emptied, and the size is raised again,
// once. The second time we stop, and the resources are assigned to what is left, also by the next
// leader.
func TestASecondContraryWriteStopsUs(t *testing.T) {
	w, s := led(t, 4, 400)
	w.scaleBy("kubectl", 1)
	w.tick(s, 2*second)
	require.Equal(t, []string{"replicas 1 -> 4"}, w.took())
	w.tick(s, 2*second)
	w.scaleBy("kubectl", 2)
	d := w.tick(s, 2*second)
	require.True(t, d.Foreign.Stopped)
	require.Equal(t, "kubectl", d.Foreign.Writer)
	require.Equal(t, decide.NoChange, d.Verb)
	require.Contains(t, w.events, "ForeignWriter")

	w.holder, w.epoch = "two/b", 2
	s = w.scaler(Config{})
	w.cfg.Capacity = 300
	for range 400 { // more than 10 minutes
		w.tick(s, 2*second)
	}
	require.Equal(t, []string{"claim two/b"}, w.took(), "no size")
	require.Equal(t, 400, w.lists[0]+w.lists[1], "assignments go on")
	require.Equal(t, 2, count(w.events, "TakenWithResources"), "for each cut")

	w.cfg.Paused = true
	w.tick(s, 2*second)
	w.cfg.Paused = false
	w.tick(s, 2*second)
	require.Equal(t, []string{"replicas 2 -> 4"}, w.took(), "unpausing lifts the stop")
}

func TestARaiseIsHeldForOneWindow(t *testing.T) {
	w, s := led(t, 3, 300)
	w.scaleBy("kubectl", 5)
	for range 5 {
		d := w.tick(s, 2*second)
		require.Equal(t, 5, d.Desired)
	}
	for range 3 {
		w.tick(s, 2*second)
	}
	require.Equal(t, []string{"replicas 5 -> 3"}, w.took(), "drained, which the world checks")
	w.scaleBy("kubectl", 6)
	d := w.tick(s, 2*second)
	require.True(t, d.Foreign.Stopped, "raised again after we lowered it")
	require.Equal(t, []int{0, 1, 2, 3, 4, 5}, w.orders.Stay)
}

// A writer that is faster than our look at the StatefulSet: its writes are never seen, only undone
// sizes are.
func TestAWriterThatIsFasterThanOurEyesIsFoundOut(t *testing.T) {
	w, s := led(t, 4, 400)
	w.scaleBy("flux", 2)
	w.onResize = func() { w.scaleBy("flux", 2) }
	for range 20 {
		w.tick(s, 2*second)
	}
	require.Equal(t, []string{"replicas 2 -> 4"}, w.took(), "once")
	require.True(t, s.last.Foreign.Stopped)
	require.Equal(t, "flux", s.last.Foreign.Writer)
}

func TestAnInstanceGroupWithAnotherFirstOrdinal(t *testing.T) {
	w := newWorld(t, 0)
	w.start, w.cfg.Replicas.Owner = 5, config.OwnerGroup
	w.setSize(4)
	w.settlePods()
	w.group = &observed.Group{Name: "things", UID: "g", Kind: "Thing", StatefulSet: "iota-dac", Requested: 1}
	w.pool = 150
	s := w.scaler(Config{})
	for range 8 {
		w.tick(s, 2*second)
	}
	require.Equal(t, []int{5, 6, 7, 8}, w.orders.Stay)
	w.lists[8], w.lists[5] = 20, 30
	w.wish(3)
	for range 8 {
		w.tick(s, 2*second)
	}
	require.Equal(t, []string{"claim one/a", "seed 4", "replicas 4 -> 3"}, w.took())
	require.Equal(t, []int{5, 6, 7}, w.orders.Stay)
	require.Zero(t, w.lists[8])
}

// Whatever an HPA requests, another writer writes, and whichever process leads: no write of ours
// takes what is open or owns something (the world checks every write), a stop writes nothing, and
// when it becomes quiet the wish stands, at least what the resources need.
func TestAnythingMayBeWished(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.IntRange(1, 8).Draw(t, "size"))
		w.cfg.Replicas.Owner = config.OwnerGroup
		w.group = &observed.Group{Name: "things", UID: "g", Kind: "Thing", StatefulSet: "iota-dac", Requested: 1}
		w.perStep = rapid.IntRange(1, 60).Draw(t, "moves a step")
		s := w.scaler(Config{})
		for range rapid.IntRange(5, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 7).Draw(t, "what") {
			case 0:
				w.pool += rapid.IntRange(0, 300).Draw(t, "created")
			case 1:
				for n := range w.lists {
					w.lists[n] /= 3
				}
			case 2, 3:
				w.wish(rapid.IntRange(0, 25).Draw(t, "wish"))
			case 4:
				w.epoch++
				s = w.scaler(Config{})
			case 5:
				w.scaleBy("kubectl", max(1, w.size+rapid.IntRange(-2, 2).Draw(t, "by hand")))
			case 6:
				w.fail[rapid.SampledFrom([]observed.SourceName{observed.SourceStore, observed.SourceCluster, observed.SourceGroups}).Draw(t, "source")] = true
			case 7:
				clear(w.fail)
			}
			before := len(w.log)
			d := w.tick(s, time.Duration(rapid.IntRange(1, 9).Draw(t, "pause"))*second)
			if d.Foreign != nil && d.Foreign.Stopped {
				require.Empty(t, sizesIn(w.log[before:]), "written after a stop")
			}
		}
		w.perStep = 1 << 30
		clear(w.fail)
		w.cfg.Paused = true
		w.tick(s, second)
		w.cfg.Paused = false
		resources := w.pool
		for _, n := range w.lists {
			resources += n
		}
		for range 30 {
			w.tick(s, 2*second)
		}
		require.True(t, w.group.Seeded)
		require.Equal(t, min(20, max(w.group.Requested, w.cfg.Init, (resources+99)/100)), w.size, "%d resources, %s", resources, s.last.String())
		require.EqualValues(t, w.size, w.groupStatus.Desired)
	})
}

// sizesIn are the sizes written.
func sizesIn(log []string) (out []string) {
	for _, line := range log {
		if strings.HasPrefix(line, "replicas") {
			out = append(out, line)
		}
	}
	return out
}
