package rebalancer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/reconcile"
	"github.com/shardscaler/shardscaler/rebalancer/zkstore"
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
	e.mu.Lock()
	if !e.leading {
		e.mu.Unlock()
		return ErrNotLeading
	}
	noted, now := false, time.Now()
	for _, id := range good {
		if e.mayExist(id) {
			e.rec.Claim(now, id)
			noted = true
		}
	}
	e.queue.claims = append(e.queue.claims, &a)
	e.mu.Unlock()
	if noted && e.cfg.Reread != nil {
		e.cfg.Reread()
	}
	stir(e.wake)
	if err := a.wait(ctx); err != nil {
		return err
	}
	return bad
}

// mayExist says whether an id is known, or may soon be: asked for, or among the rows of a read that
// are not all created yet. e.mu is held.
func (e *Engine) mayExist(id string) bool {
	if _, known := e.index.place(id); known || e.queue.by[id] != nil {
		return true
	}
	return e.importing || e.rec.Reading()
}

// claimedCount is the number of ids that are claimed to be deleted.
func (e *Engine) claimedCount() float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	count, _ := e.rec.Claimed()
	return float64(count)
}

// keptClaims is the document that tells a successor which ids a message claimed to be deleted.
type keptClaims struct {
	V int `json:"v"`
	// At is when the last of them was made.
	At     time.Time `json:"at,omitzero"`
	Claims []string  `json:"claims,omitempty"`
}

const (
	claimsName    = "claims"
	claimsVersion = 1
	// claimsBytes bounds what is kept: about 5,000 UUIDs.
	claimsBytes = zkstore.MaxDocBytes * 3 / 4
)

// takeUp goes on with the claims of the leader before. e.mu is held.
func (e *Engine) takeUp(st *zkstore.State) {
	doc := st.Kept[claimsName]
	if doc == nil {
		return
	}
	var kept keptClaims
	if err := exact.JSON(doc.Data, &kept); err != nil || kept.V != claimsVersion {
		e.log.Warn("the last leader's claims cannot be read; two reads find what they were right about", "version", kept.V, "error", err)
		return
	}
	at := time.Now()
	if kept.At.Before(at) { // the other one's clock may be ahead
		at = kept.At
	}
	for _, id := range kept.Claims {
		e.rec.Claim(at, id)
	}
}

// owe notes that the delete of claimed ids is asked for and not durable yet, as far as the document
// has room. e.mu is held.
func (e *Engine) owe(ids []string) {
	room := claimsBytes
	for _, id := range ids {
		if room -= jsonCost(id); room < 0 {
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

// toKeep are what is owed and the claims that no read has decided yet, as far as there is room.
// e.mu is held.
func (e *Engine) toKeep() keptClaims {
	kept, room := keptClaims{V: claimsVersion}, claimsBytes
	add := func(id string) bool {
		if room -= jsonCost(id); room >= 0 {
			kept.Claims = append(kept.Claims, id)
		}
		return room >= 0
	}
	for id := range e.owed {
		if !add(id) {
			return kept
		}
	}
	for id, at := range e.rec.Claims() {
		if !add(id) {
			return kept
		}
		if at.After(kept.At) {
			kept.At = at
		}
	}
	return kept
}

// jsonCost is how many bytes an id takes in a list.
func jsonCost(id string) int {
	text, _ := json.Marshal(id) // a string
	return len(text) + len(",")
}

// claims keeps the claims when they have changed, and answers who made them.
func (t *term) claims(ctx context.Context) (bool, error) {
	t.e.mu.Lock()
	asks := t.e.queue.claims
	_, version := t.e.rec.Claimed()
	if !t.e.paid() && len(asks) == 0 && version == t.claimed {
		t.e.mu.Unlock()
		return false, nil
	}
	kept := t.e.toKeep()
	t.e.mu.Unlock()
	if err := t.keepClaims(ctx, kept, len(asks) > 0); err != nil {
		return false, err
	}
	t.claimed = version
	t.e.mu.Lock()
	defer t.e.mu.Unlock()
	t.e.queue.claims = t.e.queue.claims[len(asks):]
	for _, a := range asks {
		close(a.done)
	}
	return true, nil
}

// keepClaims writes the document if it differs. If it does not, and somebody waits, the head must
// be proven to be ours all the same.
func (t *term) keepClaims(ctx context.Context, kept keptClaims, asked bool) error {
	slices.Sort(kept.Claims)
	data, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("encode claims: %w", err)
	}
	doc := t.st.Kept[claimsName]
	switch same := doc == nil && len(kept.Claims) == 0 || doc != nil && bytes.Equal(doc.Data, data); {
	case same && asked:
		return t.readHead(ctx)
	case same:
		return nil
	}
	m, err := t.st.Keep(claimsName, data)
	if err != nil {
		return err
	}
	return t.commit(ctx, job{m: m})
}
