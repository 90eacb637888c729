package timeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/history"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a ZooKeeper with an engine that writes to it while leads is set.
type memory struct {
	mu     sync.Mutex
	leads  bool
	doc    *protocol.Doc
	parts  map[string]protocol.Znode
	reads  map[string]int
	writes []time.Time
	// refuse, if set, is what a write fails with; lost: it is done all the same, and asked for again.
	refuse error
	lost   bool
	away   bool // no piece can be read
}

func newMemory() *memory {
	return &memory{leads: true, parts: map[string]protocol.Znode{}, reads: map[string]int{}}
}

func (m *memory) Leading() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leads
}

func (m *memory) KeptDocument(string) *protocol.Doc {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.doc
}

func (m *memory) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

func (m *memory) KeepParts(_ context.Context, _ string, change orders.PartsUpdate) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		var old []byte
		if m.doc != nil {
			old = m.doc.Data
		}
		fresh, parts, err := change(old)
		switch {
		case !m.leads:
			return orders.ErrNotLeading
		case err != nil:
			return fmt.Errorf("keep: %w", err)
		case m.refuse != nil && !m.lost:
			return m.refuse
		}
		if m.conflicts(parts) {
			continue // the engine reads again, and asks again
		}
		for _, p := range parts {
			if p.Data == nil {
				delete(m.parts, p.Name)
				continue
			}
			m.parts[p.Name] = protocol.Znode{Stat: protocol.Stat{Version: p.Version + 1}, Data: p.Data}
		}
		m.doc = &protocol.Doc{Data: fresh}
		m.writes = append(m.writes, time.Now())
		if m.lost {
			m.lost = false
			continue
		}
		return nil
	}
}

func (m *memory) conflicts(parts []protocol.Part) bool {
	for _, p := range parts {
		if was, there := m.parts[p.Name]; there != (p.Version >= 0) || there && was.Version != p.Version {
			return true
		}
	}
	return false
}

func (m *memory) ReadPart(_ context.Context, _, _, part string) (*protocol.Znode, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads[part]++
	if m.away {
		return nil, errors.New("no session")
	}
	z, there := m.parts[part]
	if !there {
		return nil, nil
	}
	return &z, nil
}

// replica is a Keeper that follows.
type replica struct {
	*Keeper
	stop    context.CancelFunc
	running sync.WaitGroup
}

func follow(t *testing.T, m *memory) *replica {
	ctx, cancel := context.WithCancel(t.Context())
	r := &replica{Keeper: New("Thing", m, m, slog.New(slog.NewTextHandler(t.Output(), nil))), stop: cancel}
	r.running.Go(func() { r.Run(ctx) })
	return r
}

func (r *replica) end() {
	r.stop()
	r.running.Wait()
}

// lead records until the returned function is called.
func (r *replica) lead(t *testing.T) (resign func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		r.Record(ctx)
		close(done)
	}()
	synctest.Wait()
	return func() {
		cancel()
		<-done
	}
}

func (r *replica) all(types ...string) []ops.Entry {
	return r.List(history.Query{Types: types, Limit: history.MaxLimit}).Items
}

var random = rand.New(rand.NewPCG(1, 1)) //nolint:gosec // no secret

func tick(now time.Time, desired int) history.Tick {
	current := 3
	return history.Tick{
		Now: now, Config: config.Default("Thing", "iota-dac"),
		Observed: observed.Kind{
			Name: "Thing", Workload: &observed.Workload{Replicas: current, ReadyReplicas: current}, Assigned: random.IntN(1000),
			Sources: observed.Sources{Store: observed.Source{At: now}},
		},
		Report: &outcome.Report{Decision: decide.Decision{Kind: "Thing", At: now, Current: &current, Desired: desired, Verb: decide.NoChange, Summary: fmt.Sprintf("desired %d", desired)}},
	}
}

// ticks lets a leader tick each two seconds for so long.
func (r *replica) ticks(long time.Duration, desired int) {
	for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(2 * time.Second) {
		r.Tick(tick(time.Now(), desired))
	}
	synctest.Wait()
}

