package steps

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/wave"
)

// mover are the steps that move resources, and what they tell.
type mover struct {
	open   *Open
	calls  *Calls
	back   *RollBack
	grant  *Grant
	move   *Move
	place  *Place
	spread *Spread
	placed int
	told   []string // of waves
}

func newMover() *mover {
	m := &mover{calls: &Calls{}}
	m.calls.Open()
	note := func(format string, args ...any) { m.told = append(m.told, fmt.Sprintf(format, args...)) }
	m.move = &Move{
		Plan:  plan.Make,
		Begun: func(w *wave.Running) { note("%s of %d begins", w.Reason, w.Total) },
		Ended: func(w *wave.Running) { note("%s ends with %d", w.Reason, w.Arrived) },
	}
	m.place = &Place{Move: m.move, Placed: func(n int) { m.placed += n }}
	m.move.Place = m.place
	m.spread = &Spread{Place: m.place, Move: m.move}
	m.open = &Open{Opened: func(_, _, _ []int) {}}
	m.back = &RollBack{Calls: m.calls, Move: m.move, Spread: m.spread, Done: func(*RolledBack) {}}
	m.grant = &Grant{Move: m.move}
	m.grant.Granted = func(_ int, parts []Part) {
		for _, part := range parts {
			m.move.Arrived(time.Time{}, part.Flight, part.N)
		}
	}
	m.grant.Pooled = func(part Part) { m.move.Arrived(time.Time{}, part.Flight, part.N) }
	return m
}

// pass asks the steps in their order until none has anything to do; each second another list may
// change.
func (s *story) pass(m *mover) (names []string) {
	s.t.Helper()
	for range 100 {
		before := len(names)
		for _, step := range []Step{m.open, m.back, m.grant, m.move, m.place, m.spread} {
			names = append(names, s.next(step)...)
		}
		if s.v.Now = s.v.Now.Add(time.Second); len(names) == before {
			return names
		}
		s.v.Orders.At = s.v.Now
	}
	s.t.Fatalf("no end: %v", names)
	return nil
}

// ids makes n ids.
func ids(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("r-%04d", i))
	}
	return all
}

// sizes are the lengths of the lists, by ordinal.
func (s *story) sizes() map[int]int {
	sizes := map[int]int{}
	for n, in := range s.v.State.Instances {
		sizes[n] = in.IDs.Len()
	}
	return sizes
}

func filled(t *testing.T, m *mover, resources int, stay ...int) *story {
	t.Helper()
	s := tell(t, orders.Orders{At: time.Unix(1000, 0), Stay: stay, Ready: stay, Capacity: 100, HandOff: config.HandOffImmediate})
	create := &Create{}
	s.hear(0, ids(resources)...)
	s.next(create)
	s.pass(m)
	require.Zero(t, s.v.State.Unassigned())
	require.Equal(t, resources, m.placed)
	return s
}

// draining has revoked 12 of the 30 resources that must leave instance 2, and may not revoke more.
func draining(t *testing.T, m *mover) *story {
	t.Helper()
	s := filled(t, m, 90, 0, 1, 2)
	s.v.Orders.Stay, s.v.Orders.Limits.MaxInFlight = []int{0, 1}, 12
	s.next(m.open)
	s.next(m.place)
	s.next(m.move)
	require.Equal(t, 12, s.v.flying())
	return s
}

func TestThePoolIsPlacedEvenlyAndWhatHasNoPlaceIsSaid(t *testing.T) {
	m := newMover()
	s := filled(t, m, 90, 0, 1, 2)
	require.Equal(t, map[int]int{0: 30, 1: 30, 2: 30}, s.sizes())

	s.v.Orders.Capacity = 31
	s.hear(0, "x-1", "x-2", "x-3", "x-4", "x-5")
	create := &Create{}
	s.next(create)
	s.pass(m)
	require.Equal(t, map[int]int{0: 31, 1: 31, 2: 31}, s.sizes())
	require.Empty(t, s.next(m.place))
	require.Equal(t, "resources without a place: 2 (2 full)", s.blocked)
	require.Equal(t, 2, m.place.Parked()[0].Count)
	s.v.Orders.Capacity = 32
	s.pass(m)
	require.Zero(t, s.v.State.Unassigned(), "another capacity is another question")
	require.Empty(t, m.place.Parked())
}

