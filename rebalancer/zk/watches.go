package zk

import (
	"slices"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// This file keeps what the server answered when a watch was set, so that it is not asked again.
//
// A session never reconnects, and its server sends answers and events in the order of what they
// tell. So once a sync is answered, all events of what was changed before it have come, and a znode
// whose watch has not fired is as it was last answered. Three rules keep an answer from being older
// than its watch:
//   - Each time that a watch is armed it is another *watch. An event takes that out of the table,
//     and an answer is kept only beside the *watch that was there when it was asked for: it may be
//     kept after the event of its znode's next change has come.
//   - An answer to a call that sets no watch is kept only where the watch was set before that call:
//     another caller may have been about to set it.
//   - What an error says is not kept, nor is its watch: the server may not have set it.
//
// What raises no event is no part of this: an access list that is changed in place, and, from
// 3.8.4 on, whatever happens to a znode that we may not read; its watch is spent nevertheless. So
// that something is absent is never taken from here, and everything is asked for anew now and then
// (compareEvery), after a conflict, and when the head was moved, which is how a leader begins.

// compareEvery is how often a kind's kept answers are compared with the server's.
const compareEvery = time.Minute

// watches are those that the server holds for a session, or is being asked to.
type watches struct {
	mu    sync.Mutex
	armed map[watched]*watch
}

// watched is what a watch is set on: the data of a znode, or which children it has.
type watched struct {
	path     string // as the server knows it
	children bool
}

// watch is one of them.
type watch struct {
	set  bool // the server has answered the call that sets it
	last told // by the server, since it was set
}

// told is what the server says of a znode: that it is absent (stat nil), or what there is of it
// that the watch tells of. It does not change.
type told struct {
	stat  *protocol.Stat
	names []string // of its children
	data  []byte   // is not kept
}

// asking is a call for something that is watched.
type asking struct {
	watched
	watch *watch // nil: there is none, and the call is to set none
	// arms: the call must set the watch. The client would add one more to its table each time. set:
	// it was set when the call began. last is what was answered then.
	arms, set bool
	last      told
}

// begin returns what is known of a znode, and what a call for it has to do; arm: also to set a watch.
func (ws *watches) begin(of watched, arm bool) asking {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.armed[of]
	switch {
	case w != nil:
		return asking{watched: of, watch: w, set: w.set, last: w.last}
	case !arm:
		return asking{}
	}
	w = &watch{}
	ws.armed[of] = w
	return asking{watched: of, watch: w, arms: true}
}

// end keeps what the server has answered. lost: it differs from what it answered before, and no
// event told so; then the watch is not relied upon any more.
func (ws *watches) end(a asking, got told, err error) (lost bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	switch {
	case a.watch == nil || ws.armed[a.watched] != a.watch: // none, or it has fired
		return false
	case err != nil:
		delete(ws.armed, a.watched)
		return false
	case a.set && !a.last.is(got):
		delete(ws.armed, a.watched)
		return true
	case a.arms || a.set:
		got.names, got.data = slices.Clone(got.names), nil // the names are the caller's, who may change them
		a.watch.set, a.watch.last = true, got
	}
	return false
}

// is says that two answers are the same, as far as a watch tells of changes.
func (a told) is(b told) bool {
	if a.stat == nil || b.stat == nil {
		return a.stat == b.stat
	}
	return *a.stat == *b.stat
}

// fired: an event ends the watch that raised it; the deletion of a znode ends both.
func (ws *watches) fired(e zk.Event) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if e.Type != zk.EventNodeChildrenChanged {
		delete(ws.armed, watched{path: e.Path})
	}
	if e.Type == zk.EventNodeChildrenChanged || e.Type == zk.EventNodeDeleted {
		delete(ws.armed, watched{e.Path, true})
	}
}

// ask answers from what is kept, or by a call.
func (z znodes) ask(of watched, watch bool, call func(conn *zk.Conn, arm bool) (told, error)) (told, error) {
	a := z.sess.watches.begin(of, watch)
	if a.last.stat != nil && !z.anew {
		return told{stat: a.last.stat, names: slices.Clone(a.last.names)}, nil
	}
	got, err := do(z.ctx, z.sess, func(conn *zk.Conn) (told, error) { return call(conn, a.arms) })
	if z.sess.watches.end(a, got, err) {
		z.sess.link.missed(of.path)
	}
	return got, err
}

// doubts say of which kinds the kept answers are to be compared with the server's.
type doubts struct {
	mu       sync.Mutex
	compared map[string]time.Time // by kind: when that last began; zero: it is to be done at once
}

// due says that it is time to, and takes it for done.
func (d *doubts) due(kind string, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.compared[kind]) < compareEvery {
		return false
	}
	d.compared[kind] = now
	return true
}

// raise makes the next reading compare.
func (d *doubts) raise(kind string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.compared, kind)
}

// dataOf is a znode's Stat as far as a watch of its data tells of changes.
func dataOf(stat *zk.Stat) *protocol.Stat {
	return &protocol.Stat{
		Version: stat.Version, Zxid: stat.Mzxid, Bytes: int(stat.DataLength),
		Created: time.UnixMilli(stat.Ctime), Modified: time.UnixMilli(stat.Mtime), Ephemeral: stat.EphemeralOwner != 0,
	}
}

// childrenOf is its Stat as far as a watch of its children does.
func childrenOf(stat *zk.Stat) *protocol.Stat {
	return &protocol.Stat{Children: stat.NumChildren, ChildChanges: stat.Cversion}
}
