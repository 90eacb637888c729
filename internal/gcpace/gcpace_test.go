package gcpace

import (
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPercentLeadsToTheGoal(t *testing.T) {
	for live, want := range map[uint64]int{0: most, 1 << 20: most, 32 << 20: 100, 40 << 20: 60, 48 << 20: 33, 64 << 20: least, 1 << 30: least} {
		require.Equal(t, want, percentFor(live, 0), "%d bytes alive", live)
	}
}

func TestLimitLeavesRoomForWhatIsAlive(t *testing.T) {
	for live, want := range map[uint64]int64{0: whole, 36 << 20: whole, 100 << 20: 151 << 20, 1000 << 20: 1276 << 20} {
		require.Equal(t, want, limitFor(live, 0), "%d bytes alive", live)
	}
}

// Of many kinds the heap may grow by as much for each, whatever is alive.
func TestManyKindsAreGivenRoom(t *testing.T) {
	const live, kinds = 256 << 20, 1000
	require.Equal(t, least, percentFor(live, 0))
	require.Equal(t, (room+kinds*perKind)*100/live, percentFor(live, kinds*perKind))
	require.Equal(t, limitFor(live, 0)+kinds*perKind, limitFor(live, kinds*perKind))
}

func TestEachCollectionIsFollowed(t *testing.T) {
	var calls atomic.Int32
	afterEach(func() { calls.Add(1) })
	for want := int32(1); want < 4; want++ {
		runtime.GC()
		require.Eventually(t, func() bool { return calls.Load() >= want }, time.Minute, time.Millisecond)
	}
}

func TestTheLimitIsNeverAboveTheOneGiven(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	share := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(share) })
	p := &pacer{given: 100 << 20}
	for limit, want := range map[int64]int64{whole: whole, 100 << 20: 100 << 20, 1 << 40: 100 << 20} {
		p.limit = 0
		p.set(most, limit)
		require.Equal(t, want, debug.SetMemoryLimit(-1))
	}
}
