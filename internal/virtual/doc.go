// Package virtual runs the product's core in virtual time: the fold, the scaler, the engine, its
// loop and the protocol, against a ZooKeeper, a cluster and instances in memory.
//
// In: a configuration, a load, and what callers create and delete, each at its time. Out: every
// transaction and decision, and an error at the first transaction that breaks protocol rule 12.
// Invariant: nothing here reads a clock, starts a goroutine or reaches the outside, and nothing
// depends on the order of a map: the same seed gives the same bytes.
//
//	Clock ──► World.Step ─► Cluster, instances: signals ─► observed ─► scaler.Tick ─► orders
//	                                                                                   │
//	          instances ◄── ZooKeeper ◄── transactions ◄── loop.Pass ◄─────────────────┘
//	                            └─► Judge
package virtual

import "time"

// Clock is the time of a world. Its owner moves it, never backwards.
type Clock struct{ now time.Time }

// Now is the time.
func (c *Clock) Now() time.Time { return c.now }

// Reach moves the clock to a time that has not passed yet; from a later one it does not go back.
func (c *Clock) Reach(at time.Time) {
	if at.After(c.now) {
		c.now = at
	}
}
