package loop

import (
	"maps"
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// ordered is what is ordered.
type ordered struct {
	Ordered
	// stay are the ordinals that stay by the last orders that could be acted upon: what is shown as
	// draining does not depend on a hold.
	stay []int
	// unproven is why lost ordinals are not emptied.
	unproven map[int]string
}

// progress shows what is under way.
func (l *Loop) progress() {
	draining := l.draining()
	p := orders.Progress{
		Duplicates: l.teller.duplicates, Blocked: l.blocked, Refused: l.failures.refused(), Parked: l.teller.place.Parked(),
	}
	l.teller.move.Progress(&l.view, &p)
	st := l.view.State
	if p.Blocked == "" && l.view.Idle != "" && (len(draining) > 0 || len(st.Flight) > 0 || len(st.Pool) > 0) {
		p.Blocked = l.view.Idle
	}
	if len(draining) > 0 {
		p.Draining = draining
	}
	if len(l.ordered.unproven) > 0 {
		p.Unproven = maps.Clone(l.ordered.unproven)
	}
	var unannounced int
	p.Unannounced, unannounced = l.view.Requests.Unannounced()
	l.Metrics.unannounced.Set(float64(unannounced))
	l.Host.Show(&p, l.view.Now)
}

// draining is what ordinals that do not stay still own, in lists and in flight.
func (l *Loop) draining() map[int]int {
	left := map[int]int{}
	if l.ordered.stay == nil {
		return left
	}
	leaves := func(n int) bool {
		_, stays := slices.BinarySearch(l.ordered.stay, n)
		return !stays
	}
	for n, in := range l.view.State.Instances {
		if in.IDs.Len() > 0 && leaves(n) {
			left[n] += in.IDs.Len()
		}
	}
	for _, f := range l.view.State.Flight {
		if leaves(f.From) {
			left[f.From] += f.IDs.Len()
		}
	}
	return left
}
