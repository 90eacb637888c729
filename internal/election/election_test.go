package election

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/wake"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

const timeout = 2500 * time.Millisecond

// ensemble holds one beat, as ZooKeeper would.
type ensemble struct {
	mu      sync.Mutex
	beat    protocol.Beat
	version int32
	writes  []time.Time
	readers []*connection
}

func newEnsemble() *ensemble { return &ensemble{version: -1} }

// connection is one replica's way to the ensemble.
type connection struct {
	*ensemble
	changed wake.Signal
	// cut: nothing gets there; deaf: it does, and no answer comes.
	cut, deaf bool
}

func (e *ensemble) connect() *connection {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := &connection{ensemble: e, changed: wake.New()}
	e.readers = append(e.readers, c)
	return c
}

// set cuts a connection or mends it, which a session would tell of.
func (c *connection) set(cut, deaf bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut, c.deaf = cut, deaf
	c.changed.Wake()
}

func (c *connection) unanswered(ctx context.Context) error {
	<-ctx.Done()
	return fmt.Errorf("%w: %w", protocol.ErrUnavailable, ctx.Err())
}

func (c *connection) state() (cut, deaf bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut, c.deaf
}

func (c *connection) Read(ctx context.Context) (protocol.Beat, int32, error) {
	if cut, deaf := c.state(); cut || deaf {
		return protocol.Beat{}, 0, c.unanswered(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.beat, c.version, nil
}

func (c *connection) Changed() <-chan struct{} { return c.changed }

func (c *connection) Write(ctx context.Context, beat protocol.Beat, version int32) (int32, error) {
	cut, deaf := c.state()
	if cut {
		return 0, c.unanswered(ctx)
	}
	next, err := c.put(beat, version)
	if deaf {
		return 0, c.unanswered(ctx)
	}
	return next, err
}

func (e *ensemble) put(beat protocol.Beat, version int32) (int32, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if version != e.version {
		return 0, fmt.Errorf("%w: version", protocol.ErrFenced)
	}
	e.beat, e.version = beat, e.version+1
	e.writes = append(e.writes, time.Now())
	for _, c := range e.readers {
		c.changed.Wake()
	}
	return e.version, nil
}

// replica is one that takes part, and what its host was told.
type replica struct {
	name string
	*connection
	mu           sync.Mutex
	terms        int
	leads, heard bool
	address      string
	trouble      error
	stop         func()
	election     *Election
}

func (r *replica) Lead(context.Context) {
	r.note(func() { r.terms, r.leads, r.heard = r.terms+1, true, true })
}

func (r *replica) Heard(heard bool) { r.note(func() { r.heard = heard }) }

func (r *replica) Resign() { r.note(func() { r.leads, r.heard = false, false }) }

func (r *replica) Follow(address string) { r.note(func() { r.address = address }) }

func (r *replica) Trouble(err error) { r.note(func() { r.trouble = err }) }

func (r *replica) note(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *replica) now() (terms int, leads, heard bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.terms, r.leads, r.heard
}

func (r *replica) told() (address string, trouble error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.address, r.trouble
}

func (e *ensemble) start(t *testing.T, name string, older Older) *replica {
	r := &replica{name: name, connection: e.connect()}
	r.election = New(Config{
		Holder: name, Address: name + "@there", Timeout: timeout, Beats: r.connection, Older: older, Host: r, Log: slog.New(slog.DiscardHandler),
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.election.Run(ctx)
	}()
	r.stop = func() { stop(); <-done }
	t.Cleanup(r.stop)
	return r
}

func leader(t *testing.T, all ...*replica) *replica {
	t.Helper()
	var found *replica
	for _, r := range all {
		if _, leads, heard := r.now(); leads && heard {
			require.Nil(t, found, "two lead and are heard")
			found = r
		}
	}
	require.NotNil(t, found, "none leads")
	return found
}

func TestOneLeadsAndKeepsLeading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnsemble()
		all := []*replica{e.start(t, "a", nil), e.start(t, "b", nil), e.start(t, "c", nil)}
		synctest.Wait()
		first := leader(t, all...)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Same(t, first, leader(t, all...))
		for _, r := range all {
			address, _ := r.told()
			require.Equal(t, first.name+"@there", address)
		}
		require.LessOrEqual(t, len(e.writes), 3601, "more than a small write a second")
	})
}

// Whatever takes the leader away, another one leads within the time-out after its last beat, and
// the former one leads no more once it hears of that.
func TestASilentLeaderIsReplaced(t *testing.T) {
	for name, fault := range map[string]func(*replica){
		"cut off":                 func(r *replica) { r.set(true, false) },
		"its answers do not come": func(r *replica) { r.set(false, true) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEnsemble()
				a := e.start(t, "a", nil)
				synctest.Wait()
				b, c := e.start(t, "b", nil), e.start(t, "c", nil)
				time.Sleep(10*time.Second + 700*time.Millisecond)
				fault(a)
				if name == "its answers do not come" {
					time.Sleep(timeout) // what it sends still beats, and once it hears nothing it goes on
					_, _, heard := a.now()
					require.False(t, heard)
					a.set(true, false)
				}
				time.Sleep(timeout + 10*time.Millisecond)
				synctest.Wait()
				second := leader(t, b, c)
				_, _, heard := a.now()
				require.False(t, heard, "it knows that another may lead")
				a.set(false, false)
				time.Sleep(2 * timeout)
				synctest.Wait()
				require.Same(t, second, leader(t, a, b, c))
				_, leads, _ := a.now()
				require.False(t, leads)
			})
		})
	}
}

func TestAStoppedLeaderIsReplacedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnsemble()
		a := e.start(t, "a", nil)
		synctest.Wait()
		b := e.start(t, "b", nil)
		time.Sleep(5 * time.Second)
		begun := time.Now()
		a.stop()
		synctest.Wait()
		require.Same(t, b, leader(t, a, b))
		require.Zero(t, time.Since(begun))
	})
}

// A leader whose beat was written though its answer was lost goes on under the version that it reads.
func TestALostAnswerEndsNoTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnsemble()
		a := e.start(t, "a", nil)
		time.Sleep(5*time.Second + 900*time.Millisecond)
		a.set(false, true)
		time.Sleep(500 * time.Millisecond) // a beat is sent
		a.set(false, false)
		time.Sleep(2 * timeout)
		synctest.Wait()
		terms, leads, heard := a.now()
		require.Equal(t, 1, terms)
		require.True(t, leads && heard)
	})
}

// Time in which the ensemble answers nobody is not the leader's silence.
func TestAnEnsembleThatIsAwayChangesNoLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnsemble()
		a := e.start(t, "a", nil)
		synctest.Wait()
		b := e.start(t, "b", nil)
		time.Sleep(5 * time.Second)
		a.set(true, false)
		b.set(true, false)
		time.Sleep(time.Minute)
		_, leads, heard := a.now()
		require.True(t, leads, "it goes on deciding, blind")
		require.False(t, heard, "and takes no messages")
		a.set(false, false)
		b.set(false, false)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Same(t, a, leader(t, a, b))
		terms, _, _ := a.now()
		require.Equal(t, 1, terms)
	})
}

// A beat that was deleted or overwritten by hand is another's, and a leader of an unknown build that
// is silent is replaced.
func TestABeatEditedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnsemble()
		a := e.start(t, "a", nil)
		time.Sleep(5*time.Second + 100*time.Millisecond)
		e.mu.Lock()
		e.beat, e.version = protocol.Beat{}, -1
		e.mu.Unlock()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Same(t, a, leader(t, a))
		_, err := e.put(protocol.Beat{Holder: "unreadable"}, e.version)
		require.NoError(t, err)
		time.Sleep(1200 * time.Millisecond)
		_, leads, _ := a.now()
		require.False(t, leads)
		time.Sleep(2 * timeout)
		synctest.Wait()
		require.Same(t, a, leader(t, a))
	})
}

// At random replicas are stopped, cut and mended: two are never heard as leaders at once, and in
// the end one leads.
func TestNeverTwoHeard(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			e := newEnsemble()
			all := []*replica{e.start(t, "a", nil), e.start(t, "b", nil), e.start(t, "c", nil)}
			changes := 0
			last := ""
			for range 300 {
				time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
				r := all[random.IntN(len(all))]
				r.set(random.IntN(3) == 0, random.IntN(3) == 0)
				synctest.Wait()
				heard := 0
				for _, r := range all {
					if _, leads, h := r.now(); leads && h {
						heard++
						if r.name != last {
							last, changes = r.name, changes+1
						}
					}
				}
				require.LessOrEqual(t, heard, 1)
			}
			require.Greater(t, changes, 5, "nothing happened")
			for _, r := range all {
				r.set(false, false)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			leader(t, all...)
		})
	}
}

// older is an election of older builds that a test holds.
type older struct {
	mu     sync.Mutex
	leader string
}

func (o *older) Leader(context.Context) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.leader
}

func (o *older) set(leader string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.leader = leader
}

func (o *older) Hold(ctx context.Context) string {
	for o.Leader(ctx) == "" && wake.Sleep(ctx, time.Second) {
	}
	return o.Leader(ctx)
}

func (o *older) Release(context.Context) {}

func TestNoneLeadsBesideAnOlderBuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, o := newEnsemble(), &older{leader: "former@there"}
		a := e.start(t, "a", o)
		for range 600 { // all the time
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			terms, _, _ := a.now()
			require.Zero(t, terms)
			address, _ := a.told()
			require.Equal(t, "former@there", address)
		}
		o.set("")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		leader(t, a)
		o.set("former@there") // it was elected all the same
		time.Sleep(2 * time.Second)
		synctest.Wait()
		_, leads, _ := a.now()
		require.False(t, leads)
		require.Empty(t, e.beat.Holder, "it has given the beat up")
	})
}

// The beat is still this replica's own, since giving it up got no answer: it is no reason to lead
// beside an older build, and nothing to wait for when there is none.
func TestABeatOfItsOwnIsTakenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, o := newEnsemble(), &older{leader: "former@there"}
		e.beat, e.version = protocol.Beat{Holder: "a"}, 3
		a := e.start(t, "a", o)
		time.Sleep(time.Minute)
		synctest.Wait()
		terms, _, _ := a.now()
		require.Zero(t, terms)
		o.set("")
		time.Sleep(slowRetry)
		synctest.Wait()
		leader(t, a)
	})
}

// refusing refuses what is written.
type refusing struct{ *connection }

func (r refusing) Write(context.Context, protocol.Beat, int32) (int32, error) {
	return 0, fmt.Errorf("%w: WRITE is missing", protocol.ErrRefused)
}

func TestWhoMayNotBeatDoesNotLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnsemble()
		r := &replica{connection: e.connect()}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go New(Config{Holder: "a", Timeout: timeout, Beats: refusing{r.connection}, Host: r, Log: slog.New(slog.DiscardHandler)}).Run(ctx)
		for range 600 { // all the time
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			_, trouble := r.told()
			require.ErrorIs(t, trouble, protocol.ErrRefused)
		}
		terms, _, _ := r.now()
		require.Zero(t, terms)
		stop()
		synctest.Wait()
	})
}
