package scaler

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/actuate"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

const second = time.Second

// led is a world whose scaler leads and has watched for a whole window.
func led(t *testing.T, size, resources int) (*world, *Scaler) {
	w := newWorld(t, size)
	w.place(resources)
	s := w.scaler(Config{})
	for range 8 {
		w.tick(s, 2*second)
	}
	require.Equal(t, []string{"claim one/a"}, w.took())
	return w, s
}

func TestGrowthIsWrittenAtOnceAndOnce(t *testing.T) {
	w, s := led(t, 2, 200)
	w.pool = 150
	before := w.snapshot()
	d := w.tick(s, 2*second)
	require.Equal(t, outcome.Scaled, d.Act.Done)
	require.Equal(t, []string{"replicas 2 -> 4"}, w.took())
	require.Equal(t, []int{0, 1, 2, 3}, w.orders.Stay, "what will be is not emptied")
	require.Equal(t, []int{0, 1}, w.orders.Ready)

	d = look(t.Context(), t, s, w.now.Add(second), w.cfg, before) // the informer is behind
	require.Equal(t, outcome.Failed, d.Act.Done)
	require.Empty(t, w.took(), "one growth, one write")
	w.tick(s, 2*second)
	w.tick(s, 2*second)
	require.Zero(t, w.pool)
	require.Empty(t, w.took())
}

// Right after a scale down the pod still seems ready. Load that returns in that moment must not be
// placed on it before the scale up is written.
func TestAPodBeyondTheSizeIsNotOpenedBeforeTheScaleUpIsSeen(t *testing.T) {
	w, s := led(t, 2, 200)
	w.pods[2], w.ready[2] = "beyond", true
	w.pool = 150
	d := w.tick(s, 2*second)
	require.Equal(t, outcome.Scaled, d.Act.Done)
	require.Equal(t, []string{"replicas 2 -> 4"}, w.took())
	require.Equal(t, []int{0, 1, 2, 3}, w.orders.Stay)
	require.Equal(t, []int{0, 1}, w.orders.Ready)
	w.tick(s, 2*second)
	require.Contains(t, w.orders.Ready, 2, "now it is of the size")
}

func TestShrinkIsWrittenOnlyWhenWhatGoesIsEmpty(t *testing.T) {
	w, s := led(t, 4, 400)
	for n := range 4 {
		w.lists[n] = 40
	}
	w.perStep = 15
	var draining int
	for range 20 {
		d := w.tick(s, 2*second)
		if d.Act != nil && d.Act.Done == outcome.Draining {
			draining++
			require.Equal(t, []int{0, 1}, w.orders.Stay)
			require.Empty(t, w.log, "nothing is written during the drain")
		}
		if w.size == 2 {
			break
		}
	}
	require.Greater(t, draining, 3)
	require.Equal(t, []string{"replicas 4 -> 2"}, w.took())
	require.Equal(t, 160, w.lists[0]+w.lists[1])
	require.Contains(t, w.events, "Draining")
}

func TestADrainThatCannotEndNeverShrinksAndSaysWhy(t *testing.T) {
	w, s := led(t, 4, 400)
	w.cfg.Max, w.blocked = 2, "no room for 200 resources"
	for range 50 {
		d := w.tick(s, 2*second)
		require.Equal(t, 2, d.Desired)
		require.Equal(t, outcome.Draining, d.Act.Done)
		require.Contains(t, d.Act.Text, "no room for 200 resources")
	}
	require.Empty(t, w.took())
	require.Equal(t, 1, count(w.events, "DrainBlocked"), "an event for the state, not for each tick")
}

func TestRowsWithoutMessagesAreAWarningOnce(t *testing.T) {
	w, s := led(t, 4, 400)
	w.unannounced = "rows keep appearing"
	for range 50 {
		w.tick(s, 2*second)
	}
	require.Equal(t, 1, count(w.events, "RowsUnannounced"))
	w.unannounced = ""
	w.tick(s, 2*second)
	w.unannounced = "rows keep appearing"
	w.tick(s, 2*second)
	require.Equal(t, 2, count(w.events, "RowsUnannounced"), "it ended, and began again")
}

