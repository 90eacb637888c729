package stacks

import (
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOneThatWaitsIsShownAndNotWhenItGoesOn(t *testing.T) {
	var mu sync.Mutex
	mu.Lock()
	id, done := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(done)
		id <- Mine().ID
		waits(&mu)
	}()
	for len(Inside("stacks.waits")) == 0 || !Inside("stacks.waits")[0].AtLock() {
		runtime.Gosched()
	}
	require.Equal(t, <-id, Inside("stacks.waits")[0].ID)
	mu.Unlock()
	<-done
	require.Empty(t, Inside("stacks.waits"))
	require.False(t, Mine().AtLock())
}

//go:noinline
func waits(mu *sync.Mutex) {
	mu.Lock()
	defer mu.Unlock()
}
