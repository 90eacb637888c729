package steps

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// acknowledging has the hand-off of a story be acknowledged, by pods that have applied nothing yet.
func (s *story) acknowledging() {
	s.v.Orders.HandOff, s.v.Orders.Pods = config.HandOffAcknowledged, map[int]string{}
	for n, in := range s.v.State.Instances {
		s.v.Orders.Pods[n] = fmt.Sprint("p", n)
		s.says(n, in.Times-1)
	}
}

// says is what an instance says that it has applied.
func (s *story) says(n int, times int64) {
	in := *s.v.State.Instances[n]
	in.Status, in.Live = &protocol.Status{Pod: fmt.Sprint("p", n), Times: times}, true
	s.v.State.Instances[n] = &in
}

// acknowledge has every instance have applied what there is, but for those.
func (s *story) acknowledge(but ...int) {
	for n, in := range s.v.State.Instances {
		if !slices.Contains(but, n) {
			s.says(n, in.Times)
		}
	}
}

// growing is a story of so many instances that one is added to, and spreading is due.
func growing(t *testing.T, m *mover, instances int) *story {
	var stay []int
	for n := range instances + 1 {
		stay = append(stay, n)
	}
	s := filled(t, m, instances*(instances+1), stay[:instances]...)
	s.v.Orders.Stay, s.v.Orders.Ready = stay, stay
	for len(s.next(m.open)) > 0 {
	}
	s.acknowledging()
	m.spread.Ask()
	return s
}

func count(names []string, name string) (n int) {
	for _, is := range names {
		if is == name {
			n++
		}
	}
	return n
}

// What is revoked has no owner until the list that it goes to may be written: no more is revoked
// than the next write gives, and when that is near.
func TestNoMoreIsRevokedThanTheNextGrantGives(t *testing.T) {
	m := newMover()
	s := growing(t, m, 40)
	require.Equal(t, fewWaiting, count(s.next(m.spread), "revoke"))
	require.Empty(t, s.next(m.move), "all at once would keep each other waiting")
	s.acknowledge()
	require.Empty(t, s.next(m.grant), "more will be revoked, to be granted with it")
	require.Equal(t, 2*fewWaiting, count(s.next(m.move), "revoke"), "they acknowledge")

	s.v.Now = s.v.Now.Add(500 * time.Millisecond)
	require.Empty(t, s.next(m.move))
	s.acknowledge()
	require.Empty(t, s.next(m.move), "what is revoked now would be in flight for too long")
	require.Equal(t, []string{"grant"}, s.next(m.grant), "all of it in one write")
	require.Zero(t, s.v.flying())
	require.Empty(t, s.next(m.move), "the next write is a second away")
	s.v.Now = s.v.Now.Add(499 * time.Millisecond)
	require.Empty(t, s.next(m.move))
	s.v.Now = s.v.Now.Add(time.Millisecond)
	require.Equal(t, 40-3*fewWaiting, count(s.next(m.move), "revoke"))
}

func TestAnInstanceThatTakesItsTimeHoldsUpNoOther(t *testing.T) {
	m := newMover()
	s := growing(t, m, 40)
	s.next(m.spread)
	s.acknowledge(7)
	s.v.Now = s.v.Now.Add(999 * time.Millisecond)
	require.Empty(t, s.next(m.grant), "it may be granted with the others")
	s.v.Now = s.v.Now.Add(time.Millisecond)
	require.Equal(t, []string{"grant"}, s.next(m.grant), "the others have waited for long enough")
	require.Len(t, s.v.State.Flight, 1)
	s.v.Now = s.v.Now.Add(500 * time.Millisecond)
	require.GreaterOrEqual(t, count(s.next(m.move), "revoke"), fewWaiting)
}

func TestInstancesThatTakeLongAreAwaitedTogether(t *testing.T) {
	m := newMover()
	s := growing(t, m, 40)
	require.Equal(t, fewWaiting, count(s.next(m.spread), "revoke"))
	s.v.Now = s.v.Now.Add(999 * time.Millisecond)
	require.Empty(t, s.next(m.move))
	s.v.Now = s.v.Now.Add(time.Millisecond)
	require.Equal(t, 40-fewWaiting, count(s.next(m.move), "revoke"))
}

func TestAGrantWaitsForWhatIsAcknowledgedInAMoment(t *testing.T) {
	m := newMover()
	s := growing(t, m, 3)
	s.next(m.spread)
	require.Len(t, s.v.State.Flight, 3)
	s.acknowledge(2)
	require.Empty(t, s.next(m.grant))
	s.v.Now = s.v.Now.Add(999 * time.Millisecond)
	require.Empty(t, s.next(m.grant))
	s.acknowledge()
	require.Equal(t, []string{"grant"}, s.next(m.grant))
	require.Equal(t, map[int]int{0: 3, 1: 3, 2: 3, 3: 3}, s.sizes())
}

func TestWhatAnInstanceHadThatRunsNothingIsTakenAtOnceAndGrantedSideBySide(t *testing.T) {
	m := newMover()
	s := tell(t, orders.Orders{At: time.Unix(1000, 0), Stay: []int{0, 1, 2, 3, 4}, Ready: []int{0, 1, 2, 3, 4}, Capacity: 5000, HandOff: config.HandOffImmediate})
	s.next(m.open)
	s.next(m.open)
	for n := range 5 {
		var ids []string
		for i := range 1000 {
			ids = append(ids, fmt.Sprintf("resource-with-a-long-name-of-forty-letters-%d-%04d", n, i))
		}
		s.assign(n, ids...)
	}
	s.acknowledging()
	s.v.Written[4] = s.v.Now // its list has changed a moment ago: nobody reads it any more
	s.v.Orders.Stay, s.v.Orders.Reassign = []int{0, 1, 2, 3}, []int{4}
	s.v.Orders.GonePods = map[string]bool{"p4": true}
	s.next(m.open)
	require.Greater(t, count(s.next(m.place), "revoke"), 1, "in pieces, one right after the other")
	require.Zero(t, s.v.State.Instances[4].IDs.Len())
	require.Empty(t, s.next(m.grant), "no list of the pods is from after the revoke")
	s.v.Now = s.v.Now.Add(time.Millisecond)
	s.v.Orders.PodsAt, s.v.Orders.Pods = s.v.Now, map[int]string{0: "p0", 1: "p1", 2: "p2", 3: "p3"}
	p := s.ask(m.grant, false)
	require.Greater(t, len(p.Jobs), 1)
	lists := map[int]bool{}
	for _, j := range p.Jobs {
		lists[j.Lists[0]] = true
	}
	require.Len(t, lists, len(p.Jobs), "%v", slices.Sorted(maps.Keys(lists)))
}
