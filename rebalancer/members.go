package rebalancer

import (
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// This file tells of what steps have done.

func (t *term) opened(open, before, added []int) {
	t.e.log.Info("instances that may receive", "open", open, "before", before)
	t.spread.opened(t.st, before, added)
}

func (t *term) removed(n int) {
	t.e.log.Info("removed the znodes of an empty instance", "instance", n)
}

func (t *term) completed(n int) {
	t.e.log.Warn("another client has left an ordinal half made: it is made whole", "instance", n)
}

const (
	// listedDuplicates is how many resolved duplicates are shown, loggedDuplicates how many of one
	// znode are logged.
	listedDuplicates = 1000
	loggedDuplicates = 100
)

func (t *term) deduped(found []protocol.Duplicate) {
	t.e.m.duplicates.Add(float64(len(found)))
	t.e.log.Warn("ids were in two places", "count", len(found))
	for i, d := range found {
		if i < loggedDuplicates {
			t.e.log.Warn("an id was in two places", "resource", d.ID, "stayed", d.Stayed, "removed", d.Removed)
		}
		if len(t.duplicates) < listedDuplicates {
			t.duplicates = append(t.duplicates, orders.Duplicate(d))
		}
	}
}
