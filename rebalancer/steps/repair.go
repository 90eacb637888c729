package steps

import (
	"maps"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Repair brings a tree in order that other clients wrote or damaged: `used`, `count`, tmp and
// _reload first, since a list without them cannot change; then the ids that are in two places.
type Repair struct {
	// Completed is told of an ordinal that another client has left half made, and that is made
	// whole; Deduped of ids that were in two places.
	Completed func(n int)
	Deduped   func(found []protocol.Duplicate)

	// begun are the ordinals that other clients have begun to make.
	begun map[int]begun
	// single is the read of which the State had no id in two places: our own writes bring none.
	single time.Time
}

// abandonedAfter is how long nothing must have come of what another client has begun to make before
// it is ended.
const abandonedAfter = 10 * time.Minute

// begun is an ordinal that another client has begun to make, and since when nothing has come of it.
type begun struct {
	versions [3]int32
	since    time.Time
}

// Next implements Step.
func (s *Repair) Next(v *View) (p Proposal) {
	s.note(v)
	reloads := v.State.ReloadsDamaged()
	for _, n := range v.State.Ordinals() {
		in := v.State.Instances[n]
		if p.full() || !s.damaged(v, in, reloads[n]) {
			continue
		}
		m, _, err := protocol.Repair(v.State, n, capacity(v, in))
		var then func(time.Time)
		if in.Begun {
			then = func(time.Time) { s.Completed(n) }
		}
		p.add(Job{Multi: m, Then: then}, err)
	}
	if len(p.Jobs) > 0 || p.Err != nil || s.single.Equal(v.State.ReadAt) {
		return p
	}
	if v.Index.Duplicates() == 0 {
		s.single = v.State.ReadAt
		return p
	}
	twice, err := protocol.Dedupe(v.State)
	p.Err = err
	for _, d := range twice {
		if !p.full() {
			p.add(Job{Multi: d.Multi, Then: func(time.Time) { s.Deduped(d.Found) }}, nil)
		}
	}
	return p
}

// note notes which ordinals other clients have begun to make.
func (s *Repair) note(v *View) {
	if s.begun == nil {
		s.begun = map[int]begun{}
	}
	maps.DeleteFunc(s.begun, func(n int, _ begun) bool { in := v.State.Instances[n]; return in == nil || !in.Begun })
	for n, in := range v.State.Instances {
		versions := [3]int32{in.DataVersion, in.ListVersion, in.ReloadVersion}
		if was, known := s.begun[n]; in.Begun && (!known || was.versions != versions) {
			s.begun[n] = begun{versions, v.Now}
		}
	}
}

// damaged says whether anything beside the ids of an instance is not as it should be; reload: its
// `_reload` is not. What another client is making it is left to make.
func (s *Repair) damaged(v *View, in *protocol.Instance, reload bool) bool {
	if in.Begun && v.Now.Sub(s.begun[in.Ordinal].since) < abandonedAfter {
		return false
	}
	c := capacity(v, in)
	return c >= 0 && (in.Used != in.IDs.Len() || in.Capacity != c || !in.HasTmp || reload)
}

// capacity is what `count` should be: what the scaler orders, or, while there are no orders, what
// it is. It may be -1, unreadable.
func capacity(v *View, in *protocol.Instance) int {
	if v.Refusal == "" {
		return v.Orders.Capacity
	}
	return in.Capacity
}
