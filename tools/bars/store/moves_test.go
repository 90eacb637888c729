package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

// BenchmarkGrow times what committing a large plan costs beyond writing the lists: from the orders
// for more instances until everything is in its list, beside setting every changed list once to its
// final bytes, before it and after it. It includes the new instances' znodes, the planning, the
// pool and the flight. Each list is written once, which is checked.
func BenchmarkGrow(b *testing.B) {
	for name, g := range map[string]scaleUp{
		"place":  {from: 10, to: 100, resources: 500_000, changed: 90},
		"spread": {from: 100, to: 101, resources: 490_000, changed: 101},
	} {
		b.Run(name, g.run)
	}
}

// scaleUp is a change of the number of instances, and how many lists it changes.
type scaleUp struct {
	from, to, resources int
	changed             int
}

func (g scaleUp) run(b *testing.B) {
	s := start(b)
	ids := product.IDs(g.resources, 11)
	lists := map[string][]byte{} // as the round before left them: those of every round are as long
	g.round(s, "/warm", ids, lists)
	var took, bares []float64
	for round := 0; b.Loop(); round++ {
		before, ours, after := g.round(s, fmt.Sprintf("/round-%d", round), ids, lists)
		took, bares = append(took, ours), append(bares, (before+after)/2)
	}
	b.Logf("ours %.0f ms, bare %.0f", took, bares)
	b.ReportMetric(rounds.Median(took)/1e3, "s")
	b.ReportMetric(rounds.Ratio(took, bares), "ratio")
}

// round scales up once, between two times of setting the lists; all in ms.
func (g scaleUp) round(s *server, chroot string, ids []string, lists map[string][]byte) (before, ours, after float64) {
	k := s.keep(chroot, g.from)
	defer k.close()
	start := g.fill(k, ids)
	before = s.bare(lists)
	began := time.Now()
	k.size(g.to, g.to)
	k.await("all in lists", func(st *protocol.State) bool {
		return st.Instances[g.to-1].IDs.Len() >= len(ids)/g.to && len(st.Pool)+len(st.Flight) == 0 && st.Assigned() == len(ids)
	})
	ours = rounds.Since(began)
	s.finalLists(chroot, g.to, start, lists)
	after = s.bare(lists)
	k.close()
	g.changedOnce(s, start, s.verify(chroot, ids))
	return before, ours, after
}

// fill makes the start: all lists even, or full and the rest in the pool; the new instances have
// their znodes and are not ready yet. No list has changed for a second then, so that every one may.
func (g scaleUp) fill(k *keeper, ids []string) *protocol.State {
	k.create(ids)
	k.size(g.to, g.from)
	k.await("the start", func(st *protocol.State) bool {
		return st.Assigned() == min(len(ids), g.from*fullList) && len(st.Flight) == 0 && len(st.Instances) == g.to
	})
	st := k.State()
	time.Sleep(2 * time.Second)
	return st
}

// changedOnce wants as many lists to have changed as the least number of moves changes, and each
// once.
func (g scaleUp) changedOnce(tb testing.TB, before, after *protocol.State) {
	changed := 0
	for n, in := range after.Instances {
		times := in.Times - before.Instances[n].Times
		require.Contains(tb, []int64{0, 1}, times, "changes of the list of instance %d", n)
		if times == 1 {
			changed++
		}
	}
	require.Equal(tb, g.changed, changed, "lists that changed")
}

// finalLists fills in the lists that are not as they were, at paths of their own.
func (s *server) finalLists(chroot string, instances int, before *protocol.State, lists map[string][]byte) {
	for n := range instances {
		data, stat, err := s.raw.Get(chroot + protocol.InstancePath(kind, n) + "/resources")
		require.NoError(s, err)
		if stat.Version != before.Instances[n].ListVersion {
			path := fmt.Sprintf("/bare/%d", n)
			s.makePath(path)
			lists[path] = data
		}
	}
}

// bare is the median time of setting every list once, as many at a time as the store does, in ms.
// One time differs from the next by half, so there are several.
func (s *server) bare(lists map[string][]byte) float64 {
	var took []float64
	for range 3 {
		var g errgroup.Group
		g.SetLimit(writers)
		began := time.Now()
		for path, data := range lists {
			g.Go(func() error {
				_, err := s.raw.Set(path, data, -1)
				return err
			})
		}
		err := g.Wait()
		took = append(took, rounds.Since(began))
		require.NoError(s, err)
	}
	return rounds.Median(took)
}
