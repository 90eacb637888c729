package rebalancer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// word is what is known of an id from the answers to what was asked.
type word byte

const (
	unsure  word = iota // a call failed: it may have been carried out, or still be
	present             // the last call that was answered created it
	absent
)

// history is a random run of one tree: any number of leaders, one after the other, over one double.
type history struct {
	t     *testing.T
	rt    *rapid.T
	d     *double
	r     *rig
	words map[string]word
	open  []int
	// mute is since when an instance that has acknowledged does so no longer.
	mute map[int]time.Time
}

// TestNoneLostNoneTwice plays random creates, deletes, claims, reads of the catalogue, orders,
// crashes of the leader, lost requests and lost replies, and demands after every transaction that
// no id is in two places, and at rest that each is where the answers said: what every read has is
// not deleted.
func TestNoneLostNoneTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) { // without t's Deadline, which is forbidden here
			h := &history{t: t, rt: rt, d: newDouble(), words: map[string]word{}, mute: map[int]time.Time{}}
			h.start(0, 1)
			defer func() { h.r.halt() }()
			rt.Repeat(map[string]func(*rapid.T){
				"create":  func(rt *rapid.T) { h.ask(rt, resync.Created) },
				"delete":  func(rt *rapid.T) { h.ask(rt, resync.Deleted) },
				"claim":   func(rt *rapid.T) { h.claim(rt) },
				"read":    func(*rapid.T) { h.read() },
				"orders":  h.order,
				"crash":   func(*rapid.T) { h.r.halt(); h.start(h.open...) },
				"fault":   h.fault,
				"turn":    func(*rapid.T) { h.rollBack() },
				"status":  h.acknowledge,
				"mute":    h.fallSilent,
				"wait":    func(rt *rapid.T) { h.r.wait(time.Duration(rapid.IntRange(1, 3000).Draw(rt, "ms")) * time.Millisecond) },
				"":        func(rt *rapid.T) { require.NoError(rt, h.d.violation()) },
				"recover": func(*rapid.T) { h.d.fail(func(d *double) { d.away = false }) },
			})
			h.rest()
		})
	})
}

func (h *history) start(stay ...int) {
	h.open = stay
	h.r = newRig(h.t, h.d)
	h.r.order(func(o *orders.Orders) {
		o.Capacity, o.Pods = 20, map[int]string{0: "p0", 1: "p1", 2: "p2", 3: "p3"}
	})
	r := h.r
	h.d.fail(func(d *double) {
		d.watch = func(old, st *protocol.State, m protocol.Multi) { h.released(r, old, st, m); h.taken(r, old, st, m) }
	})
	h.r.lead(stay...)
}

// released demands of every transaction that ends a flight by acknowledged hand-off that the
// instance had let go of it, or that its pod, which is recorded here always, was gone.
func (h *history) released(r *rig, old, st *protocol.State, m protocol.Multi) {
	if !slices.Contains([]string{"grant", "release", "forget"}, m.Step) {
		return
	}
	r.mu.Lock()
	o := r.orders
	r.mu.Unlock()
	for name, f := range old.Flight {
		now := st.Flight[name]
		if o.HandOff != config.HandOffAcknowledged || now != nil && now.IDs.Len() == f.IDs.Len() || o.GonePods[f.Pod] {
			continue
		}
		status := old.Instances[f.From].Status
		if status == nil || status.Pod != f.Pod || status.Times < f.Times {
			h.d.broken = fmt.Errorf("%s: %s was given on before instance %d released it", m.Step, name, f.From)
		}
	}
}

// taken demands of every transaction that moves something out of an instance by acknowledged
// hand-off that a proof of its release is to be expected: the instance is gone, or acknowledges, or
// did so until a moment ago, which the leader has not seen yet.
func (h *history) taken(r *rig, old, st *protocol.State, m protocol.Multi) {
	if m.Step != "revoke" {
		return
	}
	r.mu.Lock()
	o := r.orders
	r.mu.Unlock()
	for name, f := range st.Flight {
		moves := slices.ContainsFunc(f.To, func(to int) bool { return to != protocol.ToDelete })
		gone := slices.Contains(o.Gone, f.From) || o.GonePods[o.Pods[f.From]]
		if o.HandOff != config.HandOffAcknowledged || old.Flight[name] != nil || !moves || gone {
			continue
		}
		status := old.Instances[f.From].Status
		if at, mute := h.mute[f.From]; mute && time.Since(at) > 5*time.Second || !mute && (status == nil || status.Pod != o.Pods[f.From]) {
			h.d.broken = fmt.Errorf("%s was taken from instance %d, which does not acknowledge", name, f.From)
		}
	}
}

