package rebalancer

import (
	"sync/atomic"
	"time"
)

// rounds is when the engine's loops last went round, in nanoseconds since 1970.
type rounds struct {
	// follow is Run's; lead the leader's, 0 while Lead does not run.
	follow, lead atomic.Int64
}

// Rounds returns when the loop that follows last went round, and the one that leads, zero while it
// does not run. Each step of a loop waits for ZooKeeper with a deadline of its own, so that only a
// loop that stands still falls far behind. It takes no lock: who holds one may be what the loop
// waits for.
func (e *Engine) Rounds() (follow, lead time.Time) {
	follow = time.Unix(0, e.rounds.follow.Load())
	if at := e.rounds.lead.Load(); at != 0 {
		lead = time.Unix(0, at)
	}
	return follow, lead
}

// leaderTurns notes that the leader's loop goes on.
func (e *Engine) leaderTurns() { e.rounds.lead.Store(e.cfg.Now().UnixNano()) }
