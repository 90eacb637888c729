package rebalancer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// recall takes up the wave that an earlier leader has stored, and what the limits of voluntary moves must remember of it.
func (t *term) recall() {
	if note := t.st.PlanNote(); note != nil {
		if err := exact.JSON(note, &t.spread.moved); err != nil {
			t.e.log.Warn("the voluntary moves of the last minute are not known", "error", err)
		}
	}
	if t.st.Plan == nil {
		return
	}
	w, err := parseWave(t.st.Plan.Data)
	if err != nil {
		t.e.log.Error("the stored wave cannot be read; what is in flight goes on without it", "error", err)
		w = &wave{Plan: t.st.Plan.ID}
	}
	t.wave = resume(w, t.st, t.e.inventory.Index.Find)
	t.spread.moved = w.Window
	if w.Reason == reasonSpread {
		// When it took them, nobody knows: at the latest now. What it has not taken is planned anew, since lists have changed meanwhile.
		t.spread.moved = append(t.spread.moved, moved{At: time.Now(), N: t.wave.total - t.wave.left()})
		clear(t.wave.pending)
		t.spread.due = true
	}
	t.e.log.Info("taking up a wave", "plan", w.Plan, "reason", w.Reason, "moves", t.wave.total, "left", t.wave.left())
}

// begin stores a wave of what is to be revoked; a small one is one write. Nothing is taken before that.
func (t *term) begin(ctx context.Context, r revocations, w wave) error {
	now := time.Now()
	w.V, w.Begun = waveSchema, now.UTC()
	w.Window = t.spread.recent(now)
	rest := 0
	w.Moves, rest = cut(r)
	w.Beyond += rest
	data, err := w.encode()
	if err != nil {
		return err
	}
	parts, last, err := protocol.StorePlan(t.st, w.Plan, data)
	if err != nil {
		return err
	}
	for len(parts) > 0 {
		b := newBatch(roundBytes)
		for ; len(parts) > 0 && !b.full(); parts = parts[1:] {
			b.add(job{m: parts[0]}, nil)
		}
		if _, err := t.send(ctx, b); err != nil {
			return err
		}
	}
	if err := t.commit(ctx, job{m: last}); err != nil {
		return err
	}
	t.e.m.waves.WithLabelValues(w.Reason).Inc()
	t.wave = &running{wave: w, total: w.count(), pending: map[int]donation{}, flights: map[string]bool{}}
	for _, d := range w.Moves {
		t.wave.pending[d.From] = d
	}
	t.e.log.Info("a wave begins", "plan", w.Plan, "reason", w.Reason, "why", w.Why, "moves", t.wave.total, "beyond", w.Beyond)
	return nil
}

// pendingWave says whether a wave has something to take yet: then no other begins.
func (t *term) pendingWave() bool { return t.wave != nil && len(t.wave.pending) > 0 }

// move carries the wave on: it takes what the limits allow, and ends the wave when all of it has landed.
func (t *term) move(ctx context.Context) (bool, error) {
	if t.wave == nil || t.idle != "" {
		return false, nil
	}
	t.abandon()
	if t.pendingWave() {
		return t.take(ctx)
	}
	for name := range t.wave.flights {
		if t.st.Flight[name] != nil {
			return false, nil
		}
	}
	return true, t.end(ctx)
}

// end says in ZooKeeper that no wave runs.
func (t *term) end(ctx context.Context) error {
	var note []byte
	if recent := t.spread.recent(time.Now()); t.orders.Limits.MovesPerMinute > 0 && len(recent) > 0 {
		var err error
		if note, err = encodeNote(recent); err != nil {
			return err
		}
	}
	m, err := protocol.ClearPlan(t.st, note)
	if err != nil {
		return err
	}
	return t.commit(ctx, job{m: m, done: func() {
		t.e.log.Info("a wave has ended", "plan", t.wave.Plan, "reason", t.wave.Reason, "landed", t.wave.landed, "of", t.wave.total)
		t.wave = nil
	}})
}

// encodeNote writes what spreading.recent tells: at most maxRecent entries.
func encodeNote(recent []moved) ([]byte, error) {
	note, err := json.Marshal(recent)
	if err != nil {
		return nil, fmt.Errorf("encode the moves of the last minute: %w", err)
	}
	return note, nil
}

