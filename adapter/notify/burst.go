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
	// burstEnd is how long no message must come before a burst counts as over.
	burstEnd = time.Second
)

// burst notices that so many messages came at once that the broker may have dropped some, or handed
// them out in another order. It counts messages of any kind: what a broker keeps is bounded by
// client.
type burst struct {
	mu sync.Mutex
	// last are the times of the last messages, as a ring: at next is the oldest one.
	last [burstSize]time.Time
	next int
	// on: there was a burst, and it is not over.
	on     bool
	latest time.Time
}

// came takes in a message.
func (b *burst) came(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if oldest := b.last[b.next]; !oldest.IsZero() && now.Sub(oldest) <= burstSpan {
		b.on = true
	}
	b.last[b.next], b.latest = now, now
	b.next = (b.next + 1) % burstSize
}

// over says, once, that a burst has ended: nothing of it waits any more, and no more comes.
func (b *burst) over(now time.Time, waiting bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.on || waiting || now.Sub(b.latest) < burstEnd {
		return false
	}
	b.on, b.last = false, [burstSize]time.Time{}
	return true
}
