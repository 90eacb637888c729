package main

import (
	"fmt"
	"slices"

	"github.com/buraksezer/consistent"
	"github.com/cespare/xxhash/v2"
	"github.com/dgryski/go-rendezvous"
)

// member is an instance on the ring.
type member string

func (m member) String() string { return string(m) }

type hasher struct{}

func (hasher) Sum64(b []byte) uint64 { return xxhash.Sum64(b) }

// ring is consistent hashing with bounded loads, a partition a resource; timed: one member joins.
func ring(c change) planner {
	var r *consistent.Consistent
	var before []string
	owners := func() []string {
		all := make([]string, c.resources)
		for i := range all {
			all[i] = r.GetPartitionOwner(i).String()
		}
		return all
	}
	return planner{
		name: "buraksezer/consistent",
		prepare: func() error {
			var members []consistent.Member
			for i := range c.from {
				members = append(members, member(memberID(i)))
			}
			r = consistent.New(members, consistent.Config{Hasher: hasher{}, PartitionCount: c.resources, ReplicationFactor: 20, Load: 1.05})
			before = owners()
			return nil
		},
		plan: func() (answer, error) {
			r.Add(member(memberID(c.from)))
			return func() (int, float64, error) { return movedBetween(before, owners()) }, nil
		},
	}
}

// rendezvousOf is highest-random-weight hashing; timed: one node joins and every resource is looked up.
func rendezvousOf(c change, ids []string) planner {
	nodes := func(n int) (all []string) {
		for i := range n {
			all = append(all, memberID(i))
		}
		return all
	}
	lookup := func(r *rendezvous.Rendezvous) []string {
		owners := make([]string, len(ids))
		for i, id := range ids {
			owners[i] = r.Lookup(id)
		}
		return owners
	}
	var before []string
	return planner{
		name: "rendezvous",
		prepare: func() error {
			if before == nil {
				before = lookup(rendezvous.New(nodes(c.from), xxhash.Sum64String))
			}
			return nil
		},
		plan: func() (answer, error) {
			after := lookup(rendezvous.New(nodes(c.to), xxhash.Sum64String))
			return func() (int, float64, error) { return movedBetween(before, after) }, nil
		},
	}
}

func movedBetween(before, after []string) (moves int, spread float64, err error) {
	counts := map[string]int{}
	for i := range after {
		counts[after[i]]++
		if before[i] != after[i] {
			moves++
		}
	}
	if len(counts) == 0 {
		return 0, 0, fmt.Errorf("nobody owns anything")
	}
	var all []int
	for _, n := range counts {
		all = append(all, n)
	}
	return moves, float64(slices.Max(all) - slices.Min(all)), nil
}
