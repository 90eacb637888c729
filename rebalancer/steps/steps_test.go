package steps

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/release"
)

// story is a State that steps look at and change, and nothing else.
type story struct {
	t         *testing.T
	v         View
	inventory *inventory.Inventory
	blocked   string // by the step that was asked last
	// each is how much time passes each time that a step is asked.
	each time.Duration
}

// tell begins a story: a State with a head, and orders.
func tell(t *testing.T, o orders.Orders) *story {
	t.Helper()
	st := protocol.NewState("Thing")
	v := inventory.New(time.Unix(0, 0), func(n int, work func(i int)) {
		for i := range n {
			work(i)
		}
	})
	s := &story{t: t, inventory: v, v: View{
		View: release.View{State: st, Orders: &o, Now: time.Unix(1000, 0)}, Index: v.Index, Requests: v.Writer,
		Releases: release.New(), Written: map[int]time.Time{},
	}}
	m, err := protocol.Lead(st, "pod/1")
	s.commit(m, err)
	_, err = v.Lead(s.v.Now, st)
	require.NoError(t, err)
	require.True(t, v.Indexed())
	return s
}

// commit is what ZooKeeper does.
func (s *story) commit(m protocol.Multi, err error) {
	s.t.Helper()
	require.NoError(s.t, err)
	m.Apply(s.v.State, m.Results(protocol.Result{Mtime: s.v.Now}))
	s.inventory.Follow(s.v.State.Clone())
}

// next asks the step, commits what it proposes, and returns the names of the transactions.
func (s *story) next(step Step) (names []string) {
	s.t.Helper()
	names, err := s.try(step)
	require.NoError(s.t, err)
	return names
}

// try is next of a step that may fail.
func (s *story) try(step Step) (names []string, err error) {
	s.t.Helper()
	p := s.ask(step, false)
	for {
		sent := s.stream(step, &p)
		for _, jobs := range p.Rest {
			sent = append(sent, s.send(jobs)...)
		}
		names = append(names, sent...)
		if err = p.Err; p.Ended != nil {
			err = p.Ended(err, false)
		}
		if err != nil || p.Onward == nil {
			return names, err
		}
		step = p.Onward
		p = s.ask(step, true)
	}
}

func (s *story) ask(step Step, more bool) Proposal {
	s.v.More, s.v.Now = more, s.v.Now.Add(s.each)
	p := step.Next(&s.v)
	s.v.More = false
	s.v.Piece += p.Pieces
	s.blocked = p.Blocked
	return p
}

// stream sends the jobs of p; where there are more, while two batches of them are under way.
func (s *story) stream(step Step, p *Proposal) (names []string) {
	var way [][]Job
	for more := *p; ; more = s.ask(step, true) {
		if len(more.Jobs) > 0 {
			way = append(way, more.Jobs)
		}
		over := !more.More || len(way) == 0
		if len(way) > 0 && (len(more.Jobs) == 0 || len(way) > 2) {
			names, way = append(names, s.send(way[0])...), way[1:]
		}
		if p.Err = more.Err; over || p.Err != nil {
			break
		}
		s.v.UnderWay = slices.Concat(way...)
	}
	for _, jobs := range way {
		names = append(names, s.send(jobs)...)
	}
	s.v.UnderWay = nil
	return names
}

// send commits jobs.
func (s *story) send(jobs []Job) (names []string) {
	for _, j := range jobs {
		if j.Multi.Gate != nil && j.Multi.Gate() != nil {
			continue // its caller has given up
		}
		s.commit(j.Multi, nil)
		names = append(names, j.Multi.Step)
		for _, n := range j.Lists {
			s.v.Written[n] = s.v.Now
		}
		s.inventory.Writer.Answer(j.Answer.Op, j.Answer.IDs)
		if j.Then != nil {
			j.Then(s.v.Now)
		}
	}
	s.v.Releases.Note(s.v.State, s.v.Now)
	return names
}

