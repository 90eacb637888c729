package main

import (
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// franz is a world as franz-go's sticky balancer sees it: one topic with a partition a resource, and members that own them.
type franz struct {
	c       change
	members []kmsg.JoinGroupResponseMember
	owner   []int32 // by partition
	ready   kgo.GroupMemberBalancerOrError
}

const topic = "resources"

func newFranz(c change) (*franz, error) {
	f := &franz{c: c, owner: make([]int32, c.resources)}
	balancer := kgo.StickyBalancer()
	for i := range max(c.from, c.to) {
		var owned []int32
		if i < c.from {
			for p := i * c.resources / c.from; p < (i+1)*c.resources/c.from; p++ {
				owned = append(owned, int32(p))
				f.owner[p] = int32(i)
			}
		}
		if i >= c.to {
			continue // it has left: nobody claims what it owned
		}
		m := kmsg.NewJoinGroupResponseMember()
		m.MemberID = memberID(i)
		m.ProtocolMetadata = balancer.JoinGroupMetadata([]string{topic}, map[string][]int32{topic: owned}, 1)
		f.members = append(f.members, m)
	}
	return f, f.prepare()
}

func memberID(i int) string { return fmt.Sprintf("member-%04d", i) }

// prepare decodes the members: that is not timed.
func (f *franz) prepare() error {
	ready, _, err := kgo.StickyBalancer().MemberBalancer(f.members)
	if err != nil {
		return err
	}
	var ok bool
	if f.ready, ok = ready.(kgo.GroupMemberBalancerOrError); !ok {
		return fmt.Errorf("franz-go's balancer is a %T", ready)
	}
	return nil
}

func (f *franz) planner() planner {
	return planner{name: "franz-go sticky", prepare: f.prepare, plan: func() (answer, error) {
		said, err := f.ready.BalanceOrError(map[string]int32{topic: int32(f.c.resources)})
		if err != nil {
			return nil, err
		}
		return func() (int, float64, error) { return f.judge(said) }, nil
	}}
}

// judge counts what moved.
func (f *franz) judge(said kgo.IntoSyncAssignment) (moves int, spread float64, err error) {
	seen, low, high := 0, math.MaxInt, 0
	for _, a := range said.IntoSyncAssignment() {
		var member int
		if _, err := fmt.Sscanf(a.MemberID, "member-%d", &member); err != nil {
			return 0, 0, err
		}
		var assigned kmsg.ConsumerMemberAssignment
		if err := assigned.ReadFrom(a.MemberAssignment); err != nil {
			return 0, 0, err
		}
		count := 0
		for _, t := range assigned.Topics {
			for _, p := range t.Partitions {
				count++
				if f.owner[p] != int32(member) {
					moves++
				}
			}
		}
		seen += count
		low, high = min(low, count), max(high, count)
	}
	if seen != f.c.resources {
		return 0, 0, fmt.Errorf("franz-go assigned %d of %d", seen, f.c.resources)
	}
	return moves, float64(high - low), nil
}
