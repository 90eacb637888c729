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
	over := func(waiting bool) bool { return b.over(at.Add(burstLook), waiting) }

	came(burstSize, time.Millisecond)
	require.False(t, over(false), "as many as may come")
	came(1, time.Millisecond)
	require.False(t, b.over(at.Add(burstLook-1), false), "more may come")
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

// flow is a burst, at a time.
type flow struct {
	burst
	at time.Time
	// reads are when it was said to be over, in seconds.
	reads []int
}

// goes lets so much time pass with so many messages in each second, which wait at each look or do
// not.
func (s *flow) goes(d time.Duration, each int, waiting bool) {
	start := s.at
	for s.at.Sub(start) < d {
		for i := range each {
			s.came(s.at.Add(time.Duration(i) * time.Second / time.Duration(each)))
		}
		s.at = s.at.Add(time.Second)
		if s.over(s.at, waiting) {
			s.reads = append(s.reads, int(s.at.Sub(time.Unix(0, 0)).Seconds()))
		}
	}
}

func newFlow() *flow { return &flow{at: time.Unix(0, 0)} }

func TestABurstIsOverWhenTheRateHasFallen(t *testing.T) {
	s := newFlow()
	s.goes(2*time.Second, 1000, false)
	s.goes(5*time.Minute, 3, false)
	require.Equal(t, []int{12}, s.reads, "ten seconds later no more came within ten seconds than usual")
	s.goes(time.Second, 1000, false)
	s.goes(5*time.Minute, 3, false)
	require.Equal(t, []int{12, 313}, s.reads, "the next one")
}

func TestALongBurstIsReadForEachMinute(t *testing.T) {
	s := newFlow()
	s.goes(5*time.Minute, 100, false)
	s.goes(time.Minute, 0, false)
	require.Equal(t, []int{65, 125, 185, 245, 301}, s.reads, "from the 501st message on, and at its end")

	s = newFlow()
	s.goes(3*time.Minute, 100, true)
	s.goes(time.Minute, 0, false)
	require.Equal(t, []int{65, 125, 181}, s.reads, "the queue has not run dry in between")
}

// A broker that hands out 20 messages and waits for the commit is slow, and drops the others all
// the same.
func TestAStreamThatAlwaysWaitsIsABurst(t *testing.T) {
	s := newFlow()
	s.goes(9*time.Second, 20, true)
	s.goes(time.Minute, 20, false)
	require.Empty(t, s.reads)
	s.goes(30*time.Second, 20, true)
	s.goes(time.Minute, 20, false)
	require.Equal(t, []int{100}, s.reads, "when the queue has run dry")
	s.goes(2*time.Minute, 20, true)
	require.Equal(t, []int{100, 229}, s.reads, "and in between when it lasts")
}
