package store

import (
	"runtime"
	"testing"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

// resize is a change of the number of instances.
type resize struct{ from, to, resources int }

var (
	growSmall = resize{100, 101, 500_000}
	grow      = resize{999, 1000, 4_400_000}
	shrink    = resize{1000, 900, 4_400_000}
)

// BenchmarkCommit times what a change of the number of instances costs beyond writing the lists:
// from the orders until everything is in its list, and setting every list that this changes once,
// to its final bytes, on the same znodes. The two take turns, each first in every second round. A
// round that is not timed comes before, in which what both write is counted.
func BenchmarkCommit(b *testing.B) {
	for name, r := range map[string]resize{"100_to_101": growSmall, "999_to_1000": grow, "1000_to_900": shrink} {
		b.Run(name, r.run)
	}
}

func (r resize) run(b *testing.B) {
	s := start(b)
	t := s.plant("/resize", max(r.from, r.to))
	ids := product.IDs(r.resources, 21)
	before := t.deal(ids, r.from)
	var marks [3]int64
	r.do(t, before, func(_ *keeper, run func()) {
		marks[0] = t.mark()
		run()
		marks[1] = t.mark()
	})
	after := t.changed(before)
	t.set(after)
	marks[2] = t.mark()
	var took, bares []float64
	for round := 0; b.Loop(); round++ {
		rounds.Alternate(round, func() {
			r.do(t, before, func(_ *keeper, run func()) { took = append(took, timed(run)) })
		}, func() {
			bares = append(bares, timed(func() { t.set(after) }))
		})
	}
	s.verify(t.chroot, ids)
	t.survived()
	ours, bare := t.logged(marks[0], marks[1]), t.logged(marks[1], marks[2])
	b.Logf("ours %.0f ms, bare %.0f; ours %+v, bare %+v", took, bares, ours, bare)
	b.ReportMetric(rounds.Median(took)/1e3, "s")
	b.ReportMetric(rounds.Ratio(took, bares), "ratio")
	b.ReportMetric(float64(ours.lists)/float64(bare.lists), "list_writes_ratio")
	b.ReportMetric(float64(ours.bytes)/float64(bare.bytes), "bytes_ratio")
}

// do has an engine change the number of instances; around is given the engine, and what runs until
// that is done.
func (r resize) do(t *tree, before []list, around func(k *keeper, run func())) {
	t.reset(before)
	k := t.follow(t.client(t.chroot))
	defer k.close()
	k.lead()
	k.size(r.from, r.from)
	k.await("the start", func(st *protocol.State) bool {
		return len(st.Head.Open) == r.from && len(st.Pool)+len(st.Flight) == 0 && st.Assigned() == r.resources
	})
	runtime.GC()
	around(k, func() {
		k.size(r.to, r.to)
		k.await("all in lists", r.isDone)
	})
}

// isDone looks at few lists while it is not.
func (r resize) isDone(st *protocol.State) bool {
	if len(st.Pool)+len(st.Flight) > 0 || st.Instances[r.to-1].IDs.Len() < r.resources/r.to {
		return false
	}
	for n := r.to; n < r.from; n++ {
		if st.Instances[n].IDs.Len() > 0 {
			return false
		}
	}
	return st.Assigned() >= r.resources
}

func timed(do func()) (ms float64) {
	began := time.Now()
	do()
	return rounds.Since(began)
}