// abandon drops what the wave has not taken yet where the orders have changed since it was planned,
// or its instance keeps what it has since then: that is rolled back by never having left, and what
// must move is planned again. An undo is not, and waits for an instance that may come back.
func (t *term) abandon() {
	w := t.wave
	receives := func(n int) bool {
		return n < 0 || t.stays(n) && t.st.IsOpen(n) && (w.Reason != reasonSpread || !t.keeping[n].lapsed)
	}
	w.drop(func(d donation) bool {
		return t.keeps(d.From) != "" && (w.Reason != reasonUndo || t.keepsForGood(d.From))
	})
	if !w.voluntary() {
		w.drop(func(d donation) bool { return t.stays(d.From) && !t.expels(d) })
	} else if t.leaving() {
		clear(w.pending) // what leaves has precedence
	}
	for _, d := range w.pending {
		if w.voluntary() && !receives(d.From) || slices.ContainsFunc(d.To, func(to int) bool { return !receives(to) }) {
			clear(w.pending)
			return
		}
	}
}

// take revokes what is pending from all donors whose lists may change now, each once, so that every receiver's list can then be written
// once.
func (t *term) take(ctx context.Context) (did bool, err error) {
	w, now := t.wave, time.Now()
	room := t.flightRoom()
	if w.voluntary() {
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
		ids, to := w.next(n, room, revokeBytes)
		if len(ids) == 0 {
			return job{}, nil
		}
		if room > 0 {
			room -= len(ids)
		}
		m, err := protocol.Revoke(t.st, n, ids, to, t.pod(n))
		name := fmt.Sprintf("%d-%d", n, t.st.NextTimes(n))
		return job{m: m, lists: []int{n}, done: func() { w.flights[name], taken = true, taken+len(ids) }}, err
	}
	due := slices.DeleteFunc(ordinals(w.pending), func(n int) bool {
		why := t.keeps(n)
		if why != "" {
			t.block(fmt.Sprintf("waiting for instance %d: %s", n, why))
		}
		return why != "" || !t.writable(n)
	})
	for _, n := range due { // before the stream, in which nothing leaves a list but by it
		w.pass(n, func(id string) bool { at, known := t.e.inventory.Index.Find(id); return known && at == int32(n) })
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
	t.flights.note(t.st, time.Now())
	if w.voluntary() && taken > 0 {
		t.spread.moved = append(t.spread.moved, moved{At: now, N: taken})
	}
	return did, err
}

// heldWave says why a voluntary wave may take nothing now. An undo was asked for by a person, pause or not.
func (t *term) heldWave() string {
	switch {
	case t.wave.Reason == reasonUndo:
		return ""
	case t.orders.SpreadSuspended != "":
		return t.orders.SpreadSuspended
	case t.orders.Limits.Paused:
		return "paused"
	}
	return ""
}

// voluntaryRoom is how many voluntary moves may be made now, of those that may be in flight; negative: any number.
func (t *term) voluntaryRoom(room int, now time.Time) int {
	budget, next := t.spread.budget(t.orders.Limits.MovesPerMinute, now)
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
	flying, released := 0, 0
	for name := range w.flights {
		if f := t.st.Flight[name]; f != nil {
			flying += len(f.IDs)
			if ok, _, _ := t.released(f, now); ok {
				released += len(f.IDs)
			}
		}
	}
	p.PlanID, p.Reason, p.Why, p.Begun = w.Plan, w.Reason, w.Why, w.Begun
	p.Moves, p.Beyond, p.Done, p.Acknowledged, p.Left = w.total, w.Beyond, w.landed, w.landed+released, w.left()+flying
	p.PerMinute = t.pace.perMinute(now)
	if p.PerMinute > 0 && p.Left > 0 {
		end := now.Add(time.Duration(float64(p.Left+p.Beyond) / p.PerMinute * float64(time.Minute))).UTC().Truncate(time.Second)
		p.EstimatedEnd = &end
	}
}

// pace is how fast moves land, by those of the last minute.
type pace []moved

func (p *pace) landed(now time.Time, n int) {
	*p = append(slices.DeleteFunc(*p, func(m moved) bool { return now.Sub(m.At) > time.Minute }), moved{At: now, N: n})
}

func (p pace) perMinute(now time.Time) float64 {
	n, since := 0, time.Second
	for _, m := range p {
		if age := now.Sub(m.At); age <= time.Minute {
			n, since = n+m.N, max(since, age)
		}
	}
	return float64(n) / since.Minutes()
}

// planned is a wave of what p takes from instances.
func planned(reason string, p *plan.Plan, beyond int) wave {
	return wave{Plan: p.ID(), Reason: reason, Why: why(reason, p), Beyond: beyond}
}

// landedIn counts what of a piece has arrived.
func (t *term) landedIn(piece string, n int) {
	if t.wave != nil && t.wave.flights[piece] {
		t.wave.landed += n
		t.pace.landed(time.Now(), n)
	}
}
