package plan

import (
	"slices"

	"github.com/buraksezer/consistent"
	"github.com/cespare/xxhash/v2"
	"github.com/dgryski/go-rendezvous"
)

// The hashes take part in so many rounds only: one of theirs takes seconds.
const hashRounds = 3

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
		name: "buraksezer/consistent 1.05", rounds: hashRounds,
		prepare: func() {
			var members []consistent.Member
			for i := range c.from {
				members = append(members, member(memberID(i)))
			}
			r = consistent.New(members, consistent.Config{Hasher: hasher{}, PartitionCount: c.resources, ReplicationFactor: 20, Load: 1.05})
			before = owners()
		},
		plan: func() answer {
			r.Add(member(memberID(c.from)))
			return func() (int, float64) { return movedBetween(before, owners()) }
		},
	}
}

// rendezvousOf is highest-random-weight hashing; timed: one node joins and every resource is looked
// up.
func rendezvousOf(c change, ids []string) planner {
	lookup := func(nodes int) []string {
		var names []string
		for i := range nodes {
			names = append(names, memberID(i))
		}
		r, owners := rendezvous.New(names, xxhash.Sum64String), make([]string, len(ids))
		for i, id := range ids {
			owners[i] = r.Lookup(id)
		}
		return owners
	}
	before := lookup(c.from)
	return planner{name: "rendezvous", rounds: hashRounds, plan: func() answer {
		after := lookup(c.to)
		return func() (int, float64) { return movedBetween(before, after) }
	}}
}

func movedBetween(before, after []string) (moves int, spread float64) {
	counts := map[string]int{}
	for i := range after {
		counts[after[i]]++
		if before[i] != after[i] {
			moves++
		}
	}
	var all []int
	for _, n := range counts {
		all = append(all, n)
	}
	return moves, float64(slices.Max(all) - slices.Min(all))
}
