package main

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
)

// at is a time in ms.
func at(ms int64) time.Time { return time.UnixMilli(1_000_000 + ms) }

// told is what the log says of operations, one transaction each.
func told(t *testing.T, ops func(add func(session, ms int64, ops ...product.TxnOp))) *terms {
	t.Helper()
	got := newTerms("/w")
	ops(func(session, ms int64, ops ...product.TxnOp) {
		require.NoError(t, got.add(product.Txn{Session: session, Time: at(ms), Ops: ops}))
	})
	return got
}

const ownTree = "/w/iota/shardscaler/Thing/"

func takes(epoch string) product.TxnOp {
	return product.TxnOp{Path: ownTree + "head", Data: []byte(`{"epoch":` + epoch + `}`)}
}

func made(name string) product.TxnOp {
	return product.TxnOp{Path: ownTree + "pool/" + name, Created: true}
}

func TestSuccessorAndGaps(t *testing.T) {
	got := told(t, func(add func(session, ms int64, ops ...product.TxnOp)) {
		add(1, 0, takes("7"))
		add(1, 10, made("7-0"))
		add(1, 110, made("7-1"))
		add(3, 115, product.TxnOp{Path: "/other/iota/shardscaler/Thing/pool/99-1", Created: true})
		add(1, 120, made("7-2")) // it was on its way when its writer was struck, at 112
		add(2, 900, takes("8"))
		add(2, 1000, made("8-0"))
		add(2, 1020, product.TxnOp{Path: ownTree + "pool/8-0"}) // which was not made now
		add(2, 1050, made("8-1"))
	})
	first, found := got.successor(at(112), time.Time{})
	require.True(t, found)
	require.Equal(t, create{at(1000), 8}, first)
	_, found = got.successor(at(1001), time.Time{})
	require.False(t, found, "none came after")
	first, found = got.successor(at(1001), at(1030))
	require.True(t, found)
	require.Equal(t, create{at(1050), 8}, first, "the leader itself, when it was given back")
	require.InDelta(t, 880, got.longestGap(at(112), at(2000)), 0.1)
	require.InDelta(t, 880, got.longestGap(at(500), at(600)), 0.1, "a gap that is longer than the span")
	require.InDelta(t, 50, got.longestGap(at(1001), at(2000)), 0.1)
	require.Empty(t, got.old)
}

func TestOldEpochsAreSeen(t *testing.T) {
	list := product.TxnOp{Path: "/w/iota/orchestration/Thing/3/resources", Version: 4}
	for name, late := range map[string]product.TxnOp{
		"a piece": made("7-3"), "a list": list, "a document": {Path: ownTree + "scaler"},
		"what is checked": {Path: ownTree + "head", Checked: true},
	} {
		got := told(t, func(add func(session, ms int64, ops ...product.TxnOp)) {
			add(1, 0, takes("7"))
			add(1, 1, list)
			add(2, 2, takes("8"))
			add(2, 3, list)
			add(5, 4, list)                                                  // nobody who ever led
			add(1, 5, product.TxnOp{Path: ownTree + "voter", Deleted: true}) // the end of its session
			add(1, 6, late)
		})
		require.Len(t, got.old, 1, name)
	}
	got := told(t, func(add func(session, ms int64, ops ...product.TxnOp)) {
		add(1, 0, takes("7"))
		add(2, 1, takes("8"))
		add(1, 2, takes("9"))
		add(1, 3, list)
	})
	require.Empty(t, got.old, "who takes the head again writes again")
}

func TestFiguresOfStrikes(t *testing.T) {
	log := told(t, func(add func(session, ms int64, ops ...product.TxnOp)) {
		add(1, 0, made("7-0"))
		add(2, 3000, made("8-0"))
		add(3, 9000, made("9-0"))
		add(3, 20_500, made("9-1"))
		add(4, 51_000, made("10-0"))
	})
	all := losses{
		ours:   []struck{{kill.name, at(1000), time.Time{}}, {kill.name, at(5000), time.Time{}}, {freeze.name, at(10_000), at(20_000)}},
		theirs: []struck{{kill.name, at(31_000), time.Time{}}},
	}
	got, err := all.figures(newBench(io.Discard), log)
	require.NoError(t, err)
	require.Equal(t, map[string]float64{
		"kill_worst_s": 4, "kill_median_s": 2, "freeze_worst_s": 10.5, "freeze_median_s": 10.5,
		"today_kill_s": 20, "over_today": 0.1, "reads_failed": 0, "old_epoch_writes": 0,
	}, got)
	all.theirs[0].at = at(60_000)
	_, err = all.figures(newBench(io.Discard), log)
	require.ErrorContains(t, err, "no create after the kill")
}

func TestUseIsComparedOverAllRounds(t *testing.T) {
	got := map[string]float64{}
	cpu := func(u usage) float64 { return u.cpu }
	compareUse(got, "cpu", "_s", []usage{{cpu: 1}, {cpu: 3}}, []usage{{cpu: 6}, {cpu: 10}}, cpu)
	require.Equal(t, map[string]float64{"cpu_s": 2, "today_cpu_s": 8, "cpu_over_today": 0.25}, got)
}
