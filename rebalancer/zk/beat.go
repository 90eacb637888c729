package zk

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"

	"github.com/shardscaler/shardscaler/internal/wake"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Beats are the znode by which the leader of one installation shows that it is alive.
type Beats struct {
	link *link
	path string
	// changed holds a token after a change of what Read has read, and when the session was lost or
	// replaced.
	changed wake.Signal
}

// Beats returns those of an installation. There is one user of each.
func (c *Client) Beats(installation string) *Beats {
	b := &Beats{link: c.link, path: protocol.BeatPath(installation), changed: wake.New()}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beats = append(c.beats, b)
	return b
}

// wakeBeats wakes those that read a beat; an empty path is every one's.
func (c *Client) wakeBeats(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.beats {
		if path == "" || path == b.path {
			b.changed.Wake()
		}
	}
}

// unreadable is the holder of a beat of another schema, or of none.
const unreadable = "unreadable"

// Read returns the beat and the version of its znode, -1 where there is none, and watches it.
func (b *Beats) Read(ctx context.Context) (beat protocol.Beat, version int32, err error) {
	sess, err := b.link.await(ctx)
	if err != nil {
		return protocol.Beat{}, 0, err
	}
	full := sess.path(b.path)
	got, err := do(ctx, sess, func(conn *zk.Conn) (*protocol.Znode, error) {
		data, stat, _, err := conn.GetW(full) // its event comes to session.event
		if err == nil {
			return &protocol.Znode{Stat: *dataOf(stat), Data: data}, nil
		}
		if !errors.Is(err, zk.ErrNoNode) {
			return nil, err
		}
		exists, _, _, err := conn.ExistsW(full)
		if err == nil && exists {
			b.changed.Wake() // it has come since
		}
		return nil, err
	})
	switch {
	case err != nil:
		return protocol.Beat{}, 0, unavailable(denied(err, rightRead, b.path))
	case got == nil:
		return protocol.Beat{}, -1, nil
	}
	if beat, err = protocol.DecodeBeat(got.Data); err != nil {
		beat = protocol.Beat{Holder: unreadable} // whose it is does not matter: its version tells that it beats
	}
	return beat, got.Version, nil
}

// Changed holds a token after a change of what Read has read; what was read before the session was
// lost is not watched any more, and then it holds one too.
func (b *Beats) Changed() <-chan struct{} { return b.changed }

// Write writes the beat where its znode has that version, and makes it for -1. ErrFenced: it has
// another one. After ErrUnavailable it may have been written, or may be still.
func (b *Beats) Write(ctx context.Context, beat protocol.Beat, version int32) (next int32, err error) {
	sess, err := b.link.await(ctx)
	if err != nil {
		return 0, err
	}
	full := sess.path(b.path)
	if version >= 0 {
		next, err = do(ctx, sess, func(conn *zk.Conn) (int32, error) {
			stat, err := conn.Set(full, beat.Encode(), version)
			if err != nil {
				return 0, err
			}
			return stat.Version, nil
		})
		return next, outcome(denied(err, rightWrite, b.path))
	}
	if err := b.link.ensureAll(ctx, sess, protocol.BeatParents()); err != nil {
		return 0, outcome(err)
	}
	_, err = do(ctx, sess, func(conn *zk.Conn) (string, error) {
		return conn.Create(full, beat.Encode(), 0, b.link.acl(b.path))
	})
	return 0, outcome(denied(err, rightCreate, parent(b.path)))
}

// outcome says what an error of a write means.
func outcome(err error) error {
	if isConflict(err) {
		return fmt.Errorf("%w (%w)", protocol.ErrFenced, err)
	}
	return unavailable(err)
}