func TestALoadThatReturnsUndoesTheDrainInTheSameTick(t *testing.T) {
	w, s := led(t, 4, 400)
	for n := range 4 {
		w.lists[n] = 30
	}
	w.perStep = 5
	for w.orders.Stay = nil; len(w.orders.Stay) != 2; {
		w.tick(s, 2*second)
	}
	w.tick(s, 2*second)
	require.False(t, w.open[3])
	w.pool = 280
	d := w.tick(s, 2*second)
	require.Equal(t, decide.NoChange, d.Verb)
	require.Equal(t, []int{0, 1, 2, 3}, w.orders.Stay)
	require.True(t, w.open[3])
	require.Empty(t, w.took())
	require.Contains(t, w.events, "DrainUndone")
}

func TestAFormerLeadersVerifiedDrainIsRefused(t *testing.T) {
	w, s := led(t, 3, 300)
	for n := range 3 {
		w.lists[n] = 0
	}
	w.onDrained = func() { // another one took over, claimed, and opened the ordinal again
		w.rev++
		w.open[2] = true
	}
	for range 10 {
		d := w.tick(s, 2*second)
		if d.Act != nil && d.Act.Done == outcome.Failed {
			require.Equal(t, 3, w.size)
			require.Empty(t, w.took())
			return
		}
	}
	t.Fatal("the shrink was never tried")
}

func TestADrainThatCannotBeVerifiedIsNone(t *testing.T) {
	w, s := led(t, 3, 300)
	clear(w.lists)
	w.drainErr = orders.ErrNotLeading
	for range 10 {
		w.tick(s, 2*second)
	}
	require.Equal(t, 3, w.size)
	w.drainErr = nil
	w.tick(s, 2*second)
	require.Equal(t, 1, w.size)
}

func TestGrowthWaitsForProofThatWeLead(t *testing.T) {
	w, s := led(t, 3, 300)
	w.pool, w.drainErr = 1000, orders.ErrNotLeading
	d := w.tick(s, 2*second)
	require.Equal(t, decide.ScaleUp, d.Verb, "the snapshot has not seen yet that ZooKeeper is gone")
	require.Equal(t, outcome.NotWritten, d.Act.Done)
	require.Empty(t, w.took())
	w.drainErr = nil
	w.tick(s, 2*second)
	require.Equal(t, []string{"replicas 3 -> 13"}, w.took())
}

func TestASnapshotThatShowsEmptyListsIsNotEnough(t *testing.T) {
	w, s := led(t, 3, 300)
	for n := range 3 {
		w.lists[n] = 10
	}
	w.perStep, w.hidden = 0, map[int]bool{1: true, 2: true}
	var draining int
	for range 10 {
		if d := w.tick(s, 2*second); d.Act != nil && d.Act.Done == outcome.Draining && len(d.Act.Left) > 0 {
			draining++
		}
	}
	require.Positive(t, draining)
	require.Equal(t, 3, w.size)
}

func TestBlindMeansStill(t *testing.T) {
	for _, source := range []observed.SourceName{observed.SourceStore, observed.SourceCluster} {
		w, s := led(t, 3, 300)
		clear(w.lists)
		w.pool = 1000
		w.fail[source] = true
		for range 20 {
			d := w.tick(s, 2*second)
			require.Equal(t, decide.Blind, d.Verb)
			require.NotEmpty(t, w.orders.Suspended)
			require.Empty(t, w.orders.Gone)
		}
		require.Empty(t, w.took())
		require.Equal(t, 1, count(w.events, "Blind"))
		delete(w.fail, source)
		w.tick(s, 2*second)
		require.Equal(t, []string{"replicas 3 -> 10"}, w.took(), "and then it goes on")
	}
}

