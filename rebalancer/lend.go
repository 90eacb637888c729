package rebalancer

import (
	"context"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/reconcile"
)

// comparison is the reconciler and what it is to be told. Engine.mu guards it. Long work with the
// reconciler (the end of a read compares every id there is) is done outside of that lock, by the
// one goroutine to which it is lent meanwhile; it hears what messages say in that time when it is
// back, and what acts on its words looks at spoken first.
type comparison struct {
	rec *reconcile.Reconciler
	// lent is closed when the reconciler is back; nil: it is here.
	lent chan struct{}
	// said is what messages said while it is lent, spoken of which ids they said more than a claim. shown is what waited for a person when
	// it was lent, claimed how many ids were claimed to be deleted.
	said    []saying
	spoken  map[string]struct{}
	shown   *reconcile.Waiting
	claimed int
	// ended counts the reads that were compared.
	ended int
	// forgotten is the update of the index after which waiting deletes last let go of what is known
	// no more.
	forgotten int
}

// saying is what a message said of an id, and when; claim: that it is deleted if nothing of a condition was lost.
type saying struct {
	at     time.Time
	id     string
	claim  bool
	op     reconcile.Op
	exists bool
}

func (s *saying) tell(rec *reconcile.Reconciler) {
	if s.claim {
		rec.Claim(s.at, s.id)
		return
	}
	rec.Said(s.at, s.op, s.id, s.exists)
}

func newComparison() *comparison { return &comparison{rec: reconcile.New(time.Now())} }

// hear takes what a message said. Engine.mu is held.
func (c *comparison) hear(s saying) {
	if c.lent == nil {
		s.tell(c.rec)
		return
	}
	c.said = append(c.said, s)
	if s.claim {
		return
	}
	if c.spoken == nil {
		c.spoken = map[string]struct{}{}
	}
	c.spoken[s.id] = struct{}{}
}

// reading says whether a read is under way, or being compared. Engine.mu is held.
func (c *comparison) reading() bool { return c.lent != nil || c.rec.Reading() }

// claims counts the ids that are claimed to be deleted; while the reconciler is lent, those that were then. Engine.mu is held.
func (c *comparison) claims() int {
	if c.lent != nil {
		return c.claimed
	}
	return c.rec.Claimed()
}

// waiting is what waits for a person; while the reconciler is lent, what did then. Engine.mu is
// held.
func (c *comparison) waiting() *reconcile.Waiting {
	if c.lent != nil {
		return c.shown
	}
	return c.rec.Waiting()
}

// borrow takes the reconciler; back is not nil where another one has it, and closed when it is
// back.
func (e *Engine) borrow() (c *comparison, back <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c = e.compared
	if c.lent != nil {
		return nil, c.lent
	}
	c.shown = c.rec.Waiting()
	c.claimed = c.rec.Claimed()
	c.lent = make(chan struct{})
	return c, nil
}

// giveBack tells the reconciler what it has missed, in the order in which it was said. The step that keeps claims may wait for it.
func (e *Engine) giveBack(c *comparison) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue.claims) > 0 {
		defer e.wake.Wake()
	}
	for i := range c.said {
		c.said[i].tell(c.rec)
	}
	close(c.lent)
	c.lent, c.said, c.spoken, c.shown = nil, nil, nil, nil
}

// lend does long work with the reconciler, as soon as no other one has it.
func (e *Engine) lend(ctx context.Context, work func(c *comparison) error) error {
	for {
		c, back := e.borrow()
		if back == nil {
			defer e.giveBack(c)
			return work(c)
		}
		select {
		case <-back:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// compare does short work with the reconciler, with Engine.mu held, as soon as it is here.
func (e *Engine) compare(work func(c *comparison)) {
	for {
		back := e.tryCompare(work)
		if back == nil {
			return
		}
		<-back
	}
}

func (e *Engine) tryCompare(work func(c *comparison)) (back <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.compared.lent == nil {
		work(e.compared)
	}
	return e.compared.lent
}
