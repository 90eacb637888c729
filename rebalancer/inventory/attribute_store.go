package inventory

import (
	"hash/maphash"
	"maps"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
)

// attributeStore keeps what is known of the resources' Attributes while this replica leads.
// shared.mu guards it.
type attributeStore struct {
	seed   maphash.Seed
	wanted Needs
	// plain is the latest complete read, or, if pins name ids and nothing else, the pins alone. nil:
	// nothing is known, or nothing needed. After a change of the pins the former ones hold until a
	// read under the new ones is complete. now is in force: plain, with single resources bound.
	plain, now *Attributes
	read       *catalogueRead
	// old and young are the resources, by hash, that were created by a message after the last
	// complete read began: the catalogue has a word of them that we have not heard yet. Old ones
	// are from before the read under way began.
	old, young map[uint64]struct{}
	// asked: a read was asked for and has not begun. After one that failed the catalogue tries
	// again by itself, and is asked no more until then.
	asked bool
	pause time.Time
}

// askPause is the time from a read that failed to the request for another one.
const askPause = 10 * time.Second

func newAttributeStore() attributeStore {
	return attributeStore{seed: maphash.MakeSeed()}
}

// want says what the orders need. Without a need for the catalogue it is in force at once.
func (b *attributeStore) want(s Needs) {
	own := !maps.Equal(s.own, b.wanted.own)
	if s.equal(b.wanted) {
		b.wanted.own = s.own
	} else if b.wanted = s; !s.reads() {
		b.read, b.old, b.young = nil, nil, nil
		own, b.plain = true, nil
		if len(s.pins) > 0 {
			b.plain = newCatalogueRead(s, b.seed, time.Time{}).done()
		}
	}
	if own {
		b.now = b.plain.bound(s.own, b.seed)
	}
}

// lacks says whether a read is needed to know what is wanted.
func (b *attributeStore) lacks() bool {
	return b.wanted.reads() && (b.plain == nil || !b.plain.needs.equal(b.wanted))
}

// ask says whether the caller should ask for a read now.
func (b *attributeStore) ask(now time.Time) bool {
	if b.asked || b.read != nil || now.Before(b.pause) {
		return false
	}
	b.asked = true
	return true
}

// begin starts a read. A row that is written later may be missing in it.
func (b *attributeStore) begin(now time.Time) {
	b.asked, b.read = false, nil
	if b.wanted.reads() {
		b.read = newCatalogueRead(b.wanted, b.seed, now)
		if !b.lacks() {
			b.read.before = b.plain
		}
		if b.old == nil {
			b.old = b.young
		} else {
			maps.Copy(b.old, b.young)
		}
		b.young = nil
	}
}

func (b *attributeStore) abort(now time.Time) {
	b.asked, b.read, b.pause = false, nil, now.Add(askPause)
}

func (b *attributeStore) row(r observed.ResourceKnown) {
	if b.read == nil {
		return
	}
	hash := maphash.String(b.seed, r.ID)
	created := b.notYetRead(hash) // by a message: what was known may be of another one with this id
	delete(b.young, hash)
	switch {
	case !r.Unread:
		b.read.add(r, hash)
	case created || !b.read.keep(hash):
		b.read.lack(hash)
	}
}

// end puts a complete read, which r has collected, into force, unless the orders want it no more.
func (b *attributeStore) end(r *catalogueRead, read *Attributes) {
	if r != nil && b.read == r {
		b.plain, b.now = read, read.bound(b.wanted.own, b.seed)
		b.read, b.old, b.pause = nil, nil, time.Time{}
	}
}

// created notes a resource of which only a message has spoken.
func (b *attributeStore) created(id string) {
	if !b.wanted.reads() {
		return
	}
	if b.young == nil {
		b.young = map[uint64]struct{}{}
	}
	b.young[maphash.String(b.seed, id)] = struct{}{}
}

// notYetRead says whether only a message has spoken of the resource.
func (b *attributeStore) notYetRead(hash uint64) bool {
	_, old := b.old[hash]
	_, young := b.young[hash]
	return old || young
}

// forget all that a leader knew.
func (b *attributeStore) forget() { *b = attributeStore{seed: b.seed} }
