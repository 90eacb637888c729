package rebalancer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/internal/wake"
	"github.com/shardscaler/shardscaler/rebalancer/loop"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

const (
	// readings is how often everything is read, until it holds together, before the head counts as
	// taken.
	readings = 10
	// adoptionHold is how long nothing is spread after the adoption of a tree that another
	// orchestrator wrote.
	adoptionHold = 5 * time.Minute
)

// Lead takes the head and writes until ctx ends (nil) or another leader took the head
// (protocol.ErrFenced). While ZooKeeper does not answer it goes on trying, and what was asked of it
// waits unanswered. Run must be running.
func (e *Engine) Lead(ctx context.Context) error {
	select {
	case <-e.reader:
	case <-ctx.Done():
		return nil
	}
	defer func() { e.reader <- struct{}{} }()
	defer e.led.Store(0)
	defer e.resign()
	fault.Point("lead.begun")
	name := e.cfg.Holder + "/" + rand.Text()[:8]
	var between loop.Pauses
	for attempt := 1; ; attempt++ {
		begun := e.cfg.Now()
		e.led.Store(e.cfg.Now().UnixNano())
		err := e.term(ctx, name, attempt)
		if e.cfg.Now().Sub(begun) > loop.LastRetry { // it was no mere attempt
			between = loop.Pauses{}
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, protocol.ErrFenced):
			return fmt.Errorf("lead %s: %w", e.cfg.Kind, err)
		}
		e.failed(err)
		e.news.Wake()
		e.log.Warn("the assignment cannot be written; trying again", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(between.After(err)):
		}
	}
}

// landLook is the time between two looks at what has landed.
const landLook = 200 * time.Millisecond

// Land has what is in flight be granted and nothing else be moved, by the last orders: no others may
// come meanwhile. It returns how many resources are still in flight when ctx ends or this process
// leads no more; 0: all have landed.
func (e *Engine) Land(ctx context.Context) (inFlight int) {
	for e.Leading() {
		e.land()
		if !wake.Sleep(ctx, landLook) {
			break
		}
		if st := e.State(); st != nil && len(st.Flight) == 0 && st.Plan == nil {
			return 0
		}
	}
	st := e.State()
	if st == nil {
		return 0
	}
	for _, f := range st.Flight {
		inFlight += f.IDs.Len()
	}
	return inFlight
}

// resign tells all callers that wait that this replica leads no more.
func (e *Engine) resign() {
	fault.Point("lead.resigning")
	e.forgetAll()
	e.previews.remember(nil)
	e.resyncAt(time.Time{}, time.Time{})
	e.m.Leads(false)
}

// term takes the head and writes until something fails.
func (e *Engine) term(ctx context.Context, name string, attempt int) error {
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	l, err := e.Begin(ctx, name, attempt, beside.Go)
	if err != nil {
		return err
	}
	for {
		if err := l.Pass(ctx); err != nil {
			return err
		}
		timer := time.NewTimer(l.Due().Sub(e.cfg.Now()))
		select {
		case <-ctx.Done():
		case <-e.wake:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// Begin takes the head under a name, and returns the loop that writes from then on as its owner
// passes it; beside has work done beside it. An attempt after the first goes on only if no other
// process took the head meanwhile: the first word of this leadership was the election's, a later
// one would be against it.
func (e *Engine) Begin(ctx context.Context, name string, attempt int, beside func(work func())) (*loop.Loop, error) {
	before, _, err := e.store.Read(ctx, e.cfg.Kind, e.State())
	if err != nil {
		return nil, fmt.Errorf("read before leading: %w", err)
	}
	_, led := e.leads()
	if other := before.Head.Holder; attempt > 1 && led && !strings.HasPrefix(other, name+".") {
		return nil, fmt.Errorf("%w: another process leads (head): %s", protocol.ErrFenced, other)
	}
	adopted := before.HeadVersion < 0 && before.Count() > 0 // another orchestrator wrote the tree
	holder := fmt.Sprintf("%s.%d", name, attempt)
	st, err := e.takeHead(ctx, before, holder)
	if err != nil {
		return nil, fmt.Errorf("take the head: %w", err)
	}
	fault.Point("lead.reread")
	e.publish(st.Clone(), true)
	e.inventory.Indexed()
	e.inventory.Index.CatchUp()
	if e.begin(st, holder) && e.cfg.Resync != nil {
		e.cfg.Resync() // what asked a leader before for a read may have been answered
	}
	e.m.Leads(true)
	e.news.Wake()
	e.log.Info("leading", "epoch", st.Head.Epoch, "holder", holder, "instances", len(st.Instances), "resources", st.Count(), "adopted", adopted)
	l := loop.New(loop.Config{
		Holder: holder, ReadEvery: e.cfg.ReadEvery, Now: e.cfg.Now, Store: e.store, Host: host{e}, Calls: &e.calls,
		Inventory: e.inventory, Beside: beside, Metrics: e.m, Log: e.log,
	}, st)
	if adopted {
		l.Adopt(e.cfg.Now().Add(adoptionHold))
	}
	return l, nil
}

// takeHead is protocol rule 1: first the head, then everything else is read again. What did not
// change since before is not read twice.
func (e *Engine) takeHead(ctx context.Context, before *protocol.State, holder string) (*protocol.State, error) {
	st := before.Clone()
	m, err := protocol.Lead(st, holder)
	if err != nil {
		return nil, err
	}
	if err := e.store.CommitAll(ctx, st, []protocol.Multi{m})[0]; err != nil {
		return nil, err
	}
	for range readings {
		e.led.Store(e.cfg.Now().UnixNano())
		next, _, err := e.store.Read(ctx, e.cfg.Kind, st)
		switch {
		case err != nil:
			return nil, err
		case next.Head.Holder != holder:
			return nil, fmt.Errorf("%w: another process leads (head): %s", protocol.ErrFenced, next.Head.Holder)
		case !next.Torn || protocol.ForeignEdit(st, next) == "":
			// only statuses changed while it was read
			next.Torn = false
			return next, nil
		}
		st = next
	}
	return nil, fmt.Errorf("%w: another client keeps writing", protocol.ErrConflict)
}
