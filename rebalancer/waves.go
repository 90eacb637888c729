package rebalancer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/rebalancer/loop"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/wave"
)

// recall takes up the wave that an earlier leader has stored, and what the limits of voluntary
// moves must remember of it.
func (t *term) recall() {
	if note := t.st.PlanNote(); note != nil {
		if err := exact.JSON(note, &t.spread.moved); err != nil {
			t.e.log.Warn("the voluntary moves of the last minute are not known", "error", err)
		}
	}
	if t.st.Plan == nil {
		return
	}
	w, err := wave.Parse(t.st.Plan.Data)
	if err != nil {
		t.e.log.Error("the stored wave cannot be read; what is in flight goes on without it", "error", err)
		w = &wave.Wave{Plan: t.st.Plan.ID}
	}
	t.wave = wave.Resume(w, t.st, t.e.inventory.Index.Find)
	t.spread.moved = w.Window
	if w.Reason == wave.Spread {
		// When it took them, nobody knows: at the latest now. What it has not taken is planned
		// anew, since lists have changed meanwhile.
		t.spread.moved = append(t.spread.moved, wave.Moved{At: t.now, N: t.wave.Total - t.wave.Left()})
		t.wave.DropAll()
		t.spread.due = true
	}
	t.e.log.Info("taking up a wave", "plan", w.Plan, "reason", w.Reason, "moves", t.wave.Total, "left", t.wave.Left())
}

// begin stores a wave of what is to be revoked; a small one is one write. Nothing is taken before
// that.
func (t *term) begin(ctx context.Context, moves *wave.Moves, w wave.Wave) error {
	now := t.now
	w.Fill(moves, t.spread.moved.Recent(now), now)
	data, err := w.Encode()
	if err != nil {
		return err
	}
	parts, last, err := protocol.StorePlan(t.st, w.Plan, data)
	if err != nil {
		return err
	}
	for len(parts) > 0 {
		b := newBatch(loop.MaxBytes)
		for ; len(parts) > 0 && !b.full(); parts = parts[1:] {
			b.add(job{m: parts[0]}, nil)
		}
		if err := t.send(ctx, b); err != nil {
			return err
		}
	}
	if err := t.commit(ctx, job{m: last}); err != nil {
		return err
	}
	t.e.m.waves.WithLabelValues(w.Reason).Inc()
	t.wave = wave.Begin(&w)
	t.e.log.Info("a wave begins", "plan", w.Plan, "reason", w.Reason, "why", w.Why, "moves", t.wave.Total, "beyond", w.Beyond)
	return nil
}

// pendingWave says whether a wave has something to take yet: then no other begins.
func (t *term) pendingWave() bool { return t.wave != nil && t.wave.Pending() }

// move carries the wave on: it takes what the limits allow, and ends the wave when all of it has
// landed.
func (t *term) move(ctx context.Context) (bool, error) {
	if t.wave == nil || t.idle != "" {
		return false, nil
	}
	t.abandon()
	if t.pendingWave() {
		return t.take(ctx)
	}
	if len(t.wave.InFlight(t.st)) > 0 {
		return false, nil
	}
	return true, t.end(ctx)
}

// end says in ZooKeeper that no wave runs.
func (t *term) end(ctx context.Context) error {
	var note []byte
	if recent := t.spread.moved.Recent(t.now); t.orders.Limits.MovesPerMinute > 0 && len(recent) > 0 {
		var err error
		if note, err = recent.Encode(); err != nil {
			return err
		}
	}
	m, err := protocol.ClearPlan(t.st, note)
	if err != nil {
		return err
	}
	return t.commit(ctx, job{m: m, done: func() {
		t.e.log.Info("a wave has ended", "plan", t.wave.Plan, "reason", t.wave.Reason, "landed", t.wave.Arrived, "of", t.wave.Total)
		t.wave = nil
	}})
}

// abandon drops what the wave has not taken yet where the orders have changed since it was planned,
// or its instance keeps what it has since then: that is rolled back by never having left, and what
// must move is planned again. An undo is not, and waits for an instance that may come back.
func (t *term) abandon() {
	w := t.wave
	refuses := func(n int) bool {
		return n >= 0 && !(t.stays(n) && t.st.IsOpen(n) && (w.Reason != wave.Spread || !t.releases.Lapsed(n)))
	}
	w.Drop(func(d wave.SourceMoves) bool {
		return t.keeps(d.From) != "" && (w.Reason != wave.Undo || t.releases.FixedForGood(d.From, t.now))
	})
	if !w.Voluntary() {
		w.Drop(func(d wave.SourceMoves) bool { return t.stays(d.From) && !t.expels(d) })
	} else if t.leaving() {
		w.DropAll() // what leaves has precedence
	}
	if w.Any(func(d wave.SourceMoves) bool {
		return w.Voluntary() && refuses(d.From) || slices.ContainsFunc(d.To, refuses)
	}) {
		w.DropAll()
	}
}

