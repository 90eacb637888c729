package steps

import (
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Open keeps the set of ordinals that may receive: those that stay and are open or ready. What
// stays and has no znodes gets them.
type Open struct {
	// Opened is told of the set, what it was before, and what has come to it.
	Opened func(open, before, added []int)

	// reopened are ordinals whose drain was cancelled and from which something was in flight.
	reopened map[int]bool
}

// Next implements Step.
func (s *Open) Next(v *View) (p Proposal) {
	if v.Refusal != "" {
		return p
	}
	for _, n := range v.Orders.Stay {
		if v.State.Instances[n] == nil && !p.full() {
			m, err := protocol.AddOrdinal(v.State, n, v.Orders.Capacity)
			p.add(Job{Multi: m}, err)
		}
	}
	if len(p.Jobs) > 0 || p.Err != nil {
		return p
	}
	open, added := mayReceive(v, &p)
	if slices.Equal(open, v.State.Head.Open) {
		s.bringBack(v, &p)
		return p
	}
	m, err := protocol.SetOpen(v.State, open)
	before := v.State.Head.Open
	p.add(Job{Multi: m, Then: func(time.Time) {
		s.note(v, added)
		s.Opened(open, before, added)
	}}, err)
	return p
}

// mayReceive are the ordinals that may, and those of them that could not until now.
func mayReceive(v *View, p *Proposal) (open, added []int) {
	for _, n := range v.Orders.Stay {
		switch {
		case v.State.Instances[n].Begun:
			p.block(fmt.Sprintf("instance %d: another client has begun to make its znodes and has not written the list yet: it is closed until then", n))
		case v.State.IsOpen(n):
			open = append(open, n)
		case slices.Contains(v.Orders.Ready, n):
			open, added = append(open, n), append(added, n)
		}
	}
	return open, added
}

// note notes from which ordinals that were opened something is in flight.
func (s *Open) note(v *View, added []int) {
	if s.reopened == nil {
		s.reopened = map[int]bool{}
	}
	for _, f := range v.State.Flight {
		if slices.Contains(added, f.From) {
			s.reopened[f.From] = true
		}
	}
}

// bringBack returns what is in flight from an ordinal that has just been opened: its drain was
// cancelled. It is done once, when the ordinal opens: what is revoked from it later is revoked on
// purpose.
func (s *Open) bringBack(v *View, p *Proposal) {
	for _, name := range v.State.FlightNames() {
		f := v.State.Flight[name]
		if p.full() || !s.reopened[f.From] || !v.State.IsOpen(f.From) {
			continue
		}
		if back := departing(f); len(back) > 0 {
			m, err := protocol.Redirect(v.State, name, back, f.From)
			p.add(Job{Multi: m}, err)
		}
	}
	if len(p.Jobs) == 0 && p.Err == nil {
		clear(s.reopened)
	}
}

// departing are the ids of a flight that go elsewhere than where they came from; what is deleted
// does not.
func departing(f *protocol.Flight) (ids []string) {
	for i, id := range f.IDs.All() {
		if to := f.Target(i); to != protocol.ToDelete && to != f.From {
			ids = append(ids, id)
		}
	}
	return ids
}
