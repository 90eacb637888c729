package scaler

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// An ordinary drain waits for one acknowledgement after the other, and says so. That is no reason
// to warn a person.
func TestAnOrdinaryDrainRaisesNoWarning(t *testing.T) {
	w, s := led(t, 4, 400)
	for n := range 4 {
		w.lists[n] = 40
	}
	for i := 0; w.size == 4; i++ {
		w.blocked = fmt.Sprintf("instance 3 has not released 4 resources: the instance has applied %d, not yet %d", i, i+1)
		if w.perStep = 0; i%25 == 24 { // each acknowledgement takes 50 s
			w.perStep = 4
		}
		if d := w.tick(s, 2*second); d.Phase() == outcome.Emptying {
			require.Equal(t, w.blocked, d.Drain.Blocked, "what it waits for is shown at once")
		}
		require.Less(t, i, 1000)
	}
	require.Equal(t, []string{"replicas 4 -> 2"}, w.took())
	require.Contains(t, w.events, "Draining")
	require.Empty(t, w.warnings)
}

func TestADrainIsCalledBlockedAfterATimeThatNoAcknowledgementTakes(t *testing.T) {
	w, s := led(t, 4, 400)
	clear(w.lists)
	w.lists[3], w.perStep, w.blocked = 40, 0, "instance 3 has not released 40 resources"
	var began time.Time
	for range 100 {
		d := w.tick(s, 2*second)
		if d.Phase() != outcome.Emptying {
			continue
		}
		if began.IsZero() {
			began = w.now
		}
		if w.now.Sub(began) < outcome.WarnedAfter {
			require.Empty(t, w.warnings)
		}
	}
	require.Equal(t, []string{"DrainBlocked"}, w.warnings, "then once, not with each look")

	// It gets on, and so a new minute begins. A new leader knows since when it waits.
	w.perStep = 10
	w.tick(s, 2*second)
	w.perStep, w.warnings = 0, nil
	for range 20 {
		w.tick(s, 2*second)
	}
	require.Empty(t, w.warnings)
	w.holder, w.epoch = "two/b", 2
	s = w.scaler(Config{})
	for range 12 {
		w.tick(s, 2*second)
	}
	require.Equal(t, []string{"DrainBlocked"}, w.warnings)
}

func TestAnInstanceGroupIsCalledBlockedWhenItsDrainGetsOnNoMore(t *testing.T) {
	w, s := grouped(t, 4, 100)
	w.lists[2], w.blocked = 50, "instance 2 has not released 5 resources"
	w.wish(2)
	for i := range 20 { // an acknowledgement every other look
		w.perStep = 5 * (i % 2)
		w.tick(s, 2*second)
		require.NotEqual(t, v1alpha1.DrainBlocked, w.groupStatus.State)
	}
}

// A leader that has just begun has not read everything yet.
func TestALeadersStartRaisesNoWarning(t *testing.T) {
	w := newWorld(t, 3)
	w.cfg.Heartbeat, w.unread = config.Default("Thing", "x").Heartbeat, true
	s := w.scaler(Config{})
	for range 5 {
		d := w.tick(s, 2*second)
		require.Equal(t, decide.Blind, d.Verb)
	}
	w.unread = false
	w.fail[observed.SourceBus] = true // the bus is read last
	for range 4 {
		w.tick(s, 2*second)
	}
	clear(w.fail)
	for range 60 {
		w.tick(s, 2*second)
	}
	require.Empty(t, w.warnings)

	w.fail[observed.SourceStore] = true
	w.tick(s, 2*second)
	require.Equal(t, []string{"Blind"}, w.warnings, "later at once")
}

func TestWhatALeaderCannotReadForLongIsWarnedOf(t *testing.T) {
	w := newWorld(t, 3)
	w.unread = true
	s := w.scaler(Config{})
	for range 20 {
		w.tick(s, 2*second)
	}
	require.Equal(t, []string{"Blind"}, w.warnings)
}

