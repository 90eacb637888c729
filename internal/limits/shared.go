package limits

import (
	"context"
	"sync"
)

// Shared lets callers that ask the same share one answer, of a call that begins after each of them
// asked. For each key one call is under way at most: callers that ask meanwhile share the next.
type Shared[K comparable, V any] struct {
	// Begin, if not nil, is waited for before each call.
	Begin func(context.Context) error

	mu sync.Mutex
	// next are the calls that have not begun, to be joined; latest those that were made last.
	next, latest map[K]*call[V]
}

type call[V any] struct {
	callers int // that still wait
	cancel  context.CancelFunc
	done    chan struct{} // closed when value and err are set
	value   V
	err     error
}

// Do returns what ask answers, or the error of ctx. The call goes on while one of its callers
// waits, with a context that ends when the last of them has gone.
func (s *Shared[K, V]) Do(ctx context.Context, key K, ask func(context.Context) (V, error)) (V, error) {
	c := s.join(ctx, key, ask)
	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
		s.leave(key, c)
		var none V
		return none, ctx.Err()
	}
}

// join counts the caller in for the next call, and starts that if it is the first.
func (s *Shared[K, V]) join(ctx context.Context, key K, ask func(context.Context) (V, error)) *call[V] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.next[key]; c != nil {
		c.callers++
		return c
	}
	c := &call[V]{callers: 1, done: make(chan struct{})}
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if s.next == nil {
		s.next, s.latest = map[K]*call[V]{}, map[K]*call[V]{}
	}
	before := s.latest[key]
	s.next[key], s.latest[key] = c, c
	go s.run(ctx, key, c, before, ask)
	return c
}

// run makes a call when the one before it has ended.
func (s *Shared[K, V]) run(ctx context.Context, key K, c, before *call[V], ask func(context.Context) (V, error)) {
	defer s.end(key, c)
	if before != nil {
		<-before.done // soon: its context ends when it has no caller left
	}
	if s.Begin != nil {
		c.err = s.Begin(ctx)
	}
	s.mu.Lock()
	s.close(key, c)
	s.mu.Unlock()
	if c.err == nil {
		c.value, c.err = ask(ctx)
	}
}

func (s *Shared[K, V]) end(key K, c *call[V]) {
	c.cancel()
	close(c.done)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.latest[key] == c {
		delete(s.latest, key)
	}
}

// leave counts a caller out; without any the call ends.
func (s *Shared[K, V]) leave(key K, c *call[V]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.callers--; c.callers == 0 {
		s.close(key, c)
		c.cancel()
	}
}

// close lets no further caller join c; s.mu is held.
func (s *Shared[K, V]) close(key K, c *call[V]) {
	if s.next[key] == c {
		delete(s.next, key)
	}
}
