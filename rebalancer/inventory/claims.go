package inventory

import (
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Kept is the document that tells a successor what a comparison with the catalogue depends on:
// which ids a message claimed to be deleted, and how many went without a person.
type Kept struct {
	V int `json:"v"`
	// At is when the last of the claims was made.
	At     time.Time     `json:"at,omitzero"`
	Claims []string      `json:"claims,omitempty"`
	Went   []resync.Went `json:"went,omitempty"`
}

const (
	// KeptName is what the document is called.
	KeptName    = "reconcile"
	keptVersion = 1
	// claimsBytes bounds the claims that are kept: about 5,000 UUIDs. What went is far less.
	claimsBytes = protocol.MaxDocBytes * 3 / 4
)

// Empty says that there is nothing in it.
func (k *Kept) Empty() bool { return len(k.Claims)+len(k.Went) == 0 }

// Encode writes the document.
func (k *Kept) Encode() ([]byte, error) {
	slices.Sort(k.Claims)
	data, err := exact.Marshal(k) // ids as protocol.Cost counts them
	if err != nil {
		return nil, fmt.Errorf("encode what a comparison depends on: %w", err)
	}
	return data, nil
}

// takeUp goes on with what the leader before has kept.
func (s *shared) takeUp(now time.Time, st *protocol.State) error {
	doc := st.Kept[KeptName]
	if doc == nil {
		return nil
	}
	var kept Kept
	if err := exact.JSON(doc.Data, &kept); err != nil {
		return err
	}
	if kept.V != keptVersion {
		return fmt.Errorf("version %d: want %d", kept.V, keptVersion)
	}
	at := now
	if kept.At.Before(at) { // the other one's clock may be ahead
		at = kept.At
	}
	for _, id := range kept.Claims {
		s.comparison.with.Claim(at, id)
	}
	s.comparison.with.Resume(kept.Went)
	return nil
}

// owe notes that the delete of claimed ids is not durable yet, as far as the document has room.
func (s *shared) owe(ids []string) {
	room := claimsBytes
	for _, id := range ids {
		if room -= protocol.Cost(id); room < 0 {
			return
		}
		s.owed[id] = struct{}{}
	}
}

// paid forgets what was owed and is durable by now, or has been replaced.
func (s *shared) paid() (some bool) {
	for id := range s.owed {
		if s.requests.wanted(resync.Deleted, id) == nil {
			delete(s.owed, id)
			some = true
		}
	}
	return some
}

// toKeep is what went, is owed and the claims that no read has decided, within the room.
func (s *shared) toKeep() *Kept {
	kept, room := &Kept{V: keptVersion, Went: s.comparison.with.Went()}, claimsBytes
	add := func(id string) bool {
		if room -= protocol.Cost(id); room >= 0 {
			kept.Claims = append(kept.Claims, id)
		}
		return room >= 0
	}
	for id := range s.owed {
		if !add(id) {
			return kept
		}
	}
	for id, at := range s.comparison.with.Claims() {
		if !add(id) {
			return kept
		}
		if at.After(kept.At) {
			kept.At = at
		}
	}
	return kept
}

// ToKeep is what is to be kept, how many callers of Claim wait for that, and its version; nil: what
// has version known is kept, or a comparison is under way.
func (s Writer) ToKeep(known int) (kept *Kept, callers, version int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.comparison.lent != nil {
		return nil, 0, 0
	}
	version = s.comparison.with.Version()
	if callers = len(s.claiming); !s.paid() && callers == 0 && version == known {
		return nil, 0, 0
	}
	return s.toKeep(), callers, version
}

// AnswerClaims answers that many callers of Claim: what ToKeep gave is kept.
func (s Writer) AnswerClaims(callers int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.claiming[:callers] {
		r.End(nil)
	}
	s.claiming = s.claiming[callers:]
}

// ClaimsWait says whether a caller of Claim waits for the writer.
func (s Writer) ClaimsWait() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.claiming) > 0
}
