package rebalancer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/loop"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/wave"
)

// landed counts what an instance received.
func (t *term) landed(n int, takes []protocol.Take) {
	for _, take := range takes {
		reason := wave.Drain
		if from, _ := flightFrom(take.Name); t.stays(from) {
			reason = wave.Spread
		}
		if t.wave.Owns(take.Name) {
			reason = t.wave.Reason
		}
		t.moved(reason, len(take.IDs))
		t.landedIn(take.Name, len(take.IDs))
	}
	t.e.log.Debug("granted", "instance", n)
}

// pooledAgain counts what has come back to the pool.
func (t *term) pooledAgain(take protocol.Take) { t.landedIn(take.Name, len(take.IDs)) }

func (t *term) moved(reason string, n int) {
	t.e.m.moves.WithLabelValues(reason).Add(float64(n))
	t.e.mu.Lock()
	defer t.e.mu.Unlock()
	t.e.progress.Moved += int64(n)
}

// flightFrom is the ordinal that a flight piece `<n>-<T>` was taken from.
func flightFrom(name string) (n int, err error) {
	_, err = fmt.Sscanf(name, "%d-", &n)
	return n, err
}

// pooled is the pool as the planner sees it: one list. It says which piece each id came from.
type pooled struct {
	names  []string
	starts []int // of each piece in the list; ascending
	ids    []string
}

func poolOf(st *protocol.State) pooled {
	p := pooled{names: st.PoolNames(), ids: make([]string, 0, st.Unassigned())}
	for _, name := range p.names {
		p.starts = append(p.starts, len(p.ids))
		p.ids = append(p.ids, st.Pool[name].IDs.Strings()...)
	}
	return p
}

// pieces are all of it, each whole, oldest first.
func (p *pooled) pieces() []protocol.Take {
	takes := make([]protocol.Take, len(p.names))
	ends := append(slices.Clone(p.starts), len(p.ids))[1:]
	for i, name := range p.names {
		takes[i] = protocol.Take{Name: name, IDs: p.ids[p.starts[i]:ends[i]:ends[i]]}
	}
	return takes
}

// takes turns places in the list into takes of the pieces, in order.
func (p *pooled) takes(indices []int32) (takes []protocol.Take) {
	slices.Sort(indices)
	for _, i := range indices {
		k, exact := slices.BinarySearch(p.starts, int(i))
		if !exact {
			k--
		}
		name := p.names[k]
		if len(takes) == 0 || takes[len(takes)-1].Name != name {
			takes = append(takes, protocol.Take{Name: name})
		}
		last := &takes[len(takes)-1]
		last.IDs = append(last.IDs, p.ids[i])
	}
	return takes
}

// world is what the planner is shown. An instance that keeps what it has may receive: what goes
// there runs there.
func (t *term) world(pool []string) *plan.World {
	reserved, weight := t.st.Reserved(), t.reservedWeight()
	w := &plan.World{Pool: t.poolList(pool), Pins: t.pins()}
	for _, n := range t.st.Ordinals() {
		in := t.st.Instances[n]
		w.Instances = append(w.Instances, plan.Instance{
			Ordinal: n, Open: t.st.IsOpen(n) && t.stays(n), Leaving: !t.stays(n) && t.keeps(n) == "", Fixed: t.keeps(n) != "",
			Capacity: t.orders.Capacity,
			MaxBytes: protocol.MaxListBytes, Bytes: in.Bytes, List: t.listed(n, in).list,
			Arriving: plan.Arriving{Count: reserved[n].Count, Bytes: reserved[n].Bytes, Weight: weight[n]},
		})
	}
	return w
}

// make plans and measures how long that took.
func (t *term) make(w *plan.World, o plan.Options) (*plan.Plan, error) {
	begun := t.e.cfg.Now()
	p, err := plan.Make(w, o)
	t.e.m.planning.Observe(t.e.cfg.Now().Sub(begun).Seconds())
	return p, err
}

// planPause is the least time between two plans of one sort: what arrives meanwhile shares the next
// one.
const planPause = 20 * time.Millisecond

// tooSoon says whether the time has not come yet since what was planned last; if it has, that is
// now.
func (t *term) tooSoon(last *time.Time) bool {
	if next := last.Add(planPause); t.now.Before(next) {
		t.sooner(next)
		return true
	}
	*last = t.now
	return false
}

// place gives what nobody owns to somebody, and takes what leaving ordinals own and what sits where
// its pin forbids: the emergency regime.
func (t *term) place(ctx context.Context) (bool, error) {
	if t.idle != "" {
		return false, nil
	}
	t.blockKept(t.now)
	switch {
	case len(t.st.Pool) == 0 && !t.leaving() && !t.misplaced():
		t.park(nil)
		return false, nil
	case len(t.st.Pool) == 0 && t.pendingWave():
		return false, nil
	}
	if why := t.unlabelled(); why != "" {
		t.block(why)
		return false, nil
	}
	if shape := t.shape(); shape == t.full.shape {
		t.block(t.full.why)
		return false, nil
	}
	if t.tooSoon(&t.placed) {
		return false, nil
	}
	pool := poolOf(t.st)
	p, err := t.make(t.world(pool.ids), t.options(plan.Emergency, 0))
	if err != nil {
		return false, err
	}
	t.park(p)
	fault.Point("drain.planned")
	did, err := t.drain(ctx, p)
	if err != nil {
		return did, err
	}
	more, err := t.assign(ctx, p, &pool)
	if len(p.Moves) == 0 && !did {
		t.full = fullness{shape: t.shape(), why: t.blocked}
	}
	return did || more, err
}

