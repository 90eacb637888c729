package timeline

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/history"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Record stores what is recorded while this replica leads: as soon as it has the head, so that the
// history knows of a short term too, from then on until ctx ends, and then once more, so that what
// leads the engine must end after it.
func (k *Keeper) Record(ctx context.Context) {
	begun := time.Now()
	k.begin()
	defer k.end()
	next, earliest := begun.Add(soonEvery), begun
	for {
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTimeout)
			defer cancel()
			_ = k.flush(last, begun, true) // a later leader marks what is missing
			return
		case <-k.person:
			timer.Stop()
			if at := later(time.Now(), earliest); at.Before(next) {
				next = at
			}
			continue
		case <-timer.C:
		}
		every, pause := pauses(k.flush(ctx, begun, false))
		next, earliest = time.Now().Add(every), time.Now().Add(pause)
	}
}

// pauses are how long after an update, or one that failed, the next one comes, and how soon after it
// what a person does may have its own.
func pauses(err error) (every, pause time.Duration) {
	switch {
	case err == nil, errors.Is(err, history.ErrFull):
		return flushEvery, soonEvery
	case errors.Is(err, orders.ErrNotLeading): // the head is not taken yet
		return soonEvery, soonEvery
	}
	return retryEvery, retryEvery
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (k *Keeper) begin() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rec, k.last = &history.Recorder{}, writing{}
}

func (k *Keeper) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rec = nil
}

// record has something recorded, while this replica leads.
func (k *Keeper) record(do func(*history.Recorder)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.rec != nil {
		do(k.rec)
	}
}

// Tick records what a tick came to, if that is worth it.
func (k *Keeper) Tick(t history.Tick) { k.record(func(r *history.Recorder) { r.Tick(t) }) }

// Moved records moves that this leader has made. It never waits for ZooKeeper.
func (k *Keeper) Moved(plan, why string, n int) {
	k.record(func(r *history.Recorder) { r.Moved(time.Now(), plan, why, n) })
}

// Changed records what a person did. It is stored at once.
func (k *Keeper) Changed(c ops.ChangeEntry) {
	k.record(func(r *history.Recorder) { r.Changed(time.Now(), c) })
	k.person.Wake()
}

// attempts is how often an update is made anew before it waits for the next one; tries is how often
// one is sent, if it meets conflicts.
const attempts, tries = 3, 2

// flush stores what waits. Its error has been logged.
func (k *Keeper) flush(ctx context.Context, begun time.Time, ended bool) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	var err error
	for range attempts {
		if err = k.flushOnce(ctx, begun, ended); err == nil {
			return nil
		}
		if !errors.Is(err, errMoved) && !errors.Is(err, errStrange) {
			break
		}
	}
	if !errors.Is(err, history.ErrFull) && !errors.Is(err, orders.ErrNotLeading) {
		k.log.Warn("the history could not be stored; it waits", "error", err)
	}
	return err
}

func (k *Keeper) flushOnce(ctx context.Context, begun time.Time, ended bool) error {
	if !k.engine.Leading() { // else what cannot be stored would be packed all the same
		return orders.ErrNotLeading
	}
	k.turn.Lock()
	defer k.turn.Unlock()
	now := time.Now()
	k.follow(ctx, now) // what is added to must be known
	base, contents, last, records, conflicts := k.waiting(begun, now)
	u, err := history.Append(base, contents, last, records, history.Flush{Now: now, Ended: ended, Conflicts: conflicts})
	if err == nil {
		err = k.keep(ctx, u)
	}
	k.settle(u, len(records), now, err)
	return err
}

// waiting is what is to be stored, and what it is to be added to.
func (k *Keeper) waiting(begun, now time.Time) (base []byte, c history.Contents, last *history.Text, records []history.Record, conflicts int) {
	doc := k.engine.KeptDocument(history.DocName)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.take(doc)
	if doc != nil {
		base = doc.Data
	}
	if k.damaged != nil {
		k.rec.Damaged(now, k.damaged)
		k.damaged = nil
	}
	k.rec.Join(k.contents, begun)
	return base, k.contents, k.lastText(), k.rec.Waiting(now), k.last.conflicts
}

// lastText is what the last piece holds; nil: that is not known.
func (k *Keeper) lastText() *history.Text {
	n := len(k.contents.Pieces)
	if n == 0 {
		return nil
	}
	p := k.contents.Pieces[n-1]
	if k.last.name == p.Name {
		return k.last.text
	}
	k.last = writing{name: p.Name, conflicts: k.last.conflicts}
	if held, ok := k.piece(p.Name); ok && held.Err == nil && held.Version == p.Version {
		if text, err := history.Decode(held.Data); err == nil && text.First == p.First && text.First+int64(text.Count) == p.Last+1 {
			k.last.text = &text
		}
	}
	return k.last.text
}

// keep stores an update. Where an answer was lost, it finds out by looking whether it is there.
func (k *Keeper) keep(ctx context.Context, u *history.Update) error {
	done, tried := false, 0
	err := k.engine.KeepParts(ctx, history.DocName, func(old []byte) ([]byte, []protocol.Part, error) {
		switch tried++; {
		case bytes.Equal(old, u.Contents):
			done = true
			return nil, nil, errMoved
		case !bytes.Equal(old, u.Base):
			return nil, nil, errMoved
		case tried > tries:
			return nil, nil, errStrange
		}
		return u.Contents, u.Parts, nil
	})
	if done {
		return nil
	}
	return err
}

// settle notes what became of an update of n records.
func (k *Keeper) settle(u *history.Update, n int, now time.Time, err error) {
	written, named := history.Held{}, false
	if err == nil && u.Name != "" {
		for _, part := range u.Parts {
			if part.Name == u.Name {
				written, named = history.Hold(part.Version+1, u.Data), true
			}
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case errors.Is(err, history.ErrFull):
		k.rec.Full(n, now)
	case errors.Is(err, errStrange):
		k.last.conflicts++
	case err == nil:
		k.rec.Stored(n)
		if u.Name == "" {
			return
		}
		k.last = writing{name: u.Name, text: &u.Text}
		if named {
			k.pieces[u.Name] = written
		}
	}
}