func TestWhatLeavesIsMovedByAWaveThatIsStoredFirst(t *testing.T) {
	m := newMover()
	s := filled(t, m, 90, 0, 1, 2)
	s.v.Orders.Stay = []int{0, 1}
	names := s.pass(m)
	require.Equal(t, []string{"open", "store-plan", "revoke"}, names[:3], "nothing is revoked before the wave is stored")
	require.Equal(t, "clear-plan", names[len(names)-1])
	require.Equal(t, map[int]int{0: 45, 1: 45, 2: 0}, s.sizes())
	require.Equal(t, []string{"drain of 30 begins", "drain ends with 30"}, m.told)
}

func TestANewInstanceIsReasonToSpreadUnlessItIsHeld(t *testing.T) {
	m := newMover()
	s := filled(t, m, 90, 0, 1)
	opened := 0
	m.open.Opened = func(_, before, added []int) {
		opened++
		m.spread.Opened(s.v.State, before, added)
	}
	s.v.Orders.Stay, s.v.Orders.Ready = []int{0, 1, 2}, []int{0, 1, 2}
	s.v.Orders.Limits.Paused = true
	s.pass(m)
	require.Equal(t, 1, opened)
	require.Empty(t, s.next(m.spread))
	require.Equal(t, "paused", s.blocked)
	s.v.Orders.Limits.Paused, s.v.Orders.SpreadSuspended = false, "a roll-out is under way"
	require.Empty(t, s.next(m.spread))
	require.Equal(t, "a roll-out is under way", s.blocked)
	s.v.Orders.SpreadSuspended = ""
	s.pass(m)
	require.Equal(t, map[int]int{0: 30, 1: 30, 2: 30}, s.sizes())
	require.Equal(t, []string{"spread of 30 begins", "spread ends with 30"}, m.told)
}

func TestMovesKeepToTheirLimits(t *testing.T) {
	m := newMover()
	s := filled(t, m, 90, 0, 1)
	s.v.Orders.HandOff, s.v.Orders.Settle = config.HandOffImmediate, time.Minute
	s.v.Orders.Limits.MaxInFlight = 10
	s.v.Orders.Stay = []int{0}
	s.v.Orders.Capacity = 90
	s.next(m.open)
	require.Equal(t, []string{"store-plan", "revoke"}, s.next(m.place))
	require.Equal(t, 10, s.v.flying())
	require.Empty(t, s.next(m.move))
	require.Equal(t, "a limit is reached: resources in flight, or moves per minute", s.blocked)
}

// A spread of which a wave has been made goes on when the minute allows more moves, and says so. While
// the wave runs nothing keeps it.
func TestASpreadThatHasUsedUpTheMovesOfAMinuteSaysWhenItGoesOn(t *testing.T) {
	m := newMover()
	s := filled(t, m, 90, 0, 1)
	m.open.Opened = func(_, before, added []int) { m.spread.Opened(s.v.State, before, added) }
	s.v.Orders.Stay, s.v.Orders.Ready = []int{0, 1, 2}, []int{0, 1, 2}
	s.v.Orders.Limits.MovesPerMinute = 10
	s.next(m.open)
	s.next(m.open)
	begun := s.v.Now
	require.Contains(t, s.next(m.spread), "store-plan")
	require.NotZero(t, s.v.flying())
	require.Empty(t, s.next(m.spread))
	require.Empty(t, s.blocked, "the wave is under way")

	s.pass(m)
	require.Equal(t, 10, s.sizes()[2])
	require.Empty(t, s.next(m.spread))
	next := begun.Add(time.Minute).UTC().Format(time.RFC3339)
	require.Equal(t, "the 10 moves of a minute (movesPerMinute) are used up; it goes on at "+next, s.blocked)
	require.Equal(t, begun.Add(time.Minute), m.spread.Next(&s.v).Again)
	s.v.Now = begun.Add(time.Minute)
	require.Contains(t, s.next(m.spread), "store-plan")
}

