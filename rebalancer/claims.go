package rebalancer

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/reconcile"
)

// Claim takes a delete by a condition that names these ids and may have lost a part of itself on
// its way: those go which the next complete read of the catalogue lacks, if it begins after this
// call. The read is asked for. nil means that a successor knows of the claim, as far as the
// document has room; what it does not know of it finds with its own reads, as if no message had
// told.
func (e *Engine) Claim(ctx context.Context, ids []string) error {
	fault.Point("delete.received")
	good, bad := checked(ids)
	a := newAsk()
	noted, err := e.hearClaim(good, &a)
	if err != nil {
		return err
	}
	if noted && e.cfg.Reread != nil {
		e.cfg.Reread()
	}
	e.wake.Wake()
	if err := e.wait(ctx, &a); err != nil {
		return err
	}
	return bad
}

// hearClaim notes a claim on those ids that exist, or may soon: asked for, or among the rows of a read that are not all created yet.
// Where the State has changed since the index was asked, an id is taken for one that exists: the read decides.
func (e *Engine) hearClaim(ids []string, a *ask) (noted bool, err error) {
	known, of := e.index.known(ids)
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.leading {
		return false, orders.ErrNotLeading
	}
	now, any := time.Now(), of != e.state || e.importing || e.compared.reading()
	for i, id := range ids {
		if known[i] || any || e.queue.by[id] != nil {
			e.compared.hear(saying{at: now, id: id, claim: true})
			noted = true
		}
	}
	e.queue.claims = append(e.queue.claims, a)
	return noted, nil
}

// claimedCount is the number of ids that are claimed to be deleted.
func (e *Engine) claimedCount() float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return float64(e.compared.claims())
}

// keptReconcile is the document that tells a successor what a comparison with the catalogue depends
// on: which ids a message claimed to be deleted, and how many went without a person.
type keptReconcile struct {
	V int `json:"v"`
	// At is when the last of the claims was made.
	At     time.Time        `json:"at,omitzero"`
	Claims []string         `json:"claims,omitempty"`
	Went   []reconcile.Went `json:"went,omitempty"`
}

const (
	reconcileName    = "reconcile"
	reconcileVersion = 1
	// claimsBytes bounds the claims that are kept: about 5,000 UUIDs. What went is far less.
	claimsBytes = protocol.MaxDocBytes * 3 / 4
)

// takeUp goes on with what the leader before has kept. e.mu is held.
func (e *Engine) takeUp(st *protocol.State) {
	doc := st.Kept[reconcileName]
	if doc == nil {
		return
	}
	var kept keptReconcile
	if err := exact.JSON(doc.Data, &kept); err != nil || kept.V != reconcileVersion {
		e.log.Warn("the last leader's claims cannot be read; two reads find what they were right about", "version", kept.V, "error", err)
		return
	}
	at := time.Now()
	if kept.At.Before(at) { // the other one's clock may be ahead
		at = kept.At
	}
	for _, id := range kept.Claims {
		e.compared.rec.Claim(at, id)
	}
	e.compared.rec.Resume(kept.Went)
}

// owe notes that the delete of claimed ids is asked for and not durable yet, as far as the document
// has room. e.mu is held.
func (e *Engine) owe(ids []string) {
	room := claimsBytes
	for _, id := range ids {
		if room -= protocol.Cost(id); room < 0 {
			return
		}
		e.owed[id] = struct{}{}
	}
}

// paid forgets what was owed and is durable by now, or has been turned round. e.mu is held.
func (e *Engine) paid() (some bool) {
	for id := range e.owed {
		if w := e.queue.by[id]; w == nil || w.op != reconcile.Deleted {
			delete(e.owed, id)
			some = true
		}
	}
	return some
}

// toKeep is what went, what is owed and the claims that no read has decided yet, as far as there is
// room. e.mu is held.
func (e *Engine) toKeep() keptReconcile {
	kept, room := keptReconcile{V: reconcileVersion, Went: e.compared.rec.Went()}, claimsBytes
	add := func(id string) bool {
		if room -= protocol.Cost(id); room >= 0 {
			kept.Claims = append(kept.Claims, id)
		}
		return room >= 0
	}
	for id := range e.owed {
		if !add(id) {
			return kept
		}
	}
	for id, at := range e.compared.rec.Claims() {
		if !add(id) {
			return kept
		}
		if at.After(kept.At) {
			kept.At = at
		}
	}
	return kept
}

// reconciled keeps the claims and what went when they have changed, and answers the calls that made
// claims.
func (t *term) reconciled(ctx context.Context) (bool, error) {
	kept, asks, version := t.e.reconcileToKeep(t.reconciledTo)
	if kept == nil {
		return false, nil
	}
	if err := t.keepReconcile(ctx, *kept, asks > 0); err != nil {
		return false, err
	}
	t.reconciledTo = version
	t.e.answerClaims(asks)
	return true, nil
}

// reconcileToKeep is what is to be kept, how many callers wait for that, and its version; nil: what
// has version known is kept, or a comparison is under way, after which the leader is woken.
func (e *Engine) reconcileToKeep(known int) (kept *keptReconcile, asks, version int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.compared.lent != nil {
		return nil, 0, 0
	}
	version = e.compared.rec.Version()
	if asks = len(e.queue.claims); !e.paid() && asks == 0 && version == known {
		return nil, 0, 0
	}
	all := e.toKeep()
	return &all, asks, version
}

func (e *Engine) answerClaims(asks int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.queue.claims[:asks] {
		a.end(nil)
	}
	e.queue.claims = e.queue.claims[asks:]
}

// keepReconcile writes the document if it differs. If it does not, and a caller waits, the head
// must be proven to be ours all the same.
func (t *term) keepReconcile(ctx context.Context, kept keptReconcile, asked bool) error {
	slices.Sort(kept.Claims)
	data, err := exact.Marshal(kept) // ids as protocol.Cost counts them
	if err != nil {
		return fmt.Errorf("encode what a comparison depends on: %w", err)
	}
	doc := t.st.Kept[reconcileName]
	switch same := doc == nil && len(kept.Claims)+len(kept.Went) == 0 || doc != nil && bytes.Equal(doc.Data, data); {
	case same && asked:
		return t.readHead(ctx)
	case same:
		return nil
	}
	m, err := protocol.StoreDoc(t.st, reconcileName, data)
	if err != nil {
		return err
	}
	return t.commit(ctx, job{m: m})
}
