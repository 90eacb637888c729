// Package reconcile compares complete reads of the catalogue with what is known, and says what to
// create and to delete.
//
// In: the ids known when a read began, the read's rows, and what messages said meanwhile. Out: an
// Outcome. Invariant: an id is deleted only if one of two things is so, and no message has created
// it since. A message claimed that it is deleted, and a complete read that began after the message
// lacks it. Or it was known before a read began and is missing from two complete reads of which the
// second began after the first ended; above a share such deletes wait until a person confirms the
// exact number.
//
// Memory: of a read only a 64-bit hash a row is kept. Two ids with the same hash can only hide that
// one of them is missing, never the contrary, and the next read uses another seed.
package reconcile

import (
	"fmt"
	"hash/maphash"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// Op is what a message said of an id.
type Op byte

// The two things a message can say.
const (
	Created Op = iota
	Deleted
)

// Reconciler carries what must be remembered between reads. It is not safe for concurrent use, and its order of calls is the order
// in which things happened.
type Reconciler struct {
	read *read
	// said is what messages said since the last read began, only for ids that the read could get wrong.
	said map[string]Op
	// claims are the ids of which a message claimed that they are deleted and no read has shown yet
	// whether they are.
	claims map[string]claim
	// claimed counts the changes of claims, reads the reads that have begun.
	claimed, reads int
	// suspects were missing from the last complete read. Nobody spoke of them since it began.
	suspects map[string]struct{}
	// confirming: the read that ended last asked for another one, to confirm its suspects.
	confirming bool
	// waiting were missing twice and are too many: a person decides.
	waiting map[string]struct{}
	shown   Waiting
}

// claim is what deletes by a condition said of an id: it is gone, if the condition was complete.
// first and last are how many reads had begun when a message said so for the first and for the last
// time.
type claim struct {
	first, last int
}

// read is a read that began and has not ended.
type read struct {
	number int
	known  iter.Seq[string]
	count  int
	seed   maphash.Seed
	rows   []uint64
	fresh  []string
}

// Waiting is a set of deletes that is too large a share of what is known: a person decides.
type Waiting struct {
	// Count is what the person must confirm; Share is Count over Known.
	Count int       `json:"count"`
	Known int       `json:"known"`
	Share float64   `json:"share"`
	Since time.Time `json:"since"`
}

// Outcome is what a complete read leads to.
type Outcome struct {
	// Creates are rows that are not known; Claimed are ids that a message claimed to be deleted,
	// and rightly; Deletes are others that may go now.
	Creates, Claimed, Deletes []string
	// Again asks for another read right away, because something is missing for the first time.
	Again bool
	// Waiting is set while deletes wait for a person.
	Waiting *Waiting
}

// New returns a Reconciler that knows of no read.
func New() *Reconciler {
	return &Reconciler{said: map[string]Op{}, claims: map[string]claim{}, suspects: map[string]struct{}{}, waiting: map[string]struct{}{}}
}

// Begin starts a read; one that had begun and not ended is forgotten. known yields the count ids known at this moment, also when it
// is called later: it must be over a value that does not change.
func (r *Reconciler) Begin(known iter.Seq[string], count int) {
	r.reads++
	r.read = &read{number: r.reads, known: known, count: count, seed: maphash.MakeSeed()}
	clear(r.said)
}

// Abort forgets a read that failed: it proves nothing.
func (r *Reconciler) Abort() { r.read = nil }

// Row takes one row of the read. exists says whether the id is known by now.
func (r *Reconciler) Row(id string, exists bool) {
	if r.read == nil {
		return
	}
	r.read.rows = append(r.read.rows, maphash.String(r.read.seed, id))
	if !exists {
		r.read.fresh = append(r.read.fresh, id)
	}
}

// Said takes what a message said, when it arrived. exists says whether the id is known by now: a create of an id that nobody knew
// cannot be contradicted by any read, and is not remembered (an import must not be held in memory twice).
func (r *Reconciler) Said(op Op, id string, exists bool) {
	delete(r.suspects, id)
	delete(r.waiting, id)
	r.withdraw(id)
	if r.read == nil && op == Created {
		delete(r.said, id)
		return
	}
	if _, spoken := r.said[id]; op == Deleted || exists || spoken {
		r.said[id] = op
	}
}

// Claim takes what a delete by a condition said, when its message arrived: the id is gone, if
// nothing of the condition was lost on its way. A read that began before the message neither
// confirms nor refutes that.
func (r *Reconciler) Claim(id string) {
	c, repeated := r.claims[id]
	if !repeated {
		c.first = r.reads
		r.claimed++
	}
	c.last = r.reads
	r.claims[id] = c
}

// withdraw forgets a claim.
func (r *Reconciler) withdraw(id string) {
	if _, ok := r.claims[id]; ok {
		delete(r.claims, id)
		r.claimed++
	}
}

// Claims yields the ids that are claimed to be deleted, in no order; version tells whether they
// have changed.
func (r *Reconciler) Claims() (ids iter.Seq[string], count, version int) {
	return maps.Keys(r.claims), len(r.claims), r.claimed
}

// Reading says whether a read has begun and not ended.
func (r *Reconciler) Reading() bool { return r.read != nil }

// End completes the read. maxShare is the share of the known ids above which deletes wait for a person; exists says what is known by
// now.
func (r *Reconciler) End(now time.Time, maxShare float64, exists func(string) bool) (Outcome, error) {
	rd := r.read
	if rd == nil {
		return Outcome{}, fmt.Errorf("end read of catalogue: none has begun")
	}
	r.read = nil
	slices.Sort(rd.rows)
	out := Outcome{Creates: r.creates(rd, exists)}
	confirmed := r.compare(rd)
	out.Claimed = r.settle(rd)
	r.dropReappeared(rd)
	out.Again = len(r.suspects) > 0 && !r.confirming
	r.confirming = out.Again
	out.Deletes = r.hold(now, confirmed, rd.count, maxShare)
	out.Waiting = r.Waiting()
	return out, nil
}

// Gone says whether the last word of messages since the last read began is that the id is deleted. A caller that takes its time over
// Outcome.Creates asks again before each.
func (r *Reconciler) Gone(id string) bool {
	op, spoken := r.said[id]
	return spoken && op == Deleted
}

// creates are the rows nobody knows, without those of which a message said after the read began that they are gone.
func (r *Reconciler) creates(rd *read, exists func(string) bool) []string {
	return slices.DeleteFunc(rd.fresh, func(id string) bool {
		return r.Gone(id) || exists(id)
	})
}

// settle decides the claims that were made before the read began: what it lacks is deleted, what it
// has is not. The first message is enough for the former, the last one is needed for the latter.
func (r *Reconciler) settle(rd *read) (gone []string) {
	for id, c := range r.claims {
		switch has := rd.has(id); {
		case !has && c.first < rd.number:
			gone = append(gone, id)
			delete(r.waiting, id)
			r.withdraw(id)
		case has && c.last < rd.number:
			r.withdraw(id)
		}
	}
	slices.Sort(gone)
	return gone
}

// compare returns the ids that are missing for the second time, and makes the ones missing for the first time the new suspects.
func (r *Reconciler) compare(rd *read) (confirmed []string) {
	suspects := map[string]struct{}{}
	for id := range rd.known {
		if rd.has(id) {
			continue
		}
		if _, spoken := r.said[id]; spoken {
			continue
		}
		if _, waits := r.waiting[id]; waits {
			continue
		}
		if _, claimed := r.claims[id]; claimed {
			continue
		}
		if _, twice := r.suspects[id]; twice {
			confirmed = append(confirmed, id)
			continue
		}
		suspects[id] = struct{}{}
	}
	r.suspects = suspects
	return confirmed
}

// dropReappeared lets go of what waits for a person and is in the catalogue again, or is known no more.
func (r *Reconciler) dropReappeared(rd *read) {
	if len(r.waiting) == 0 {
		return
	}
	still := make(map[string]struct{}, len(r.waiting))
	for id := range rd.known {
		if _, waits := r.waiting[id]; waits && !rd.has(id) {
			still[id] = struct{}{}
		}
	}
	r.waiting = still
}

// hold decides whether what is missing twice may go. While anything waits for a person, all of it waits: a large loss that is
// noticed in small parts is a large loss.
func (r *Reconciler) hold(now time.Time, confirmed []string, known int, maxShare float64) []string {
	if len(confirmed) == 0 {
		r.shown.Known = known
		return nil
	}
	if len(r.waiting) == 0 && float64(len(confirmed)) <= maxShare*float64(known) {
		return confirmed
	}
	if len(r.waiting) == 0 {
		r.shown.Since = now
	}
	for _, id := range confirmed { // cloned: what is known may change while they wait, and need not be kept alive by them
		r.waiting[strings.Clone(id)] = struct{}{}
	}
	r.shown.Known = known
	return nil
}

// Forget lets go of what waits for a person and is known no more: it went by another way.
func (r *Reconciler) Forget(known func(id string) bool) {
	for id := range r.waiting {
		if !known(id) {
			delete(r.waiting, id)
		}
	}
}

// Waiting is what waits for a person, nil when nothing does.
func (r *Reconciler) Waiting() *Waiting {
	if len(r.waiting) == 0 {
		return nil
	}
	w := r.shown
	w.Count = len(r.waiting)
	w.Share = float64(w.Count) / float64(max(w.Known, 1))
	return &w
}

// Confirm returns the deletes that wait, if there are as many as the person was shown. They wait no more: if they are not carried
// out, the next two reads find them again.
func (r *Reconciler) Confirm(count int) ([]string, error) {
	if len(r.waiting) == 0 {
		return nil, fmt.Errorf("confirm deletes: count %d given, none wait", count)
	}
	if count != len(r.waiting) {
		return nil, fmt.Errorf("confirm deletes: count %d given, %d wait", count, len(r.waiting))
	}
	ids := make([]string, 0, count)
	for id := range r.waiting {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	clear(r.waiting)
	return ids, nil
}

// has says whether the read had a row with that id.
func (rd *read) has(id string) bool {
	_, found := slices.BinarySearch(rd.rows, maphash.String(rd.seed, id))
	return found
}
