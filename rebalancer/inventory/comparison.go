package inventory

import (
	"context"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// comparison is the comparison with the catalogue and what it is to be told. Long work with it (the
// end of a read compares every id there is) is done without the lock, by the one goroutine to which
// it is lent meanwhile; it hears what messages say in that time when it is back, and what acts on
// its words looks at spoken first.
type comparison struct {
	with *resync.Comparison
	// lent is closed when it is back; nil: it is here.
	lent chan struct{}
	// said is what messages said while it is lent, spoken of which ids they said more than a claim.
	// shown is what waited for a person when it was lent, claimed how many claims there were.
	said    []saying
	spoken  map[string]struct{}
	shown   *resync.Waiting
	claimed int
	// ended counts the reads that were compared.
	ended int
	// forgotten is the update of the index at which waiting deletes last dropped the unknown.
	forgotten int
}

// saying is what a message said of an id, and when; claim: that it is deleted, by a condition.
type saying struct {
	at     time.Time
	id     string
	claim  bool
	op     resync.Op
	exists bool
}

func (s *saying) tell(c *resync.Comparison) {
	if s.claim {
		c.Claim(s.at, s.id)
		return
	}
	c.Said(s.at, s.op, s.id, s.exists)
}

func newComparison(now time.Time) *comparison { return &comparison{with: resync.New(now)} }

func (c *comparison) hear(s saying) {
	if c.lent == nil {
		s.tell(c.with)
		return
	}
	c.said = append(c.said, s)
	if !s.claim {
		c.spoken[s.id] = struct{}{}
	}
}

// open is what waits for a person and how many claims there are; while it is lent, as it was then.
func (c *comparison) open() (waiting *resync.Waiting, claimed int) {
	if c.lent != nil {
		return c.shown, c.claimed
	}
	return c.with.Waiting(), c.with.Claimed()
}

// borrow takes the comparison; back, if not nil, is closed when another goroutine gives it back.
func (s *shared) borrow() (c *comparison, back <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c = s.comparison
	if c.lent != nil {
		return nil, c.lent
	}
	c.shown, c.claimed = c.open()
	c.lent, c.spoken = make(chan struct{}), map[string]struct{}{}
	return c, nil
}

// giveBack tells the comparison what it has missed, in the order in which it was said.
func (s *shared) giveBack(c *comparison) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range c.said {
		c.said[i].tell(c.with)
	}
	close(c.lent)
	c.lent, c.said, c.spoken, c.shown = nil, nil, nil, nil
}

// lend does long work with the leader's comparison, as soon as no other goroutine has it.
func (s *shared) lend(ctx context.Context, work func(c *comparison) error) error {
	for {
		c, back := s.borrow()
		if back == nil {
			defer s.giveBack(c)
			if !s.leads(c) {
				return orders.ErrNotLeading
			}
			return work(c)
		}
		select {
		case <-back:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// compare does short work with the comparison, with the lock, as soon as it is here.
func (s *shared) compare(work func(c *comparison)) {
	for back := s.tryCompare(work); back != nil; back = s.tryCompare(work) {
		<-back
	}
}

func (s *shared) tryCompare(work func(c *comparison)) (back <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.comparison.lent == nil {
		work(s.comparison)
	}
	return s.comparison.lent
}
