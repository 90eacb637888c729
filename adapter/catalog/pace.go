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

// reason is why a read begins.
type reason int

const (
	periodic   reason = iota // so long after the last one, or again after one that failed
	confirming               // the read before needs another one, at that time
	asked                    // a message, or the orders, ask for it
)

// pace spaces the reads of one kind. What messages ask for is paid for with pauses; what comes
// periodically is not held up by them, and answers all that asked before it.
type pace struct {
	// free is when a read may begin that is asked for.
	free  time.Time
	retry time.Duration
}

// read takes in a complete read that ended now. A read that confirms counts as asked for, since it
// may well be on account of one that was.
func (p *pace) read(why reason, now time.Time, took time.Duration) {
	p.retry = firstRetry
	p.pay(why, now, took)
}

// failed takes in a read that failed now, and returns when it is tried again, whatever is asked.
func (p *pace) failed(why reason, now time.Time, took time.Duration) (again time.Time) {
	p.pay(why, now, took)
	again = now.Add(max(p.retry, firstRetry))
	p.retry = min(2*max(p.retry, firstRetry), lastRetry)
	if p.free.Before(again) {
		p.free = again
	}
	return again
}

// pay puts off what is asked for next: by the pause that this read costs, from when the former one
// is paid for, and by leastPause at least.
func (p *pace) pay(why reason, now time.Time, took time.Duration) {
	if p.free.Before(now) {
		p.free = now
	}
	if why != periodic {
		p.free = p.free.Add((askedPart - 1) * took)
	}
	if least := now.Add(leastPause); p.free.Before(least) {
		p.free = least
	}
}

// await returns when the next read is to begin: at due, or before that when a read is asked for and
// the pause for what was asked before is over.
func (w *watch) await(ctx context.Context, due time.Time, why reason) reason {
	sleep(ctx, time.Until(due), w.asked)
	if ctx.Err() != nil || !time.Now().Before(due) {
		return why
	}
	if w.pace.free.Before(due) {
		sleep(ctx, time.Until(w.pace.free), nil)
		return asked
	}
	sleep(ctx, time.Until(due), nil)
	return why
}

// sleep ends after d, with ctx, or when woken.
func sleep(ctx context.Context, d time.Duration, woken <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-woken:
	case <-time.After(d):
	}
}
