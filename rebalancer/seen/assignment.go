// Package seen turns a State into the signal by which the rest of the program sees ZooKeeper.
//
// In: States of a kind, one after the other. Out: observed.Assignment. Invariant: what a State does
// not say is not in the signal.
package seen

import (
	"maps"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/release"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
)

// Speakers is when each ordinal's status was first found to be of the pod that it is of, or to be
// none, and what it said last.
type Speakers map[int]speaker

type speaker struct {
	pod   string
	none  bool
	since time.Time
	last  *observed.Status
}

// Follow returns who speaks by st.
func (s Speakers) Follow(st *protocol.State) Speakers {
	next := make(Speakers, len(st.Instances))
	for n, in := range st.Instances {
		now := speaker{none: in.Status == nil, since: st.ReadAt}
		was, known := s[n]
		if now.last = was.last; in.Status != nil {
			now.pod, now.last = in.Status.Pod, release.StatusOf(in)
		}
		if known && was.pod == now.pod && was.none == now.none {
			now.since = was.since
		}
		next[n] = now
	}
	return next
}

// Assignment is what st tells, and who speaks by it.
func Assignment(st *protocol.State, who Speakers) observed.Assignment {
	a := observed.Assignment{
		Kind: st.Kind, At: st.ReadAt, Lists: make(map[int]observed.List, len(st.Instances)),
		Assigned: st.Assigned(), InFlight: st.InFlight(), Unassigned: st.Unassigned(), Open: st.Head.Open,
	}
	for n, in := range st.Instances {
		l := observed.List{Count: in.IDs.Len(), Bytes: in.Bytes, Times: in.Times, Changed: in.Changed, SessionSince: in.LiveSince, Error: in.Fault}
		if in.ListVersion == 0 && l.Count == 0 { // made empty, and not changed since; who made it has no time of it
			l.Changed = time.Time{}
		}
		l.Status, l.StatusFault, l.StatusSince = release.StatusOf(in), in.StatusFault, who[n].since
		if l.Status == nil {
			l.Last = who[n].last
		}
		a.Lists[n] = l
	}
	for _, f := range st.Flight {
		if l, ok := a.Lists[f.From]; ok {
			l.InFlight += f.IDs.Len()
			a.Lists[f.From] = l
		}
	}
	a.Weights = steps.WeightsOf(st, a.Lists)
	return a
}

// Same says that two States share in memory all that Assignment tells of: they differ by what the
// leader keeps beside that at most. Others may be equal too.
func Same(a, b *protocol.State) bool {
	return a.Kept[steps.AccountName] == b.Kept[steps.AccountName] && slices.Equal(a.Head.Open, b.Head.Open) &&
		maps.Equal(a.Instances, b.Instances) && maps.Equal(a.Pool, b.Pool) && maps.Equal(a.Flight, b.Flight)
}
