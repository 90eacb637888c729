package resync

import (
	"hash/maphash"
	"maps"
	"time"
)

// dates are when messages last spoke of ids.
type dates struct {
	// start is when it began to listen: what was known by then may be new.
	start time.Time
	// created and deleted are when a message last created or deleted an id, by its hash, as the
	// time since start. Only what is younger than the lag is kept.
	created, deleted map[uint64]time.Duration
	seed             maphash.Seed
}

func (d *dates) note(now time.Time, op Op, id string) {
	hash := maphash.String(d.seed, id)
	if op == Created {
		d.created[hash] = now.Sub(d.start)
		delete(d.deleted, hash)
		return
	}
	d.deleted[hash] = now.Sub(d.start)
}

// deletedAt is when a message deleted the id, if that is no longer ago than the lag.
func (d *dates) deletedAt(id string) (at time.Time, told bool) {
	since, told := d.deleted[maphash.String(d.seed, id)]
	return d.start.Add(since), told
}

// young says whether a message, heard or not, may have created the id within the lag before a read.
func (d *dates) young(id string, began time.Time, lag time.Duration) bool {
	since := d.created[maphash.String(d.seed, id)]
	return began.Before(d.start.Add(since + lag))
}

func (d *dates) forget(began time.Time, lag time.Duration) {
	for _, dates := range []map[uint64]time.Duration{d.created, d.deleted} {
		maps.DeleteFunc(dates, func(_ uint64, since time.Duration) bool {
			return !began.Before(d.start.Add(since + lag))
		})
	}
}
