package inventory

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// inTurn calls work for 0 to n-1, one after the other.
func inTurn(n int, work func(i int)) {
	for i := range n {
		work(i)
	}
}

// stateOf spreads ids over n lists.
func stateOf(ids []string, n int) *protocol.State {
	st := protocol.NewState("Thing")
	each := (len(ids) + n - 1) / n
	for i := range n {
		list := ids[min(i*each, len(ids)):min((i+1)*each, len(ids))]
		st.Instances[i] = &protocol.Instance{Ordinal: i, IDs: protocol.NewIDs(list), Used: len(list)}
	}
	return st
}

// uuids are ids of the usual length.
func uuids(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%08x-5b1c-4a0e-9f6d-%012x", i, i*7919)
	}
	return ids
}

func BenchmarkIndexBuild350000(b *testing.B) {
	st := stateOf(uuids(350_000), 100)
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		x := &Index{each: inTurn}
		x.start(st)
		x.CatchUp()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
		runtime.KeepAlive(x)
	}
}

// BenchmarkIndexFollow350000 is what a commit that changes one list costs each caller that asks
// where ids are.
func BenchmarkIndexFollow350000(b *testing.B) {
	ids := uuids(350_100)
	st := stateOf(ids[:350_000], 100)
	x := &Index{each: inTurn}
	x.start(st)
	x.CatchUp()
	long := *st.Instances[99]
	long.IDs = protocol.NewIDs(append(append([]string(nil), long.IDs.Strings()...), ids[350_000:]...))
	grown := st.Clone()
	grown.Instances[99] = &long
	b.ReportAllocs()
	for b.Loop() {
		x.follow(grown)
		x.CatchUp()
		x.follow(st)
		x.CatchUp()
	}
}