// take revokes what is pending from all donors whose lists may change now, each once, so that every
// receiver's list can then be written once.
func (t *term) take(ctx context.Context) (did bool, err error) {
	w, now := t.wave, t.now
	room := t.flightRoom()
	if w.Voluntary() {
		if why := t.heldWave(); why != "" {
			t.block(why)
			return false, nil
		}
		room = t.voluntaryRoom(room, now)
	}
	if room == 0 {
		t.block("as many resources are in flight, or have moved within a minute, as the limits allow")
		return false, nil
	}
	taken := 0
	build := func(n int) (job, error) {
		if room == 0 {
			return job{}, nil
		}
		ids, to := w.Next(n, room, loop.RevokeBytes)
		if len(ids) == 0 {
			return job{}, nil
		}
		if room > 0 {
			room -= len(ids)
		}
		m, err := protocol.Revoke(t.st, n, ids, to, t.view().Pod(n))
		name := protocol.FlightName(n, t.st.NextTimes(n))
		return job{m: m, lists: []int{n}, done: func() { w.Revoked(name); taken += len(ids) }}, err
	}
	due := slices.DeleteFunc(w.Sources(), func(n int) bool {
		why := t.keeps(n)
		if why != "" {
			t.block(fmt.Sprintf("waiting for instance %d: %s", n, why))
		}
		return why != "" || !t.writable(n)
	})
	for _, n := range due { // before the stream, in which nothing leaves a list but by it
		w.SkipGone(n, func(id string) bool { at, known := t.e.inventory.Index.Find(id); return known && at == int32(n) })
	}
	did, err = t.stream(ctx, func([]job) *batch {
		if len(due) == 0 {
			return nil
		}
		b := newBatch(streamBatch)
		for ; len(due) > 0 && !b.full(); due = due[1:] {
			b.add(build(due[0]))
		}
		return b
	})
	t.releases.Note(t.st, t.now)
	if w.Voluntary() && taken > 0 {
		t.spread.moved = append(t.spread.moved, wave.Moved{At: now, N: taken})
	}
	return did, err
}

// heldWave says why a voluntary wave may take nothing now. An undo was asked for by a person, pause
// or not.
func (t *term) heldWave() string {
	switch {
	case t.wave.Reason == wave.Undo:
		return ""
	case t.orders.SpreadSuspended != "":
		return t.orders.SpreadSuspended
	case t.orders.Limits.Paused:
		return "paused"
	}
	return ""
}

// voluntaryRoom is how many voluntary moves may be made now, of those that may be in flight;
// negative: any number.
func (t *term) voluntaryRoom(room int, now time.Time) int {
	budget, next := t.spread.moved.Budget(t.orders.Limits.MovesPerMinute, now)
	if !next.IsZero() {
		t.sooner(next)
	}
	if budget >= 0 && (room < 0 || budget < room) {
		return budget
	}
	return room
}

// waveProgress describes the running wave.
func (t *term) waveProgress(p *orders.Progress, now time.Time) {
	w := t.wave
	if w == nil {
		return
	}
	flying, released, view := 0, 0, t.view()
	for _, f := range w.InFlight(t.st) {
		flying += f.IDs.Len()
		if ok, _, _ := t.releases.Released(view, f); ok {
			released += f.IDs.Len()
		}
	}
	p.PlanID, p.Reason, p.Why, p.Begun = w.Plan, w.Reason, w.Why, w.Begun
	p.Moves, p.Beyond, p.Done, p.Acknowledged, p.Left = w.Total, w.Beyond, w.Arrived, w.Arrived+released, w.Left()+flying
	p.PerMinute = t.pace.PerMinute(now)
	if p.PerMinute > 0 && p.Left > 0 {
		end := now.Add(time.Duration(float64(p.Left+p.Beyond) / p.PerMinute * float64(time.Minute))).UTC().Truncate(time.Second)
		p.EstimatedEnd = &end
	}
}

// landedIn counts what of a piece has arrived.
func (t *term) landedIn(piece string, n int) {
	if t.wave.Owns(piece) {
		t.wave.Arrived += n
		t.pace.Arrived(t.now, n)
	}
}
