package virtual

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/seen"
	"github.com/shardscaler/shardscaler/scaler"
)

// leader is one process while it leads: nothing of it outlives it but what is in ZooKeeper.
type leader struct {
	w      *World
	client *Client
	engine *engine
	scaler *scaler.Scaler
	// told is the State that the fold was told of, who are those who spoke by it.
	told *protocol.State
	who  seen.Speakers
}

// elect has the next process take the head.
func (w *World) elect(ctx context.Context) error {
	w.terms++
	client, reg := w.z.NewClient(), prometheus.NewRegistry()
	e, err := newEngine(ctx, w, client, fmt.Sprintf("pod-%d/%d", w.terms, w.terms), reg)
	if err != nil {
		return err
	}
	s := scaler.New(scaler.Config{Kind: w.cfg.Kind.Name, Now: w.clock.Now}, e, w.cluster, slog.New(slog.DiscardHandler), reg)
	s.Every(w.cfg.SyncPeriod)
	w.leader = &leader{w: w, client: client, engine: e, scaler: s}
	return nil
}

// tick is one of the scaler, and the passes that follow until the next one.
func (l *leader) tick(ctx context.Context) error {
	w := l.w
	if err := w.callers.speak(w.clock, l.engine.loop.Inventory); err != nil {
		return err
	}
	l.tell()
	kind := w.state.Snapshot(w.clock.Now()).Kind(w.cfg.Kind.Name)
	d, out := l.scaler.Tick(ctx, w.clock.Now(), w.cfg.Kind, *kind)
	w.cfg.Decided(&d, &out)
	return l.engine.work(ctx, w.next)
}

// tell tells the fold what ZooKeeper holds.
func (l *leader) tell() {
	st := l.engine.State()
	if l.told != nil && seen.Same(l.told, st) {
		l.w.state.Apply(observed.Read{Kind: st.Kind, Source: observed.SourceStore, At: st.ReadAt})
	} else {
		l.who = l.who.Follow(st)
		l.w.state.Apply(seen.Assignment(st, l.who))
	}
	l.told = st
}
