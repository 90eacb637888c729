// Package election says which of an installation's replicas leads.
//
// In: the leader's beats in ZooKeeper, and the Lease by which older builds elect. Out: terms.
// Invariant: a replica leads only after it has written the beat at the version that it saw to be
// silent for the time-out, so a beat that comes meanwhile refuses it. It promises no single leader:
// a leader that is cut off does not know of the next one. The head of each kind fences it.
//
//	follow: read the beat ─► changed within the time-out? ─► read again
//	                     └─► silent, or given up ─► no older build leads? ─► write it ─► lead
//	lead:   write the beat each Interval ─► another has written it ─► follow
//	                                     └─► ctx ends ─► give it up
package election

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/shardscaler/shardscaler/internal/wake"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Config is what an Election is made with.
type Config struct {
	// Holder is this replica in the beat, `<pod>/<nonce>`, as no other process has it; Address is how
	// the others reach it.
	Holder, Address string
	// Timeout is how long a beat may be the last one.
	Timeout time.Duration
	Beats   Beats
	// Older is the election of builds before this one; nil: none of them runs.
	Older Older
	// Doubt has the leader look at once whether it still leads: another process has taken a head.
	Doubt <-chan struct{}
	// Host is told of the terms, by one goroutine.
	Host Host
	Log  *slog.Logger
}

// Beats is what an Election uses of *zk.Beats.
type Beats interface {
	Read(ctx context.Context) (beat protocol.Beat, version int32, err error)
	Changed() <-chan struct{}
	Write(ctx context.Context, beat protocol.Beat, version int32) (next int32, err error)
}

// Older is the election of older builds.
type Older interface {
	// Leader is the older build that leads, or may; "": none does. It is asked now and then, so that
	// something is known when its answer is needed.
	Leader(ctx context.Context) string
	// Hold keeps older builds from leading until ctx ends, which is when beats are not acknowledged
	// any more. It ends earlier with the one that leads all the same.
	Hold(ctx context.Context) (leader string)
	// Release lets them lead.
	Release(ctx context.Context)
}

// Host is what an election is for.
type Host interface {
	// Lead begins a term, which ends with its context.
	Lead(term context.Context)
	// Heard says whether this term's beats are acknowledged; false: none was for the time-out, so
	// that another replica may lead.
	Heard(heard bool)
	// Resign says that the term is over.
	Resign()
	// Follow names the address of who leads now; "": none is known to.
	Follow(address string)
	// Trouble says what keeps this replica from taking part; nil: nothing does.
	Trouble(err error)
}

// Election takes part for one replica.
type Election struct {
	Config
	trouble string // the one that was told last
	last    int32  // version of the beat that was read last, -1: none was
}

// New does nothing until Run.
func New(cfg Config) *Election { return &Election{Config: cfg, last: -1} }

// Interval is the time between two beats: two may be missing, and a third be late.
func (e *Election) Interval() time.Duration { return e.Timeout * 2 / 5 }

const (
	// retry is the pause after ZooKeeper has not answered.
	retry = 200 * time.Millisecond
	// slowRetry is the pause where others have to act: an older build leads, or a right is missing.
	slowRetry = time.Second
	// olderLook is the time between two while this replica has no use for it.
	olderLook = 10 * time.Second
)

// Run takes part until ctx ends, and gives leading up then.
func (e *Election) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if version, taken := e.follow(ctx); taken {
			e.lead(ctx, version)
		}
	}
}

// follow returns when this replica has taken the beat, or ctx ends.
func (e *Election) follow(ctx context.Context) (version int32, taken bool) {
	silent := int32(-1)  // the version that was silent for the time-out
	var looked time.Time // at the election of older builds
	for ctx.Err() == nil {
		beat, version, err := e.read(ctx)
		switch {
		case ctx.Err() != nil:
			return 0, false
		case err != nil:
			e.tell(fmt.Errorf("read the leader's beat: %w", err))
			wake.Sleep(ctx, retry)
			continue
		case beat.Holder != "" && beat.Holder != e.Holder && version != silent: // ours: its answer was lost
			if time.Since(looked) > olderLook {
				e.older(ctx)
				looked = time.Now()
			}
			if !e.isSilent(ctx) {
				continue
			}
			silent = version
		}
		if other := e.older(ctx); other != "" {
			e.tell(fmt.Errorf("an older build leads: %s", other))
			e.Host.Follow(other)
			wake.Sleep(ctx, slowRetry)
			continue
		}
		next, err := e.write(ctx, e.beat(), version)
		switch {
		case err == nil:
			e.Log.Info("leading", "after", beat.Holder)
			return next, true
		case !errors.Is(err, protocol.ErrFenced) && ctx.Err() == nil:
			e.tell(fmt.Errorf("write the leader's beat: %w", err))
			wake.Sleep(ctx, slowRetry)
		}
	}
	return 0, false
}

// read reads the beat, and tells the host whose it is.
func (e *Election) read(ctx context.Context) (protocol.Beat, int32, error) {
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	beat, version, err := e.Beats.Read(ctx)
	if err != nil {
		return beat, version, err
	}
	if version != e.last { // else who leads was told already, an older build it may be
		e.Host.Follow(beat.Address)
	}
	if version > e.last && beat.Holder != "" {
		e.tell(nil) // it beats
	}
	e.last = version
	return beat, version, nil
}

func (e *Election) write(ctx context.Context, beat protocol.Beat, version int32) (int32, error) {
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	return e.Beats.Write(ctx, beat, version)
}

func (e *Election) beat() protocol.Beat { return protocol.Beat{Holder: e.Holder, Address: e.Address} }

// isSilent waits for a change of what was read, and says whether there was none for the time-out.
// With the session's loss all is read again, and the time begins anew.
func (e *Election) isSilent(ctx context.Context) bool {
	timer := time.NewTimer(e.Timeout)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-e.Beats.Changed():
		return false
	case <-timer.C:
		return true
	}
}

// olderTimeout bounds a look at the election of older builds.
const olderTimeout = 500 * time.Millisecond

func (e *Election) older(ctx context.Context) string {
	if e.Older == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, olderTimeout)
	defer cancel()
	return e.Older.Leader(ctx)
}

// tell tells of a trouble, nil: of none, where that is news.
func (e *Election) tell(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == e.trouble {
		return
	}
	e.trouble = text
	e.Host.Trouble(err)
	if err != nil {
		e.Log.Warn("who leads is not settled", "error", err)
	}
}
