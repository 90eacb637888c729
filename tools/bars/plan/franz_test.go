package plan

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// franz is a world as franz-go's sticky balancer sees it: one topic with a partition a resource,
// and members that own them.
type franz struct {
	testing.TB
	c       change
	members []kmsg.JoinGroupResponseMember
	owner   []int32 // by partition
	ready   kgo.GroupMemberBalancerOrError
}

const topic = "resources"

func franzGo(tb testing.TB, c change) planner {
	f := &franz{TB: tb, c: c, owner: make([]int32, c.resources)}
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
			continue // it has left: what it owned has no owner
		}
		m := kmsg.NewJoinGroupResponseMember()
		m.MemberID = memberID(i)
		m.ProtocolMetadata = balancer.JoinGroupMetadata([]string{topic}, map[string][]int32{topic: owned}, 1)
		f.members = append(f.members, m)
	}
	return planner{name: "franz-go sticky", prepare: f.prepare, plan: func() answer {
		said, err := f.ready.BalanceOrError(map[string]int32{topic: int32(c.resources)})
		require.NoError(tb, err)
		return func() (int, float64) { return f.judge(said) }
	}}
}

func memberID(i int) string { return fmt.Sprintf("member-%04d", i) }

// prepare decodes the members.
func (f *franz) prepare() {
	ready, _, err := kgo.StickyBalancer().MemberBalancer(f.members)
	require.NoError(f, err)
	f.ready = ready.(kgo.GroupMemberBalancerOrError)
}

// judge counts what moved.
func (f *franz) judge(said kgo.IntoSyncAssignment) (moves int, spread float64) {
	seen, low, high := 0, math.MaxInt, 0
	for _, a := range said.IntoSyncAssignment() {
		var member int
		_, err := fmt.Sscanf(a.MemberID, "member-%d", &member)
		require.NoError(f, err)
		var assigned kmsg.ConsumerMemberAssignment
		require.NoError(f, assigned.ReadFrom(a.MemberAssignment))
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
	require.Equal(f, f.c.resources, seen, "franz-go left some unassigned")
	return moves, float64(high - low)
}
