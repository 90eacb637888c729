package rebalancer

import (
	"runtime"
	"testing"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// stateOf spreads ids over n lists.
func stateOf(ids []string, n int) *protocol.State {
	st := protocol.NewState("Thing")
	each := (len(ids) + n - 1) / n
	for i := range n {
		list := ids[min(i*each, len(ids)):min((i+1)*each, len(ids))]
		st.Instances[i] = &protocol.Instance{Ordinal: i, IDs: list, Used: len(list)}
	}
	return st
}

func BenchmarkIndexBuild350000(b *testing.B) {
	st := stateOf(uuids(350_000), 100)
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		x := &index{}
		x.start(st)
		x.catchUp()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
		runtime.KeepAlive(x)
	}
}

// BenchmarkIndexFollow350000 is what a commit that changes one list costs everybody who asks where ids are.
func BenchmarkIndexFollow350000(b *testing.B) {
	ids := uuids(350_100)
	st := stateOf(ids[:350_000], 100)
	x := &index{}
	x.start(st)
	x.catchUp()
	long := *st.Instances[99]
	long.IDs = append(append([]string(nil), long.IDs...), ids[350_000:]...)
	grown := st.Clone()
	grown.Instances[99] = &long
	b.ReportAllocs()
	for b.Loop() {
		x.follow(grown)
		x.catchUp()
		x.follow(st)
		x.catchUp()
	}
}
