package election

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/internal/wake"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// lead beats until another replica has taken the beat, or an older build leads, or ctx ends: in the
// last two cases it gives the beat up.
func (e *Election) lead(ctx context.Context, version int32) {
	fault.Point("lead.elected")
	term, end := context.WithCancel(ctx)
	e.tell(nil)
	e.Host.Follow(e.Address)
	e.Host.Lead(term)
	t := &beating{Election: e, version: version, acked: time.Now(), heard: true}
	var holding sync.WaitGroup
	if e.Older != nil {
		t.older = make(chan string, 1)
		holding.Go(func() {
			if other := e.Older.Hold(term); other != "" {
				t.older <- other
			}
		})
	}
	why := t.run(term)
	end()
	e.Host.Resign()
	t.giveUp(context.WithoutCancel(ctx), holding.Wait)
	e.Log.Info("not leading any more", "reason", why)
	fault.Point("lead.stopped")
}

// beating is one term.
type beating struct {
	*Election
	version int32
	// acked is when the last beat that was acknowledged was sent; heard: that is not too long ago.
	acked time.Time
	heard bool
	// unsure: whether the last beat was written is not known.
	unsure bool
	// lost: another replica has taken the beat.
	lost  bool
	older chan string // gets the older build that leads
}

// errLost: another replica has taken the beat.
var errLost = errors.New("another replica leads")

// run beats until the term is over, and says why it is.
func (b *beating) run(term context.Context) (why string) {
	for pause := b.Interval(); ; {
		select {
		case <-term.Done():
			return "it is stopped"
		case other := <-b.older:
			return "an older build leads: " + other
		case <-b.Doubt:
			b.unsure = true
		case <-time.After(pause):
		}
		begun := time.Now()
		err := b.once(term, begun)
		switch {
		case errors.Is(err, errLost):
			b.lost = true
			return err.Error()
		case err == nil:
			b.acked = begun
			pause = b.Interval() - time.Since(begun)
		default:
			pause = retry
		}
		b.judge(err)
	}
}

// judge tells the host whether the beats are acknowledged, where that is news; err is the last one's.
func (b *beating) judge(err error) {
	heard := err == nil || time.Since(b.acked) < b.Timeout
	if heard != b.heard {
		b.heard = heard
		b.Host.Heard(heard)
	}
	if !heard {
		err = fmt.Errorf("write the leader's beat: %w", err)
	} else {
		err = nil
	}
	b.tell(err)
}

// once beats once, and takes no longer than until the last beat is too long ago.
func (b *beating) once(term context.Context, now time.Time) error {
	limit := b.acked.Add(b.Timeout)
	if !b.heard {
		limit = now.Add(b.Timeout)
	}
	ctx, cancel := context.WithDeadline(term, limit)
	defer cancel()
	return b.send(ctx, b.beat())
}

// send writes a beat of this term.
func (b *beating) send(ctx context.Context, beat protocol.Beat) error {
	for {
		if b.unsure {
			if err := b.look(ctx); err != nil {
				return err
			}
		}
		next, err := b.Beats.Write(ctx, beat, b.version)
		if err == nil {
			b.version = next
			return nil
		}
		b.unsure = true
		if !errors.Is(err, protocol.ErrFenced) || !wake.Sleep(ctx, retry) {
			return err
		}
	}
}

// look reads which version the beat has now.
func (b *beating) look(ctx context.Context) error {
	beat, version, err := b.Beats.Read(ctx)
	switch {
	case err != nil:
		return err
	case version >= 0 && beat.Holder != b.Holder:
		return errLost
	}
	b.version, b.unsure = version, false
	return nil
}

// giveUp lets another replica take the beat at once, unless one has, and then older builds lead.
func (b *beating) giveUp(ctx context.Context, held func()) {
	ctx, cancel := context.WithTimeout(ctx, b.Timeout)
	defer cancel()
	if !b.lost {
		if err := b.send(ctx, protocol.Beat{}); err != nil && !errors.Is(err, errLost) {
			b.Log.Warn("the others will wait for this replica's beat", "error", err)
		}
	}
	held()
	if b.Older != nil {
		b.Older.Release(ctx)
	}
}
