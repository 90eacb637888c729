// Package resync compares complete reads of the catalogue with what is known.
//
// In: the ids known when a read began, the read's rows, and what messages said meanwhile. Out: an
// Outcome. Invariant: an id is deleted only if one of two things is so, and no message has created
// it since. A message claimed that it is deleted, and a complete read that began after the message
// lacks it. Or it was known before a read began, and two complete reads lack it: both began a lag
// or more after a message created it, and the second one a gap or more after the first ended. Above
// a share such deletes wait until a person confirms the exact number.
//
// The lag is how far what a read sees may be behind what messages say: a standby's delay, or the
// time from an early message to its commit. An open transaction hides its rows from every read that
// begins before its commit, so two reads that follow each other at once prove no more than one.
//
// Of a read only a 64-bit hash a row is kept. Two ids with the same hash can only hide that one of
// them is missing, and the next read uses another seed.
package resync

import (
	"fmt"
	"hash/maphash"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/protocol/idlist"
)

// Op is what a message said of an id.
type Op byte

// The two things a message can say.
const (
	Created Op = iota
	Deleted
)

// Comparison carries what must be remembered between reads. It is not safe for concurrent use, and
// its order of calls is the order in which things happened.
type Comparison struct {
	read  *read
	dates dates
	// said is what messages said since the last read began, of ids that it could get wrong.
	said map[string]Op
	// claims are ids that a message claimed to be deleted, and no read has shown yet.
	claims map[string]claim
	// version counts the changes of what a successor must know, reads the reads that have begun.
	version, reads int
	// suspects were missing from every complete read since the one that ended at that time. No
	// message spoke of them since.
	suspects map[string]time.Time
	// due is when a read that was asked for is to begin, to confirm suspects; zero: none is.
	due     time.Time
	waiting // those that were missing twice and too many
}

// claim is what deletes by a condition said of an id: it is gone, if the condition was complete.
// first and last are how many reads had begun when a message said so for the first and for the last
// time, at is the time of the latter.
type claim struct {
	first, last int
	at          time.Time
}

// spareRows is for which part more rows than known ids a read has room from the start.
const spareRows = 64

// read is a read that began and has not ended.
type read struct {
	number int
	began  time.Time
	known  iter.Seq[string]
	count  int
	seed   maphash.Seed
	rows   []uint64
	fresh  *idlist.Builder // those of its rows that were not known
}

// Limits are what operators tune.
type Limits struct {
	// MaxShare is the share of the known ids, MaxDeletes the number if that is more, up to which
	// deletes go within an hour without a person.
	MaxShare   float64
	MaxDeletes int
	// Lag is how far what a read sees may be behind what messages say. Gap is the least time from
	// the end of a read that lacks an id to the beginning of the one that confirms it, Revive that
	// from a message that deleted a row to the beginning of a read that is believed to have it.
	Lag, Gap, Revive time.Duration
}

// Outcome is what a complete read leads to.
type Outcome struct {
	// Creates are rows that are not known; Claimed are ids that a message claimed to be deleted,
	// and rightly; Deletes are others that may go now.
	Creates          idlist.List
	Claimed, Deletes []string
	// Confirm is when another read is to begin, because something is missing for the first time;
	// zero: none is needed for that. Resync is when another one may show what this one could not
	// show yet: it still had ids that messages deleted, and may have been too far behind; or it
	// lacks ids, and began too soon after the start to prove anything by that.
	Confirm, Resync time.Time
	// Waiting is set while deletes wait for a person.
	Waiting *Waiting
}

// New returns a Comparison that knows of no read and hears messages from now on.
func New(now time.Time) *Comparison {
	return &Comparison{
		dates: newDates(now), said: map[string]Op{}, claims: map[string]claim{}, suspects: map[string]time.Time{},
		waiting: waiting{by: map[string]*Set{}},
	}
}

// Begin starts a read; one that had begun and not ended is forgotten. known yields the count ids
// known at this moment, also when it is called later: it must be over a value that does not change.
// It may lend each id until it yields the next one.
func (r *Comparison) Begin(now time.Time, known iter.Seq[string], count int) {
	r.reads++
	r.read = &read{number: r.reads, began: now, known: known, count: count, seed: maphash.MakeSeed(), fresh: idlist.NewBuilder(0, 0)}
	r.said = map[string]Op{} // a cleared one keeps the room that it once had
}