func TestARollbackPausesFirstAndTakesBackWhatHasArrived(t *testing.T) {
	m := newMover()
	s := filled(t, m, 90, 0, 1)
	s.v.Orders.Settle = 10 * time.Second
	s.v.Orders.Stay, s.v.Orders.Ready = []int{0, 1, 2}, []int{0, 1, 2}
	m.open.Opened = func(_, before, added []int) { m.spread.Opened(s.v.State, before, added) }
	s.next(m.open)
	s.next(m.open)
	require.Equal(t, []string{"store-plan", "revoke", "revoke"}, s.next(m.spread))

	pause := orders.Replace([]byte(`{"paused":true}`))
	r, err := m.calls.RollBack(s.v.Now, "override", pause)
	require.NoError(t, err)
	gone, err := m.calls.RollBack(s.v.Now, "override", pause)
	require.NoError(t, err)
	require.False(t, m.calls.GiveUp(gone.Request))
	require.Equal(t, []string{"keep", "redirect", "redirect"}, s.next(m.back))
	require.JSONEq(t, `{"paused":true}`, string(s.v.State.Kept["override"].Data))
	<-r.Done()
	require.NoError(t, r.Err())
	require.Equal(t, RolledBack{PlanID: r.Result.PlanID, Returned: 30}, r.Result)
	s.v.Now = s.v.Now.Add(10 * time.Second)
	require.Equal(t, []string{"grant", "grant"}, s.next(m.grant))
	require.Equal(t, []string{"clear-plan"}, s.next(m.move))
	require.Equal(t, map[int]int{0: 45, 1: 45, 2: 0}, s.sizes())
	require.Empty(t, s.next(m.spread), "these orders were made before")

	r, err = m.calls.RollBack(s.v.Now, "override", pause)
	require.NoError(t, err)
	require.Empty(t, s.next(m.back))
	require.ErrorIs(t, r.Err(), ErrNothingToRollBack)
	s.v.Refusal = "blind"
	r, err = m.calls.RollBack(s.v.Now, "override", pause)
	require.NoError(t, err)
	require.Empty(t, s.next(m.back))
	require.EqualError(t, r.Err(), "roll back: nothing may be moved: blind")
}

// The first try has forgotten what was not revoked when ZooKeeper refuses what it sends; the
// callers hear of it all the same, and those of the next rollback do not.
func TestARollbackThatIsTriedAgainSaysWhatStayed(t *testing.T) {
	m := newMover()
	s := draining(t, m)

	pause := orders.Replace([]byte(`{"paused":true}`))
	r, err := m.calls.RollBack(s.v.Now, "override", pause)
	require.NoError(t, err)
	refused := errors.New("another client has written")
	p := s.ask(m.back, false)
	require.NotNil(t, p.Onward)
	s.send(p.Jobs)
	require.NoError(t, p.Ended(nil, false))
	p = s.ask(m.back, true)
	require.ErrorIs(t, p.Ended(refused, true), refused)
	s.next(m.back)
	<-r.Done()
	require.NoError(t, r.Err())
	require.Equal(t, RolledBack{PlanID: r.Result.PlanID, Stayed: 18, Kept: 12}, r.Result)
	require.NotEmpty(t, r.Result.PlanID)

	r, err = m.calls.RollBack(s.v.Now, "override", pause)
	require.NoError(t, err)
	s.next(m.back)
	require.NoError(t, r.Err())
	require.Zero(t, r.Result.Stayed)
}

func TestAWaveIsTakenUpWhereItWasLeft(t *testing.T) {
	m := newMover()
	s := draining(t, m)

	successor := newMover()
	w, err := successor.move.Recall(&s.v)
	require.NoError(t, err)
	require.Equal(t, 30, w.Total)
	require.Equal(t, 18, w.Pending.Count())
	successor.spread.Recall(s.v.State, w)
	s.pass(successor)
	require.Equal(t, map[int]int{0: 45, 1: 45, 2: 0}, s.sizes())
	require.Equal(t, []string{"drain ends with 30"}, successor.told)

	s.v.State.Plan = &protocol.StoredPlan{Data: []byte("{")}
	_, err = newMover().move.Recall(&s.v)
	require.ErrorContains(t, err, "what is in flight goes on without it")
}