// A leader stores once a minute, what a person did at once, and the rest when it resigns; a follower
// shows the same.
func TestALeaderStoresEachMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		leader, follower := follow(t, m), follow(t, m)
		defer leader.end()
		defer follower.end()
		resign := leader.lead(t)
		leader.ticks(10*time.Minute, 3)
		require.InDelta(t, 10, len(m.writes), 1)
		require.GreaterOrEqual(t, len(follower.all(history.TypeSample)), 9)
		require.Empty(t, leader.all(history.TypeGap))

		before := len(m.writes)
		for range 20 { // a person presses the button again and again
			leader.Changed(ops.ChangeEntry{By: "ada", What: "pause"})
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, len(m.writes)-before, 3)
		leader.ticks(3*time.Second, 3)
		require.Len(t, follower.all(history.TypeChange), 20, "seconds later each replica shows it")
		leader.Changed(ops.ChangeEntry{By: "ada", What: "resume"})
		synctest.Wait()
		require.Equal(t, time.Now(), m.writes[len(m.writes)-1], "one alone does not wait")

		leader.ticks(10*time.Second, 7)
		require.Len(t, leader.all(history.TypeDecision), 1, "it waits")
		resign()
		leader.ticks(2*time.Second, 9) // what is not led any more is not recorded
		require.Len(t, leader.all(history.TypeDecision), 2)
		require.Equal(t, leader.all(), follower.all())
		d := follower.all(history.TypeDecision)[0]
		require.Equal(t, "desired 7", d.Decision.Summary)
		whole, kept := follower.Decided(d.ID)
		require.True(t, kept)
		require.Equal(t, 7, whole.Report.Desired)
		total := 0
		for _, n := range m.reads {
			total += n
		}
		require.LessOrEqual(t, total, len(m.writes)+1, "only the follower reads, and only what changed")
	})
}

// A leader that dies leaves a gap of a minute at most, which its successor marks. The successor
// goes on in the same piece, with higher ids.
func TestASuccessorMarksWhatWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		first, second := follow(t, m), follow(t, m)
		defer first.end()
		defer second.end()
		died := first.lead(t)
		first.ticks(5*time.Minute+40*time.Second, 3)
		m.set(func() { m.leads = false })
		died() // the last update is refused
		m.set(func() { m.leads = true })
		before := second.all()
		stored := m.writes[len(m.writes)-1]
		time.Sleep(20 * time.Second)
		begun := time.Now()
		resign := second.lead(t)
		second.ticks(2*time.Minute+10*time.Second, 3)
		resign()
		time.Sleep(2 * lookEvery)
		gaps := first.all(history.TypeGap)
		require.Len(t, gaps, 1)
		require.Equal(t, history.GapLeaderEnded, gaps[0].Gap.Reason)
		require.WithinDuration(t, stored, gaps[0].At, time.Second)
		require.WithinDuration(t, begun, gaps[0].Until, time.Second)
		require.LessOrEqual(t, gaps[0].Until.Sub(gaps[0].At), flushEvery+20*time.Second+time.Second)
		all := second.all()
		require.Equal(t, before, all[len(all)-len(before):])
		require.Equal(t, all, first.all())
		require.Len(t, m.parts, 1)

		time.Sleep(30 * time.Second) // and a leader that has stored everything leaves none
		resign = first.lead(t)
		first.ticks(70*time.Second, 3)
		resign()
		require.Len(t, first.all(history.TypeGap), 1)
	})
}

// What a person did on a leader that is killed a moment later is there, and who led for a moment is
// not taken for no one. Until it leads, a leader does not know what the one before it had to say.
func TestAShortTermLeavesWhatAPersonDid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		first, second := follow(t, m), follow(t, m)
		defer first.end()
		defer second.end()
		killed := func(r *replica, after time.Duration) {
			die := r.lead(t)
			m.set(func() { m.leads = true })
			time.Sleep(soonEvery + time.Millisecond)
			r.Changed(ops.ChangeEntry{By: "ada", What: "pause"})
			time.Sleep(after)
			m.set(func() { m.leads = false })
			die()
		}
		killed(first, time.Second)
		time.Sleep(30 * time.Second)
		killed(second, time.Second)
		time.Sleep(30 * time.Second)

		resign := first.lead(t) // for so long the head is not taken, and the one before has a last word
		time.Sleep(5 * time.Second)
		until := time.Now().UTC().Truncate(time.Second)
		c, err := history.ParseContents(m.doc.Data)
		require.NoError(t, err)
		c.Until = until
		m.set(func() { m.doc, m.leads = &protocol.Doc{Data: mustJSON(t, c)}, true })
		first.ticks(10*time.Second, 3)
		resign()
		time.Sleep(2 * lookEvery)
		require.Len(t, second.all(history.TypeChange), 2)
		gaps := second.all(history.TypeGap)
		require.Len(t, gaps, 1, "between the two that were killed")
		require.WithinDuration(t, gaps[0].At.Add(31*time.Second), gaps[0].Until, 2*time.Second)
	})
}

