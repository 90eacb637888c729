package scaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/actuate"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// Leaders are killed a thousand times: between ticks, and within one wherever something has just
// been kept or was about to be. Beside them a leader of the same world is never killed; both must
// decide the same to the end.

// line is one of the two worlds, and what leads in it.
type line struct {
	w *world
	m *mortal
	s *Scaler
	// usage is the mean CPU of a pod now, in milli.
	usage int64
}

func newLine(t *testing.T) *line {
	w := newWorld(t, 6)
	w.cfg.CPU = &config.ResourceTarget{TargetUtilization: 50}
	w.cfg.Heartbeat = config.Default("Thing", "x").Heartbeat
	up, down, pace := config.Duration(20*second), config.Duration(90*second), config.Duration(time.Minute)
	w.cfg.Behavior.ScaleUp.StabilizationWindow, w.cfg.Behavior.ScaleDown.StabilizationWindow = &up, &down
	w.cfg.Behavior.ScaleUp.Policies = []config.ScalingPolicy{{Type: config.PolicyPods, Value: 3, Period: pace}}
	w.cfg.Behavior.ScaleDown.Policies = []config.ScalingPolicy{{Type: config.PolicyPods, Value: 2, Period: pace}}
	w.cfg.Behavior.ScaleUp.CoolDown, w.cfg.Behavior.ScaleDown.CoolDown = config.Duration(15*second), config.Duration(30*second)
	w.place(300)
	l := &line{w: w}
	l.elect()
	return l
}

// look is a tick of the leader that sees what usage says.
func (l *line) look() outcome.Report {
	k := l.w.snapshot()
	for i := range k.Instances {
		if p := k.Instances[i].Pod; p != nil {
			p.CPURequest = 1000
			k.Instances[i].Usage = &observed.Usage{At: l.w.now, Window: 15 * second, CPU: l.usage}
		}
	}
	return look(context.Background(), l.w.t, l.s, l.w.now, l.w.cfg, k)
}

// settle lets all others do their part.
func (l *line) settle() {
	l.w.settlePods()
	l.w.settleEngine()
}

var errKilled = errors.New("this process is gone")

// mortal makes the n-th attempt of a tick to keep something the end of its leader: nothing that it
// does afterwards has any effect.
type mortal struct {
	*world
	keeps         int // left to live
	dead          bool
	conflict      bool // it dies before the size is written
	kept, resized bool
}

func (m *mortal) Keep(ctx context.Context, name string, change orders.Update) error {
	if m.keeps--; m.keeps < 0 || m.dead {
		m.dead = true
		return errKilled
	}
	m.kept = true
	return m.world.Keep(ctx, name, change)
}

func (m *mortal) Drained(ctx context.Context, ordinals []int) (map[int]int, error) {
	if m.dead {
		return nil, errKilled
	}
	return m.world.Drained(ctx, ordinals)
}

func (m *mortal) Claim(ctx context.Context, w actuate.Workload, leader string) error {
	if m.dead {
		return errKilled
	}
	return m.world.Claim(ctx, w, leader)
}

func (m *mortal) Resize(ctx context.Context, w actuate.Workload, read actuate.Size, replicas int) error {
	if m.dead || m.conflict {
		return errKilled
	}
	m.resized = true
	return m.world.Resize(ctx, w, read, replicas)
}

