package virtual

import (
	"errors"
	"fmt"
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
)

// Callers are those who create and delete resources, each message until it is answered: what one
// leader has heard and not answered the next one is asked again, in the same order.
type Callers struct {
	judge *Judge
	// open are the messages that are not answered yet.
	open []*call
	// Answered counts the ids of which a create and a delete were answered.
	Answered [2]int
}

// call is a message. heard is nil until a leader has heard it.
type call struct {
	op    resync.Op
	ids   []string
	heard *inventory.Request
}

// Ask says a message: op, of ids. It is heard at the next tick.
func (c *Callers) Ask(op resync.Op, ids []string) {
	c.open = append(c.open, &call{op: op, ids: ids})
}

// forget says that the leader is gone: what it heard is asked again.
func (c *Callers) forget() {
	for _, m := range c.open {
		m.heard = nil
	}
}

// speak tells a leader what it has not heard yet.
func (c *Callers) speak(clock *Clock, inv *inventory.Inventory) error {
	for _, m := range c.open {
		if m.heard != nil {
			continue
		}
		r, err := inv.Callers.Hear(clock.Now(), m.op, m.ids)
		if err != nil {
			return fmt.Errorf("message %d of %d ids: %w", m.op, len(m.ids), err)
		}
		m.heard = r
		c.judge.Heard(m.op, m.ids)
	}
	return nil
}

// listen takes note of the answers that have come. It waits for none.
func (c *Callers) listen() error {
	var failed error
	c.open = slices.DeleteFunc(c.open, func(m *call) bool {
		if m.heard == nil || !m.heard.Ended() {
			return false
		}
		if err := m.heard.Err(); err != nil {
			failed = errors.Join(failed, fmt.Errorf("message %d of %d ids: %w", m.op, len(m.ids), err))
		}
		c.judge.Answered(m.op, m.ids)
		c.Answered[m.op] += len(m.ids)
		return true
	})
	return failed
}
