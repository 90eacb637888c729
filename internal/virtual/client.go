package virtual

import (
	"context"
	"fmt"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Client is how one leadership reads and writes ZooKeeper, as zk.Client does: commits are applied
// to the State that they were made from. It belongs to one kind.
//
// A Read costs next to nothing while no other client has written: it then relies on prev being what
// this client read last, with all that it committed since, or a copy of that.
//
// No call heeds its context: a deadline is by another clock than the world's, and no time passes
// here.
type Client struct {
	z *ZooKeeper
	// seen is the last transaction that the State shows; under is how many commits are begun and
	// not applied yet.
	seen  int64
	under int
	// left is how many transactions are sent before the process ends; negative: it goes on.
	// unanswered: the answer to the last one does not come any more.
	left       int
	unanswered bool
}

// NewClient has read nothing.
func (z *ZooKeeper) NewClient() *Client { return &Client{z: z, seen: -1, left: -1} }

// Kill ends the process after that many more transactions, in the middle of whatever it does then:
// from there on every call fails with ErrUnavailable. unanswered: the last one is done, and the
// process has not heard of it.
func (c *Client) Kill(after int, unanswered bool) { c.left, c.unanswered = after, unanswered }

// Dead says that the process has ended.
func (c *Client) Dead() bool { return c.left == 0 }

func (c *Client) alive() error {
	if c.left == 0 {
		return fmt.Errorf("%w: the process has ended", protocol.ErrUnavailable)
	}
	return nil
}

// Read is zk.Client's.
func (c *Client) Read(_ context.Context, kind string, prev *protocol.State) (*protocol.State, bool, error) {
	if err := c.alive(); err != nil {
		return nil, false, err
	}
	now := c.z.clock.Now()
	if prev != nil && c.seen == c.z.zxid && c.under == 0 {
		same := prev.Clone()
		same.ReadAt, same.Torn = now, false
		return same, false, nil
	}
	if prev == nil {
		prev = protocol.NewState(kind)
	}
	fresh, changed, err := protocol.Read(c.z, prev, now)
	if err != nil {
		return nil, false, fmt.Errorf("read kind %s: %w", kind, err)
	}
	c.seen = c.z.zxid
	return fresh, changed, nil
}

// ReadOnce is Read: nothing is written while it reads.
func (c *Client) ReadOnce(ctx context.Context, prev *protocol.State) (*protocol.State, bool, error) {
	return c.Read(ctx, prev.Kind, prev)
}

// Connected is zk.Client's.
func (c *Client) Connected() (bool, error) { return !c.Dead(), nil }

// Changes is zk.Client's. There are no watches.
func (c *Client) Changes(string) (all, statuses <-chan struct{}) { return nil, nil }

// ReadLeft is zk.Client's.
func (c *Client) ReadLeft(_ context.Context, kind string, ordinals []int) (protocol.Left, error) {
	if err := c.alive(); err != nil {
		return protocol.Left{}, err
	}
	return protocol.ReadLeft(c.z, kind, ordinals)
}

// CommitAll is zk.Client's.
func (c *Client) CommitAll(ctx context.Context, s *protocol.State, ms []protocol.Multi) []error {
	return c.Begin(ctx, s, ms)()
}

// Begin is zk.Client's: the transactions are done at once, and s shows them at the end.
func (c *Client) Begin(_ context.Context, s *protocol.State, ms []protocol.Multi) (finish func() []error) {
	errs, results := make([]error, len(ms)), make([][]protocol.Result, len(ms))
	together := protocol.Together(ms)
	for i, m := range ms {
		switch {
		case together != nil:
			errs[i] = fmt.Errorf("commit %w", together)
		case !m.Empty():
			results[i], errs[i] = c.commit(m)
		}
	}
	c.under++
	return func() []error {
		c.under--
		for i, m := range ms {
			if errs[i] == nil {
				m.Apply(s, results[i])
			}
		}
		return errs
	}
}

// commit sends one transaction, if the process lives until then, and notes that s will show it.
func (c *Client) commit(m protocol.Multi) ([]protocol.Result, error) {
	if err := c.alive(); err != nil {
		return nil, fmt.Errorf("commit %s: %w", m.Step, err)
	}
	before := c.z.zxid
	results, err := c.z.Commit(m)
	if err == nil && c.left > 0 {
		if c.left--; c.left == 0 && c.unanswered {
			err = fmt.Errorf("%w: the answer is lost", protocol.ErrUnavailable)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", m.Step, err)
	}
	if c.seen == before && c.z.zxid == before+1 {
		// no parents were made with it, which s does not show
		c.seen = c.z.zxid
	}
	return results, nil
}
