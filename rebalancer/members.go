package rebalancer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// open keeps the set of ordinals that may receive: those that stay and are open or ready. What stays and has no znodes gets them.
func (t *term) open(ctx context.Context) (bool, error) {
	if t.idle != "" {
		return false, nil
	}
	b := newBatch(roundBytes)
	for _, n := range t.orders.Stay {
		if t.st.Instances[n] == nil && !b.full() {
			m, err := protocol.AddOrdinal(t.st, n, t.orders.Capacity)
			b.add(job{m: m}, err)
		}
	}
	if did, err := t.send(ctx, b); did || err != nil {
		return did, err
	}
	var open, added []int
	for _, n := range t.orders.Stay {
		switch in := t.st.Instances[n]; {
		case in != nil && in.Begun:
			t.block(fmt.Sprintf("instance %d: another client has begun to make its znodes and has not written the list yet: it is closed until then", n))
		case t.st.IsOpen(n):
			open = append(open, n)
		case slices.Contains(t.orders.Ready, n):
			open, added = append(open, n), append(added, n)
		}
	}
	if slices.Equal(open, t.st.Head.Open) {
		return t.bringBack(ctx)
	}
	m, err := protocol.SetOpen(t.st, open)
	if err != nil {
		return false, err
	}
	before := t.st.Head.Open
	return true, t.commit(ctx, job{m: m, done: func() {
		t.e.log.Info("instances that may receive", "open", open, "before", before)
		t.spread.opened(t.st, before, added)
	}})
}

// bringBack sends what is in flight from an ordinal that has just been opened home again: its drain was cancelled. It is done once, when
// the ordinal opens: what is taken from it later is taken on purpose.
func (t *term) bringBack(ctx context.Context) (bool, error) {
	b := newBatch(roundBytes)
	for _, name := range t.st.FlightNames() {
		f := t.st.Flight[name]
		if !t.spread.reopened[f.From] || !t.st.IsOpen(f.From) {
			continue
		}
		var back []string
		for i, id := range f.IDs.All() {
			if to := f.Target(i); to != protocol.ToDelete && to != f.From {
				back = append(back, id)
			}
		}
		if len(back) > 0 && !b.full() {
			fault.Point("drain.undone")
			m, err := protocol.Redirect(t.st, name, back, f.From)
			b.add(job{m: m}, err)
		}
	}
	if did, err := t.send(ctx, b); did || err != nil {
		return did, err
	}
	clear(t.spread.reopened)
	return false, nil
}

// remove deletes the znodes of ordinals that own nothing and will not come back.
func (t *term) remove(ctx context.Context) (bool, error) {
	if t.idle != "" {
		return false, nil
	}
	busy := map[int]bool{}
	for _, f := range t.st.Flight {
		busy[f.From] = true
		for _, to := range f.To {
			busy[to] = true
		}
	}
	b := newBatch(roundBytes)
	for _, n := range t.orders.Gone {
		in := t.st.Instances[n]
		if b.full() || in == nil || t.stays(n) || t.st.IsOpen(n) || in.IDs.Len() > 0 || in.Live || in.Hidden || busy[n] {
			continue
		}
		m, err := protocol.RemoveOrdinal(t.st, n)
		b.add(job{m: m, done: func() { t.e.log.Info("removed the znodes of an empty instance", "instance", n) }}, err)
	}
	return t.send(ctx, b)
}

// mend brings a tree in order that others wrote, or that somebody damaged: `used`, `count`, tmp and _reload first, since a list without
// them cannot change; then the ids that are in two places.
func (t *term) mend(ctx context.Context) (bool, error) {
	t.noteBegun()
	b := newBatch(roundBytes)
	for _, n := range t.st.Ordinals() {
		if in := t.st.Instances[n]; !b.full() && t.damaged(in) {
			m, _, err := protocol.Repair(t.st, n, t.capacity(in))
			b.add(job{m: m}, err)
			if in.Begun {
				t.e.log.Warn("another client has left an ordinal half made: it is made whole", "instance", n)
			}
		}
	}
	if did, err := t.send(ctx, b); did || err != nil {
		return did, err
	}
	if t.e.inventory.Index.Duplicates() == 0 {
		return false, nil
	}
	ms, found, err := protocol.Dedupe(t.st)
	if err != nil || len(ms) == 0 {
		return false, err
	}
	for len(ms) > 0 {
		b := newBatch(roundBytes)
		for ; len(ms) > 0 && !b.full(); ms = ms[1:] {
			b.add(job{m: ms[0]}, nil)
		}
		if _, err := t.send(ctx, b); err != nil {
			return true, err
		}
	}
	t.noteDuplicates(found)
	return true, nil
}

// abandonedAfter is how long nothing must have come of what another client has begun to make before we end it.
const abandonedAfter = 10 * time.Minute

// begun is an ordinal that another client has begun to make, and since when nothing has come of it.
type begun struct {
	versions [3]int32
	since    time.Time
}

func versionsOf(in *protocol.Instance) [3]int32 {
	return [3]int32{in.DataVersion, in.ListVersion, in.ReloadVersion}
}

// noteBegun notes which ordinals other clients have begun to make.
func (t *term) noteBegun() {
	maps.DeleteFunc(t.begun, func(n int, _ begun) bool { in := t.st.Instances[n]; return in == nil || !in.Begun })
	for n, in := range t.st.Instances {
		if !in.Begun {
			continue
		}
		if b := versionsOf(in); t.begun[n].versions != b {
			t.begun[n] = begun{versions: b, since: t.now}
		}
	}
}

// damaged says whether anything beside the ids of an instance is not as it should be. What another client is making we let it make.
func (t *term) damaged(in *protocol.Instance) bool {
	if in.Begun && t.now.Sub(t.begun[in.Ordinal].since) < abandonedAfter {
		return false
	}
	capacity := t.capacity(in)
	return capacity >= 0 && (in.Used != in.IDs.Len() || in.Capacity != capacity || !in.HasTmp || t.st.ReloadDamaged(in.Ordinal))
}

// capacity is what `count` should be: what the scaler orders, or, while there are no orders, what it is. It may be -1, unreadable.
func (t *term) capacity(in *protocol.Instance) int {
	if t.idle == "" {
		return t.orders.Capacity
	}
	return in.Capacity
}

const (
	// listedDuplicates is how many resolved duplicates are shown, loggedDuplicates how many of one reading are logged.
	listedDuplicates = 1000
	loggedDuplicates = 100
)

func (t *term) noteDuplicates(found []protocol.Duplicate) {
	t.e.m.duplicates.Add(float64(len(found)))
	t.e.log.Warn("ids were in two places", "count", len(found))
	for i, d := range found {
		if i < loggedDuplicates {
			t.e.log.Warn("an id was in two places", "resource", d.ID, "stayed", d.Stayed, "removed", d.Removed)
		}
		if len(t.duplicates) < listedDuplicates {
			t.duplicates = append(t.duplicates, orders.Duplicate(d))
		}
	}
}
