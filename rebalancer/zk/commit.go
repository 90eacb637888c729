package zk

import (
	"bytes"
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

// Commit sends one transaction, settles an unknown outcome by protocol rule 9, and applies it to s. On an error s is as before,
// but that its head version may have moved (see TouchHead). An empty Multi is nothing.
func (c *Client) Commit(ctx context.Context, s *protocol.State, m protocol.Multi) error {
	return c.CommitAll(ctx, s, []protocol.Multi{m})[0]
}

// CommitAll commits transactions that do not overlap at the same time. errs has one entry each, nil where it was committed and
// applied to s.
func (c *Client) CommitAll(ctx context.Context, s *protocol.State, ms []protocol.Multi) (errs []error) {
	return c.Begin(ctx, s, ms)()
}

// Begin begins to commit transactions as CommitAll does, and finish, which must be called, ends that; only then s changes. Until then
// others that do not overlap may be committed, also such that were begun later.
func (c *Client) Begin(ctx context.Context, s *protocol.State, ms []protocol.Multi) (finish func() (errs []error)) {
	if err := protocol.Together(ms); err != nil {
		for _, m := range ms {
			c.metrics.commits.WithLabelValues(m.Step, outcomeRefused).Inc()
		}
		return func() []error { return slices.Repeat([]error{fmt.Errorf("commit %w", err)}, len(ms)) }
	}
	ctx, cancel := bounded(ctx)
	attempts, sent := make([]*attempt, len(ms)), make(chan error, 1)
	for i := range ms {
		attempts[i] = &attempt{}
	}
	go func() { sent <- guard.Run(func() error { return c.sendAll(ctx, ms, attempts) }) }()
	return func() []error {
		defer cancel()
		guard.Raise(<-sent)
		return c.finish(ctx, s, ms, attempts)
	}
}

// finish settles what is unknown, applies what was done, and says what became of each.
func (c *Client) finish(ctx context.Context, s *protocol.State, ms []protocol.Multi, attempts []*attempt) []error {
	c.settleAll(ctx, s, ms, attempts)
	errs := make([]error, len(ms))
	for i, a := range attempts {
		if errors.Is(a.err, protocol.ErrFenced) && !ms[i].MovesHead() && ms[i].Ops[0].Version < s.HeadVersion {
			a.err = fmt.Errorf("%w: the head was moved to settle another one", protocol.ErrConflict) // by us: nobody else leads
		}
		errs[i] = a.err
		if a.err == nil {
			ms[i].Apply(s, a.results)
			fault.Step(ctx, fault.Applied, ms[i].Step)
		} else {
			errs[i] = fmt.Errorf("commit %s: %w", ms[i].Step, a.err)
		}
		if !ms[i].Empty() {
			c.metrics.commits.WithLabelValues(ms[i].Step, a.outcome()).Inc()
			c.metrics.commitSeconds.WithLabelValues(ms[i].Step).Observe(a.took.Seconds())
			c.metrics.commitBytes.Add(float64(ms[i].Bytes()))
		}
	}
	return errs
}

// attempt is what became of one transaction.
type attempt struct {
	results []protocol.Result
	err     error // nil, ErrFenced, ErrConflict, ErrRefused, or ErrUnavailable
	// unknown: an answer was lost, so the request may come to the server still.
	unknown bool
	took    time.Duration
}

func (a *attempt) outcome() string {
	switch {
	case a.err == nil && a.unknown:
		return outcomeSettled
	case a.err == nil:
		return outcomeDone
	case errors.Is(a.err, protocol.ErrFenced):
		return outcomeFenced
	case errors.Is(a.err, protocol.ErrUnavailable):
		return outcomeUnavailable
	case errors.Is(a.err, protocol.ErrConflict):
		return outcomeConflict
	}
	return outcomeRefused
}

// sendAll sends each once, several at a time.
func (c *Client) sendAll(ctx context.Context, ms []protocol.Multi, attempts []*attempt) error {
	all, _ := guard.NewGroup(ctx)
	all.SetLimit(writers)
	for i, m := range ms {
		if m.Empty() {
			continue
		}
		all.Go(func() error {
			start := time.Now()
			c.sendOnce(ctx, m, attempts[i])
			attempts[i].took = time.Since(start)
			return nil
		})
	}
	return all.Wait()
}

// sendOnce sends m over the present session; a.unknown if no answer came.
func (c *Client) sendOnce(ctx context.Context, m protocol.Multi, a *attempt) {
	sess, err := c.await(ctx)
	if err != nil {
		a.err = err // not sent: the outcome is known
		return
	}
	for _, path := range m.Parents {
		if err := ensure(ctx, sess, sess.path(path), c.acl(path)); err != nil {
			a.err = unavailable(fmt.Errorf("create %s: %w", path, denied(err, rightCreate, parent(path))))
			return
		}
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
	results, err := c.send(ctx, sess, m)
	fault.Step(ctx, fault.Replied, m.Step)
	a.results, a.err = results, err
	a.unknown = errors.Is(err, protocol.ErrUnavailable)
}

// send returns ErrUnavailable if no answer came; every other error means that nothing was done.
func (c *Client) send(ctx context.Context, sess *session, m protocol.Multi) ([]protocol.Result, error) {
	ops := make([]any, len(m.Ops))
	for i, op := range m.Ops {
		ops[i] = c.request(sess, op)
	}
	type answers = []zk.MultiResponse
	got, err := do(ctx, sess, func(conn *zk.Conn) (answers, error) {
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
	case errors.Is(err, protocol.ErrFenced), errors.Is(err, protocol.ErrConflict), errors.Is(err, protocol.ErrRefused):
		return nil, err
	case isConflict(err):
		return nil, fmt.Errorf("%w: %w", protocol.ErrConflict, err)
	case isRefusal(err): // of the transaction as a whole
		return nil, fmt.Errorf("%w: %w", protocol.ErrRefused, err)
	}
	return nil, fmt.Errorf("%w: %w", protocol.ErrUnavailable, err)
}

func (c *Client) request(sess *session, op protocol.Op) any {
	path := sess.path(op.Path)
	switch op.Kind {
	case protocol.OpCreate:
		return &zk.CreateRequest{Path: path, Data: op.Data, Acl: c.acl(op.Path)}
	case protocol.OpSet:
		return &zk.SetDataRequest{Path: path, Data: op.Data, Version: op.Version}
	case protocol.OpDelete:
		return &zk.DeleteRequest{Path: path, Version: op.Version}
	}
	return &zk.CheckVersionRequest{Path: path, Version: op.Version}
}

// rejection names the operation that failed. The ones before it report no error, those after it "unknown error: -2".
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

// resultsOf gives every operation the transaction's number and time, which the server tells for sets alone.
func resultsOf(m protocol.Multi, got []zk.MultiResponse) []protocol.Result {
	var common protocol.Result
	for _, answer := range got {
		if answer.Stat != nil {
			common.Zxid, common.Mtime = answer.Stat.Mzxid, time.UnixMilli(answer.Stat.Mtime)
		}
	}
	results := make([]protocol.Result, len(m.Ops))
	for i, op := range m.Ops {
		results[i] = common
		switch op.Kind {
		case protocol.OpSet:
			results[i].Version = op.Version + 1
		case protocol.OpCheck:
			results[i].Version = op.Version
		}
	}
	return results
}

// settleAll finds out what became of the transactions whose answer was lost, and then moves the head, so that a request
// that still waits somewhere on its way (behind a frozen server) finds another version and does nothing.
func (c *Client) settleAll(ctx context.Context, s *protocol.State, ms []protocol.Multi, attempts []*attempt) {
	lost, movesHead := false, false
	for i, a := range attempts {
		if a.unknown {
			start := time.Now()
			a.results, a.err = c.settle(ctx, ms[i])
			a.took += time.Since(start)
			lost, movesHead = true, movesHead || ms[i].MovesHead()
		}
	}
	if !lost || movesHead { // a write of the head is its own fence: it cannot succeed twice
		return
	}
	touch := protocol.TouchHead(s)
	a := &attempt{}
	if c.sendOnce(ctx, touch, a); a.unknown {
		a.results, a.err = c.settle(ctx, touch)
	}
	if a.err == nil {
		touch.Apply(s, a.results)
	}
	for _, old := range attempts {
		if old.unknown {
			old.err = settled(old.err, a.err)
		}
	}
}

// settled is what became of a transaction whose answer was lost, by err, what settling it came to, and
// moved, what moving the head came to.
//
// A refusal is an answer to the last request alone: the first one may have been done after it, until
// the head moved. Then one looks again. Where the head could not be moved, the first one may be done
// at any time, and nothing is known.
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

// settle sends the same transaction again until there is an answer. A refusal then may mean that the first one was done: what it
// would have left is compared with what is there. An old value read back would prove nothing.
func (c *Client) settle(ctx context.Context, m protocol.Multi) (results []protocol.Result, err error) {
	err = untilAnswered(ctx, func() error {
		sess, err := c.await(ctx)
		if err != nil {
			return err
		}
		if results, err = c.send(ctx, sess, m); err == nil || errors.Is(err, protocol.ErrUnavailable) {
			return err
		}
		there, done, cmpErr := c.compare(ctx, sess, m)
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

// untilAnswered tries until that fails no more by ErrUnavailable, or ctx ends. It pauses, longer each time: a server may answer by an error
// of its own that says nothing of the outcome, at once and for as long as it is in trouble.
func untilAnswered(ctx context.Context, try func() error) error {
	for pause := firstSettlePause; ; pause = min(2*pause, lastSettlePause) {
		err := try()
		if !errors.Is(err, protocol.ErrUnavailable) || errors.Is(err, errClosed) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// compare says whether everything is as the transaction would have left it.
func (c *Client) compare(ctx context.Context, sess *session, m protocol.Multi) (results []protocol.Result, done bool, err error) {
	if err := catchUp(ctx, sess); err != nil {
		return nil, false, err
	}
	results = make([]protocol.Result, len(m.Ops))
	for i, op := range m.Ops {
		if op.Kind == protocol.OpCheck {
			results[i].Version = op.Version
			continue
		}
		got, err := znodes{ctx, sess}.Get(op.Path)
		if err != nil {
			return nil, false, err
		}
		if got == nil {
			if op.Kind != protocol.OpDelete {
				return nil, false, nil
			}
			continue
		}
		version := int32(0)
		if op.Kind == protocol.OpSet {
			version = op.Version + 1
		}
		if op.Kind == protocol.OpDelete || got.Version != version || !bytes.Equal(got.Data, op.Data) {
			return nil, false, nil
		}
		results[i] = protocol.Result{Version: version, Mtime: got.Modified, Zxid: got.Zxid}
	}
	return results, true, nil
}

// Lead takes the head of the kind by protocol rule 1 and returns what was read afterwards. holder must be `<pod>/<nonce>` with a
// nonce that no other call uses. ErrFenced: another took it at the same moment.
func (c *Client) Lead(ctx context.Context, kind, holder string) (*protocol.State, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	s, _, err := c.readOnce(ctx, protocol.NewState(kind))
	if err != nil {
		return nil, fmt.Errorf("lead %s: %w", kind, err)
	}
	m, err := protocol.Lead(s, holder)
	if err != nil {
		return nil, err
	}
	if err := c.Commit(ctx, s, m); err != nil {
		return nil, err
	}
	s, _, err = c.Read(ctx, kind, s)
	return s, err
}