func (s *story) assign(n int, ids ...string) {
	s.t.Helper()
	m, err := protocol.Create(s.v.State, s.v.Piece, ids)
	s.commit(m, err)
	name := protocol.PieceName(s.v.State.Head.Epoch, s.v.Piece)
	s.v.Piece++
	m, err = protocol.Assign(s.v.State, protocol.Give{To: n, From: []protocol.Take{{Name: name}}})
	s.commit(m, err)
}

func TestOrdinalsAreMadeThenOpened(t *testing.T) {
	s := tell(t, orders.Orders{Stay: []int{0, 1, 2}, Ready: []int{0, 2}, Capacity: 5})
	var told [][]int
	open := &Open{Opened: func(open, before, added []int) { told = append(told, open, before, added) }}
	require.Equal(t, []string{"add-ordinal", "add-ordinal", "add-ordinal"}, s.next(open))
	require.Equal(t, []string{"open"}, s.next(open))
	require.Equal(t, [][]int{{0, 2}, nil, {0, 2}}, told)
	require.Empty(t, s.next(open))

	s.v.Refusal = "no orders"
	s.v.Orders.Ready = []int{0, 1, 2}
	require.Empty(t, s.next(open), "orders that may not be acted upon")
}

func TestAnOrdinalThatIsOpenedAgainGetsBackWhatIsInFlightFromIt(t *testing.T) {
	s := tell(t, orders.Orders{Stay: []int{0, 1}, Ready: []int{0, 1}, Capacity: 5})
	open := &Open{Opened: func(_, _, _ []int) {}}
	for len(s.next(open)) > 0 {
	}
	s.assign(1, "a", "b", "c")
	s.v.Orders.Stay = []int{0}
	require.Equal(t, []string{"open"}, s.next(open))
	m, err := protocol.Revoke(s.v.State, 1, []string{"a", "b"}, []int{0, protocol.ToDelete}, "uid")
	s.commit(m, err)
	require.Empty(t, s.next(open), "it leaves")

	s.v.Orders.Stay = []int{0, 1}
	require.Equal(t, []string{"open"}, s.next(open))
	require.Equal(t, []string{"redirect"}, s.next(open))
	f := s.v.State.Flight[s.v.State.FlightNames()[0]]
	require.Equal(t, []int{1, protocol.ToDelete}, f.To, "what is deleted is not brought back")
	require.Empty(t, s.next(open), "once")
}

func TestWhatIsDamagedIsRepaired(t *testing.T) {
	s := tell(t, orders.Orders{Stay: []int{0, 1}, Ready: []int{0, 1}, Capacity: 5})
	open := &Open{Opened: func(_, _, _ []int) {}}
	for len(s.next(open)) > 0 {
	}
	var completed []int
	repair := &Repair{Completed: func(n int) { completed = append(completed, n) }}
	require.Empty(t, s.next(repair))
	change := func(n int, f func(in *protocol.Instance)) {
		in := *s.v.State.Instances[n]
		f(&in)
		s.v.State.Instances[n] = &in
	}
	change(0, func(in *protocol.Instance) { in.Used, in.HasTmp = 3, false })
	require.Equal(t, []string{"repair"}, s.next(repair))
	require.Zero(t, s.v.State.Instances[0].Used)
	require.Empty(t, s.next(repair))

	change(1, func(in *protocol.Instance) { in.Begun, in.Used = true, -1 })
	require.Empty(t, s.next(repair), "another client makes it")
	s.v.Now = s.v.Now.Add(abandonedAfter - 1)
	require.Empty(t, s.next(repair))
	change(1, func(in *protocol.Instance) { in.DataVersion++ })
	s.v.Now = s.v.Now.Add(1)
	require.Empty(t, s.next(repair), "something has come of it")
	s.v.Now = s.v.Now.Add(abandonedAfter)
	require.Equal(t, []string{"repair"}, s.next(repair))
	require.Equal(t, []int{1}, completed)
}

