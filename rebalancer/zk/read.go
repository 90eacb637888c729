package zk

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/shardscaler/shardscaler/internal/guard"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

const (
	// maxPasses bounds how often a reading is repeated because another client wrote meanwhile.
	maxPasses = 4
	// readers is how many requests of a reading are under way at once, readings how many kinds are
	// read at once: the leader's beat, which waits behind all requests of the session, must not be
	// late where 1,000 kinds are read anew.
	readers  = 32
	readings = 16
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
func (c *Client) readOnce(ctx context.Context, prev *protocol.State) (next *protocol.State, changed bool, err error) {
	z, at, err := c.synced(ctx)
	if err != nil {
		return nil, false, err
	}
	select {
	case c.readings <- struct{}{}:
		defer func() { <-c.readings }()
	case <-ctx.Done():
		return nil, false, unavailable(ctx.Err())
	}
	fired := z.sess.fired.Load()
	if z.anew = c.doubts.due(prev.Kind, at); z.anew {
		defer func() {
			if err != nil {
				c.doubts.raise(prev.Kind)
			}
		}()
	}
	next, changed, err = protocol.Read(z, prev, at)
	if err != nil {
		return nil, false, unavailable(err)
	}
	if changed {
		// the answers of a session come in order, events among them: after this one all that had
		// fired have come
		z.anew = true
		if _, err := z.Stat(protocol.HeadPath(prev.Kind), false); err != nil {
			return nil, false, unavailable(err)
		}
		next.Torn = next.Torn || z.sess.fired.Load() != fired
	}
	return next, changed, nil
}

// ReadLeft asks ZooKeeper itself, after a sync, what the ordinals still own (protocol.ReadLeft). What
// it says cannot be taken back once a size was lowered by it, so no kept answer is good enough.
func (c *Client) ReadLeft(ctx context.Context, kind string, ordinals []int) (protocol.Left, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for range maxPasses {
		z, _, err := c.synced(ctx)
		if err != nil {
			return protocol.Left{}, err
		}
		z.anew = true
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
	z, _, err := c.synced(ctx)
	if err != nil {
		return nil, err
	}
	got, err := z.Get(protocol.DocPartPath(kind, doc, part), false)
	if err != nil {
		return nil, fmt.Errorf("read part %s of %s: %w", part, doc, unavailable(err))
	}
	return got, nil
}

// synced returns ZooKeeper in the present session, whose server has caught up with the leader since
// it was called, which is at. What is read there from now on was so at that time or later.
func (c *Client) synced(ctx context.Context) (z znodes, at time.Time, err error) {
	sess, err := c.link.await(ctx)
	if err != nil {
		return znodes{}, at, err
	}
	at = time.Now()
	if err := sess.catchUp(ctx); err != nil {
		return znodes{}, at, unavailable(err)
	}
	return znodes{ctx: ctx, sess: sess}, at, nil
}

// znodes is ZooKeeper over one session, for as long as one reading takes.
type znodes struct {
	ctx  context.Context
	sess *session
	// anew: the server itself is asked, also for what a watch tells.
	anew bool
}

func (z znodes) Stat(path string, watch bool) (*protocol.Stat, error) {
	full := z.sess.path(path)
	got, err := z.ask(watched{path: full}, watch, func(conn *zk.Conn, arm bool) (got told, err error) {
		var there bool
		var stat *zk.Stat
		if arm {
			there, stat, _, err = conn.ExistsW(full) // its events come to session.event
		} else {
			there, stat, err = conn.Exists(full)
		}
		if err == nil && there { // go-zookeeper says that a znode exists also beside an error
			got.stat = dataOf(stat)
		}
		return got, err
	})
	return got.stat, denied(err, rightRead, path)
}

func (z znodes) Get(path string, watch bool) (*protocol.Znode, error) {
	full := z.sess.path(path)
	z.anew = true // the data is not kept
	got, err := z.ask(watched{path: full}, watch, func(conn *zk.Conn, arm bool) (got told, err error) {
		var stat *zk.Stat
		if arm {
			got.data, stat, _, err = conn.GetW(full)
		} else {
			got.data, stat, err = conn.Get(full)
		}
		if err == nil {
			got.stat = dataOf(stat)
		}
		return got, err
	})
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return nil, nil
	case err != nil:
		return nil, denied(err, rightRead, path)
	}
	return &protocol.Znode{Stat: *got.stat, Data: got.data}, nil
}

func (z znodes) Children(path string, watch bool) (names []string, stat *protocol.Stat, err error) {
	full := z.sess.path(path)
	got, err := z.ask(watched{full, true}, watch, func(conn *zk.Conn, arm bool) (got told, err error) {
		var stat *zk.Stat
		if arm {
			got.names, stat, _, err = conn.ChildrenW(full)
		} else {
			got.names, stat, err = conn.Children(full)
		}
		if err == nil {
			got.stat = childrenOf(stat)
		}
		return got, err
	})
	if errors.Is(err, zk.ErrNoNode) {
		return nil, nil, nil
	}
	return got.names, got.stat, denied(err, rightRead, path)
}

func (z znodes) Each(reads []func(protocol.Znodes) error) error {
	g, ctx := guard.NewGroup(z.ctx)
	var taken atomic.Int64
	for range min(readers, len(reads)) { // most reads ask for nothing, so that few goroutines do them all
		g.Go(func() error {
			for n := int(taken.Add(1)); n <= len(reads); n = int(taken.Add(1)) {
				if err := reads[n-1](znodes{ctx, z.sess, z.anew}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}
