package steps

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/rebalancer/pack"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/wave"
)

// Spread evens the lists of instances that stay, when that is due: the periodic regime. It begins a
// wave of all that the limits allow to be revoked at once; Grant gives each receiver its part in
// one write.
type Spread struct {
	Place *Place
	Move  *Move

	// last is when it last planned.
	last time.Time
	// due: the set of open ordinals changed, or a spread has begun and is not even yet.
	due bool
	// hot are the overloaded ordinals of the last orders: each set of them makes spreading due
	// once.
	hot []int
	// notBefore ends the hold after an adoption.
	notBefore time.Time
	// rolledBack is when a person rolled a wave back: orders made before that spread nothing.
	rolledBack time.Time
	// futile is the question to which the answer was that no voluntary move is due or helps.
	futile question
}

// adoptionName is the document that remembers over leaders until when nothing is spread after an
// adoption.
const adoptionName = "adoption"

type adoption struct {
	HoldUntil time.Time `json:"holdUntil,omitzero"`
}

// Adopted spreads nothing until then, and returns the document that says so to later leaders.
func (s *Spread) Adopted(until time.Time) (name string, data []byte) {
	s.notBefore = until
	data, _ = json.Marshal(adoption{until.UTC()}) // a time can be encoded
	return adoptionName, data
}

// Recall takes up what an earlier leader has remembered; resumed is the wave that it has begun, nil
// if there is none.
func (s *Spread) Recall(st *protocol.State, resumed *wave.Running) {
	var a adoption
	if doc := st.Kept[adoptionName]; doc != nil && exact.JSON(doc.Data, &a) == nil {
		s.notBefore = a.HoldUntil
	}
	s.due = resumed != nil && resumed.Reason == wave.Spread
}

// Opened notes that ordinals were opened. An empty one is a reason to spread; the ordinals of a
// tree that is being adopted are not new, and one that was already filling up shows by the band
// alone.
func (s *Spread) Opened(st *protocol.State, before, added []int) {
	for _, n := range added {
		if len(before) > 0 && st.Instances[n].IDs.Len() == 0 {
			s.due = true
		}
	}
}

// Ordered notes which ordinals are overloaded by the latest orders.
func (s *Spread) Ordered(hot []int) {
	for _, n := range hot {
		s.due = s.due || !slices.Contains(s.hot, n)
	}
	s.hot = hot
}

// Ask has a spread be due, however little the lists differ.
func (s *Spread) Ask() { s.due = true }

// underWay suspends a spread while a wave is carried out, which may be the spread itself.
const underWay = "a wave is under way"

// suspended says why nothing may be spread now; "" when it may.
func (s *Spread) suspended(v *View, p *Proposal) string {
	switch {
	case v.Refusal != "":
		return v.Refusal
	case v.Orders.SpreadSuspended != "":
		return v.Orders.SpreadSuspended
	case v.Orders.Limits.Paused:
		return "paused"
	case !v.Orders.At.After(s.rolledBack):
		return "a plan was rolled back a moment ago"
	case len(v.State.Pool) > 0 && !s.Place.isFull(v):
		return "new resources are being placed"
	case v.Now.Before(s.notBefore):
		return "the tree was adopted a moment ago"
	case s.Place.urgent(v):
		return "instances are being drained"
	case s.Move.pending() || v.flying() > 0:
		return underWay
	}
	return unweighed(v, p)
}

// question is all that the answer of a periodic plan depends on.
type question struct {
	shape   shape
	options plan.Options
	due     bool
	// passing are the ordinals that may soon leave.
	passing string
}

// Next implements Step.
func (s *Spread) Next(v *View) (p Proposal) {
	if v.Orders.Landing {
		return p
	}
	if why := s.suspended(v, &p); why != "" || len(v.State.Head.Open) < 2 {
		if s.due && why != underWay {
			p.Blocked = why
		}
		return p
	}
	room := s.Move.voluntaryRoom(v, &p)
	if room == 0 {
		if s.due {
			p.Blocked = s.Move.usedUp(v)
		}
		return p
	}
	if most := v.Orders.Limits.MovesPerPlan; most > 0 && (room < 0 || most < room) {
		room = most
	}
	o := options(v, plan.Periodic, max(0, room))
	asked := question{shapeOf(v), o, s.due, fmt.Sprint(v.Orders.MayLeave)}
	if s.futile == asked {
		return p
	}
	w, withheld := spreadWorld(v)
	if due, _ := plan.ShouldRebalance(w, s.due, o); !due {
		s.due, s.futile = false, asked
		return p
	}
	if tooSoon(v, &s.last, &p) {
		return p
	}
	if !v.Attributes.Pinned() { // else the pool is there already
		// what waits to be placed may be what evens the lists
		w.Pool = poolList(v, pack.PoolOf(v.State).IDs)
	}
	made, err := s.Move.Plan(w, o)
	if err != nil {
		p.Err = err
		return p
	}
	if made.Voluntary == 0 {
		s.due, s.futile = s.due && withheld, asked
		return p
	}
	s.due = true // to the end, also when the rest alone would be within the band
	return s.begin(v, made, p)
}

// begin adds to p the beginning of a wave of what can be revoked now of a plan's moves.
func (s *Spread) begin(v *View, made *plan.Plan, p Proposal) Proposal {
	moves := wave.MovesOf(made) // Place assigns from the pool when there is room
	later := atOnce(v, moves, &p)
	if len(moves) == 0 {
		return p
	}
	s.Move.store(v, moves, wave.New(wave.Spread, made, made.Remaining+later), nil, &p)
	p.Onward = s.Move
	return p
}

// atOnce leaves of the moves what can be revoked now, in one write a source, and returns how many
// it left out. A voluntary move that waits is planned again: creates and deletes may make it one
// for the worse.
func atOnce(v *View, moves wave.Moves, p *Proposal) (later int) {
	for _, n := range moves.Sources() {
		k := 0
		if v.writable(n, p) {
			k = protocol.FitOf(moves[n].IDs, RevokeBytes)
		}
		later += moves.Keep(n, k)
	}
	return later
}

// spreadWorld is the world without the ordinals that take no part in spreading as places to spread
// to; withheld says that there are such: those that may soon leave, and those that have lost their
// session, which may hang: what they got would run nowhere, and could not be taken back.
//
// The pool is in it where some of it may need others to make room; else spreading has nothing to do
// with it.
func spreadWorld(v *View) (w *plan.World, withheld bool) {
	var waiting []string
	if v.Attributes.Pinned() {
		waiting = pack.PoolOf(v.State).IDs
	}
	w = world(v, waiting)
	return w, withhold(v, w)
}

// withhold closes in w the ordinals that take no part in spreading as places to spread to.
func withhold(v *View, w *plan.World) (withheld bool) {
	for i := range w.Instances {
		in := &w.Instances[i]
		if in.Open && (slices.Contains(v.Orders.MayLeave, in.Ordinal) || v.Releases.Absent(in.Ordinal)) {
			in.Open, withheld = false, true
		}
	}
	return withheld
}