func TestOnlyAnEmptyOrdinalThatIsGoneIsRemoved(t *testing.T) {
	s := tell(t, orders.Orders{Stay: []int{0, 1, 2}, Ready: []int{0, 1, 2}, Capacity: 5})
	open := &Open{Opened: func(_, _, _ []int) {}}
	for len(s.next(open)) > 0 {
	}
	s.assign(1, "a")
	s.v.Orders.Stay, s.v.Orders.Gone = []int{0}, []int{1, 2}
	var removed []int
	remove := &Remove{Removed: func(n int) { removed = append(removed, n) }}
	require.Empty(t, s.next(remove), "they are open")
	require.Equal(t, []string{"open"}, s.next(open))
	m, err := protocol.Revoke(s.v.State, 1, []string{"a"}, []int{2}, "uid")
	s.commit(m, err)
	require.Empty(t, s.next(remove), "something is in flight between them")
	m, err = protocol.Redirect(s.v.State, s.v.State.FlightNames()[0], []string{"a"}, 0)
	s.commit(m, err)
	require.Equal(t, []string{"remove-ordinal"}, s.next(remove))
	require.Equal(t, []int{2}, removed)
}

func TestSmallPiecesAreMergedWhenThereAreMany(t *testing.T) {
	s := tell(t, orders.Orders{})
	for range crowded - 1 {
		m, err := protocol.Create(s.v.State, s.v.Piece, []string{string(rune('a' + s.v.Piece))})
		s.commit(m, err)
		s.v.Piece++
	}
	require.Empty(t, s.next(Compact{}))
	require.Equal(t, []string{"compact"}, s.next(merging{}), "on demand")
	require.Len(t, s.v.State.Pool, 1)
}

// merging merges on demand.
type merging struct{}

func (merging) Next(v *View) Proposal { return merge(v) }

// hear asks for ids, and returns the request.
func (s *story) hear(op resync.Op, ids ...string) *inventory.Request {
	s.t.Helper()
	r, err := s.inventory.Callers.Hear(s.v.Now, op, ids)
	require.NoError(s.t, err)
	return r
}

func TestCreatesShareAPieceAndAreAnswered(t *testing.T) {
	s := tell(t, orders.Orders{})
	create := &Create{}
	require.Empty(t, s.next(create))
	one, other := s.hear(resync.Created, "a"), s.hear(resync.Created, "b", "c")
	require.Equal(t, []string{"create"}, s.next(create))
	<-one.Done()
	<-other.Done()
	require.Equal(t, 3, s.v.State.Unassigned())

	again := s.hear(resync.Created, "d", "a")
	require.Equal(t, Proposal{Again: s.v.Now.Add(Gather)}, create.Next(&s.v), "what arrives meanwhile shares the next piece")
	s.v.Now = s.v.Now.Add(Gather)
	p := create.Next(&s.v)
	require.Equal(t, Answer{resync.Created, []string{"a"}}, p.Answer, "it is there already: who leads may say so")
	require.Equal(t, []string{"create"}, s.next(create))
	require.False(t, again.Ended(), "until that is proven")
}

func TestADeleteTakesFromWhereverItIs(t *testing.T) {
	s := tell(t, orders.Orders{Stay: []int{0, 1}, Ready: []int{0, 1}, Capacity: 9})
	open := &Open{Opened: func(_, _, _ []int) {}}
	for len(s.next(open)) > 0 {
	}
	create, remove := &Create{}, Delete{}
	s.assign(0, "a", "b", "c")
	s.assign(1, "d")
	m, err := protocol.Revoke(s.v.State, 0, []string{"c"}, []int{1}, "")
	s.commit(m, err)
	s.hear(resync.Created, "e", "f")
	require.Equal(t, []string{"create"}, s.next(create))
	deleted := s.hear(resync.Deleted, "a", "c", "d", "e")
	s.v.Written[1] = s.v.Now
	p := remove.Next(&s.v)
	require.Equal(t, s.v.Now.Add(time.Second), p.Again, "the list of 1 was written a moment ago")
	require.Equal(t, []string{"redirect", "delete-pooled", "revoke"}, s.next(remove))
	require.False(t, deleted.Ended())
	s.v.Now = s.v.Now.Add(time.Second)
	require.Equal(t, []string{"revoke"}, s.next(remove))
	<-deleted.Done()
	require.Equal(t, []string{"b"}, s.v.State.Instances[0].IDs.Strings())
	require.Equal(t, 1, s.v.State.Unassigned())
	for _, f := range s.v.State.Flight {
		require.Equal(t, f.IDs.Len(), f.Deletes())
	}

	back := s.hear(resync.Created, "a")
	s.v.Now = s.v.Now.Add(time.Second)
	require.Equal(t, []string{"redirect"}, s.next(create), "its delete is in flight")
	<-back.Done()
}

