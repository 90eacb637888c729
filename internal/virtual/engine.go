package virtual

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

type engine struct {
	w       *World
	client  *Client
	inv     *inventory.Inventory
	holder  string
	orders  orders.Orders
	ordered int
	st      *protocol.State
	state   *protocol.State
	version int
	shown   orders.Progress
}

func newEngine(w *World, client *Client, inv *inventory.Inventory, st *protocol.State, holder string) *engine {
	e := &engine{w: w, client: client, inv: inv, holder: holder, st: st}
	e.state, e.version = st.Clone(), 1
	inv.Follow(e.state)
	_, _ = inv.Lead(w.clock.Now(), e.state)
	return e
}

func (e *engine) work(ctx context.Context, until time.Time) error {
	fresh, changed, err := e.client.ReadOnce(ctx, e.st)
	if err != nil {
		return err
	}
	e.st = fresh
	if changed {
		e.version++
	}
	e.state = e.st.Clone()
	return nil
}

func (e *engine) Order(o orders.Orders) {
	o.Stay = slices.Sorted(slices.Values(o.Stay))
	e.orders = o
	e.ordered++
}

func (e *engine) left(ctx context.Context, ordinals []int) (protocol.Left, error) {
	read, err := e.client.ReadLeft(ctx, e.w.cfg.Kind.Name, ordinals)
	switch {
	case err != nil:
		return protocol.Left{}, fmt.Errorf("read what is left: %w", err)
	case read.Head.Holder != e.holder:
		return protocol.Left{}, fmt.Errorf("read what is left: %w: the head is held by %s", orders.ErrNotLeading, read.Head.Holder)
	}
	return read, nil
}

func (e *engine) Drained(ctx context.Context, ordinals []int) (map[int]int, error) {
	read, err := e.left(ctx, ordinals)
	if err != nil {
		return nil, err
	}
	for _, n := range ordinals {
		if slices.Contains(read.Head.Open, n) {
			return nil, fmt.Errorf("read what is left: instance %d is open", n)
		}
	}
	return read.Count, nil
}

func (e *engine) Leads(ctx context.Context) error {
	_, err := e.left(ctx, nil)
	return err
}

func (e *engine) Head() (orders.Head, bool) {
	return orders.Head{Holder: e.state.Head.Holder, Epoch: e.state.Head.Epoch}, true
}

func (e *engine) InFlight() (all []orders.Flight) {
	for _, name := range e.state.FlightNames() {
		f := e.state.Flight[name]
		all = append(all, orders.Flight{From: f.From, Pod: f.Pod})
	}
	return all
}

func (e *engine) Progress() orders.Progress { return e.shown }

func (e *engine) Kept(name string) ([]byte, bool) {
	if doc := e.state.Kept[name]; doc != nil {
		return slices.Clone(doc.Data), true
	}
	return nil, false
}

func (e *engine) Keep(ctx context.Context, name string, change orders.Update) error {
	var old []byte
	if doc := e.st.Kept[name]; doc != nil {
		old = slices.Clone(doc.Data)
	}
	fresh, err := change(old)
	if err != nil {
		return err
	}
	m, err := protocol.StoreDoc(e.st, name, fresh)
	if err != nil {
		return err
	}
	err = e.client.CommitAll(ctx, e.st, []protocol.Multi{m})[0]
	e.state = e.st.Clone()
	e.version++
	return err
}

func assignment(st *protocol.State) observed.Assignment {
	a := observed.Assignment{
		Kind: st.Kind, At: st.ReadAt, Lists: make(map[int]observed.List, len(st.Instances)),
		Assigned: st.Assigned(), InFlight: st.InFlight(), Unassigned: st.Unassigned(), Open: st.Head.Open,
	}
	for n, in := range st.Instances {
		l := observed.List{Count: in.IDs.Len(), Bytes: in.Bytes, Times: in.Times, Changed: in.Changed, SessionSince: in.LiveSince, Error: in.Fault}
		a.Lists[n] = l
	}
	return a
}
