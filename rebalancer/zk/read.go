package zk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/shardscaler/shardscaler/internal/guard"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

const (
	// maxPasses bounds how often a reading is repeated because another client wrote meanwhile.
	maxPasses = 4
	// readers is how many requests are under way at once.
	readers = 32
)

// Read returns the State of a kind as ZooKeeper has it now (after a sync). It reads only what
// changed since prev and shares the rest with it; prev itself stays as it is, and nil is the State
// of nothing read. The result's ReadAt is new also when changed is false.
//
// A State is whole because nothing changed while it was read. Of lists, statuses, the head and
// which pieces there are the watches tell that, and no id moves without one of these; where one has
// fired, another pass over all versions that finds nothing changed proves it.
func (c *Client) Read(ctx context.Context, kind string, prev *protocol.State) (s *protocol.State, changed bool, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	start := time.Now()
	if s = prev; s == nil {
		s = protocol.NewState(kind)
	}
	for range maxPasses {
		next, differs, err := c.readOnce(ctx, s)
		if err != nil {
			return nil, false, fmt.Errorf("read kind %s: %w", kind, err)
		}
		s = next
		changed = changed || differs
		if !s.Torn {
			break
		}
	}
	c.metrics.readSeconds.Observe(time.Since(start).Seconds())
	return s, changed, nil
}

// ReadOnce is Read in one pass, which does not prove that all of it held together. The one that
// leads knows what it wrote meanwhile (State.Overlay); else only a meddler changes anything.
func (c *Client) ReadOnce(ctx context.Context, prev *protocol.State) (s *protocol.State, changed bool, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	s, changed, err = c.readOnce(ctx, prev)
	if err != nil {
		return nil, false, fmt.Errorf("read kind %s once: %w", prev.Kind, err)
	}
	return s, changed, nil
}

// readOnce reads what differs from prev; the result is Torn if a watch has fired meanwhile.
func (c *Client) readOnce(ctx context.Context, prev *protocol.State) (*protocol.State, bool, error) {
	z, err := c.synced(ctx)
	if err != nil {
		return nil, false, err
	}
	now, fired := time.Now(), z.sess.fired.Load()
	next, changed, err := protocol.Read(z, prev, now)
	if err != nil {
		return nil, false, unavailable(err)
	}
	if changed {
		// the answers of a session come in order, events among them: after this one all that had
		// fired have come
		if _, err := z.Stat(protocol.HeadPath(prev.Kind), true); err != nil {
			return nil, false, unavailable(err)
		}
		next.Torn = next.Torn || z.sess.fired.Load() != fired
	}
	return next, changed, nil
}

// ReadLeft asks ZooKeeper itself, after a sync, what the ordinals still own (protocol.ReadLeft).
func (c *Client) ReadLeft(ctx context.Context, kind string, ordinals []int) (protocol.Left, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for range maxPasses {
		z, err := c.synced(ctx)
		if err != nil {
			return protocol.Left{}, err
		}
		left, err := protocol.ReadLeft(z, kind, ordinals)
		if !errors.Is(err, protocol.ErrConflict) {
			return left, unavailable(err)
		}
	}
	return protocol.Left{}, fmt.Errorf("read remaining resources: the head moves all the time: %w", protocol.ErrConflict)
}

// ReadPart returns a part of a kept document as it is now, or later than the document that names it
// was read; nil: there is none.
func (c *Client) ReadPart(ctx context.Context, kind, doc, part string) (*protocol.Znode, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	z, err := c.synced(ctx)
	if err != nil {
		return nil, err
	}
	got, err := z.Get(protocol.DocPartPath(kind, doc, part))
	if err != nil {
		return nil, fmt.Errorf("read part %s of %s: %w", part, doc, unavailable(err))
	}
	return got, nil
}

// synced returns ZooKeeper in the present session, whose server has caught up with the leader.
func (c *Client) synced(ctx context.Context) (znodes, error) {
	sess, err := c.link.await(ctx)
	if err != nil {
		return znodes{}, err
	}
	if err := catchUp(ctx, sess); err != nil {
		return znodes{}, unavailable(err)
	}
	return znodes{ctx, sess}, nil
}

// znodes is ZooKeeper over one session, for as long as one reading takes.
type znodes struct {
	ctx  context.Context
	sess *session
}

func (z znodes) Stat(path string, watch bool) (*protocol.Stat, error) {
	full := z.sess.path(path)
	watch = watch && z.sess.arm(dataWatch(full))
	stat, err := do(z.ctx, z.sess, func(conn *zk.Conn) (*protocol.Stat, error) {
		if watch {
			ok, stat, _, err := conn.ExistsW(full) // its events come to session.event
			return statOf(ok, stat), err
		}
		ok, stat, err := conn.Exists(full)
		return statOf(ok, stat), err
	})
	if err == nil {
		return stat, nil
	}
	if watch {
		z.sess.armed.Delete(dataWatch(full))
	}
	// go-zookeeper says that a znode exists also beside an error
	return nil, denied(err, rightRead, path)
}

// statOf is what the server told of a znode; nil where there is none.
func statOf(exists bool, stat *zk.Stat) *protocol.Stat {
	if !exists || stat == nil {
		return nil
	}
	return &protocol.Stat{
		Version: stat.Version, Zxid: stat.Mzxid, Bytes: int(stat.DataLength),
		Created: time.UnixMilli(stat.Ctime), Modified: time.UnixMilli(stat.Mtime), Ephemeral: stat.EphemeralOwner != 0,
		Children: stat.NumChildren, ChildChanges: stat.Cversion,
	}
}

func (z znodes) Get(path string) (*protocol.Znode, error) {
	got, err := do(z.ctx, z.sess, func(conn *zk.Conn) (*protocol.Znode, error) {
		data, stat, err := conn.Get(z.sess.path(path))
		if err != nil {
			return nil, err
		}
		return &protocol.Znode{Stat: *statOf(true, stat), Data: data}, nil
	})
	if errors.Is(err, zk.ErrNoNode) {
		return nil, nil
	}
	return got, denied(err, rightRead, path)
}

func (z znodes) Children(path string, watch bool) (names []string, stat *protocol.Stat, err error) {
	full := z.sess.path(path)
	watch = watch && z.sess.arm(childrenWatch(full))
	type listed struct {
		names []string
		stat  *protocol.Stat
	}
	got, err := do(z.ctx, z.sess, func(conn *zk.Conn) (listed, error) {
		if watch {
			names, stat, _, err := conn.ChildrenW(full) // its events come to session.event
			return listed{names, statOf(err == nil, stat)}, err
		}
		names, stat, err := conn.Children(full)
		return listed{names, statOf(err == nil, stat)}, err
	})
	if err != nil && watch {
		z.sess.armed.Delete(childrenWatch(full))
	}
	if errors.Is(err, zk.ErrNoNode) {
		return nil, nil, nil
	}
	return got.names, got.stat, denied(err, rightRead, path)
}

func (z znodes) Each(reads []func(protocol.Znodes) error) error {
	g, ctx := guard.NewGroup(z.ctx)
	g.SetLimit(readers)
	for _, read := range reads {
		g.Go(func() error { return read(znodes{ctx, z.sess}) })
	}
	return g.Wait()
}
