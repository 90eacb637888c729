package virtual

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// ZooKeeper is one in memory: what it holds is a znode by path, with the versions and numbers that
// a server would give. A transaction is done at once, all of it or nothing.
type ZooKeeper struct {
	clock *Clock
	nodes map[string]*znode
	// zxid is the number of the last transaction: as long as it stands still, nothing has changed.
	zxid int64
	// session is the number of the last session that was begun.
	session int64
	// ephemerals are the paths of the znodes that end with a session.
	ephemerals map[int64][]string
	// watch is told of each transaction once it is done.
	watch func(*Transaction)
}

// znode is replaced and never changed, but for what it counts of its children, and old, which says
// that it was replaced or deleted.
type znode struct {
	old      bool
	stat     protocol.Stat
	data     []byte
	session  int64 // 0: it is persistent
	children map[string]struct{}
}

// Transaction is one that is done. What it refers to does not change any more.
type Transaction struct {
	Zxid int64
	At   time.Time
	// Step is the protocol step; "" where it was not a leader's.
	Step string
	Ops  []protocol.Op
}

// The reasons why an operation cannot be done.
var (
	errExists   = errors.New("node already exists")
	errNone     = errors.New("node does not exist")
	errVersion  = errors.New("version conflict")
	errNotEmpty = errors.New("node has children")
)

// NewZooKeeper holds nothing. watch, which may be nil, is told of each transaction.
func NewZooKeeper(clock *Clock, watch func(*Transaction)) *ZooKeeper {
	return &ZooKeeper{
		clock: clock, watch: watch,
		nodes: map[string]*znode{"": {}}, ephemerals: map[int64][]string{},
	}
}

// Begin begins a session, and returns its number.
func (z *ZooKeeper) Begin() int64 {
	z.session++
	return z.session
}

// End ends a session: the ephemeral znodes that it made go.
func (z *ZooKeeper) End(session int64) {
	var ops []protocol.Op
	for _, path := range z.ephemerals[session] {
		if n := z.nodes[path]; n != nil && n.session == session {
			ops = append(ops, protocol.Op{Kind: protocol.OpDelete, Path: path, Version: n.stat.Version})
		}
	}
	delete(z.ephemerals, session)
	if len(ops) > 0 {
		_, _ = z.transact("", ops, 0) // what is there at that version can be deleted
	}
}

// Write does one operation of a client that is no leader. What session creates is ephemeral; of
// session 0 it is persistent.
func (z *ZooKeeper) Write(session int64, op protocol.Op) error {
	_, err := z.transact("", []protocol.Op{op}, session)
	return err
}

// Commit does a leader's transaction: the first operation is the head's. It fails with ErrFenced
// where that does not match, and with ErrConflict and the path where another one does not.
func (z *ZooKeeper) Commit(m protocol.Multi) ([]protocol.Result, error) {
	for _, path := range m.Parents {
		if z.nodes[path] == nil {
			if err := z.Write(0, protocol.Op{Kind: protocol.OpCreate, Path: path}); err != nil {
				return nil, err
			}
		}
	}
	if m.Gate != nil {
		if err := m.Gate(); err != nil {
			return nil, err
		}
	}
	failed, err := z.transact(m.Step, m.Ops, 0)
	switch {
	case err == nil:
		return z.resultsOf(m), nil
	case failed == 0:
		return nil, fmt.Errorf("%w (%w)", protocol.ErrFenced, err)
	}
	return nil, fmt.Errorf("%w: %s: %w", protocol.ErrConflict, m.Ops[failed].Path, err)
}

// transact does all operations or none; failed is the one that cannot be done.
func (z *ZooKeeper) transact(step string, ops []protocol.Op, session int64) (failed int, err error) {
	undo := make([]func(), 0, len(ops))
	z.zxid++
	for i, op := range ops {
		back, err := z.do(op, session)
		if err != nil {
			for _, back := range slices.Backward(undo) {
				back()
			}
			z.zxid--
			return i, err
		}
		undo = append(undo, back)
	}
	if z.watch != nil {
		z.watch(&Transaction{Zxid: z.zxid, At: z.clock.Now(), Step: step, Ops: ops})
	}
	return 0, nil
}

