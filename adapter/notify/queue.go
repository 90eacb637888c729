package notify

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// Bounds of what waits for a commit, a kind. Brokers with the usual window never reach them.
const (
	maxWaiting      = 16384
	maxWaitingBytes = 32 << 20
	// maxBatch is how many ids one commit takes.
	maxBatch = 4096
	// linger is how long a batch grows while commits follow each other; one alone is not held.
	linger = 5 * time.Millisecond
)

// queue commits the changes of one kind, in order, and acknowledges them in order. Between kinds
// there is no order: a kind that cannot be committed must not hold another one, so acknowledgements
// may overtake each other there (brokers accept that).
type queue struct {
	*session
	kind string
	more wake.Signal // when something was put

	mu      sync.Mutex
	waiting []change
	bytes   int
	// full: a message found no room. From then on all wait at the broker, which sends them again.
	full bool

	failure atomic.Pointer[error] // of the latest attempt to commit; nil: there was none
}

func newQueue(s *session, kind string) *queue {
	return &queue{session: s, kind: kind, more: wake.New()}
}

func (q *queue) put(c change) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxWaiting || q.bytes > maxWaitingBytes {
		q.full = true
	}
	if q.full {
		return false
	}
	q.waiting = append(q.waiting, c)
	q.bytes += c.bytes
	q.metrics.waiting.WithLabelValues(q.kind).Set(float64(len(q.waiting)))
	q.more.Wake()
	return true
}

// peek returns the next changes to commit, at most maxBatch ids or one change. They stay.
func (q *queue) peek() []change {
	q.mu.Lock()
	defer q.mu.Unlock()
	ids, n := 0, 0
	for _, c := range q.waiting {
		ids += c.ids()
		if n > 0 && ids > maxBatch {
			break
		}
		n++
	}
	return slices.Clone(q.waiting[:n])
}

// done drops the first n changes; drained: nothing waits any more, and the broker was left some.
func (q *queue) done(n int) (drained bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range q.waiting[:n] {
		q.bytes -= c.bytes
	}
	q.waiting = slices.Delete(q.waiting, 0, n)
	q.metrics.waiting.WithLabelValues(q.kind).Set(float64(len(q.waiting)))
	return q.full && len(q.waiting) == 0
}

func (q *queue) pending() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) > 0
}

func (q *queue) run(ctx context.Context) {
	var last time.Time
	for ctx.Err() == nil {
		if time.Since(last) < 4*linger {
			wake.Sleep(ctx, linger)
		}
		batch := q.peek()
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
			case <-q.more:
			}
			continue
		}
		if !q.commit(ctx, batch) {
			return
		}
		for _, c := range batch {
			c.ack()
		}
		fault.Point("message.acknowledged")
		if q.done(len(batch)) {
			q.end(errors.New("more messages than fit came at once; connecting anew to be sent the rest"))
		}
		last = time.Now()
	}
}

// commit tries until it succeeds, or ctx ends: then it is false, and nothing may be acknowledged.
func (q *queue) commit(ctx context.Context, batch []change) bool {
	const least, most = 100 * time.Millisecond, 5 * time.Second
	f := fold(batch)
	began := time.Now()
	for wait := least; ; wait = min(2*wait, most) {
		err := q.attempt(ctx, f)
		q.failure.Store(&err)
		if err == nil {
			q.metrics.commits.WithLabelValues(q.kind).Observe(time.Since(began).Seconds())
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		q.metrics.failures.WithLabelValues(q.kind).Inc()
		q.failing.Do(func() {
			q.log.Warn("notifications cannot be committed yet", "kind", q.kind, "messages", len(batch), "error", err)
		})
		wake.Sleep(ctx, wait)
	}
}

func (q *queue) attempt(ctx context.Context, f folded) error {
	for ids := range slices.Chunk(f.deletes, maxBatch) {
		if err := q.handler.Delete(ctx, q.kind, ids); err != nil {
			return err
		}
	}
	for rs := range slices.Chunk(f.creates, maxBatch) {
		if err := q.handler.Create(ctx, q.kind, rs); err != nil {
			return err
		}
	}
	for ids := range slices.Chunk(f.claims, maxBatch) {
		if err := q.handler.Claim(ctx, q.kind, ids); err != nil {
			return err
		}
	}
	if len(f.shown) == 0 {
		return nil
	}
	return q.handler.Shown(q.kind, f.shown)
}