func TestNothingIsOrderedBeforeTheHeadIsHeldAndTheSetClaimed(t *testing.T) {
	w := newWorld(t, 2)
	w.pool, w.noLead = 1000, orders.ErrNotLeading
	s := w.scaler(Config{})
	d := w.tick(s, second)
	require.Equal(t, outcome.NotWritten, d.Act.Done)
	require.Equal(t, "this process does not lead yet (head)", w.orders.Suspended)
	require.Empty(t, w.took())
	w.noLead = nil
	w.tick(s, second)
	require.Equal(t, []string{"claim one/a", "replicas 2 -> 10"}, w.took())
	require.Empty(t, w.orders.Suspended)

	w.holder, w.epoch = "one/a.2", 2 // the head was taken again
	w.tick(s, second)
	require.Equal(t, []string{"claim one/a.2"}, w.took())
	w.uid = "another set"
	w.tick(s, second)
	require.Equal(t, []string{"claim one/a.2"}, w.took())
}

func TestAStatefulSetThatTheRoleDoesNotNameIsAProblem(t *testing.T) {
	lacks := "the rights of this server lack StatefulSet iota-dac: name it in the chart's value statefulSets"
	for _, right := range []string{"patch", "update"} {
		w := newWorld(t, 2)
		w.pool = 1000
		s := w.scaler(Config{})
		fail := &w.claimErr
		if right == "update" {
			fail = &w.resizeErr
		}
		*fail = fmt.Errorf("asked: %w", actuate.ErrDenied)
		for range 3 {
			d := w.tick(s, second)
			require.Contains(t, d.Problem(), lacks, right)
		}
		require.NotContains(t, w.took(), "replicas 2 -> 10", right)
		require.Equal(t, 1, count(w.events, "CannotScale"), right)
		require.Equal(t, right == "patch", w.orders.Suspended != "", "without a claim nothing is moved either")

		*fail = nil
		d := w.tick(s, second)
		require.Empty(t, d.Problem(), right)
		require.Contains(t, w.took(), "replicas 2 -> 10", right)

		*fail = errors.New("connection refused")
		w.uid = "another set"
		d = w.tick(s, second)
		require.Empty(t, d.Problem(), "that is no right that is missing")
	}
}

func TestWithAnHPAReplicasAreNeverWritten(t *testing.T) {
	w := newWorld(t, 4)
	w.cfg.Replicas.Owner = config.OwnerHPA
	w.place(400)
	s := w.scaler(Config{})
	for range 8 {
		w.tick(s, 2*second)
	}
	for n := range 4 {
		w.lists[n] = 40
	}
	w.perStep = 30
	for range 12 {
		d := w.tick(s, 2*second)
		n, err := d.RecommendedReplicas()
		require.NoError(t, err)
		for o := n; o < w.size; o++ {
			require.Zero(t, w.lists[o], "recommends to take %d", o)
			require.False(t, w.open[o])
		}
	}
	d := w.tick(s, 2*second)
	n, _ := d.RecommendedReplicas()
	require.Equal(t, 2, n)
	require.Equal(t, outcome.NotOurs, d.Act.Done)

	// The HPA takes one more than recommended, at once: what it takes is emptied.
	w.setSize(1)
	w.tick(s, 2*second)
	require.Equal(t, []int{0}, w.orders.Stay)
	w.tick(s, 2*second)
	require.Equal(t, []int{1}, w.orders.Gone, "its pod is gone, and it still owns something")
	require.Equal(t, []string{"claim one/a"}, w.took())
}

func TestPausedAndDryRunWriteNothing(t *testing.T) {
	w, s := led(t, 2, 200)
	w.cfg.Paused, w.pool = true, 500
	d := w.tick(s, second)
	require.Equal(t, 7, d.Desired)
	require.Equal(t, outcome.NotWritten, d.Act.Done)
	require.Contains(t, w.orders.Suspended, "paused")
	require.Empty(t, w.took())

	w = newWorld(t, 2)
	w.pool = 500
	dry := w.scaler(Config{DryRun: true})
	d = w.tick(dry, second)
	require.Equal(t, outcome.WouldScale, d.Act.Done)
	require.True(t, d.Act.DryRun)
	require.Contains(t, d.Act.Text, "2 -> 5")
	require.True(t, w.orders.At.IsZero(), "no orders")
	require.Empty(t, w.took())
	require.Empty(t, w.docs)
	require.Empty(t, w.events)
}

