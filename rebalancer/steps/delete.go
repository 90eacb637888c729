package steps

import (
	"maps"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// RevokeBytes bounds the ids of one revoke so that the flight piece, destinations included, keeps its
// limit.
const RevokeBytes = protocol.MaxFlight * 3 / 4

// Delete takes away what is to go: from the pool at once, from a list as soon as that may change, in
// flight by another destination.
type Delete struct {
	// Deleted is told of ids whose delete is durable, Redirected of those in flight.
	Deleted    func(ids []string)
	Redirected func(op resync.Op, ids []string)
}

// Next implements Step.
func (s *Delete) Next(v *View) Proposal {
	wanted := v.Requests.Pending(resync.Deleted)
	if len(wanted) == 0 || v.Index.Duplicates() > 0 { // of a duplicate the other one would stay
		return Proposal{}
	}
	var gone []string
	pooled, flying, listed := map[string]struct{}{}, map[string]struct{}{}, map[int]map[string]struct{}{}
	for _, id := range wanted {
		switch at, known := v.Index.Find(id); {
		case !known:
			gone = append(gone, id)
		case at == inventory.InPool:
			pooled[id] = struct{}{}
		case at == inventory.InFlight:
			flying[id] = struct{}{}
		default:
			if listed[int(at)] == nil {
				listed[int(at)] = map[string]struct{}{}
			}
			listed[int(at)][id] = struct{}{}
		}
	}
	b := NewBatch()
	gone = append(gone, redirect(v, b, resync.Deleted, flying, protocol.ToDelete, s.Redirected)...)
	s.fromPool(v, b, pooled)
	again := s.fromLists(v, b, listed)
	p := b.Proposal()
	p.Again, p.Answer = again, Answer{resync.Deleted, gone}
	return p
}

// fromPool takes ids out of the pool, a transaction a piece.
func (s *Delete) fromPool(v *View, b *Batch, ids map[string]struct{}) {
	if len(ids) == 0 {
		return
	}
	for _, name := range v.State.PoolNames() {
		here := among(v.State.Pool[name].IDs, ids)
		if len(here) == 0 || b.Full() {
			continue
		}
		m, err := protocol.DeletePooled(v.State, protocol.Take{Name: name, IDs: here})
		m.Gate = unlessGaveUp(v, resync.Deleted, here)
		b.Add(m, err, func(time.Time) { s.Deleted(here) })
	}
}

// fromLists revokes ids from the lists that may change now, a transaction a list. again is when the
// next one may.
func (s *Delete) fromLists(v *View, b *Batch, listed map[int]map[string]struct{}) (again time.Time) {
	for _, n := range slices.Sorted(maps.Keys(listed)) {
		if at := v.Writable(n); v.Now.Before(at) {
			again = sooner(again, at)
			continue
		}
		ids := among(v.State.Instances[n].IDs, listed[n])
		if ids = ids[:protocol.Fit(ids, RevokeBytes)]; len(ids) == 0 || b.Full() {
			continue
		}
		m, err := protocol.Revoke(v.State, n, ids, nil, v.Pod(n))
		m.Gate = unlessGaveUp(v, resync.Deleted, ids)
		b.Add(m, err, func(time.Time) { s.Deleted(ids) }, n)
	}
	return again
}

// among returns those of ids that are in the set, in their order.
func among(ids protocol.IDs, set map[string]struct{}) (here []string) {
	for _, id := range ids.All() {
		if _, ok := set[id]; ok {
			here = append(here, id)
		}
	}
	return here
}

// Pod is the uid of the pod that runs n's list now; "" if it is not known.
func (v *View) Pod(n int) string {
	if in := v.State.Instances[n]; in != nil && in.Status != nil {
		return in.Status.Pod
	}
	return v.Orders.Pods[n]
}
