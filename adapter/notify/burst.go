package notify

import (
	"sync"
	"time"
)

const (
	// burstSize is how many messages within burstSpan are a burst. mosquitto and HiveMQ keep 1,000
	// messages for a client that is slower than its publishers, and drop the others without a word,
	// QoS 1 or not. How many fit depends on how long a commit takes.
	burstSize = 500
	burstSpan = 10 * time.Second
	// burstLook is the time between two looks whether a burst is over: when no message came.
	burstLook = time.Second
	// crowdedLooks is how many looks in a row must find messages that wait: then a broker may have
	// dropped some, however few it hands out at once.
	crowdedLooks = int(burstSpan / burstLook)
	// burstPart is for how long a burst lasts without a read.
	burstPart = time.Minute
)

// burst notices that so many messages came at once that the broker may have dropped or disordered
// some. It counts messages of any kind: what a broker keeps is bounded by client.
type burst struct {
	mu sync.Mutex
	// last are the times of the last messages, as a ring: at next is the oldest one.
	last [burstSize]time.Time
	next int
	// on: there was a burst, and it is not over. It began, or was last said to be over, at since.
	on     bool
	since  time.Time
	latest time.Time
	// crowded is how many looks in a row have found messages that wait.
	crowded int
}

func (b *burst) came(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fast(now) && !b.on {
		b.on, b.since = true, now
	}
	b.last[b.next], b.latest = now, now
	b.next = (b.next + 1) % burstSize
}

// fast says whether burstSize messages came within burstSpan. b.mu is held.
func (b *burst) fast(now time.Time) bool {
	oldest := b.last[b.next]
	return !oldest.IsZero() && now.Sub(oldest) <= burstSpan
}

// over says, once, that a burst has ended: nothing of it waits any more, and no more comes, or no
// more than usual. Of one that lasts it says so once each burstPart. It is asked at each burstLook.
func (b *burst) over(now time.Time, waiting bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.crowded++
	if !waiting {
		b.crowded = 0
	}
	if b.crowded >= crowdedLooks && !b.on {
		b.on, b.since = true, now
	}
	ended := !waiting && (now.Sub(b.latest) >= burstLook || !b.fast(now))
	switch {
	case !b.on, !ended && now.Sub(b.since) < burstPart:
		return false
	case ended:
		b.on, b.last = false, [burstSize]time.Time{}
	}
	b.since = now
	return true
}