func mustJSON(t *testing.T, v any) []byte {
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return data
}

// An answer that was lost leads to nothing twice.
func TestALostAnswerStoresNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		leader := follow(t, m)
		defer leader.end()
		resign := leader.lead(t)
		for range 3 {
			m.set(func() { m.lost = true })
			leader.ticks(time.Minute, 3)
		}
		resign()
		all := leader.all()
		require.Len(t, all, 4, "three samples and a decision")
		require.Len(t, m.writes, 4)
	})
}

// While ZooKeeper takes nothing, what is recorded waits.
func TestWhatCannotBeStoredWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		leader := follow(t, m)
		defer leader.end()
		resign := leader.lead(t)
		m.set(func() { m.refuse = errors.New("away") })
		for i := range 10 {
			leader.ticks(time.Minute, i)
		}
		require.Empty(t, leader.all())
		m.set(func() { m.refuse = nil })
		leader.ticks(time.Minute+time.Second, 10)
		require.Len(t, leader.all(history.TypeDecision), 11)
		require.Empty(t, leader.all(history.TypeGap))
		resign()
	})
}

// Whatever another client does to pieces and contents, the history goes on, and what it cannot read
// is a gap; other documents do not wait.
func TestOthersWhoWriteCannotEndTheHistory(t *testing.T) {
	for name, meddle := range map[string]func(m *memory){
		"a piece is written": func(m *memory) {
			for name, z := range m.parts {
				z.Version, z.Data = z.Version+1, []byte("?")
				m.parts[name] = z
			}
		},
		"a piece is deleted":           func(m *memory) { clear(m.parts) },
		"the contents are written":     func(m *memory) { m.doc = &protocol.Doc{Data: []byte(`{"v":1,"next":"?"}`)} },
		"the contents are of long ago": func(m *memory) { m.doc = &protocol.Doc{Data: []byte(`{"v":1,"next":5,"pieces":[]}`)} },
		"the contents have gone":       func(m *memory) { m.doc = nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				leader, follower := follow(t, m), follow(t, m)
				defer leader.end()
				defer follower.end()
				resign := leader.lead(t)
				leader.ticks(3*time.Minute+2*time.Second, 3)
				m.set(func() { meddle(m) })
				leader.ticks(3*time.Minute, 4)
				resign()
				fresh := follow(t, m)
				defer fresh.end()
				time.Sleep(5 * time.Second)
				synctest.Wait()
				decisions := fresh.all(history.TypeDecision)
				require.NotEmpty(t, decisions)
				require.Equal(t, "desired 4", decisions[0].Decision.Summary)
				require.GreaterOrEqual(t, len(fresh.all(history.TypeSample)), 3)
				for _, e := range fresh.all(history.TypeGap) {
					require.Equal(t, history.GapDamaged, e.Gap.Reason)
				}
			})
		})
	}
}

// A replica that cannot read pieces says so, and reads them when it can.
func TestAPieceThatCannotBeReadIsReadLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		leader := follow(t, m)
		defer leader.end()
		resign := leader.lead(t)
		leader.ticks(2*time.Minute, 3)
		resign()
		m.set(func() { m.away = true })
		late := follow(t, m)
		defer late.end()
		time.Sleep(5 * time.Second)
		require.Equal(t, history.GapUnread, late.all()[0].Gap.Reason)
		require.Contains(t, late.all()[0].Gap.Text, "no session")
		m.set(func() { m.away = false })
		time.Sleep(rereadEvery + lookEvery)
		require.Equal(t, leader.all(), late.all())
	})
}
