package notify

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestABurstIsOverWhenTheQueueHasRunDry(t *testing.T) {
	at := time.Unix(1_760_000_000, 0)
	var b burst
	came := func(n int, every time.Duration) {
		for range n {
			at = at.Add(every)
			b.came(at)
		}
	}
	over := func(waiting bool) bool { return b.over(at.Add(burstEnd), waiting) }

	came(burstSize, time.Millisecond)
	require.False(t, over(false), "as many as may come")
	came(1, time.Millisecond)
	require.False(t, b.over(at.Add(burstEnd-1), false), "more may come")
	require.False(t, over(true), "it is not committed yet")
	require.True(t, over(false))
	require.False(t, over(false), "once")

	at = at.Add(time.Minute)
	came(burstSize, time.Millisecond)
	require.False(t, over(false), "those of the burst before do not count again")

	at = at.Add(time.Minute)
	came(3*burstSize, burstSpan/burstSize+time.Millisecond)
	require.False(t, over(false), "slowly, any number")
	came(burstSize, time.Microsecond)
	require.True(t, over(false), "the newest ones count, whatever came before")
}
