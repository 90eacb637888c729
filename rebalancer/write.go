package rebalancer

import (
	"context"
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/loop"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

const (
	// gather is the least time between two new pool pieces, and between two reads of the head: what
	// arrives meanwhile shares the next one. 5,000 creates a second thus make 200 pieces and not
	// 5,000.
	gather = 5 * time.Millisecond
	// revokeBytes bounds the ids of one revoke so that the flight piece, destinations included,
	// keeps its limit.
	revokeBytes = protocol.MaxFlight * 3 / 4
)

// create makes durable what is wanted and nowhere yet: as new pool pieces, or, where its delete is
// still in flight, by turning it round.
func (t *term) create(ctx context.Context) (bool, error) {
	wanted := t.e.inventory.Writer.Pending(resync.Created)
	if len(wanted) == 0 {
		return false, nil
	}
	fault.Point("create.queued")
	if next := t.created.Add(gather); t.now.Before(next) {
		t.sooner(next)
		return false, nil
	}
	var durable, fresh []string
	flying := map[string]struct{}{}
	for _, id := range wanted {
		switch place, known := t.e.inventory.Index.Find(id); {
		case !known:
			fresh = append(fresh, id)
		case place == inventory.InFlight:
			flying[id] = struct{}{}
		default:
			durable = append(durable, id)
		}
	}
	b := newBatch(roundBytes)
	durable = append(durable, t.redirect(b, resync.Created, flying, protocol.ToPool)...)
	if did, err := t.send(ctx, b); did || err != nil {
		return did, err
	}
	did := false
	if len(fresh) > 0 {
		var err error
		if did, err = t.createPieces(ctx, fresh); err != nil {
			return did, err
		}
	}
	confirmed, err := t.confirm(ctx, resync.Created, durable)
	return did || confirmed, err
}

// confirm answers for what is so already. Our State says that, and it is true while we lead;
// whether we still did when it was asked, only something of ours shows that began later and found
// our head: a transaction, a look, or else a read of the head alone. Without that, a leader that
// was deposed unawares would answer for a resource that its successor has just deleted.
func (t *term) confirm(ctx context.Context, op resync.Op, ids []string) (bool, error) {
	if len(ids) == 0 {
		return false, nil
	}
	unproven := t.settleProven(op, ids)
	if len(unproven) == 0 {
		return true, nil
	}
	if next := t.confirmed.Add(gather); t.now.Before(next) {
		t.sooner(next)
		return len(unproven) < len(ids), nil
	}
	if err := t.readHead(ctx); err != nil {
		return false, err
	}
	t.confirmed = t.now
	t.settleProven(op, unproven)
	return true, nil
}

// readHead proves that we lead.
func (t *term) readHead(ctx context.Context) error {
	asked := t.clock()
	read, err := t.e.store.ReadLeft(ctx, t.st.Kind, nil)
	if err != nil {
		return fmt.Errorf("read the head: %w", err)
	}
	if read.Head.Holder != t.holder {
		return fmt.Errorf("%w: the head is held by %s", protocol.ErrFenced, read.Head.Holder)
	}
	t.proved(asked)
	return nil
}

// settleProven answers for those of ids that were asked for before something began that found us
// leading, and returns the others.
func (t *term) settleProven(op resync.Op, ids []string) (unproven []string) {
	proven, unproven := t.e.inventory.Writer.AskedBy(op, ids, t.proven)
	t.settle(op, proven)
	return unproven
}

// proved notes that something which began at that time of the queue's clock found our head. What
// began earlier may end later.
func (t *term) proved(asked int64) { t.proven = max(t.proven, asked) }

// clock is the time by the inventory's clock.
func (t *term) clock() int64 { return t.e.inventory.Writer.Clock() }

// createPieces adds up to a round of pool pieces.
func (t *term) createPieces(ctx context.Context, ids []string) (bool, error) {
	if len(t.st.Pool)+round > protocol.MaxPool && !t.streaming { // what is under way makes room, and may need the pieces
		if did, err := t.propose(loop.Merge{})(ctx); did || err != nil {
			return did, err
		}
	}
	b := newBatch(roundBytes)
	for len(ids) > 0 && !b.full() && len(t.st.Pool)+len(b.jobs) < protocol.MaxPool {
		n := protocol.Fit(ids, protocol.MaxPieceBytes)
		some := ids[:n:n]
		m, err := protocol.Create(t.st, t.piece, some)
		t.piece++
		ids = ids[n:]
		b.add(job{m: m, done: func() {
			fault.Point("create.published")
			t.e.m.created.Add(float64(len(some)))
			t.settle(resync.Created, some)
		}}, err)
	}
	if len(b.jobs) == 0 && b.err == nil {
		t.block("the pool is full: no create can be taken")
	}
	did, err := t.send(ctx, b)
	t.created = t.now
	return did, err
}

// delete takes away what is to go: from the pool at once, from a list as soon as that may change,
// in flight by turning it round.
func (t *term) delete(ctx context.Context) (bool, error) {
	wanted := t.e.inventory.Writer.Pending(resync.Deleted)
	if len(wanted) == 0 || t.e.inventory.Index.Duplicates() > 0 { // of a duplicate the other one would stay
		return false, nil
	}
	fault.Point("delete.queued")
	var gone []string
	pooled, flying, listed := map[string]struct{}{}, map[string]struct{}{}, map[int]map[string]struct{}{}
	for _, id := range wanted {
		switch place, known := t.e.inventory.Index.Find(id); {
		case !known:
			gone = append(gone, id)
		case place == inventory.InPool:
			pooled[id] = struct{}{}
		case place == inventory.InFlight:
			flying[id] = struct{}{}
		default:
			if listed[int(place)] == nil {
				listed[int(place)] = map[string]struct{}{}
			}
			listed[int(place)][id] = struct{}{}
		}
	}
	b := newBatch(roundBytes)
	gone = append(gone, t.redirect(b, resync.Deleted, flying, protocol.ToDelete)...)
	t.deletePooled(b, pooled)
	did, err := t.send(ctx, b)
	if err != nil {
		return did, err
	}
	if confirmed, err := t.confirm(ctx, resync.Deleted, gone); did || confirmed || err != nil {
		return did || confirmed, err
	}
	return t.rounds(ctx, ordinals(listed), func(n int) (job, error) {
		ids := t.e.inventory.Writer.StillWanted(resync.Deleted, among(t.st.Instances[n].IDs, listed[n]))
		if ids = ids[:protocol.Fit(ids, revokeBytes)]; len(ids) == 0 {
			return job{}, nil
		}
		m, err := protocol.Revoke(t.st, n, ids, nil, t.pod(n))
		m.Gate = t.unlessGone(resync.Deleted, ids)
		return job{m: m, lists: []int{n}, done: func() { t.deleted(ids) }}, err
	})
}

// unlessGone lets a transaction that does what is wanted of ids be sent only if it is wanted still:
// its caller may have given up.
func (t *term) unlessGone(op resync.Op, ids []string) func() error {
	return func() error {
		if !t.e.inventory.Writer.Sending(op, ids) {
			return inventory.ErrGaveUp
		}
		return nil
	}
}

// deletePooled takes ids out of the pool, a transaction a piece.
func (t *term) deletePooled(b *batch, ids map[string]struct{}) {
	if len(ids) == 0 {
		return
	}
	for _, name := range t.st.PoolNames() {
		if here := among(t.st.Pool[name].IDs, ids); len(here) > 0 && !b.full() {
			m, err := protocol.DeletePooled(t.st, protocol.Take{Name: name, IDs: here})
			m.Gate = t.unlessGone(resync.Deleted, here)
			b.add(job{m: m, done: func() { t.deleted(here) }}, err)
		}
	}
}

func (t *term) deleted(ids []string) {
	fault.Point("delete.published")
	t.e.m.deleted.Add(float64(len(ids)))
	t.settle(resync.Deleted, ids)
}

// redirect turns ids in flight round: op says whether they are to live or to go, to where. It
// returns what goes the right way already.
func (t *term) redirect(b *batch, op resync.Op, ids map[string]struct{}, to int) (right []string) {
	if len(ids) == 0 {
		return nil
	}
	for _, name := range t.st.FlightNames() {
		f := t.st.Flight[name]
		var turn []string
		for i, id := range f.IDs.All() {
			if _, wanted := ids[id]; !wanted {
				continue
			}
			if dying := f.Target(i) == protocol.ToDelete; dying == (op == resync.Created) {
				turn = append(turn, id)
			} else {
				right = append(right, id)
			}
		}
		if len(turn) > 0 && !b.full() {
			m, err := protocol.Redirect(t.st, name, turn, to)
			m.Gate = t.unlessGone(op, turn)
			b.add(job{m: m, done: func() { t.settle(op, turn) }}, err)
		}
	}
	return right
}

// settle answers the callers that wait for ids.
func (t *term) settle(op resync.Op, ids []string) {
	complete := t.e.inventory.Writer.Answer(op, ids)
	if op == resync.Created {
		for _, r := range complete {
			t.e.m.creating.Observe(t.now.Sub(r.Begun()).Seconds())
		}
	}
}

// among returns those of ids that are in the set, in their order.
func among(ids protocol.IDs, set map[string]struct{}) (here []string) {
	for _, id := range ids.All() {
		if _, ok := set[id]; ok {
			here = append(here, id)
		}
	}
	return here
}

// pod is the uid of the pod that runs n's list now; "" if nobody knows.
func (t *term) pod(n int) string {
	if in := t.st.Instances[n]; in != nil && in.Status != nil {
		return in.Status.Pod
	}
	return t.orders.Pods[n]
}