// Abort forgets a read that failed: it proves nothing.
func (r *Comparison) Abort() { r.read = nil }

// Row takes one row of the read. exists says whether the id is known by now.
func (r *Comparison) Row(id string, exists bool) {
	if r.read == nil {
		return
	}
	if r.read.rows == nil {
		r.read.rows = make([]uint64, 0, r.read.count+r.read.count/spareRows)
	}
	r.read.rows = append(r.read.rows, maphash.String(r.read.seed, id))
	if !exists {
		r.read.fresh.Add(id)
	}
}

// Said takes what a message said, when it arrived. exists says whether the id is known by now: a
// create of an id that was unknown cannot be contradicted by any read, and is not remembered (an
// import must not be held in memory twice).
func (r *Comparison) Said(now time.Time, op Op, id string, exists bool) {
	r.dates.note(now, op, id)
	delete(r.suspects, id)
	r.waiting.drop(id)
	r.withdraw(id)
	if r.read == nil && op == Created {
		delete(r.said, id)
		return
	}
	if _, spoken := r.said[id]; spoken {
		r.said[id] = op
	} else if op == Deleted || exists {
		r.said[strings.Clone(id)] = op // else it would keep its whole message alive
	}
}

// Claim takes what a delete by a condition said, when its message arrived: the id is gone, if
// nothing of the condition was lost on its way. A read that began before the message neither
// confirms nor refutes that.
func (r *Comparison) Claim(now time.Time, id string) {
	c, repeated := r.claims[id]
	if !repeated {
		c.first = r.reads
		r.version++
	}
	c.last, c.at = r.reads, now
	r.claims[id] = c
}

// doubt makes a claim of what a message said then, before the read that has the id.
func (r *Comparison) doubt(rd *read, at time.Time, id string) {
	if _, claimed := r.claims[id]; !claimed {
		r.claims[id] = claim{first: rd.number - 1, last: rd.number - 1, at: at}
		r.version++
	}
}

func (r *Comparison) withdraw(id string) {
	if _, ok := r.claims[id]; ok {
		delete(r.claims, id)
		r.version++
	}
}

// Claims yields the ids that are claimed to be deleted, and when last, in no order.
func (r *Comparison) Claims() iter.Seq2[string, time.Time] {
	return func(yield func(string, time.Time) bool) {
		for id, c := range r.claims {
			if !yield(id, c.at) {
				return
			}
		}
	}
}

// Claimed is the number of Claims.
func (r *Comparison) Claimed() int { return len(r.claims) }

// Version tells whether Claims or Went have changed.
func (r *Comparison) Version() int { return r.version }

// Reading says whether a read has begun and not ended.
func (r *Comparison) Reading() bool { return r.read != nil }

// End completes the read. exists says what is known by now.
func (r *Comparison) End(now time.Time, l Limits, exists func(string) bool) (Outcome, error) {
	rd := r.read
	if rd == nil {
		return Outcome{}, fmt.Errorf("end read of catalogue: none has begun")
	}
	r.read = nil
	slices.Sort(rd.rows)
	var out Outcome
	var again [3]time.Time
	out.Creates, again[0] = r.creates(rd, l, exists)
	var confirmed []string
	confirmed, again[1] = r.compare(rd, now, l)
	out.Claimed, again[2] = r.settle(rd, now, l)
	out.Resync = earlier(earlier(again[0], again[1]), again[2])
	r.dropReappeared(rd)
	out.Confirm = r.confirm(rd, now, l)
	out.Deletes = r.waiting.admit(now, confirmed, rd.count, l)
	if len(out.Deletes) > 0 {
		r.version++
	}
	out.Waiting = r.Waiting()
	r.dates.forget(rd.began, l.Lag)
	return out, nil
}

// earlier is the earlier time that is not zero; zero if none is.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// confirm is when the next read is to begin, on account of the suspects. The read that was asked
// for asks for none itself, else there were no end to reads where rows come and go all the time:
// what it has found for the first time, any later read confirms.
func (r *Comparison) confirm(rd *read, now time.Time, l Limits) time.Time {
	switch asked := !r.due.IsZero(); {
	case len(r.suspects) == 0, asked && !rd.began.Before(r.due):
		r.due = time.Time{}
	case !asked:
		r.due = now.Add(l.Gap)
	}
	return r.due
}

