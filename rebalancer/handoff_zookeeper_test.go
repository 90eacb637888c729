package rebalancer

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/workload"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// fleet is instances that run what a live engine assigns, and the log of what ran where.
type fleet struct {
	*live
	cfg   workload.Config
	mu    sync.Mutex
	log   bytes.Buffer
	runs  *workload.RunLog
	solos map[int]*workload.Solo
	uids  map[int]string
}

func (f *fleet) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.Write(line)
}

// startFleet starts an engine and an instance for each of the ordinals.
func startFleet(t *testing.T, mode workload.Mode, fences bool, handOff config.HandOff, stay ...int) (*fleet, string) {
	z := servers.Require(t, servers.PartZooKeeper).ZooKeeper
	connect := z.Connect + z.Path(t)
	f := &fleet{live: startLive(t, connect, 5000, stay...), solos: map[int]*workload.Solo{}, uids: map[int]string{}, cfg: workload.Default()}
	f.runs = workload.NewRunLog(f)
	var err error
	f.cfg.ZooKeeper, f.cfg.Chroot, err = workload.ParseZooKeeper(connect)
	require.NoError(t, err)
	f.cfg.Mode, f.cfg.Fences, f.cfg.Session = mode, fences, 4*time.Second
	f.order(func(o *orders.Orders) {
		o.HandOff, o.Limits.ListInterval = handOff, new(config.Duration(100*time.Millisecond))
	})
	f.eventually("the ordinals have znodes", func() bool { return len(f.e.State().Instances) == len(stay) })
	for _, n := range stay {
		f.begin(n, fmt.Sprintf("pod-%d", n))
	}
	t.Cleanup(func() {
		for _, s := range f.solos {
			s.Stop()
		}
	})
	return f, connect
}

// begin starts the ordinal's process in that pod, and lets Kubernetes know of it.
func (f *fleet) begin(n int, uid string) {
	f.solos[n] = workload.StartSolo(f.cfg, "Thing", n, uid, f.runs, slog.New(slog.DiscardHandler))
	f.order(func(o *orders.Orders) {
		f.uids[n] = uid
		o.Pods = map[int]string{}
		for n, uid := range f.uids {
			o.Pods[n] = uid
		}
	})
}

// running waits until the instances run n resources together.
func (f *fleet) running(n int) {
	f.t.Helper()
	f.eventually(fmt.Sprintf("%d run", n), func() bool {
		sum := 0
		for _, s := range f.solos {
			sum += s.Count()
		}
		return sum == n
	})
}

// overlaps are the resources that ran in two places at once.
func (f *fleet) overlaps() []workload.Overlap {
	f.mu.Lock()
	defer f.mu.Unlock()
	runs, err := workload.ReadRuns(strings.NewReader(f.log.String()))
	require.NoError(f.t, err)
	require.Positive(f.t, runs.Records)
	return runs.Overlaps
}

// emptied waits until n owns nothing and everything is in a list.
func (f *fleet) emptied(n, all int) {
	f.t.Helper()
	f.eventually(fmt.Sprintf("%d is empty", n), func() bool { return f.e.State().Instances[n].IDs.Len() == 0 })
	f.placed(all)
}

func (f *fleet) stays(stay ...int) {
	f.order(func(o *orders.Orders) { o.Stay, o.Ready = stay, stay })
}

// Instances that acknowledge never run anything twice, also when one hangs for longer than its
// session in mid-move: if it fences itself, what it held goes on when it is surely still; if not,
// only when it has come back or its pod is gone.
func TestRealAcknowledgedHandOff(t *testing.T) {
	for name, fences := range map[string]bool{"fencing": true, "not fencing": false} {
		t.Run(name, func(t *testing.T) {
			f, connect := startFleet(t, workload.ModeAcknowledged, fences, config.HandOffAcknowledged, 0, 1, 2)
			ids := uuids(600)
			f.importAll(ids)
			f.placed(len(ids))
			f.running(len(ids))

			f.solos[2].Stall() // until it is taken from: from what hangs nothing is
			f.stays(0, 1)
			f.eventually("what 2 holds is in flight", func() bool { return f.e.Progress().Acknowledged < 200 && f.e.State().InFlight() == 200 })
			f.solos[2].Hang()
			if fences {
				f.emptied(2, len(ids)) // its session and a margin later
				require.Zero(t, f.solos[2].Count())
			} else {
				f.eventually("its session has expired", func() bool { return f.e.State().Instances[2].Status == nil })
				f.eventually("it is waited for", func() bool { return strings.Contains(f.e.Progress().Blocked, "proves nothing") })
				require.Equal(t, 200, f.e.State().InFlight())
			}
			f.solos[2].Resume()
			f.emptied(2, len(ids))
			f.running(len(ids))
			require.Empty(t, f.overlaps())

			f.stays(0, 1, 2)
			f.running(len(ids))
			f.eventually("2 has its part again", func() bool { return f.e.State().Instances[2].IDs.Len() == 200 })
			f.solos[2].Kill()
			f.begin(2, "pod-2b")
			f.order(func(o *orders.Orders) { o.GonePods = map[string]bool{"pod-2": true} })
			f.stays(0, 1)
			f.emptied(2, len(ids))
			f.running(len(ids))
			reread(t, connect, ids)
			require.Empty(t, f.overlaps())
		})
	}
}

