package protocol

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Whatever of our own transactions each part of a read came before or after, what is put together
// is what ZooKeeper holds.
func TestAReadBesideOurOwnWrites(t *testing.T) {
	longest := 0
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{zk: newFake(), s: NewState("Thing"), known: map[string]bool{}, taken: map[string]int{}}
		m.lead(t)
		moments, done := []*State{m.s.Clone()}, []Multi(nil)
		m.committed = func(multi Multi) { moments, done = append(moments, m.s.Clone()), append(done, multi) }
		t.Repeat(map[string]func(*rapid.T){
			"create": m.create, "assign": m.assign, "assignTwo": m.assignTwo, "revoke": m.revoke, "redirect": m.redirect, "grant": m.grant,
			"release": m.release, "forget": m.forget, "deletePooled": m.deletePooled, "compact": m.compact, "addOrdinal": m.addOrdinal,
			"removeOrdinal": m.removeOrdinal, "open": m.open,
		})
		begun := rapid.IntRange(0, len(done)).Draw(t, "begun")
		touched := Touched{}
		for _, multi := range done[begun:] {
			touched.Note(multi)
		}
		longest = max(longest, len(done)-begun)
		fresh := readAtOdds(t, moments[begun:])
		status, since := &Status{Times: 7, Pod: "uid"}, time.UnixMilli(1)
		for n, in := range fresh.Instances {
			fresh.Instances[n] = in.withStatus(&Instance{Status: status, Live: true, LiveSince: since, statusVersion: 3})
		}
		seen := m.s.Overlay(fresh, touched)
		same(t, m.s, seen)
		require.NoError(t, seen.Check())
		for n, in := range seen.Instances {
			if fresh.Instances[n] != nil {
				require.Same(t, status, in.Status, "a status is always as it was read")
				require.Equal(t, since, in.LiveSince)
			}
		}
	})
	require.Greater(t, longest, 5, "transactions beside a read")
}

// Of a plan that we store meanwhile a read may find a mixture: that is no fault. One that none
// of our processes has written is.
func TestAReadBesideThePlan(t *testing.T) {
	f, s := newFake(), NewState("Thing")
	m, err := Lead(s, "pod/1")
	f.must(t, s, m, err)
	_, m, err = StorePlan(s, "p", []byte("{}"))
	f.must(t, s, m, err)
	fresh := s.Clone()
	fresh.Plan, fresh.Faults = nil, []string{PlanPath("Thing") + ": sum: parts have 0, want 1"}
	require.Equal(t, fresh.Faults, s.Overlay(fresh, Touched{}).Faults)
	seen := s.Overlay(fresh, Touched{PlanPath("Thing"): {}})
	require.Empty(t, seen.Fault())
	require.Equal(t, s.Plan, seen.Plan)
}

// readAtOdds is a State of which each part was read at another moment.
func readAtOdds(t *rapid.T, moments []*State) *State {
	some := func() *State { return rapid.SampledFrom(moments).Draw(t, "moment") }
	fresh := some().Clone()
	at := some()
	fresh.Head, fresh.HeadVersion = at.Head, at.HeadVersion
	for n := range 8 {
		mix(fresh.Instances, some().Instances, n)
	}
	for _, moment := range moments {
		for name := range moment.Pool {
			mix(fresh.Pool, some().Pool, name)
		}
		for name := range moment.Flight {
			mix(fresh.Flight, some().Flight, name)
		}
	}
	return fresh
}

func mix[K comparable, V any](into, from map[K]V, k K) {
	if v, ok := from[k]; ok {
		into[k] = v
	} else {
		delete(into, k)
	}
}
