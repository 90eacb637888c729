package catalog

import (
	"context"
	"time"
)

const (
	// Pauses after a read that failed, doubling.
	firstRetry = time.Second
	lastRetry  = time.Minute
	// leastPause is the least time from the end of a read to one that a message asks for.
	leastPause = 200 * time.Millisecond
	// askedPart: reads that messages ask for take at most one part in so many of the time. A flood
	// of messages that cannot be read must not keep the database busy.
	askedPart = 20
)

// pace spaces the reads of one kind. What messages ask for is paid for with pauses; what comes
// periodically is not held up by them, and answers all that asked before it. A read that confirms
// the one before is paid for too, since it may well be on account of one that was asked for.
type pace struct {
	// free is when a read may begin that is asked for.
	free  time.Time
	retry time.Duration // the latest pause, if the latest read failed
}

// read takes in a complete read that ended now.
func (p *pace) read(periodic bool, now time.Time, took time.Duration) {
	p.retry = 0
	p.pay(periodic, now, took)
}

// failed takes in a read that failed now, and returns when it is tried again, whatever is asked.
func (p *pace) failed(periodic bool, now time.Time, took time.Duration) (again time.Time) {
	p.pay(periodic, now, took)
	p.retry = min(max(firstRetry, 2*p.retry), lastRetry)
	again = now.Add(p.retry)
	if p.free.Before(again) {
		p.free = again
	}
	return again
}

// pay puts off what is asked for next: by the pause that this read costs, from when the former one
// is paid for, and by leastPause at least.
func (p *pace) pay(periodic bool, now time.Time, took time.Duration) {
	if p.free.Before(now) {
		p.free = now
	}
	if !periodic {
		p.free = p.free.Add((askedPart - 1) * took)
	}
	if least := now.Add(leastPause); p.free.Before(least) {
		p.free = least
	}
}

// await waits until the next read is to begin: at due, or before that when a read is asked for and
// the pause for what was asked before is over: asked.
func (w *watch) await(ctx context.Context, due time.Time) (asked bool) {
	sleep(ctx, time.Until(due), w.asked)
	if ctx.Err() != nil || !time.Now().Before(due) {
		return false
	}
	asked = w.pace.free.Before(due)
	if asked {
		due = w.pace.free
	}
	sleep(ctx, time.Until(due), nil)
	return asked
}

// sleep ends after d, with ctx, or when woken.
func sleep(ctx context.Context, d time.Duration, woken <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-woken:
	case <-time.After(d):
	}
}