func TestASilentInstanceIsRestartedOnceAndMovesNothing(t *testing.T) {
	w, s := led(t, 4, 400)
	w.cfg.Heartbeat = config.Default("Thing", "x").Heartbeat
	for range 100 {
		w.tick(s, 2*second)
	}
	w.silent[2] = true
	w.drainErr = orders.ErrNotLeading
	for range 100 {
		w.tick(s, 2*second)
	}
	require.Empty(t, w.took(), "a process that cannot prove that it leads restarts no pod")
	w.drainErr = nil
	for range 100 {
		w.tick(s, 2*second)
		require.Equal(t, []int{0, 1, 2, 3}, w.orders.Stay)
	}
	require.Equal(t, []string{"restart iota-dac-2"}, w.took())
	require.Equal(t, 100, w.lists[2])
	require.Contains(t, w.events, "Restarted")
}

func TestWindowsSurviveANewLeader(t *testing.T) {
	w, s := led(t, 4, 400)
	for n := range 4 {
		w.lists[n] = 20
	}
	window := config.Duration(60 * second)
	w.cfg.Behavior.ScaleDown.StabilizationWindow = &window
	for range 25 {
		w.tick(s, 2*second)
	}
	require.Equal(t, 4, w.size, "50 s of 60")
	w.holder, w.epoch = "two/b", 2
	s = w.scaler(Config{})
	for range 4 {
		d := w.tick(s, 2*second)
		require.Equal(t, decide.NoChange, d.Verb)
	}
	for range 4 {
		w.tick(s, 2*second)
	}
	require.Equal(t, 1, w.size, "the successor waited for the rest of the window and not for a new one")
}

func TestSpreadingWaitsForStartingInstances(t *testing.T) {
	w, s := led(t, 2, 200)
	w.pool = 200
	w.tick(s, second)
	w.ready[3] = false
	w.tick(s, second)
	require.Contains(t, w.orders.SpreadSuspended, "1 of 4")
	for range 31 {
		w.tick(s, 2*second)
	}
	require.Empty(t, w.orders.SpreadSuspended, "it waits for a while, not for ever")
}

func TestWhatAWindowStillKeepsIsNotSpreadOnto(t *testing.T) {
	w, s := led(t, 4, 400)
	require.Empty(t, w.orders.MayLeave)
	for n := range 4 {
		w.lists[n] = 40
	}
	w.tick(s, second)
	require.Equal(t, []int{0, 1, 2, 3}, w.orders.Stay)
	require.Equal(t, []int{2, 3}, w.orders.MayLeave)
	w.cfg.CPU = &config.ResourceTarget{TargetUtilization: 50} // of which no source says anything
	for range 30 {
		w.tick(s, second)
	}
	require.Len(t, w.orders.Stay, 4, "a signal is missing")
	require.Empty(t, w.orders.MayLeave, "that may last: it is spread meanwhile")
}

