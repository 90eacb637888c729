package zk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/internal/wake"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// settle finds out what became of the transactions whose answer was lost, and then moves the head,
// so that a request that still waits somewhere on its way (behind a frozen server) finds another
// version and does nothing.
func (b *batch) settle(ctx context.Context, s *protocol.State) {
	lost, movesHead := false, false
	for i, m := range b.ms {
		if a := &b.attempts[i]; a.unknown {
			start := time.Now()
			a.results, a.err = b.link.settle(ctx, m)
			a.took += time.Since(start)
			lost, movesHead = true, movesHead || m.MovesHead()
		}
	}
	if !lost || movesHead { // a write of the head is its own fence: it cannot succeed twice
		return
	}
	touch := protocol.TouchHead(s)
	a := &attempt{}
	if b.link.sendOnce(ctx, touch, a); a.unknown {
		a.results, a.err = b.link.settle(ctx, touch)
	}
	if a.err == nil {
		touch.Apply(s, a.results)
	}
	for i := range b.attempts {
		if old := &b.attempts[i]; old.unknown {
			old.err = settled(old.err, a.err)
		}
	}
}

// settled is what became of a transaction whose answer was lost, by err, what settling it came to,
// and moved, what moving the head came to.
//
// A refusal is an answer to the last request alone: the first one may have been done after it,
// until the head moved. Then one looks again. Where the head could not be moved, the first one may
// be done at any time, and nothing is known.
func settled(err, moved error) error {
	refused := errors.Is(err, protocol.ErrRefused)
	switch {
	case moved == nil && refused:
		return fmt.Errorf("%w, or not: %w", protocol.ErrConflict, err)
	case moved == nil:
		return err
	case errors.Is(moved, protocol.ErrFenced): // another has moved it
		if refused {
			return moved
		}
		return err
	case errors.Is(moved, protocol.ErrUnavailable):
		return moved
	}
	return fmt.Errorf("%w: settle it: %w", protocol.ErrUnavailable, moved)
}

// settle sends the same transaction again until there is an answer. A refusal then may mean that
// the first one was done: what it would have left is compared with what is there. An old value read
// back would prove nothing.
func (l *link) settle(ctx context.Context, m protocol.Multi) (results []protocol.Result, err error) {
	err = untilAnswered(ctx, func() error {
		sess, err := l.await(ctx)
		if err != nil {
			return err
		}
		if results, err = l.send(ctx, sess, m); err == nil || errors.Is(err, protocol.ErrUnavailable) {
			return err
		}
		there, done, cmpErr := compare(ctx, sess, m)
		switch {
		case done:
			results = there
			return nil
		case cmpErr != nil:
			return fmt.Errorf("%w: %w", protocol.ErrUnavailable, cmpErr)
		}
		return err
	})
	return results, err
}

// The pauses between two times that a transaction without an answer is sent.
const firstSettlePause, lastSettlePause = 10 * time.Millisecond, 2 * time.Second

// untilAnswered tries until that fails no more by ErrUnavailable, or ctx ends. Its pauses grow: a
// server in trouble may answer at once by an error that says nothing of the outcome.
func untilAnswered(ctx context.Context, try func() error) error {
	for pause := firstSettlePause; ; pause = min(2*pause, lastSettlePause) {
		err := try()
		if !errors.Is(err, protocol.ErrUnavailable) || errors.Is(err, errClosed) || !wake.Sleep(ctx, pause) {
			return err
		}
	}
}

// compare says whether everything is as the transaction would have left it.
func compare(ctx context.Context, sess *session, m protocol.Multi) (results []protocol.Result, done bool, err error) {
	if err := catchUp(ctx, sess); err != nil {
		return nil, false, err
	}
	results = m.Results(protocol.Result{})
	for i, op := range m.Ops {
		if op.Kind == protocol.OpCheck {
			continue
		}
		got, err := znodes{ctx: ctx, sess: sess}.Get(op.Path, false)
		switch {
		case err != nil:
			return nil, false, err
		case op.Kind == protocol.OpDelete:
			if got != nil {
				return nil, false, nil
			}
		case got == nil || got.Version != results[i].Version || !bytes.Equal(got.Data, op.Data):
			return nil, false, nil
		default:
			results[i].Mtime, results[i].Zxid = got.Modified, got.Zxid
		}
	}
	return results, true, nil
}
