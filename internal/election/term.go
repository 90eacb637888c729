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
	t := &beating{Election: e, version: version, acked: time.Now(), heard: true, older: make(chan string, 1)}
	t.hold(term)
	why := t.run(term)
	end()
	e.Host.Resign()
	t.giveUp(context.WithoutCancel(ctx))
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
	lost bool
	// older gets the older build that leads all the same; holding keeps them from it, until release.
	older   chan string
	holding sync.WaitGroup
	release context.CancelFunc
}

// hold keeps older builds from leading, for as long as this replica's beats are acknowledged.
func (b *beating) hold(term context.Context) {
	ctx, cancel := context.WithCancel(term)
	b.release = cancel
	if b.Older == nil {
		return
	}
	b.holding.Go(func() {
		if other := b.Older.Hold(ctx); other != "" {
			b.older <- other
		}
	})
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
		b.judge(term, err)
	}
}

// judge tells the host whether the beats are acknowledged, where that is news; err is the last one's.
func (b *beating) judge(term context.Context, err error) {
	heard := err == nil || time.Since(b.acked) < b.Timeout
	if heard != b.heard {
		b.heard = heard
		b.Host.Heard(heard)
		b.release()
		b.holding.Wait()
		if heard {
			b.hold(term)
		}
	}
	if heard {
		b.tell(nil)
		return
	}
	b.tell(fmt.Errorf("write the leader's beat: %w", err))
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

// giveUp lets another replica take the beat at once, and then older builds lead. Where another has
// taken it, what keeps older builds from leading is that one's.
func (b *beating) giveUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, b.Timeout)
	defer cancel()
	var err error
	if !b.lost {
		err = b.send(ctx, protocol.Beat{})
		b.lost = errors.Is(err, errLost)
	}
	b.release()
	b.holding.Wait()
	switch {
	case b.lost:
	case err != nil:
		b.Log.Warn("the others will wait for this replica's beat", "error", err)
	case b.Older != nil:
		b.Older.Release(ctx)
	}
}