// do does one operation of the transaction with the present number; undo takes it back.
func (z *ZooKeeper) do(op protocol.Op, session int64) (undo func(), err error) {
	was := z.nodes[op.Path]
	switch {
	case op.Kind == protocol.OpCreate:
		return z.create(op, session)
	case was == nil:
		return nil, errNone
	case was.stat.Version != op.Version:
		return nil, errVersion
	case op.Kind == protocol.OpDelete:
		return z.remove(op.Path, was)
	case op.Kind == protocol.OpCheck:
		return func() {}, nil
	}
	is := *was
	is.data = op.Data
	is.stat.Version, is.stat.Zxid = was.stat.Version+1, z.zxid
	is.stat.Bytes, is.stat.Modified = len(op.Data), z.clock.Now()
	z.nodes[op.Path], was.old = &is, true
	return func() { z.nodes[op.Path], was.old = was, false }, nil
}

func (z *ZooKeeper) create(op protocol.Op, session int64) (undo func(), err error) {
	parent, name := split(op.Path)
	above := z.nodes[parent]
	switch {
	case above == nil:
		return nil, errNone
	case z.nodes[op.Path] != nil:
		return nil, errExists
	}
	now := z.clock.Now()
	z.nodes[op.Path] = &znode{data: op.Data, session: session, stat: protocol.Stat{
		Zxid: z.zxid, Bytes: len(op.Data), Created: now, Modified: now, Ephemeral: session != 0,
	}}
	if session != 0 {
		z.ephemerals[session] = append(z.ephemerals[session], op.Path)
	}
	before := above.stat
	if above.children == nil {
		above.children = map[string]struct{}{}
	}
	above.children[name] = struct{}{}
	above.stat.Children, above.stat.ChildChanges = before.Children+1, before.ChildChanges+1
	return func() {
		delete(z.nodes, op.Path)
		delete(above.children, name)
		above.stat = before
	}, nil
}

func (z *ZooKeeper) remove(path string, was *znode) (undo func(), err error) {
	if len(was.children) > 0 {
		return nil, errNotEmpty
	}
	parent, name := split(path)
	above := z.nodes[parent]
	before := above.stat
	delete(z.nodes, path)
	was.old = true
	delete(above.children, name)
	above.stat.Children, above.stat.ChildChanges = before.Children-1, before.ChildChanges+1
	return func() {
		z.nodes[path], was.old = was, false
		above.children[name] = struct{}{}
		above.stat = before
	}, nil
}

// split is the path of a znode's parent, and its name below that; the root is "".
func split(path string) (parent, name string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

// resultsOf gives every operation the transaction's number and time, which a server tells where
// something was set, and nowhere else.
func (z *ZooKeeper) resultsOf(m protocol.Multi) []protocol.Result {
	var common protocol.Result
	if slices.ContainsFunc(m.Ops, func(op protocol.Op) bool { return op.Kind == protocol.OpSet }) {
		common.Zxid, common.Mtime = z.zxid, z.clock.Now()
	}
	return m.Results(common)
}

// Stat implements protocol.Znodes. There are no watches: Zxid tells that something has changed.
func (z *ZooKeeper) Stat(path string, _ bool) (*protocol.Stat, error) {
	n := z.nodes[path]
	if n == nil {
		return nil, nil
	}
	stat := n.stat
	return &stat, nil
}

// Get implements protocol.Znodes.
func (z *ZooKeeper) Get(path string, _ bool) (*protocol.Znode, error) {
	n := z.nodes[path]
	if n == nil {
		return nil, nil
	}
	return &protocol.Znode{Stat: n.stat, Data: n.data}, nil
}

// Children implements protocol.Znodes; the names are sorted, so that a reading is always the same.
func (z *ZooKeeper) Children(path string, _ bool) (names []string, stat *protocol.Stat, err error) {
	n := z.nodes[path]
	if n == nil {
		return nil, nil, nil
	}
	stat, err = z.Stat(path, false)
	return slices.Sorted(maps.Keys(n.children)), stat, err
}

// Each implements protocol.Znodes.
func (z *ZooKeeper) Each(reads []func(protocol.Znodes) error) error {
	for _, read := range reads {
		if err := read(z); err != nil {
			return err
		}
	}
	return nil
}
