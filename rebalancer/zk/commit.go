package zk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/internal/guard"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// writers is how many transactions are under way at once.
const writers = 8

// CommitAll sends transactions that do not overlap at the same time, settles unknown outcomes by
// protocol rule 9, and applies to s what was committed: there, errs has nil. Of the others s shows
// nothing, but that its head version may have moved (TouchHead).
func (c *Client) CommitAll(ctx context.Context, s *protocol.State, ms []protocol.Multi) (errs []error) {
	return c.Begin(ctx, s, ms)()
}

// Begin begins what CommitAll does, and finish, which must be called, ends it; only then s changes.
// Until then others that do not overlap may be committed, also such that were begun later.
func (c *Client) Begin(ctx context.Context, s *protocol.State, ms []protocol.Multi) (finish func() (errs []error)) {
	if err := protocol.Together(ms); err != nil {
		for _, m := range ms {
			c.metrics.commits.WithLabelValues(m.Step, "refused").Inc()
		}
		return func() []error { return slices.Repeat([]error{fmt.Errorf("commit %w", err)}, len(ms)) }
	}
	ctx, cancel := bounded(ctx)
	b := &batch{c.link, ms, make([]attempt, len(ms))}
	sent := make(chan error, 1)
	go func() { sent <- guard.Run(func() error { return b.send(ctx) }) }()
	return func() (errs []error) {
		defer cancel()
		guard.Raise(<-sent)
		b.settle(ctx, s)
		errs = b.apply(ctx, s)
		if b.raisesDoubts() {
			c.doubts.raise(s.Kind)
		}
		return errs
	}
}

// batch is some transactions on their way, and what becomes of each.
type batch struct {
	link     *link
	ms       []protocol.Multi
	attempts []attempt
}

// attempt is what became of one transaction.
type attempt struct {
	results []protocol.Result
	err     error // nil, ErrFenced, ErrConflict, ErrRefused, or ErrUnavailable
	// unknown: an answer was lost, so the request may come to the server still.
	unknown bool
	took    time.Duration
}

// outcome is what the metrics call it.
func (a *attempt) outcome() string {
	switch {
	case a.err == nil && a.unknown: // done, but its answer was lost
		return "settled"
	case a.err == nil:
		return "done"
	case errors.Is(a.err, protocol.ErrFenced):
		return "fenced"
	case errors.Is(a.err, protocol.ErrUnavailable):
		return "unavailable"
	case errors.Is(a.err, protocol.ErrConflict):
		return "conflict"
	}
	return "refused"
}

// send sends each once, several at a time.
func (b *batch) send(ctx context.Context) error {
	all, _ := guard.NewGroup(ctx)
	all.SetLimit(writers)
	for i, m := range b.ms {
		if m.Empty() {
			continue
		}
		all.Go(func() error {
			start := time.Now()
			b.link.sendOnce(ctx, m, &b.attempts[i])
			b.attempts[i].took = time.Since(start)
			return nil
		})
	}
	return all.Wait()
}

// apply applies to s what was done, and says what became of each.
func (b *batch) apply(ctx context.Context, s *protocol.State) []error {
	errs := make([]error, len(b.ms))
	for i, m := range b.ms {
		a := &b.attempts[i]
		if errors.Is(a.err, protocol.ErrFenced) && !m.MovesHead() && m.Ops[0].Version < s.HeadVersion {
			// by us: no other leads
			a.err = fmt.Errorf("%w: the head was moved to settle another one", protocol.ErrConflict)
		}
		if a.err == nil {
			m.Apply(s, a.results)
			fault.Step(ctx, fault.Applied, m.Step)
		} else {
			errs[i] = fmt.Errorf("commit %s: %w", m.Step, a.err)
		}
		b.link.metrics.observe(m, a)
	}
	return errs
}

// raisesDoubts says that what is read next is to be asked of the server itself: a znode was not as it
// was taken to be, or the head was moved, on which more rests than on any other write.
func (b *batch) raisesDoubts() bool {
	for i, m := range b.ms {
		err := b.attempts[i].err
		if err == nil && m.MovesHead() || errors.Is(err, protocol.ErrConflict) || errors.Is(err, protocol.ErrFenced) {
			return true
		}
	}
	return false
}

