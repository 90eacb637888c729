package inventory

import "github.com/shardscaler/shardscaler/rebalancer/inventory/resync"

// Writer is the inventory as the one writer sees it. Nothing leaves it uncommitted.
type Writer struct{ *shared }

// Pending are the ids of which op is wanted now, each once, in the order in which they came. The
// slice is read only, and good until the next call for op.
func (s Writer) Pending(op resync.Op) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &s.requests
	if len(q.order[op]) == 0 {
		return nil
	}
	q.shown++
	live := q.order[op][:0]
	for _, id := range q.order[op] {
		if w := q.wanted(op, id); w != nil && w.shown != q.shown {
			w.shown = q.shown
			live = append(live, id)
		}
	}
	clear(q.order[op][len(live):])
	q.order[op] = live
	if len(live) == 0 {
		q.order[op] = nil
	}
	return live[:len(live):len(live)]
}

// Sending is asked right before a transaction is sent that does what is wanted of ids; false: of
// one of them it is not wanted any more, because its caller has given up.
func (s Writer) Sending(op resync.Op, ids []string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if s.requests.wanted(op, id) == nil {
			return false
		}
	}
	for _, id := range ids {
		for _, r := range s.requests.by[id].by {
			r.sent = true
		}
	}
	return true
}

// Answer says that op is durable now for ids. Those whose op changed meanwhile stay: the last that
// was said of them is still to be carried out. It returns the requests that are thereby complete.
func (s Writer) Answer(op resync.Op, ids []string) (complete []*Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		w := s.requests.wanted(op, id)
		if w == nil {
			continue
		}
		delete(s.requests.by, id)
		for _, r := range w.by {
			if r.less() {
				complete = append(complete, r)
			}
		}
	}
	return complete
}

// Clock counts all that was ever asked for: what had been asked when something was sent or read.
func (s Writer) Clock() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests.now
}

// AskedBy splits ids of which op is wanted by whether that was last asked for by then.
func (s Writer) AskedBy(op resync.Op, ids []string, then int64) (by, after []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if w := s.requests.wanted(op, id); w != nil && w.at > then {
			after = append(after, id)
		} else {
			by = append(by, id)
		}
	}
	return by, after
}

// Attributes are those in force; nil: nothing is known, or nothing needed.
func (s Writer) Attributes() *Attributes {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attributes.now
}

// NotYetRead says of a hash of Attributes whether only a message has spoken of the resource: the
// catalogue has a word of it that has not been read yet.
func (s Writer) NotYetRead(hash uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attributes.notYetRead(hash)
}

// Unannounced is the warning that rows keep appearing of which no message tells, and how many;
// "" if there is nothing to say.
func (s Writer) Unannounced() (warning string, rows int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := &s.unannounced; s.messages == u.messages && u.reads >= unannouncedReads {
		return unannouncedText, u.rows
	}
	return "", 0
}
