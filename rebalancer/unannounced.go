package rebalancer

import (
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/reconcile"
)

// Heard tells that a message of the kind has come, whatever it said.
func (e *Engine) Heard() { e.heard.Add(1) }

// Shown takes ids of rows that an update has shown. Where one has no resource, or one that is being
// deleted, a read of the catalogue is asked for: the row may have been made or restored without a
// message.
func (e *Engine) Shown(ids []string) error {
	good, _ := checked(ids) // what can be no resource needs none
	lacking, err := e.lacks(good)
	if lacking && err == nil && e.cfg.Reread != nil {
		e.cfg.Reread()
	}
	return err
}

// lacks says whether any of the ids has no resource, or one that is being deleted. What is asked for
// counts as done.
func (e *Engine) lacks(ids []string) (bool, error) {
	stays := e.index.stay(ids)
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.leading {
		return false, orders.ErrNotLeading
	}
	for i, id := range ids {
		switch w := e.queue.by[id]; {
		case w != nil && w.op == reconcile.Deleted, w == nil && !stays[i]:
			return true, nil
		}
	}
	return false, nil
}

// unannouncedReads is how many reads must find new rows, without a message between them, before it
// counts as more than chance: a row without a message is nothing rare, with raw SQL or an upsert.
const unannouncedReads = 3

// unannouncedText is the warning. It does not change, so that it is raised once.
const unannouncedText = "rows keep appearing in the catalogue, and no message tells of any: " +
	"a broker may grant the subscription and still let nothing through to this user (an ACL), or the platform may not publish"

// unannounced counts reads that find new rows though no message has come since the read before.
type unannounced struct {
	ended bool // a read has: what the first one of a leader finds says nothing
	heard int64
	reads int
	rows  int
}

// read takes in a complete read, and says whether it is the one that makes it a matter of warning.
func (u *unannounced) read(fresh int, heard int64) (warn bool) {
	switch {
	case !u.ended || heard != u.heard:
		*u = unannounced{ended: true, heard: heard}
	case fresh > 0:
		u.reads++
		u.rows += fresh
		return u.reads == unannouncedReads
	}
	return false
}

// warning is what to say of it; "" if there is nothing to say.
func (u *unannounced) warning(heard int64) string {
	if heard != u.heard || u.reads < unannouncedReads {
		return ""
	}
	return unannouncedText
}
