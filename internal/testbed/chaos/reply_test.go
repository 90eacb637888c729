package chaos

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/zkproxy"
)

// TestEachReplyLost loses the answer of every transaction once: ZooKeeper has done it, and the
// product does not know. Each kind of transaction must have been met.
func TestEachReplyLost(t *testing.T) {
	env := servers.Require(t, servers.AllParts...)
	z := env.NewZooKeeper(t, 3)
	proxy := zkproxy.New(t, z.Addrs()...)
	l := startLane(t, env, z, laneOptions{change: through(proxy)})
	losing := &lostOnce{seen: map[uint64]bool{}, lost: map[string]int{}}
	proxy.SetEach(losing.harm)
	l.up()
	l.settled()
	l.down()
	l.settled()
	l.undone()
	l.pooled()
	l.turned()
	proxy.SetEach(nil)
	v := l.clean()
	require.Positive(t, v.lowered)

	losing.mu.Lock()
	defer losing.mu.Unlock()
	lost, total := losing.lost, 0
	for _, step := range []string{
		"head", "create", "assign", "delete-pooled", "add-ordinal", "remove-ordinal", "plan", "revoke", "redirect", "grant", "forget", "keep",
	} {
		require.Positive(t, lost[step], "no answer to a %s was lost: %v", step, lost)
	}
	for _, n := range lost {
		total += n
	}
	counted.add("answers lost after the commit: %d, of %d kinds of transactions: %v", total, len(lost), slices.Sorted(maps.Keys(lost)))
}

// through makes the product reach ZooKeeper through a proxy.
func through(p *zkproxy.Proxy) func(*product.Options) {
	return func(o *product.Options) { o.ServerFlags = append(o.ServerFlags, "--zookeeper", p.Addr()+o.Chroot) }
}

// undone undoes a drain that could not end.
func (l *lane) undone() {
	l.t.Helper()
	l.drainHeld()
	l.up()
	l.sees("2 is open again", func(a *product.Assignment) bool {
		return slices.Contains(a.Open, 2)
	})
	l.resume(2)
	l.settled()
	l.down()
	l.settled()
}

// grown makes an instance 2 that owns something.
func (l *lane) grown() {
	l.t.Helper()
	l.up()
	l.settled()
	l.sees("instance 2 has its share", func(a *product.Assignment) bool {
		return a.InFlight() == 0 && len(a.Instances[2].IDs) >= target/2
	})
}

// inFlight waits until something is in flight to others from an ordinal that is closed.
func (l *lane) inFlight(from int) {
	l.t.Helper()
	l.sees(fmt.Sprintf("something is in flight from %d to others", from), func(a *product.Assignment) bool {
		return !slices.Contains(a.Open, from) && slices.ContainsFunc(a.Flight, func(f product.Flight) bool {
			return f.From == from && len(f.To) > 0
		})
	})
}

// pooled deletes what waits in the pool, since the kind is paused.
func (l *lane) pooled() {
	l.t.Helper()
	l.pause(true)
	// else what is created may still be placed
	l.shows(`shardscaler_shrink_held{kind="Thing",reason="paused"} 1`)
	fresh := l.create(4)
	l.sees("they wait in the pool", func(a *product.Assignment) bool {
		return len(a.Pool) == len(fresh)
	})
	l.take(fresh[:2])
	l.sees("two are deleted there", func(a *product.Assignment) bool {
		return len(a.Pool) == 2
	})
	l.pause(false)
	l.settled()
}

// turned creates again what is being deleted and whose instance has not released it.
func (l *lane) turned() {
	l.t.Helper()
	l.hangTurned()
	l.resume(0)
	l.settled()
}

// hangTurned hangs instance 0, deletes two of its ids, which are in flight since then, and creates
// them again.
func (l *lane) hangTurned() {
	l.t.Helper()
	l.hang(0)
	ids := slices.Clone(l.assignment().Instances[0].IDs[:2])
	l.take(ids)
	l.sees("their delete is in flight", func(a *product.Assignment) bool {
		return a.InFlight() == len(ids)
	})
	l.give(ids)
	l.sees("they are to be kept", func(a *product.Assignment) bool {
		return len(a.Flight) == 1 && len(a.Flight[0].To) > 0
	})
}

func (l *lane) pause(on bool) {
	l.t.Helper()
	require.NoError(l.t, l.Configure(l.t.Context(), func(c *config.Config) { c.Kinds[0].Paused = on }))
}

// take publishes the deletion of certain ids, give the creation of ids that were there before.
func (l *lane) take(ids []string) {
	l.t.Helper()
	l.ids = slices.DeleteFunc(l.ids, func(id string) bool { return slices.Contains(ids, id) })
	l.gone = append(l.gone, ids...)
	for _, id := range ids {
		l.taken[id] = true
	}
	require.NoError(l.t, l.Platform.Publish(l.t.Context(), product.BulkDeleted(thing, ids)))
}

func (l *lane) give(ids []string) {
	l.t.Helper()
	l.ids = append(l.ids, ids...)
	l.gone = slices.DeleteFunc(l.gone, func(id string) bool { return slices.Contains(ids, id) })
	require.NoError(l.t, l.Platform.Publish(l.t.Context(), product.BulkCreated(thing, ids)))
}
