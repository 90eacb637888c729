package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/zkproxy"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// TestTheLeaderIsReplaced takes the leader away in every way, while Things are created and the other
// replicas are read: cut off from ZooKeeper, frozen, killed and stopped. Each time another one takes
// every head, what is created meanwhile is durable, a read of the others never fails, and the former
// leader writes nothing any more, also when it comes back.
func TestTheLeaderIsReplaced(t *testing.T) {
	proxies := map[string]*zkproxy.Proxy{}
	w := startBeside(t, func(env *servers.Env, o *product.Options) {
		o.Replicas = 3
		o.EachServer = func(i int) []string {
			name := fmt.Sprintf("shardscaler-%d", i)
			proxies[name] = zkproxy.New(t, env.ZooKeeper.Addrs()...)
			return []string{"--zookeeper", proxies[name].Addr() + o.Chroot}
		}
	})
	ids := product.IDs(1_500, 1)
	require.NoError(t, w.Platform.Import(t.Context(), thing, ids[:900], 1))
	w.settled(thing, thingSet, thingInit, 900)
	known := 900
	partition := func(v *product.Server) error {
		proxies[v.Name].Partition()
		return nil
	}
	heal := func(v *product.Server) error {
		proxies[v.Name].Heal()
		return nil
	}
	for _, way := range []struct {
		name       string
		take, back func(*product.Server) error
	}{
		{"cut off", partition, heal},
		{"frozen", (*product.Server).Freeze, (*product.Server).Continue},
		{"killed", (*product.Server).Kill, (*product.Server).Start},
		{"stopped", func(v *product.Server) error { return v.Stop(t.Context()) }, (*product.Server).Start},
	} {
		former := w.leader()
		reads := w.readOthers(former)
		require.NoError(t, way.take(former))
		require.NoError(t, w.Platform.Import(t.Context(), thing, ids[known:known+100], uint64(known)))
		known += 100
		successor := w.follows(former, way.name)
		w.until("what is created meanwhile has an owner", func(ctx context.Context) error {
			a, err := w.Assignment(ctx, thing)
			if err == nil && a.Assigned() != known {
				err = fmt.Errorf("%d of %d have", a.Assigned(), known)
			}
			return err
		})
		reads()
		if way.name == "stopped" {
			log, err := os.ReadFile(former.Log)
			require.NoError(t, err)
			require.Contains(t, string(log), "not leading any more")
			require.NotContains(t, string(log), "client is closed", "it has written what it had begun")
		}
		require.NoError(t, way.back(former))
		require.NoError(t, w.AwaitReady(t.Context(), former))
		require.NoError(t, w.Platform.Import(t.Context(), thing, ids[known:known+50], uint64(known)))
		known += 50
		w.holds(w.settled(thing, thingSet, thingInit, known), ids[:known])
		w.until("the successor leads alone", func(ctx context.Context) error {
			leader, err := w.Leader(ctx)
			if err == nil && leader != successor {
				err = errors.New("another replica does")
			}
			return err
		})
	}
	w.lostNothing(thing, nil)
	for _, kind := range []string{thing, rule} {
		w.oneWriterAtATime(kind, 5)
	}
}

// TestAHeadThatCannotBeTaken leaves the head of one kind as a newer build would: the next leader
// reports that kind, and leads the other one.
func TestAHeadThatCannotBeTaken(t *testing.T) {
	w := startBeside(t, func(_ *servers.Env, o *product.Options) { o.Replicas = 2 })
	ids := product.IDs(950, 1)
	require.NoError(t, w.Platform.Import(t.Context(), thing, ids[:900], 1))
	w.settled(thing, thingSet, thingInit, 900)
	former := w.leader()
	require.NoError(t, former.Freeze())
	_, err := w.Env.ZooKeeper.Dial(t).Set(w.Chroot+protocol.HeadPath(rule), []byte(`{"v":2}`), -1)
	require.NoError(t, err)
	successor := w.follows(former, "frozen")
	require.NoError(t, w.Platform.Import(t.Context(), thing, ids[900:], 901))
	w.holds(w.settled(thing, thingSet, thingInit, len(ids)), ids)
	w.until("the kind is reported", func(ctx context.Context) error {
		lines, err := successor.Text(ctx, "/readyz")
		if err == nil && !strings.Contains(lines, "[!]rule-assignment degraded: the kind is stopped: "+protocol.HeadPath(rule)) {
			err = errors.New(lines)
		}
		return err
	})
	require.NoError(t, former.Continue())
	require.NoError(t, w.AwaitReady(t.Context(), former))
	w.lostNothing(thing, nil)
}

// follows waits until another replica than former leads.
func (w *world) follows(former *product.Server, what string) (successor *product.Server) {
	w.t.Helper()
	w.until("another replica leads, the leader being "+what, func(ctx context.Context) (err error) {
		successor, err = w.Leader(ctx)
		if err == nil && successor == former {
			err = errors.New("it is still the same")
		}
		return err
	})
	return successor
}

// readOthers reads REST and /metrics of all replicas but one until its result is called, which
// requires that they were read and that no read failed.
func (w *world) readOthers(but *product.Server) (end func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	var all sync.WaitGroup
	for _, v := range w.Servers {
		if v == but {
			continue
		}
		all.Go(func() {
			for reads := 0; ; reads++ {
				for _, path := range []string{"/metrics", "/v1/api/orchestrations/Thing", "/readyz"} {
					if _, err := v.Text(ctx, path); err != nil && ctx.Err() == nil {
						w.t.Errorf("GET %s of %s: %v", path, v.Name, err)
					}
				}
				if ctx.Err() != nil {
					require.Positive(w.t, reads)
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
	}
}

// oneWriterAtATime requires of ZooKeeper's own log that a session which wrote for a kind writes
// nothing after another one has taken the head, and that the head was taken at least so often.
func (w *world) oneWriterAtATime(kind string, heads int) {
	w.t.Helper()
	txns, err := w.Transactions()
	require.NoError(w.t, err)
	head := w.Chroot + "/iota/shardscaler/" + kind + "/head"
	owned := []string{w.Chroot + "/iota/shardscaler/" + kind + "/", w.Chroot + "/iota/orchestration/" + kind + "/"}
	var epoch int64
	taken := 0
	over := map[int64]bool{} // sessions of former leaders
	writers := map[int64]bool{}
	for _, txn := range txns {
		for _, op := range txn.Ops {
			var h struct{ Epoch int64 }
			switch {
			case op.Path == head && !op.Checked && json.Unmarshal(op.Data, &h) == nil && h.Epoch > epoch:
				epoch, taken = h.Epoch, taken+1
				for s := range writers {
					over[s] = true
				}
				writers = map[int64]bool{txn.Session: true}
				delete(over, txn.Session)
			case op.Checked || op.Ephemeral || strings.Contains(op.Path, "/tmp/status"):
			case strings.HasPrefix(op.Path, owned[0]) || strings.HasPrefix(op.Path, owned[1]):
				require.False(w.t, over[txn.Session], "%s: written by a former leader at %s", op.Path, txn.Time)
				writers[txn.Session] = true
			}
		}
	}
	require.GreaterOrEqual(w.t, taken, heads, "leaders of %s", kind)
}
