package rebalancer

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/loop"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/wave"
)

// spreading is what is remembered of voluntary moves: those between instances that stay.
type spreading struct {
	// due: the set of open ordinals changed, or a spread has begun and is not even yet.
	due bool
	// hot are the overloaded ordinals of the last orders: each set of them makes spreading due
	// once.
	hot []int
	// notBefore ends the hold after an adoption.
	notBefore time.Time
	// rolledBack is when a person rolled a wave back: orders made before that spread nothing.
	rolledBack time.Time
	// moved are the voluntary moves of the last minute.
	moved wave.Window
	// futile is the question to which the answer was that no voluntary move is due or helps.
	futile question
}

// adoptionName is the document that remembers over leaders until when nothing is spread after an
// adoption.
const adoptionName = "adoption"

type adoption struct {
	HoldUntil time.Time `json:"holdUntil,omitzero"`
}

// adopt starts the hold.
func (t *term) adopt() {
	t.spread.notBefore = t.now.Add(t.e.cfg.AdoptionHold)
	data, _ := json.Marshal(adoption{t.spread.notBefore.UTC()}) // a time can be encoded
	t.keepAlso(adoptionName, data)
}

// heldUntil is the end of the hold that an earlier leader has begun.
func heldUntil(st *protocol.State) time.Time {
	var a adoption
	if doc := st.Kept[adoptionName]; doc == nil || exact.JSON(doc.Data, &a) != nil {
		return time.Time{}
	}
	return a.HoldUntil
}

// opened notes that ordinals were opened. An empty one is a reason to spread; the ordinals of a
// tree that is being adopted are not new, and one that was already filling up shows by the band
// alone.
func (s *spreading) opened(st *protocol.State, before, added []int) {
	for _, n := range added {
		if len(before) > 0 && st.Instances[n].IDs.Len() == 0 {
			s.due = true
		}
	}
}

// heated notes which ordinals are overloaded by the latest orders.
func (s *spreading) heated(hot []int) {
	for _, n := range hot {
		s.due = s.due || !slices.Contains(s.hot, n)
	}
	s.hot = hot
}

// held says why nothing may be spread now; "" when it may.
func (t *term) held(now time.Time) string {
	switch {
	case t.idle != "":
		return t.idle
	case t.orders.SpreadSuspended != "":
		return t.orders.SpreadSuspended
	case t.orders.Limits.Paused:
		return "paused"
	case !t.orders.At.After(t.spread.rolledBack):
		return "a plan was rolled back a moment ago"
	case len(t.st.Pool) > 0 && t.full.shape != t.shape():
		return "new resources are being placed"
	case now.Before(t.spread.notBefore):
		return "the tree was adopted a moment ago"
	case t.leaving() && !t.stuck():
		return "instances are being emptied"
	case t.pendingWave() || t.flying() > 0:
		return "a wave is under way"
	}
	return t.unweighed(now)
}

// spreadWorld is the world without the ordinals that take no part in spreading as places to spread
// to; withheld says that there are such: those that may soon leave, and those that have lost their
// session, which may hang: what they got would run nowhere, and could not be taken back.
func (t *term) spreadWorld() (w *plan.World, withheld bool) {
	w = t.world(t.waiting())
	for i := range w.Instances {
		if in := &w.Instances[i]; in.Open && (slices.Contains(t.orders.MayLeave, in.Ordinal) || t.releases.Lapsed(in.Ordinal)) {
			in.Open, withheld = false, true
		}
	}
	return w, withheld
}

// flying counts the resources in flight that will land somewhere: all but deletes.
func (t *term) flying() (n int) {
	for _, f := range t.st.Flight {
		for _, to := range f.To {
			if to != protocol.ToDelete {
				n++
			}
		}
	}
	return n
}

// spreadOut evens the lists of instances that stay, when that is due: the periodic regime. It takes
// everything from the donors that the limits allow; land gives each receiver its part in one write.
func (t *term) spreadOut(ctx context.Context) (bool, error) {
	now := t.now
	if why := t.held(now); why != "" || len(t.st.Head.Open) < 2 {
		if t.spread.due {
			t.block(why)
		}
		return false, nil
	}
	room := t.voluntaryRoom(t.flightRoom(), now)
	if room == 0 {
		return false, nil
	}
	room = t.churn(room)
	asked := t.question(room)
	if t.spread.futile == asked {
		return false, nil
	}
	w, withheld := t.spreadWorld()
	o := t.options(plan.Periodic, max(0, room))
	if due, _ := plan.ShouldRebalance(w, t.spread.due, o); !due {
		t.spread.due, t.spread.futile = false, asked
		return false, nil
	}
	if t.tooSoon(&t.evened) {
		return false, nil
	}
	if !t.pinned() { // else the pool is there already
		w.Pool = t.poolList(poolOf(t.st).ids) // what waits to be placed may be what evens the lists
	}
	p, err := t.make(w, o)
	if err != nil {
		return false, err
	}
	if p.Voluntary == 0 {
		t.spread.due, t.spread.futile = t.spread.due && withheld, asked
		return false, nil
	}
	t.spread.due = true // to the end, also when the rest alone would be within the band
	var moves wave.Moves
	for from, planned := range p.BySource() {
		if from == plan.FromPool {
			continue // place does that when there is room
		}
		for _, m := range planned {
			moves.Add(w.Ordinal(m.From), w.ID(m), w.Ordinal(m.To))
		}
	}
	fault.Point("move.planned")
	later := t.atOnce(&moves)
	if moves.Empty() {
		return false, nil
	}
	if err := t.begin(ctx, &moves, wave.New(wave.Spread, p, p.Remaining+later)); err != nil {
		return false, err
	}
	_, err = t.take(ctx)
	return true, err
}

// atOnce leaves of the moves what can be revoked now, in one write a source, and returns how many
// it left out. A voluntary move that waits is planned again: creates and deletes may make it one
// for the worse.
func (t *term) atOnce(moves *wave.Moves) (later int) {
	for _, n := range moves.Sources() {
		k := 0
		if t.writable(n) {
			k = protocol.Fit(moves.IDs(n), loop.RevokeBytes)
		}
		later += moves.Keep(n, k)
	}
	return later
}
