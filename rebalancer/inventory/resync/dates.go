package resync

import (
	"hash/maphash"
	"maps"
	"slices"
	"time"
)

// dates are when messages last spoke of ids.
type dates struct {
	// start is when it began to listen: what was known by then may be new.
	start time.Time
	seed  maphash.Seed
	// created are the ids that messages created, the oldest first; of each id the last time counts.
	// Only what is younger than the lag is kept, which is everything after an import.
	created []batch
	// step is how far apart the times of one batch may be.
	step time.Duration
	// deleted are when a message last deleted an id, by its hash, as the time since start, if no
	// message has created it since. Only what is younger than the lag is kept.
	deleted map[uint64]time.Duration
}

// batch are ids that messages created at about the same time, as 32 bits of their hashes: 4 bytes
// for each. Two ids that share them, or the difference in time, can only have a missing id wait for
// a later read.
type batch struct {
	// first and last are times since start.
	first, last time.Duration
	hashes      []uint32
}

const (
	// firstStep is the step until a read has told the lag; then so many steps are one lag.
	firstStep, stepsALag = time.Second, 32
	// batchIDs bounds a batch, so that no long slice grows.
	batchIDs = 1 << 16
)

func newDates(start time.Time) dates {
	return dates{start: start, seed: maphash.MakeSeed(), step: firstStep, deleted: map[uint64]time.Duration{}}
}

func (d *dates) note(now time.Time, op Op, id string) {
	hash, since := maphash.String(d.seed, id), now.Sub(d.start)
	if op == Deleted {
		d.deleted[hash] = since
		return
	}
	delete(d.deleted, hash)
	n := len(d.created)
	if n == 0 || since-d.created[n-1].first > d.step || len(d.created[n-1].hashes) == batchIDs {
		d.created = append(d.created, batch{first: since})
		n++
	}
	b := &d.created[n-1]
	b.last = max(b.last, since)
	b.hashes = append(b.hashes, uint32(hash))
}

// deletedAt is when a message deleted the id, if that is no longer ago than the lag.
func (d *dates) deletedAt(id string) (at time.Time, told bool) {
	since, told := d.deleted[maphash.String(d.seed, id)]
	return d.start.Add(since), told
}

// young returns what says whether a message, heard or not, may have created an id within the lag
// before a read.
func (d *dates) young(began time.Time, lag time.Duration) func(id string) bool {
	if d.within(0, began, lag) {
		return func(string) bool { return true }
	}
	var hashes []uint32 // sorted; mostly nothing is missing, and nothing is asked
	return func(id string) bool {
		if hashes == nil {
			hashes = d.createdWithin(began, lag)
		}
		_, found := slices.BinarySearch(hashes, uint32(maphash.String(d.seed, id)))
		return found
	}
}

func (d *dates) createdWithin(began time.Time, lag time.Duration) []uint32 {
	hashes := []uint32{}
	for _, b := range d.created {
		if d.within(b.last, began, lag) {
			hashes = append(hashes, b.hashes...)
		}
	}
	slices.Sort(hashes)
	return hashes
}

// within says whether a time since start is within the lag before a read, or later.
func (d *dates) within(since time.Duration, began time.Time, lag time.Duration) bool {
	return began.Before(d.start.Add(since + lag))
}

func (d *dates) forget(began time.Time, lag time.Duration) {
	d.step = lag / stepsALag
	d.created = slices.DeleteFunc(d.created, func(b batch) bool { return !d.within(b.last, began, lag) })
	was := len(d.deleted)
	maps.DeleteFunc(d.deleted, func(_ uint64, since time.Duration) bool { return !d.within(since, began, lag) })
	if len(d.deleted) < was/2 {
		d.deleted = maps.Collect(maps.All(d.deleted)) // a map keeps the room that it once had
	}
}