// ask creates or deletes some ids, gives up after two seconds, and notes what the answer means.
func (h *history) ask(rt *rapid.T, op resync.Op) {
	n := rapid.SliceOfNDistinct(rapid.IntRange(0, 59), 1, 12, rapid.ID).Draw(rt, "ids")
	ids := make([]string, len(n))
	for i := range n {
		ids[i] = fmt.Sprintf("id-%02d", n[i])
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), 2*time.Second)
	defer cancel()
	err, answered := error(nil), present
	if op == resync.Created {
		err = h.r.e.Create(ctx, known(ids))
	} else {
		err, answered = h.r.e.Delete(ctx, ids), absent
	}
	if err != nil {
		answered = unsure
	}
	for _, id := range ids {
		h.words[id] = answered
	}
	h.compare(rt)
}

// claim tells of deletes that may not be so, and gives up after two seconds.
func (h *history) claim(rt *rapid.T) {
	ctx, cancel := context.WithTimeout(h.t.Context(), 2*time.Second)
	defer cancel()
	n := rapid.SliceOfNDistinct(rapid.IntRange(0, 59), 1, 12, rapid.ID).Draw(rt, "ids")
	ids := make([]string, len(n))
	for i := range n {
		ids[i] = fmt.Sprintf("id-%02d", n[i])
	}
	_ = h.r.e.Claim(ctx, ids) // whatever it says: the reads decide
}

// read is one of the catalogue, which has all that is not known to be deleted.
func (h *history) read() {
	ctx, cancel := context.WithTimeout(h.t.Context(), 2*time.Second)
	defer cancel()
	var rows []string
	for id, w := range h.words {
		if w != absent {
			rows = append(rows, id)
		}
	}
	slices.Sort(rows)
	h.r.e.BeginRead(time.Now())
	// it may be cut off: a catalogue that is read in vain is read again
	_, _ = h.r.e.EndRead(ctx, known(rows))
}

// rollBack asks for a rollback, and gives up after two seconds.
func (h *history) rollBack() {
	ctx, cancel := context.WithTimeout(h.t.Context(), 2*time.Second)
	defer cancel()
	// whatever it says: nothing may be lost by it
	_, _ = h.r.e.Rollback(ctx, "override", orders.Replace(nil))
}

// compare checks what the answers promised against what ZooKeeper holds now, what is in flight as a
// delete not counted.
func (h *history) compare(rt *rapid.T) {
	st := h.d.snapshot()
	here := map[string]bool{}
	for id := range all(st) {
		here[id] = true
	}
	for _, f := range st.Flight {
		for i, id := range f.IDs.All() {
			if f.Target(i) == protocol.ToDelete {
				delete(here, id)
			}
		}
	}
	for id, w := range h.words {
		switch {
		case w == present && !here[id]:
			rt.Fatalf("%s was acknowledged and is lost", id)
		case w == absent && here[id]:
			rt.Fatalf("%s was deleted and is still there", id)
		}
	}
}

