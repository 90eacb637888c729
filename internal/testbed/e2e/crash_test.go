package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// TestKilledDuringImportAndDrain kills the leader with -9 in the middle of an import and in the
// middle of a drain; the other replica takes over, and nothing is lost nor in two places.
func TestKilledDuringImportAndDrain(t *testing.T) {
	w := startBeside(t, func(_ *servers.Env, o *product.Options) {
		o.Replicas = 2
		slowMoves(o.Config)
		o.Config.Kinds[0].Catalogue.Interval = config.Duration(5 * time.Minute) // a read would bring all at once
	})
	w.readOnce()
	things := product.IDs(10_000, 1)
	wanted := size(len(things), thingTarget)

	t.Run("import", func(t *testing.T) {
		w.t = t
		published := make(chan error, 1)
		go func() { published <- w.Platform.Import(t.Context(), thing, things, 1) }()
		victim := w.killLeaderWhen("the import is half-way", func(a *product.Assignment) bool {
			known := a.Assigned() + len(a.Pool) + a.InFlight()
			return known > len(things)/10 && known < len(things)
		})
		require.NoError(t, <-published)
		w.holds(w.settled(thing, thingSet, wanted, len(things)), things)
		w.lostNothing(thing, nil)
		require.NoError(t, victim.Start())
		require.NoError(t, w.AwaitReady(t.Context(), victim))
	})
	if t.Failed() {
		return
	}

	t.Run("drain", func(t *testing.T) {
		w.t = t
		gone := things[3_000:]
		left := size(3_000, thingTarget)
		require.NoError(t, w.Platform.Remove(t.Context(), thing, gone...))
		require.NoError(t, w.Platform.Publish(t.Context(), product.BulkDeleted(thing, gone)))
		w.killLeaderWhen("the drain is half-way", func(a *product.Assignment) bool {
			for _, f := range a.Flight {
				if f.From >= left && len(f.To) > 0 {
					return true
				}
			}
			return false
		})
		w.holds(w.settled(thing, thingSet, left, 3_000), things[:3_000])
		w.lostNothing(thing, gone)
		require.Positive(t, w.drainedFirst(thing, thingSet, thingInit))
		w.runsWhatIsAssigned(thing)
	})
}

// killLeaderWhen watches ZooKeeper closely and kills the leading replica at the first moment that
// is right.
func (w *world) killLeaderWhen(what string, right func(*product.Assignment) bool) *product.Server {
	w.t.Helper()
	victim := w.killLeaderUnless(what, right, func() bool { return false })
	if victim == nil {
		w.t.Fatalf("never: %s", what)
	}
	return victim
}

// killLeaderUnless is killLeaderWhen for a moment that may be missed: nil when it is over, or did
// not come.
func (w *world) killLeaderUnless(what string, right func(*product.Assignment) bool, over func() bool) *product.Server {
	w.t.Helper()
	leader, asked := w.leader(), time.Now()
	for deadline := time.Now().Add(product.Patience); ; time.Sleep(2 * time.Millisecond) {
		a, err := w.Glimpse(thing)
		if err == nil && right(a) {
			break
		}
		if time.Since(asked) > 500*time.Millisecond {
			if asked = time.Now(); over() || asked.After(deadline) {
				return nil
			}
		}
	}
	require.NoError(w.t, leader.Kill())
	w.t.Logf("%s: killed %s", what, leader.Name)
	w.until("another replica leads", func(ctx context.Context) error {
		now, err := w.Leader(ctx)
		if err == nil && now == leader {
			err = errors.New("it is still the one that was killed")
		}
		return err
	})
	return leader
}

// TestWaitingDeletesOutliveTheirLeader kills the leader with -9 while deletes wait for a person: its
// successor shows the same number, long before a periodic read would come, and they are confirmed.
func TestWaitingDeletesOutliveTheirLeader(t *testing.T) {
	w := startBeside(t, func(_ *servers.Env, o *product.Options) {
		o.Replicas = 2
		o.Config.Kinds[0].Catalogue.Interval = config.Duration(5 * time.Minute) // longer than this test waits
	})
	things := product.IDs(1_200, 1)
	gone, left := things[:600], things[600:]
	require.NoError(t, w.Platform.Import(t.Context(), thing, things, 1))
	w.settled(thing, thingSet, thingInit, len(things))
	time.Sleep(3 * time.Second) // a read does not miss what was created within the lag before it
	require.NoError(t, w.Platform.Remove(t.Context(), thing, gone...))
	require.NoError(t, w.Platform.Publish(t.Context(), product.DeletedWhere(thing)))
	waits := func(ctx context.Context) error {
		leader, err := w.Leader(ctx)
		if err != nil {
			return err
		}
		n, err := leader.WaitingDeletes(ctx, thing)
		if err == nil && n != len(gone) {
			err = fmt.Errorf("%d deletes wait, want %d", n, len(gone))
		}
		return err
	}
	w.until("the deletes wait for a person", waits)
	w.killLeaderWhen("deletes wait", func(*product.Assignment) bool { return true })
	w.until("they wait again", waits)
	w.until("a person confirms them", func(ctx context.Context) error { return w.Confirm(ctx, thing, len(gone)) })
	w.holds(w.settled(thing, thingSet, thingInit, len(left)), left)
	w.lostNothing(thing, gone)
}

// TestZooKeeperAway stops ZooKeeper for 20 s: nothing is sized or moved meanwhile, the instances go
// on running what they hold, and what the platform said meanwhile is done afterwards.
func TestZooKeeperAway(t *testing.T) {
	w := startBeside(t, func(env *servers.Env, o *product.Options) { o.ZooKeeper = env.NewZooKeeper(t, 1) })
	things := product.IDs(4_000, 1)
	first, later := things[:2_700], things[2_700:]
	require.NoError(t, w.Platform.Import(t.Context(), thing, first, 1))
	before := w.settled(thing, thingSet, 3, len(first))
	w.runsWhatIsAssigned(thing)
	scaled, err := w.ScaleWrites()
	require.NoError(t, err)
	ran, err := w.Runs()
	require.NoError(t, err)

	require.NoError(t, w.ZooKeeper.Kill())
	back := time.Now().Add(20 * time.Second)
	require.NoError(t, w.Platform.Import(t.Context(), thing, later, 2))
	// A leader that decides on what it last saw of ZooKeeper would scale up at once.
	w.change(thing, func(k *config.Kind) { k.TargetPerInstance = 500 })
	time.Sleep(time.Until(back))
	meanwhile, err := w.ScaleWrites()
	require.NoError(t, err)
	require.Equal(t, scaled, meanwhile, "sizes were written while ZooKeeper was away")
	still, err := w.Runs()
	require.NoError(t, err)
	require.Equal(t, ran.Running, still.Running, "the instances go on running what they hold")
	w.onlyRestarted()

	require.NoError(t, w.ZooKeeper.Start(t.Context()))
	w.holds(w.settled(thing, thingSet, size(len(things), 500), len(things)), things)
	w.runsWhatIsAssigned(thing)
	w.lostNothing(thing, nil)
	stayed := 0
	owners := w.assignment(thing).Owners()
	for id, n := range before.Owners() {
		if owners[id] == n {
			stayed++
		}
	}
	require.GreaterOrEqual(t, stayed, 3*400, "of what ran before, too much moved: three of eight instances go from 900 to 500, by way of 1,000")
}