// elect gives the line a new leader, which goes on with what was kept.
func (l *line) elect() {
	l.w.epoch++
	l.w.holder = fmt.Sprintf("leader/%d", l.w.epoch)
	l.m = &mortal{world: l.w, keeps: math.MaxInt}
	l.s = New(Config{Kind: "Thing"}, l.m, l.m, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	l.s.doc.ticks = 0 // the lines are compared to the tick; of less there is TestADecisionAtRestIsKeptNowAndThen
}

// script is what happens in the world of every line.
type script struct {
	*rand.Rand
	usage int64
}

func (r *script) happens(steady, mortals *line) {
	if r.IntN(3) == 0 {
		r.usage = 100 + r.Int64N(600)
	}
	created, deletes := r.IntN(120), r.IntN(8) == 0
	// No other writer overwrites what we wrote before it was seen: each leader finds that out anew,
	// while it acts.
	raise := r.IntN(60) == 0 && steady.s.history.Replicas == steady.w.size
	paused := r.IntN(20) == 0 // which also lifts what a second raise stopped
	pause := time.Duration(1+r.IntN(8)) * second
	for _, l := range []*line{steady, mortals} {
		l.w.now = l.w.now.Add(pause)
		l.usage, l.w.cfg.Paused = r.usage, paused
		resources := l.w.pool
		for n, owns := range l.w.lists {
			if resources += owns; deletes {
				l.w.lists[n] /= 2
			}
		}
		if resources < 700 {
			l.w.pool += created
		}
		if raise {
			l.w.scaleBy("kubectl", l.w.size+1)
		}
	}
}

// diverge kills so many leaders of one line, and returns after how many of them it had decided or
// remembered otherwise than the line whose leader lives on; -1: never. forget drops what leaders
// have kept.
func diverge(t *testing.T, kills int, forget bool) (after int, seen map[decide.Reason]int) {
	r := &script{Rand: rand.New(rand.NewPCG(1, 2))} //nolint:gosec // a story that can be told again, no secret
	mortals, steady := newLine(t), newLine(t)
	seen = map[decide.Reason]int{}
	for _, l := range []*line{mortals, steady} {
		l.look() // takes the head
		l.settle()
	}
	losses := 0
	for kill := 0; kill < kills; {
		r.happens(steady, mortals)
		*mortals.m = mortal{world: mortals.w, keeps: math.MaxInt}
		// a minute without any leader would begin the windows anew, and rightly so
		dies := r.IntN(3) > 0 && losses < 4
		if dies {
			kill++
			mortals.m.keeps = r.IntN(4)
		}
		got, m := mortals.look(), *mortals.m
		if dies {
			mortals.elect()
		}
		if forget {
			clear(mortals.w.docs)
		}
		if losses++; m.dead && !m.kept {
			require.False(t, m.resized, "a size was written that no successor will know of")
			continue // as if no leader had looked
		}
		losses = 0
		if *steady.m = (mortal{world: steady.w, keeps: math.MaxInt}); m.dead && !m.resized {
			steady.m.keeps = 0 // it may write as little
		}
		want := steady.look()
		mortals.settle()
		steady.settle()
		if m.dead {
			continue
		}
		// since when is told from one look before, if that leader died in the middle of its own
		got.Drain, want.Drain = nil, nil
		if text(t, got) != text(t, want) || !dies && text(t, mortals.s.history) != text(t, steady.s.history) {
			return kill, seen
		}
		require.Equal(t, steady.w.size, mortals.w.size)
		require.Equal(t, steady.w.open, mortals.w.open)
		require.Equal(t, steady.w.lists, mortals.w.lists)
		seen[got.Reason]++
		for _, l := range got.Limits {
			seen[l.By]++
		}
	}
	return -1, seen
}

func text(t *testing.T, v any) string {
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	return string(raw)
}

func TestAThousandLeaderKillsLoseNoWindow(t *testing.T) {
	after, seen := diverge(t, 1000, false)
	require.Equal(t, -1, after)
	t.Log(seen)
	for _, reason := range []decide.Reason{decide.ByCount, decide.ByCPU, decide.ByWindow, decide.ByRate, decide.ByCoolDown, decide.ByForeignRaise} {
		require.Positive(t, seen[reason], "%s never decided: its memory was not tried", reason)
	}
	after, _ = diverge(t, 1000, true)
	require.NotEqual(t, -1, after, "leaders that forget are not noticed: this test could not fail")
}

// A leader that ends between keeping what it will write and writing it leaves a size that its
// successor writes; and one that ends right after the write leaves no size that its successor takes
// for another's.
func TestAKillAroundAWriteIsNoForeignRaise(t *testing.T) {
	for _, written := range []bool{false, true} {
		l := newLine(t)
		l.usage = 500
		l.w.cfg.CPU = nil
		for range 3 {
			l.w.now = l.w.now.Add(2 * second)
			l.look()
			l.settle()
		}
		l.w.pool = 400
		l.w.now = l.w.now.Add(2 * second)
		if l.m.keeps = 1; !written {
			l.m.conflict = true
		}
		l.look()
		require.Equal(t, written, l.w.size == 7)
		l.elect()
		l.w.now = l.w.now.Add(2 * second)
		l.look()
		require.Equal(t, 7, l.w.size)
		require.Nil(t, l.s.history.Raised)
	}
}