func (h *history) order(rt *rapid.T) {
	stay := rapid.SampledFrom([][]int{{0}, {0, 1}, {0, 1, 2}, {1, 3}, {0, 1, 2, 3}, {}}).Draw(rt, "stay")
	ready := slices.DeleteFunc(slices.Clone(stay), func(int) bool { return rapid.IntRange(0, 3).Draw(rt, "unready") == 0 })
	h.open = stay
	synctest.Wait() // what the engine is doing it does by the orders before
	h.r.order(func(o *orders.Orders) {
		o.Stay, o.Ready = stay, ready
		o.Gone, o.GonePods = nil, map[string]bool{}
		for n := range 4 {
			if slices.Contains(stay, n) {
				continue
			}
			if rapid.Bool().Draw(rt, "gone") { // its pod may have been orphaned
				o.Gone = append(o.Gone, n)
			}
			o.GonePods[fmt.Sprint("p", n)] = rapid.Bool().Draw(rt, "gone pod")
		}
		o.HandOff = rapid.SampledFrom([]config.HandOff{config.HandOffImmediate, config.HandOffAcknowledged}).Draw(rt, "handOff")
		o.Capacity = rapid.SampledFrom([]int{5, 20, 100}).Draw(rt, "capacity")
		o.Settle = time.Duration(rapid.IntRange(0, 3).Draw(rt, "settle")) * time.Second
		o.Limits.MaxInFlight = rapid.SampledFrom([]int{0, 0, 3}).Draw(rt, "maxInFlight")
		o.Limits.MovesPerMinute = rapid.SampledFrom([]int{0, 0, 7}).Draw(rt, "movesPerMinute")
		o.Suspended = rapid.SampledFrom([]string{"", "", "", "blind"}).Draw(rt, "hold")
	})
}

func (h *history) fault(rt *rapid.T) {
	n := rapid.IntRange(1, 3).Draw(rt, "times")
	switch rapid.SampledFrom([]string{"before", "after", "away"}).Draw(rt, "fault") {
	case "before":
		h.d.fail(func(d *double) { d.before = n })
	case "after":
		h.d.fail(func(d *double) { d.after = n })
	case "away":
		h.d.fail(func(d *double) { d.away = true })
	}
}

// acknowledge makes an instance say that it has applied everything.
func (h *history) acknowledge(rt *rapid.T) {
	n := rapid.IntRange(0, 3).Draw(rt, "instance")
	h.d.edit(func(st *protocol.State) {
		if st.Instances[n] == nil {
			return
		}
		in := *st.Instances[n]
		in.Status, in.StatusFault, in.Live = &protocol.Status{Times: in.Times, Pod: fmt.Sprint("p", n)}, "", true
		st.Instances[n] = &in
		delete(h.mute, n)
	})
}

// fallSilent takes an instance's status away, or makes it one that proves nothing.
func (h *history) fallSilent(rt *rapid.T) {
	n := rapid.IntRange(0, 3).Draw(rt, "instance")
	what := rapid.SampledFrom(slices.Sorted(maps.Keys(muteness))).Draw(rt, "status")
	h.d.edit(func(st *protocol.State) {
		if st.Instances[n] == nil || st.Instances[n].Status == nil {
			return
		}
		in := *st.Instances[n]
		in.Status, in.StatusFault, in.Live = muteness[what].Status, muteness[what].StatusFault, muteness[what].Live
		st.Instances[n] = &in
		if _, mute := h.mute[n]; !mute {
			h.mute[n] = time.Now()
		}
	})
}

// rest heals everything and checks the whole.
func (h *history) rest() {
	h.d.fail(func(d *double) { d.away, d.before, d.after = false, 0, 0 })
	h.d.edit(func(st *protocol.State) { // 2 and 3 are gone, and their sessions with them
		for n, in := range st.Instances {
			copied := *in
			copied.Status, copied.Live = nil, false
			st.Instances[n] = &copied
		}
	})
	h.r.order(func(o *orders.Orders) {
		*o = orders.Orders{Stay: []int{0, 1}, Ready: []int{0, 1}, Gone: []int{2, 3}, Capacity: 100, HandOff: config.HandOffImmediate, Tick: time.Second}
	})
	h.r.wait(time.Minute)
	require.NoError(h.rt, h.d.violation())
	h.compare(h.rt)
	st := h.d.snapshot()
	require.Equal(h.rt, []int{0, 1}, st.Ordinals(), "the others were emptied and removed; blocked: %s", h.r.e.Progress().Blocked)
	require.Zero(h.rt, st.InFlight()+st.Unassigned())
	for n, in := range st.Instances {
		require.Equal(h.rt, in.IDs.Len(), in.Used, "instance %d", n)
	}
	require.Equal(h.rt, everything(st), everything(h.r.e.State()))
	for id := range all(st) {
		_, ok := h.r.e.Lookup(id)
		require.True(h.rt, ok, "%s is not found", id)
	}
}
