package steps

import (
	"maps"
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// RevokeBytes bounds the ids of one revoke so that the flight piece, destinations included, keeps
// its limit.
const RevokeBytes = protocol.MaxFlight * 3 / 4

// Delete takes away what is to go: from the pool at once, from a list as soon as that may change,
// in flight by another destination.
type Delete struct{}

// Next implements Step.
func (Delete) Next(v *View) (p Proposal) {
	wanted := v.Requests.Pending(resync.Deleted)
	if len(wanted) == 0 || v.Index.Duplicates() > 0 { // of a duplicate the other one would stay
		return p
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
	gone = append(gone, redirect(v, &p, resync.Deleted, flying, protocol.ToDelete)...)
	p.deletePooled(v, pooled)
	p.deleteListed(v, listed)
	p.Answer = Answer{resync.Deleted, gone}
	return p
}

// deletePooled takes ids out of the pool, a transaction a piece.
func (p *Proposal) deletePooled(v *View, ids map[string]struct{}) {
	if len(ids) == 0 {
		return
	}
	for _, name := range v.State.PoolNames() {
		here := v.State.Pool[name].IDs.Among(ids)
		if len(here) == 0 || p.full() {
			continue
		}
		m, err := protocol.DeletePooled(v.State, protocol.Take{Name: name, IDs: here})
		p.ask(v, m, err, Answer{resync.Deleted, here})
	}
}

// deleteListed revokes ids from the lists that may change now, a transaction a list.
func (p *Proposal) deleteListed(v *View, listed map[int]map[string]struct{}) {
	for _, n := range slices.Sorted(maps.Keys(listed)) {
		if !v.writable(n, p) {
			continue
		}
		ids := v.State.Instances[n].IDs.Among(listed[n])
		if ids = ids[:protocol.Fit(ids, RevokeBytes)]; len(ids) == 0 || p.full() {
			continue
		}
		m, err := protocol.Revoke(v.State, n, ids, nil, v.Pod(n))
		p.ask(v, m, err, Answer{resync.Deleted, ids}, n)
	}
}

// Pod is the uid of the pod that runs n's list now; "" if it is not known.
func (v *View) Pod(n int) string {
	if in := v.State.Instances[n]; in != nil && in.Status != nil {
		return in.Status.Pod
	}
	return v.Orders.Pods[n]
}