// Gone says whether the last word of messages since the last read began is that the id is deleted.
// A caller that takes its time over Outcome.Creates asks again before each.
func (r *Comparison) Gone(id string) bool {
	op, spoken := r.said[id]
	return spoken && op == Deleted
}

// creates are the rows that are not known, without those of which a message said after the read
// began that they are gone. One of which a message said so shortly before may be gone too, and the
// read behind: it waits for another read. If that is long ago, it is created, in doubt.
func (r *Comparison) creates(rd *read, l Limits, exists func(string) bool) (ids idlist.List, again time.Time) {
	fresh := rd.fresh.List()
	created := idlist.NewBuilder(fresh.Len(), fresh.Bytes())
	for i, id := range fresh.Lent() {
		if r.Gone(id) || exists(id) {
			continue
		}
		at, told := r.dates.deletedAt(id)
		if believed := at.Add(l.Revive); told && rd.began.Before(believed) {
			again = earlier(again, believed)
			continue
		}
		if told && rd.began.Before(at.Add(l.Lag)) {
			r.doubt(rd, at, strings.Clone(id))
		}
		created.AddOf(fresh, i)
	}
	return created.List(), again
}

// settle decides the claims that were made before the read began: what it lacks is deleted. What it
// has is not, if it began a lag or more after the message; else a later read may lack it. The first
// message is enough for the former, the last one is needed for the latter.
func (r *Comparison) settle(rd *read, now time.Time, l Limits) (gone []string, again time.Time) {
	for id, c := range r.claims {
		switch has := rd.has(id); {
		case !has && c.first < rd.number:
			gone = append(gone, id)
			r.waiting.drop(id)
			r.withdraw(id)
		case !has || c.last >= rd.number:
		case !rd.began.Before(c.at.Add(l.Lag)):
			r.withdraw(id)
		default: // at twice its age, so that a claim costs few reads
			again = earlier(again, now.Add(max(leastPause, now.Sub(c.at))))
		}
	}
	slices.Sort(gone)
	return gone, again
}

// leastPause is the least time to another read of what a read had against a claim.
const leastPause = time.Second

// compare returns the ids that are missing for the second time; others become suspects. A read that
// began within the lag after the start, as a new leader's first one does, finds no suspects: again
// is then when the next one may.
func (r *Comparison) compare(rd *read, now time.Time, l Limits) (confirmed []string, again time.Time) {
	suspects, young := map[string]time.Time{}, r.dates.young(rd.began, l.Lag)
	for id := range rd.known {
		if rd.has(id) || r.spokenOf(id) {
			continue
		}
		if young(id) {
			if old := r.dates.start.Add(l.Lag); rd.began.Before(old) {
				again = old
			}
			continue
		}
		since, suspected := r.suspects[id]
		switch {
		case !suspected:
			suspects[strings.Clone(id)] = now
		case rd.began.Before(since.Add(l.Gap)):
			suspects[strings.Clone(id)] = since
		default:
			confirmed = append(confirmed, strings.Clone(id))
		}
	}
	r.suspects = suspects
	return confirmed, again
}

// spokenOf says whether another rule decides about the id: a message spoke of it since the last
// read began or claims that it is deleted, or a person is to decide.
func (r *Comparison) spokenOf(id string) bool {
	_, said := r.said[id]
	_, claimed := r.claims[id]
	return said || claimed || r.waiting.has(id)
}

// dropReappeared drops what waits for a person and is back in the catalogue, or gone.
func (r *Comparison) dropReappeared(rd *read) {
	if len(r.waiting.by) == 0 {
		return
	}
	missing := make(map[string]struct{}, len(r.waiting.by))
	for id := range rd.known {
		if r.waiting.has(id) && !rd.has(id) {
			missing[strings.Clone(id)] = struct{}{}
		}
	}
	for id := range r.waiting.by {
		if _, still := missing[id]; !still {
			r.waiting.drop(id)
		}
	}
}

// Forget drops what waits for a person and is known no more: it went by another way.
func (r *Comparison) Forget(known func(id string) bool) {
	for id := range r.waiting.by {
		if !known(id) {
			r.waiting.drop(id)
		}
	}
}

func (rd *read) has(id string) bool {
	_, found := slices.BinarySearch(rd.rows, maphash.String(rd.seed, id))
	return found
}