func TestNothingIsSentForACallerThatGaveUp(t *testing.T) {
	s := tell(t, orders.Orders{})
	create, remove := &Create{}, Delete{}
	s.hear(resync.Created, "a")
	require.Equal(t, []string{"create"}, s.next(create))
	s.hear(resync.Deleted, "a")
	p := remove.Next(&s.v)
	require.Len(t, p.Jobs, 1)
	s.inventory.Writer.Answer(resync.Deleted, []string{"a"}) // it is wanted no more
	require.ErrorIs(t, p.Jobs[0].Multi.Gate(), inventory.ErrGaveUp)
}

func TestWhatIsReleasedGoesWhereItMayAndElseToThePool(t *testing.T) {
	s := tell(t, orders.Orders{
		Stay: []int{0, 1, 2, 3}, Ready: []int{0, 1, 2, 3}, Capacity: 3, HandOff: config.HandOffImmediate, Settle: 5 * time.Second,
	})
	open := &Open{Opened: func(_, _, _ []int) {}}
	for len(s.next(open)) > 0 {
	}
	s.assign(0, "a", "b", "c")
	s.assign(1, "d")
	s.assign(2, "e", "f", "g")
	m, err := protocol.Revoke(s.v.State, 2, []string{"e", "f", "g"}, []int{0, 1, protocol.ToDelete}, "")
	s.commit(m, err)
	flight := s.v.State.FlightNames()[0]
	granted, pooled := map[int][]Part{}, []Part(nil)
	grant := &Grant{
		Granted: func(n int, parts []Part) { granted[n] = parts },
		Pooled:  func(part Part) { pooled = append(pooled, part) },
	}
	require.Equal(t, s.v.Now.Add(5*time.Second), grant.Next(&s.v).Again, "it settles")
	s.v.Now = s.v.Now.Add(5 * time.Second)
	s.v.Written[1] = s.v.Now
	p := grant.Next(&s.v)
	require.Equal(t, s.v.Now.Add(time.Second), p.Again, "the list of 1 was written a moment ago")
	s.next(grant)
	s.next(grant)
	require.Equal(t, []Part{{flight, 1}}, pooled, "0 is full")
	for _, piece := range s.v.State.Pool {
		require.Equal(t, []string{"e"}, piece.IDs.Strings())
	}
	require.Empty(t, granted)
	s.v.Now = s.v.Now.Add(time.Second)
	require.Equal(t, []string{"grant"}, s.next(grant))
	require.Equal(t, map[int][]Part{1: {{flight, 1}}}, granted)
	require.Equal(t, []string{"d", "f"}, s.v.State.Instances[1].IDs.Strings())
	require.Empty(t, s.v.State.Flight)
	require.Equal(t, 1, s.v.State.Unassigned())
	require.NoError(t, s.v.State.Check())
}

func TestAnAssumedDeadInstanceIsReassignedAndAnUnprovenOneIsNot(t *testing.T) {
	s := tell(t, orders.Orders{
		Stay: []int{0, 1, 2}, Reassign: []int{1}, AssumedDead: map[string]bool{"u2": true},
		Pods: map[int]string{1: "u1", 2: "u2"}, HandOff: config.HandOffAcknowledged, Capacity: 5,
	})
	for n := range 3 {
		m, err := protocol.AddOrdinal(s.v.State, n, 5)
		s.commit(m, err)
	}
	stay, unproven := release.New().Reassign(&s.v.View)
	require.Equal(t, []int{0, 1}, stay)
	require.Contains(t, unproven[1], "the status is absent")
}