// sendOnce sends m over the present session; a.unknown if no answer came.
func (l *link) sendOnce(ctx context.Context, m protocol.Multi, a *attempt) {
	sess, err := l.await(ctx)
	if err != nil {
		a.err = err // not sent: the outcome is known
		return
	}
	if a.err = unavailable(l.ensureAll(ctx, sess, m.Parents)); a.err != nil {
		return
	}
	if err := fault.FailStep(ctx, fault.Sending, m.Step); err != nil {
		a.err = unavailable(err) // not sent: the outcome is known
		return
	}
	if m.Gate != nil {
		if err := m.Gate(); err != nil {
			a.err = err // not sent: the outcome is known
			return
		}
	}
	fault.Soon(ctx, fault.Sent, m.Step)
	a.results, a.err = l.send(ctx, sess, m)
	fault.Step(ctx, fault.Replied, m.Step)
	a.unknown = errors.Is(a.err, protocol.ErrUnavailable) && !fault.LossTakenAsFailure.Made()
}

// send returns ErrUnavailable if no answer came; every other error means that nothing was done.
func (l *link) send(ctx context.Context, sess *session, m protocol.Multi) ([]protocol.Result, error) {
	ops := make([]any, len(m.Ops))
	for i, op := range m.Ops {
		ops[i] = l.request(sess, op)
	}
	got, err := do(ctx, sess, func(conn *zk.Conn) ([]zk.MultiResponse, error) {
		got, err := conn.Multi(ops...)
		if err != nil && len(got) == len(ops) {
			err = rejection(m, got, err)
		}
		return got, err
	})
	switch {
	case err == nil && len(got) == len(ops):
		return resultsOf(m, got), nil
	case err == nil:
		return nil, fmt.Errorf("%w: %d answers to %d operations", protocol.ErrUnavailable, len(got), len(ops))
	case errors.Is(err, protocol.ErrFenced), errors.Is(err, protocol.ErrConflict):
		return nil, err
	case isConflict(err):
		return nil, fmt.Errorf("%w: %w", protocol.ErrConflict, err)
	}
	return nil, unavailable(err) // or a refusal of the transaction as a whole
}

func (l *link) request(sess *session, op protocol.Op) any {
	path := sess.path(op.Path)
	switch op.Kind {
	case protocol.OpCreate:
		return &zk.CreateRequest{Path: path, Data: op.Data, Acl: l.acl(op.Path)}
	case protocol.OpSet:
		return &zk.SetDataRequest{Path: path, Data: op.Data, Version: version(op, fault.VersionIgnored)}
	case protocol.OpDelete:
		return &zk.DeleteRequest{Path: path, Version: op.Version}
	}
	return &zk.CheckVersionRequest{Path: path, Version: version(op, fault.HeadUnchecked)}
}

// version is what a znode must have; -1, any, where the bug is made.
func version(op protocol.Op, ignored fault.Bug) int32 {
	if ignored.Made() {
		return -1
	}
	return op.Version
}

// rejection names the failed operation. Before it there is no error, behind it "unknown error: -2".
func rejection(m protocol.Multi, got []zk.MultiResponse, err error) error {
	for i, answer := range got {
		switch why := named(answer.Error); {
		case why == nil:
			continue
		case isRefusal(why):
			return fmt.Errorf("%w: %s: %w", protocol.ErrRefused, m.Ops[i].Path, deniedOp(why, m.Ops[i]))
		case !isConflict(why):
			return err
		case i == 0: // the head is always the first
			return fmt.Errorf("%w (%w)", protocol.ErrFenced, why)
		default:
			return fmt.Errorf("%w: %s: %w", protocol.ErrConflict, m.Ops[i].Path, why)
		}
	}
	return err
}

// resultsOf gives each operation the transaction's number and time, which only sets are told.
func resultsOf(m protocol.Multi, got []zk.MultiResponse) []protocol.Result {
	var common protocol.Result
	for _, answer := range got {
		if answer.Stat != nil {
			common.Zxid, common.Mtime = answer.Stat.Mzxid, time.UnixMilli(answer.Stat.Mtime)
		}
	}
	return m.Results(common)
}
