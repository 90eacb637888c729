package rebalancer

import (
	"context"
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/loop"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

const (
	// streamBytes is about how much of a stream is under way at once, in batches of which each is
	// about one full list.
	streamBytes, streamBatch = 4 * protocol.MaxMultiBytes, protocol.MaxMultiBytes / 2
)

// batch collects what is sent at once: transactions that do not overlap, loop.MaxJobs at most,
// and no more bytes than about limit.
type batch struct {
	jobs        []job
	size, limit int
	// tried counts all that were offered, also those that overlap: making them costs as much.
	tried int
	err   error
}

func newBatch(limit int) *batch { return &batch{limit: limit} }

// full says that no more should be made. After an error nothing should.
func (b *batch) full() bool { return b.tried >= loop.MaxJobs || b.size >= b.limit || b.err != nil }

// add takes a job unless it overlaps one before it; that will be made again after the others are
// committed.
func (b *batch) add(j job, err error) {
	if err != nil || b.err != nil {
		b.err = graver(b.err, err)
		return
	}
	if b.tried++; j.m.Empty() || slices.ContainsFunc(b.jobs, func(k job) bool { return k.m.Overlaps(j.m) }) {
		return
	}
	b.size += j.m.Bytes()
	b.jobs = append(b.jobs, j)
}

// send commits a batch. What was made before a step was refused is sent all the same.
func (t *term) send(ctx context.Context, b *batch) error {
	if len(b.jobs) == 0 {
		return b.err
	}
	return t.commit(ctx, b.jobs...)
}

// stream sends the batches that next makes, until it makes none: they are made and sent while
// others are under way, so that neither we nor ZooKeeper wait for the other. next is given the jobs
// under way, which it must not overlap; where it finds none beside them, its batch is empty.
// Creates are served in between, so that what is streamed must leave every resource alive that
// somebody may ask for.
func (t *term) stream(ctx context.Context, next func(underWay []job) *batch) (did bool, err error) {
	var s stream
	t.streaming = true
	defer func() { t.streaming = false }()
	for err == nil {
		b := next(s.jobs())
		if b == nil {
			break
		}
		if len(b.jobs) > 0 {
			did = true
			s = append(s, underWay{b, t.start(ctx, b.jobs)})
		}
		if err = b.err; err == nil && len(s) > 0 && (len(b.jobs) == 0 || s.full()) {
			err = s.pop()
		}
		if err == nil {
			err = t.serve(ctx)
		}
	}
	for len(s) > 0 {
		err = graver(err, s.pop())
	}
	return did, err
}

// stream is what is under way, oldest first.
type stream []underWay

type underWay struct {
	*batch
	finish func() error
}

func (s stream) jobs() (jobs []job) {
	for _, u := range s {
		jobs = append(jobs, u.jobs...)
	}
	return jobs
}

func (s stream) full() bool {
	size, jobs := 0, 0
	for _, u := range s {
		size, jobs = size+u.size, jobs+len(u.jobs)
	}
	return size >= streamBytes || jobs >= loop.MaxJobs
}

// pop waits for the oldest.
func (s *stream) pop() error {
	oldest := (*s)[0]
	*s = (*s)[1:]
	return oldest.finish()
}