// An immediate hand-off asks no instance: what it promises is what ZooKeeper shows.
func TestRealImmediateHandOff(t *testing.T) {
	f, connect := startFleet(t, workload.ModeImmediate, false, config.HandOffImmediate, 0, 1, 2)
	ids := uuids(600)
	f.importAll(ids)
	f.placed(len(ids))
	f.running(len(ids))
	f.solos[2].Hang()
	f.stays(0, 1)
	f.emptied(2, len(ids))
	reread(t, connect, ids)
	f.eventually("the others run it too", func() bool { return f.solos[0].Count()+f.solos[1].Count() == len(ids) })
	require.NotEmpty(t, f.overlaps(), "the frozen one has not let go: this is what acknowledging is for")
	f.solos[2].Resume()
	f.running(len(ids))
}

// A rolled-back spread between real instances ends where it began, and nothing runs twice on the
// way.
func TestRealRollback(t *testing.T) {
	f, connect := startFleet(t, workload.ModeAcknowledged, false, config.HandOffAcknowledged, 0, 1, 2)
	f.stays(0, 1)
	ids := uuids(600)
	f.importAll(ids)
	f.placed(len(ids))
	f.running(len(ids))
	before := f.e.State()
	f.solos[1].Stall()
	// A wave of a spread takes from those whose lists may change at once: with an interval it could
	// take from one after the other.
	f.order(func(o *orders.Orders) { o.Limits.ListInterval = new(config.Duration) })
	f.stays(0, 1, 2)
	f.eventually("half of the spread has arrived", func() bool { p := f.e.Progress(); return p.Done == 100 && p.Left == 100 })
	f.order(func(o *orders.Orders) { o.Limits.Paused = true })
	done, err := f.e.Rollback(t.Context(), "override", orders.Replace(nil))
	require.NoError(t, err)
	require.Equal(t, []int{100, 100, 0}, []int{done.Returned, done.Undone, done.Kept})
	f.solos[1].Resume()
	f.placed(len(ids))
	f.eventually("the undo has ended", func() bool { return f.e.Progress().PlanID == "" })
	f.running(len(ids))
	after := reread(t, connect, ids)
	for n := range 3 {
		require.ElementsMatch(t, before.Instances[n].IDs.Strings(), slices.Clone(after.Instances[n].IDs.Strings()), "instance %d", n)
	}
	require.Empty(t, f.overlaps())
}

// Instances that only watch `_reload` under an acknowledged hand-off: growth and a drain leave
// everything where it runs, and say why.
func TestRealInstancesThatDoNotAcknowledgeKeepWhatTheyHave(t *testing.T) {
	for mode, why := range map[workload.Mode]string{
		workload.ModeLegacy: "its status is absent", workload.ModeImmediate: "its status is present and empty",
	} {
		t.Run(string(mode), func(t *testing.T) {
			f, connect := startFleet(t, mode, false, config.HandOffAcknowledged, 0, 1, 2)
			ids := uuids(834)
			f.importAll(ids[:634])
			f.placed(634)
			f.running(634)
			before := f.e.State()

			f.stays(0, 1, 2, 3, 4)
			f.eventually("all are open", func() bool { return len(f.e.State().Head.Open) == 5 })
			f.begin(3, "pod-3")
			f.begin(4, "pod-4")
			f.importAll(ids[634:]) // goes to the new ones
			f.running(len(ids))
			require.Equal(t, 200, f.solos[3].Count()+f.solos[4].Count())

			f.stays(0, 1, 2)
			f.eventually("it says why nothing leaves", func() bool {
				return strings.Contains(f.e.Progress().Blocked, "instance 4 is leaving (resources left: 100): "+why)
			})
			require.Contains(t, f.e.Progress().Blocked, "handOff: immediate")
			require.Equal(t, map[int]int{3: 100, 4: 100}, f.e.Progress().Draining)
			f.running(len(ids))
			after := reread(t, connect, ids)
			require.Zero(t, after.InFlight())
			for n, in := range before.Instances {
				require.Equal(t, in.IDs.Strings(), after.Instances[n].IDs.Strings(), "instance %d", n)
				require.Equal(t, in.Times, after.Instances[n].Times, "instance %d was told nothing", n)
			}

			f.order(func(o *orders.Orders) { o.HandOff = config.HandOffImmediate })
			f.emptied(4, len(ids))
			f.emptied(3, len(ids))
			f.running(len(ids))
			reread(t, connect, ids)
		})
	}
}

// One of four does not acknowledge: it keeps what it has, and the others give the fifth its share.
func TestRealOneOfFourThatDoesNotAcknowledge(t *testing.T) {
	for _, mode := range []workload.Mode{workload.ModeLegacy, workload.ModeImmediate} {
		t.Run(string(mode), func(t *testing.T) {
			f, connect := startFleet(t, workload.ModeAcknowledged, false, config.HandOffAcknowledged, 0, 1, 2)
			f.stays(0, 1, 2, 3)
			f.eventually("3 has znodes", func() bool { return f.e.State().Instances[3] != nil })
			f.cfg.Mode = mode
			f.begin(3, "pod-3")
			f.cfg.Mode = workload.ModeAcknowledged
			ids := uuids(400)
			f.importAll(ids)
			f.placed(len(ids))
			f.running(len(ids))
			before := f.e.State()

			f.stays(0, 1, 2, 3, 4)
			f.eventually("4 has znodes", func() bool { return f.e.State().Instances[4] != nil })
			f.begin(4, "pod-4")
			f.eventually("4 has its share", func() bool { return f.e.State().Instances[4].IDs.Len() == 75 })
			f.placed(len(ids))
			f.running(len(ids))
			after := reread(t, connect, ids)
			require.Equal(t, map[int]int{0: 75, 1: 75, 2: 75, 3: 100, 4: 75}, counts(after))
			require.Equal(t, before.Instances[3].IDs.Strings(), after.Instances[3].IDs.Strings())
			require.Equal(t, before.Instances[3].Times, after.Instances[3].Times)
			require.Empty(t, f.overlaps())
		})
	}
}
