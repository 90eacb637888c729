package resync

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// oracle decides from all that ever happened, each time, as the package's comment says it.
type oracle struct {
	start  time.Time
	events []event
	reads  []*pastRead // complete ones, in order
}

// event is a message, or the decision of a read about an id.
type event struct {
	at   time.Time
	op   Op
	id   string
	done bool // a read has decided: earlier events count no more
}

type pastRead struct {
	began, ended time.Time
	from, to     int // the number of events at its begin and at its end
	known, rows  world
}

// lastCreate is when the id was last created, as far as a message has told by then.
func (o *oracle) lastCreate(id string, events int) time.Time {
	at := o.start
	for _, e := range o.events[:events] {
		if e.id == id && e.op == Created && !e.done {
			at = e.at
		}
	}
	return at
}

// spoken says whether a message created or deleted the id among these events.
func (o *oracle) spoken(id string, from, to int) bool {
	return slices.ContainsFunc(o.events[from:to], func(e event) bool { return e.id == id && !e.done && e.op != claimed })
}

// claims are the indexes of the claims of an id that stand when the read ends.
func (o *oracle) claims(id string, r *pastRead, before []*pastRead, lag time.Duration) (stand []int) {
	for i, e := range o.events[:r.to] {
		switch {
		case e.id != id:
		case e.done || e.op != claimed:
			stand = nil
		default:
			stand = append(stand, i)
		}
	}
	if len(stand) == 0 {
		return nil
	}
	last := stand[len(stand)-1]
	for _, b := range before {
		// a read refutes all that it began after, if it began late enough after the last of them
		if b.from > last && b.rows[id] && !b.began.Before(o.events[last].at.Add(lag)) {
			return nil
		}
	}
	for _, b := range before { // what was refuted before a later claim came is not made good by it
		last := slices.IndexFunc(stand, func(i int) bool { return i >= b.to })
		if last > 0 && b.rows[id] && b.from > stand[last-1] && !b.began.Before(o.events[stand[last-1]].at.Add(lag)) {
			stand = stand[last:]
		}
	}
	return stand
}

// suspects says whether a read that lacks the id counts against it.
func (o *oracle) suspects(id string, k int, lag time.Duration) bool {
	r := o.reads[k]
	return r.known[id] && !r.rows[id] && !o.spoken(id, r.from, r.to) && len(o.claims(id, r, o.reads[:k], lag)) == 0 &&
		!r.began.Before(o.lastCreate(id, r.to).Add(lag))
}

// lastWord is the last message that created or deleted the id, from an event on.
func (o *oracle) lastWord(id string, from int) (last event, any bool) {
	for _, e := range o.events[from:] {
		if e.id == id && !e.done && e.op != claimed {
			last, any = e, true
		}
	}
	return last, any
}

// revive are the rows of the last read that are created, known being what is known by its end.
// Those that a message deleted not long before stay claimed to be deleted.
func (o *oracle) revive(known world, l Limits) (created []string) {
	r := o.reads[len(o.reads)-1]
	var doubted []event
	for id := range r.rows {
		if last, said := o.lastWord(id, r.from); known[id] || said && last.op == Deleted {
			continue
		}
		last, said := o.lastWord(id, 0)
		deleted := said && last.op == Deleted
		if deleted && r.began.Before(last.at.Add(l.Revive)) {
			continue
		}
		stands := len(o.claims(id, r, o.reads[:len(o.reads)-1], l.Lag)) > 0
		if deleted && !stands && r.began.Before(last.at.Add(l.Lag)) {
			doubted = append(doubted, event{at: last.at, op: claimed, id: id})
		}
		created = append(created, id)
	}
	o.events = append(o.events, doubted...)
	return created
}

// decide is what the last read leads to.
func (o *oracle) decide(l Limits) (claimedGone, missing []string) {
	k := len(o.reads) - 1
	r := o.reads[k]
	for i := range 16 {
		id := fmt.Sprintf("id-%03d", i)
		if stand := o.claims(id, r, o.reads[:k], l.Lag); len(stand) > 0 && !r.rows[id] && stand[0] < r.from {
			claimedGone = append(claimedGone, id)
			continue
		}
		first := k
		for first >= 0 && o.suspects(id, first, l.Lag) && !o.spoken(id, o.reads[first].from, r.to) && !o.decided(id, first, k) {
			first--
		}
		if first++; first < k && !r.began.Before(o.reads[first].ended.Add(l.Gap)) {
			missing = append(missing, id)
		}
	}
	for _, id := range slices.Concat(claimedGone, missing) {
		o.events = append(o.events, event{at: r.ended, id: id, done: true})
	}
	return claimedGone, missing
}

// decided says whether a read from first on, but before k, has decided about the id.
func (o *oracle) decided(id string, first, k int) bool {
	return slices.ContainsFunc(o.events[o.reads[first].to:o.reads[k].to], func(e event) bool { return e.id == id && e.done })
}

// TestDecisionsAreThoseOfTheOracle plays any rows, messages, claims and times, whether they can be
// or not, and demands the oracle's decisions, and that what every read has is not deleted.
func TestDecisionsAreThoseOfTheOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(ids(12))
		b.l = Limits{MaxShare: 1, Lag: time.Duration(rapid.IntRange(0, 6).Draw(t, "lag"))}
		b.l.Gap = time.Duration(rapid.IntRange(0, int(b.l.Lag)).Draw(t, "gap"))
		b.l.Revive = time.Duration(rapid.IntRange(0, int(b.l.Lag)).Draw(t, "revive"))
		o := &oracle{start: b.now}
		always := ids(16) // what every read has
		var running *pastRead
		id := rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf("id-%03d", rapid.IntRange(0, 15).Draw(t, "id")) })
		end := func(t *rapid.T) {
			if running == nil {
				return
			}
			rows := ids(16)
			for _, gone := range rapid.SliceOfN(id, 0, 8).Draw(t, "gone") {
				delete(rows, gone)
			}
			maps.DeleteFunc(always, func(id string, _ bool) bool { return !rows[id] })
			running.ended, running.to, running.rows = b.now, len(o.events), rows
			o.reads = append(o.reads, running)
			running = nil
			gone, missing := o.decide(b.l)
			created := o.revive(b.w, b.l)
			out := b.end(t, rows)
			require.ElementsMatch(t, created, out.Creates.Strings(), "created")
			require.ElementsMatch(t, gone, out.Claimed, "claimed")
			require.ElementsMatch(t, missing, out.Deletes, "missing twice")
			for _, id := range slices.Concat(out.Claimed, out.Deletes) {
				require.False(t, always[id], "%s is in every read", id)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"wait": func(t *rapid.T) { b.after(time.Duration(rapid.IntRange(1, 4).Draw(t, "time"))) },
			"message": func(t *rapid.T) {
				id, op := id.Draw(t, "id"), rapid.SampledFrom([]Op{Created, Created, Deleted, claimed, claimed}).Draw(t, "op")
				o.events = append(o.events, event{at: b.now, op: op, id: id})
				if op == claimed {
					b.claim(id)
				} else {
					b.said(op, id)
				}
			},
			"begin": func(*rapid.T) {
				b.begin()
				running = &pastRead{began: b.now, from: len(o.events), known: maps.Clone(b.w)}
			},
			"abort": func(*rapid.T) {
				b.Abort()
				running = nil
			},
			"end":   end,
			"again": end, // else most reads begin again before they end
		})
	})
}
