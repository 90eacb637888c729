// Package gate holds up what passes through it, for what a test freezes or cuts off.
//
// In: Shut and Open. Out: Pass, which returns while the gate is open. Invariant: whatever was held up goes on when it opens.
package gate

import (
	"context"
	"sync"
)

// Gate is open unless it was shut.
type Gate struct {
	mu   sync.Mutex
	open chan struct{} // closed by Open; nil: it is open
}

// Shut holds up what passes from now on.
func (g *Gate) Shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		g.open = make(chan struct{})
	}
}

// Open lets pass what is held up.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open != nil {
		close(g.open)
		g.open = nil
	}
}

// Pass returns when the gate is open, or with the error of ctx when that is over.
func (g *Gate) Pass(ctx context.Context) error {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	if open != nil {
		select {
		case <-open:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}