// A successor in the middle of a drain finds an engine that has no orders yet.
func TestALeadersStartInTheMiddleOfADrainRaisesNoWarning(t *testing.T) {
	w, s := led(t, 4, 400)
	for n := range 4 {
		w.lists[n] = 30
	}
	w.perStep = 5
	for d := (outcome.Report{}); d.Phase() != outcome.Emptying; {
		d = w.tick(s, 2*second)
	}
	w.holder, w.epoch, w.blocked = "two/b", 2, "no orders from the scaler yet"
	s = w.scaler(Config{})
	w.tick(s, 2*second)
	w.blocked = ""
	for range 60 {
		w.tick(s, 2*second)
	}
	require.Equal(t, 2, w.size)
	require.Empty(t, w.warnings)
}

// ended is what a client of Kubernetes or ZooKeeper answers once the leader's term is over.
var errEnded = fmt.Errorf("client rate limiter Wait returned an error: %w", context.Canceled)

// A term ends with a shutdown, or when another process leads: what the last look was about fails in
// the middle. The successor looks again, and it warns if that fails too.
func TestALeadersEndRaisesNoWarning(t *testing.T) {
	for name, during := range map[string]func(w *world, end func()){
		"a size is read": func(w *world, end func()) {
			w.pool = 600
			w.onSize = func() { end(); w.sizeErr = errEnded }
		},
		"a size is written": func(w *world, end func()) {
			w.pool = 600
			w.onSize = func() { end(); w.resizeErr = errEnded }
		},
		"a pod is restarted": func(w *world, end func()) {
			w.silent[2] = true
			w.onRestart = func() error { end(); return errEnded }
		},
		"an InstanceGroup is written": func(w *world, end func()) {
			w.wish(7)
			w.onStatus = func() error { end(); return errEnded }
		},
		"an InstanceGroup is seeded": func(w *world, end func()) {
			w.group.Seeded = false
			w.onSeed = func() error { end(); return errEnded }
		},
		"Kubernetes is not read any more": func(w *world, end func()) {
			end()
			w.fail[observed.SourceCluster] = true
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, s := grouped(t, 4, 100)
			w.cfg.Heartbeat, w.cfg.Init = config.Default("Thing", "x").Heartbeat, 4
			for range 120 {
				w.tick(s, 2*second)
			}
			require.Empty(t, w.warnings)
			var cancel context.CancelFunc
			w.ctx, cancel = context.WithCancel(t.Context())
			ended := false
			during(w, func() { ended = true; cancel() })
			for i := 0; !ended; i++ {
				w.tick(s, 2*second)
				require.Less(t, i, 1000, "what is to fail begins")
			}
			w.tick(s, 2*second)
			require.Empty(t, w.warnings)
		})
	}
}

// The InstanceGroup of an installation is often there before its StatefulSet is, or is seen before.
func TestAnInstanceGroupThatComesBeforeItsStatefulSetRaisesNoWarning(t *testing.T) {
	w := newWorld(t, 4)
	w.cfg.Replicas.Owner = config.OwnerGroup
	w.group = &observed.Group{Name: "things", UID: "g", Kind: "Thing", Generation: 1, StatefulSet: "iota-dac", Requested: 1}
	w.noSet = true
	s := w.scaler(Config{})
	for range 5 {
		w.tick(s, 2*second)
		w.requireCondition(t, v1alpha1.ConditionScalingActive, "False", v1alpha1.ReasonNoStatefulSet)
	}
	w.noSet = false
	for range 60 {
		w.tick(s, 2*second)
	}
	require.Empty(t, w.warnings)
	w.requireCondition(t, v1alpha1.ConditionScalingActive, "True", v1alpha1.ReasonFollowed)

	w.noSet = true
	for range 60 {
		w.tick(s, 2*second)
	}
	require.Equal(t, []string{"NotFollowed"}, w.warnings, "it does not come")

	w.noSet, w.group.StatefulSet = false, "other"
	w.tick(s, 2*second)
	require.Equal(t, []string{"NotFollowed", "NotFollowed"}, w.warnings, "what a person must change is told at once")
}
