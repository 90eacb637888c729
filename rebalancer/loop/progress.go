package loop

import (
	"maps"
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
)

// progress shows what is under way.
func (l *Loop) progress() {
	p := orders.Progress{
		Duplicates: l.teller.duplicates, Blocked: l.blocked, Refused: refusals(l.steps), Parked: l.teller.place.Parked(),
		Draining: l.draining(), Unproven: maps.Clone(l.unproven),
	}
	l.teller.move.Progress(&l.view, &p)
	st := l.view.State
	if p.Blocked == "" && l.view.Refusal != "" && (len(p.Draining) > 0 || len(st.Flight) > 0 || len(st.Pool) > 0) {
		p.Blocked = l.view.Refusal
	}
	var unannounced int
	p.Unannounced, unannounced = l.view.Requests.Unannounced()
	l.Metrics.unannounced.Set(float64(unannounced))
	l.Host.Show(&p, l.view.Now)
	l.Host.Remember(steps.Remember(&l.view, l.teller.spread, l.orderedStay))
}

// draining is what ordinals that do not stay still own, in lists and in flight.
func (l *Loop) draining() map[int]int {
	if l.stay == nil {
		return nil
	}
	left := map[int]int{}
	add := func(n, count int) {
		if _, stays := slices.BinarySearch(l.stay, n); count > 0 && !stays {
			left[n] += count
		}
	}
	for n, in := range l.view.State.Instances {
		add(n, in.IDs.Len())
	}
	for _, f := range l.view.State.Flight {
		add(f.From, f.IDs.Len())
	}
	return left
}