func TestWhatIsKeptIsServedForSomeTicks(t *testing.T) {
	w, s := led(t, 2, 200)
	w.tick(s, keptTicks*2*second)
	data, _ := w.Kept(KeptName)
	k, err := ParseKept(data)
	require.NoError(t, err)
	n, err := k.Decision.RecommendedReplicas()
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Equal(t, s.last.Summary, k.Summary)

	require.Equal(t, w.now, k.At)
	require.Equal(t, observed.StoreMaxAge, KeptMaxAge(2*second))
	require.NoError(t, k.TooOld(w.now.Add(30*second), KeptMaxAge(2*second)))
	require.Error(t, k.TooOld(w.now.Add(30*second+1), KeptMaxAge(2*second)))
	require.NoError(t, k.TooOld(w.now.Add(6*second), MaxAge(2*second)))
	require.ErrorContains(t, k.TooOld(w.now.Add(6100*time.Millisecond), MaxAge(2*second)), "6.1s old, more than 6s")
	_, told, err := ParseTold(data)
	require.NoError(t, err)
	require.Nil(t, told, "a leader that tells nothing")
	s.cfg.Told = func() (json.RawMessage, any) { return json.RawMessage(`{"said":1}`), 1 }
	w.tick(s, 2*second)
	data, _ = w.Kept(KeptName)
	_, told, err = ParseTold(data)
	require.NoError(t, err)
	require.JSONEq(t, `{"said":1}`, string(told))
	undated, err := ParseKept([]byte(`{"v":1,"decision":{"kind":"Thing","desired":3}}`))
	require.NoError(t, err)
	require.EqualError(t, undated.TooOld(w.now, MaxAge(2*second)), "the leader's last decision does not say when it was made")
	for text, says := range map[string]string{"": "no leader has stored", `{"v":2}`: "schema version 2", "{": "ends too early"} {
		_, err = ParseKept([]byte(text))
		require.ErrorContains(t, err, says)
	}
}

// Whatever happens in whatever order: no write takes an instance that is open or owns something
// (the world checks every write), and when it becomes quiet the size is right.
func TestAnythingMayHappen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.IntRange(1, 8).Draw(t, "size"))
		w.perStep = rapid.IntRange(1, 60).Draw(t, "moves a step")
		s := w.scaler(Config{})
		for range rapid.IntRange(5, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 11).Draw(t, "what") {
			case 0:
				w.pool += rapid.IntRange(0, 300).Draw(t, "created")
			case 1, 2:
				for n := range w.lists {
					w.lists[n] /= 3
				}
			case 3:
				w.epoch++
				s = w.scaler(Config{})
			case 4:
				w.fail[rapid.SampledFrom([]observed.SourceName{observed.SourceStore, observed.SourceCluster, observed.SourceCatalogue}).Draw(t, "source")] = true
			case 5:
				clear(w.fail)
			case 6:
				w.scaleBy("kubectl", w.size+rapid.IntRange(0, 2).Draw(t, "raised by"))
			case 7:
				w.drainErr = errors.New("no answer")
			case 8:
				w.drainErr = nil
			case 9:
				w.cfg.Max = rapid.IntRange(1, 20).Draw(t, "max")
			}
			w.tick(s, time.Duration(rapid.IntRange(1, 9).Draw(t, "pause"))*second)
		}
		w.drainErr, w.cfg.Max, w.perStep = nil, 60, 1<<30
		clear(w.fail)
		w.cfg.Paused = true // lifts a stop by contrary writes
		w.tick(s, second)
		w.cfg.Paused = false
		resources := w.pool
		for _, n := range w.lists {
			resources += n
		}
		for range 30 {
			w.tick(s, 2*second)
		}
		require.Equal(t, max(1, (resources+99)/100), w.size, "%d resources, %s", resources, s.last.String())
		require.Zero(t, w.pool)
	})
}

func TestKeptDocumentsHaveOneMeaning(t *testing.T) {
	_, err := ParseKept([]byte(`{"v":1,"decision":{"kind":"Thing","desired":3,"desired":9}}`))
	require.ErrorContains(t, err, `duplicate field "decision.desired"`)
	k, err := ParseKept([]byte(`{"v":1,"decision":{"kind":"Thing","desired":3,"Desired":9},"newer":1}`))
	require.NoError(t, err)
	require.Equal(t, 3, k.Decision.Desired)
	_, err = parseAssumedDead([]byte(`{"entries":[{"uid":"a","uid":"b"}]}`))
	require.ErrorContains(t, err, `duplicate field "entries[0].uid"`)
}

func FuzzParseKept(f *testing.F) {
	f.Add([]byte(`{"v":1,"at":"2026-03-01T12:00:00Z","decision":{"kind":"Thing","recommended":3},"history":{"own":3}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ParseKept(data)
		if err == nil {
			_, _ = k.Decision.RecommendedReplicas()
		}
	})
}

func count(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}