func TestADocumentIsKeptOrItsCallerKnowsWhyNot(t *testing.T) {
	s := tell(t, orders.Orders{})
	calls := &Calls{}
	_, err := calls.Keep(s.v.Now, "override", orders.Replace(nil))
	require.ErrorIs(t, err, orders.ErrNotLeading)
	calls.Open()
	var refused []string
	keep := &Keep{Calls: calls, Refused: func(name string, err error) { refused = append(refused, fmt.Sprint(name, ": ", err)) }}
	require.Empty(t, s.next(keep))
	add := func(text string) orders.Update {
		return func(old []byte) ([]byte, error) { return append(old, text...), nil }
	}
	first, _ := calls.Keep(s.v.Now, "override", add("a"))
	second, _ := calls.Keep(s.v.Now, "override", add("b"))
	no := errors.New("not so")
	third, _ := calls.Keep(s.v.Now, "override", func([]byte) ([]byte, error) { return nil, no })
	fourth, _ := calls.Keep(s.v.Now, "override", add("c"))
	require.Equal(t, []string{"keep"}, s.next(keep))
	require.Equal(t, []string{"keep"}, s.next(keep))
	require.Equal(t, "ab", string(s.v.State.Kept["override"].Data), "each is made of what the one before has left")
	require.NoError(t, first.Err())
	require.NoError(t, second.Err())
	require.Empty(t, s.next(keep))
	require.ErrorIs(t, third.Err(), no)
	require.Equal(t, []string{"override: not so"}, refused)

	p := keep.Next(&s.v)
	require.NoError(t, p.Jobs[0].Multi.Gate())
	lost := fmt.Errorf("%w: the reply is lost", protocol.ErrUnavailable)
	require.ErrorIs(t, p.Ended(lost, true), lost, "it is tried again")
	require.False(t, fourth.Ended())
	p = keep.Next(&s.v)
	require.NoError(t, p.Ended(errors.New("too long"), false))
	require.ErrorIs(t, fourth.Err(), orders.ErrOutcomeUnknown, "the first attempt may have been carried out")
	fifth, _ := calls.Keep(s.v.Now, "override", add("d"))
	calls.Close(orders.ErrNotLeading)
	require.ErrorIs(t, fifth.Err(), orders.ErrNotLeading)
}

func TestAClaimIsAnsweredOnceItIsKept(t *testing.T) {
	s := tell(t, orders.Orders{})
	create := &Create{}
	s.hear(0, "a", "b")
	s.next(create)
	claims := &Claims{}
	s.next(claims)
	require.Empty(t, s.next(claims), "nothing has changed")
	r, _, err := s.inventory.Callers.Claim(s.v.Now, []string{"a"})
	require.NoError(t, err)
	require.Equal(t, []string{"keep"}, s.next(claims))
	require.True(t, r.Ended())
	again, _, err := s.inventory.Callers.Claim(s.v.Now, []string{"a"})
	require.NoError(t, err)
	p := claims.Next(&s.v)
	require.Empty(t, p.Jobs)
	require.True(t, p.Prove, "it is kept already: the head must be proven to be ours")
	require.ErrorIs(t, p.Ended(protocol.ErrFenced, true), protocol.ErrFenced)
	require.False(t, again.Ended())
	require.NoError(t, p.Ended(nil, false))
	require.True(t, again.Ended())
}

func TestTheAccountOfWeightsIsKeptWhereAKindIsBalancedByWeight(t *testing.T) {
	m := newMover()
	s := filled(t, m, 10, 0, 1)
	account := &Account{}
	require.Empty(t, s.next(account))
	s.v.Orders.Balance = config.BalanceWeight
	require.Equal(t, []string{"keep"}, s.next(account))
	require.Empty(t, s.next(account), "a moment ago")
	w := WeightsOf(s.v.State, nil)
	require.NotNil(t, w)
	require.Zero(t, w.Total, "the weights have not been read yet")
	s.v.Orders.Balance = config.BalanceCount
	s.v.Now = s.v.Now.Add(accountEvery)
	require.Equal(t, []string{"keep"}, s.next(account), "once more, to say so")
	require.Nil(t, WeightsOf(s.v.State, nil))
	require.Equal(t, []string{AccountName}, slices.Collect(maps.Keys(s.v.State.Kept)))
}