// fullness remembers that a plan found no place for anything. More creates find none either, and a
// large pool is not planned anew for each of them, until something that could make room has
// changed.
type fullness struct {
	shape shape
	why   string
}

type shape struct {
	head            int32
	capacity, lists int
	times           int64
	flights, gone   int
	// orders are the ordinals that stay, those that are gone and those that keep what they have,
	// and what a person declared dead.
	orders string
	traits *inventory.Attributes
	// piece tells pools apart where some in it can be placed and others not.
	piece int64
}

// shape is what room depends on.
func (t *term) shape() shape {
	s := shape{
		head: t.st.HeadVersion, capacity: t.orders.Capacity, lists: len(t.st.Instances), flights: len(t.st.Flight), gone: len(t.orders.Gone),
		orders: fmt.Sprint(t.orders.Stay, t.orders.Gone, t.releases.FixedOrdinals()), traits: t.traits,
	}
	if len(t.orders.AssumedDead) > 0 {
		s.orders += fmt.Sprint(t.orders.AssumedDead, t.orders.Pods)
	}
	if t.pinned() {
		s.piece = t.piece
	}
	for _, in := range t.st.Instances {
		s.times += in.Times
	}
	return s
}

// leaving says whether an ordinal that does not stay owns a list that may be taken from it.
func (t *term) leaving() bool {
	for n, in := range t.st.Instances {
		if in.IDs.Len() > 0 && !t.stays(n) && t.keeps(n) == "" {
			return true
		}
	}
	return false
}

// drain revokes what the plan takes from leaving ordinals. What has no place stays where it runs,
// but not with an ordinal that is gone: that goes to the pool, where it is counted as what it is.
func (t *term) drain(ctx context.Context, p *plan.Plan) (bool, error) {
	if t.pendingWave() {
		return false, nil // it goes first, and what it does not hold is planned after it
	}
	var moves wave.Moves
	for _, m := range p.Moves {
		if m.From != plan.FromPool {
			moves.Add(p.World().Ordinal(m.From), p.World().ID(m), p.World().Ordinal(m.To))
		}
	}
	for _, refusal := range p.Refused {
		if refusal.From == plan.FromPool {
			continue
		}
		in := &p.World().Instances[refusal.From]
		if in.Leaving && (slices.Contains(t.orders.Gone, in.Ordinal) || loop.AssumedDead(&t.orders, in.Ordinal)) {
			moves.Add(in.Ordinal, in.IDs[refusal.Index], protocol.ToPool)
		}
	}
	if moves.Empty() {
		return false, nil
	}
	if t.flightRoom() == 0 {
		t.block("as many resources are in flight as the limits allow")
		return false, nil
	}
	reason := wave.Pin
	if len(wave.Leaving(p.World())) > 0 {
		reason = wave.Drain
	}
	if err := t.begin(ctx, &moves, wave.New(reason, p, 0)); err != nil {
		return false, err
	}
	_, err := t.take(ctx)
	return true, err
}

// flightRoom is how many more resources may be in flight; negative: any number.
func (t *term) flightRoom() int {
	limit := t.orders.Limits.MaxInFlight
	if limit == 0 {
		return -1
	}
	return max(0, limit-t.flying())
}

// assign carries out what the plan takes from the pool. The plan stays good while creates are
// served in between: they only add.
func (t *term) assign(ctx context.Context, p *plan.Plan, pool *pooled) (bool, error) {
	due := t.deal(p, pool)
	return t.stream(ctx, func(underWay []job) *batch {
		if len(due) == 0 {
			return nil
		}
		busy := map[string]bool{} // pieces that are being changed: who needs one of them comes later
		mark := func(name string) bool { busy[name] = true; return false }
		for _, j := range underWay {
			j.hand.pieces(mark)
		}
		b := newBatch(streamBatch)
		later := due[:0:0]
		for i, h := range due {
			if b.full() {
				later = append(later, due[i:]...)
				break
			}
			if h.pieces(func(name string) bool { return busy[name] }) {
				later = append(later, h)
				continue
			}
			if h.pieces(func(name string) bool { return t.st.Pool[name] == nil }) {
				return nil // pieces were merged meanwhile: plan again
			}
			m, err := protocol.Assign(t.st, h...)
			b.add(job{m: m, lists: h.lists(), hand: h, done: func() { t.moved("new", h.resources()) }}, err)
			h.pieces(mark)
		}
		due = later
		return b
	})
}
