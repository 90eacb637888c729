package rebalancer

import (
	"context"
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/rebalancer/loop"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/seen"
)

const (
	// followPause is the least time between two signals, and followShare the least ratio of that
	// time to what a read takes: a storm of commits is not a storm of snapshots. A read that had to
	// wait for a slow server puts the next one off by no more than Config.Refresh.
	followPause = 100 * time.Millisecond
	followShare = 4
)

// Run follows ZooKeeper until ctx ends: it reports observed.Assignment whenever something changed,
// observed.Read when a read found nothing new, and observed.Failed while ZooKeeper does not answer.
// While this replica leads, the leader reads and Run reports.
func (e *Engine) Run(ctx context.Context, sink func(observed.Signal)) error {
	changes, statuses := e.store.Changes(e.cfg.Kind)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var said reported
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changes: // the leader has mostly made them itself
		case <-statuses:
			e.noteChange()
			e.wake.Wake()
		case <-e.news:
		case <-timer.C:
		}
		begun := e.cfg.Now()
		e.followed.Store(begun.UnixNano())
		next := e.read(ctx)
		pause := min(max(followPause, followShare*e.cfg.Now().Sub(begun)), e.cfg.ReadEvery)
		if ctx.Err() != nil {
			return nil
		}
		e.report(&said, sink)
		timer.Reset(next)
		if !e.pass(ctx, statuses, pause) {
			return nil
		}
	}
}

// pass lets a time pass, and tells the leader meanwhile of statuses that change: what is in flight
// may wait for one. It returns false when ctx ends.
func (e *Engine) pass(ctx context.Context, statuses <-chan struct{}, d time.Duration) bool {
	for over := time.After(d); ; {
		select {
		case <-ctx.Done():
			return false
		case <-statuses:
			e.noteChange()
			e.wake.Wake()
			e.news.Wake() // it is read after this time, too
		case <-over:
			return true
		}
	}
}

// read reads the state unless the leader does, and returns the time until the next read. A lost
// session is a failure at once, not when a call that waits for the next one gives up: until then
// every reader would decide on what was seen last.
func (e *Engine) read(ctx context.Context) time.Duration {
	if connected, trouble := e.store.Connected(); !connected {
		e.failed(fmt.Errorf("%w: %w", protocol.ErrUnavailable, trouble))
		return loop.Retry
	}
	select {
	case <-e.reader:
	default:
		e.inventory.Index.CatchUp() // so that moves are noted when they are made
		return e.cfg.ReadEvery
	}
	defer func() { e.reader <- struct{}{} }()
	st, changed, err := e.store.Read(ctx, e.cfg.Kind, e.State())
	if err != nil {
		e.failed(err)
		return e.pauses.After(err)
	}
	e.pauses = loop.Pauses{}
	e.publish(st, changed)
	e.inventory.Indexed() // from the first State on: it notes moves
	e.inventory.Index.CatchUp()
	return e.cfg.ReadEvery
}

// reported is what Run has passed on already.
type reported struct {
	version  int
	readAt   time.Time
	failed   time.Time
	speakers seen.Speakers
}

// report sends what is new since the last report.
func (e *Engine) report(said *reported, sink func(observed.Signal)) {
	st, version, failedAt, failure := e.latest()
	switch {
	case failure != nil:
		if !failedAt.Equal(said.failed) {
			said.failed = failedAt
			sink(observed.Failed{Kind: e.cfg.Kind, Source: observed.SourceStore, At: failedAt, Err: fmt.Errorf("read zookeeper: %w", failure)})
		}
	case st == nil:
	case version != said.version || !said.failed.IsZero() && said.readAt.Before(said.failed):
		said.version, said.readAt, said.speakers = version, st.ReadAt, said.speakers.Follow(st)
		sink(seen.Assignment(st, said.speakers))
	case st.ReadAt.After(said.readAt):
		said.readAt = st.ReadAt
		sink(observed.Read{Kind: e.cfg.Kind, Source: observed.SourceStore, At: st.ReadAt})
	}
}
