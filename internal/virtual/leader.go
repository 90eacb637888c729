package virtual

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/scaler"
)

// leader is one process while it leads: nothing of it outlives it but what is in ZooKeeper.
type leader struct {
	w      *World
	client *Client
	engine *engine
	scaler *scaler.Scaler
	// said is the State that the fold was told of.
	said int
}

// elect has the next process take the head, by protocol rule 1: first the head, then everything is
// read again.
func (w *World) elect(ctx context.Context) error {
	w.terms++
	kind, client := w.cfg.Kind.Name, w.z.NewClient()
	holder := fmt.Sprintf("pod-%d/virtual", w.terms)
	st, _, err := client.Read(ctx, kind, nil)
	if err != nil {
		return err
	}
	m, err := protocol.Lead(st, holder)
	if err != nil {
		return err
	}
	if err := client.CommitAll(ctx, st, []protocol.Multi{m})[0]; err != nil {
		return err
	}
	if st, _, err = client.Read(ctx, kind, st); err != nil {
		return err
	}
	inv := inventory.New(w.clock.Now(), oneByOne)
	e := newEngine(w, client, inv, st, holder)
	w.leader = &leader{
		w: w, client: client, engine: e,
		scaler: scaler.New(scaler.Config{Kind: kind}, e, w.cluster, w.cfg.Log, prometheus.NewRegistry()),
	}
	w.leader.scaler.Every(w.cfg.SyncPeriod)
	return nil
}

func oneByOne(n int, work func(i int)) {
	for i := range n {
		work(i)
	}
}

// look is a tick, and the passes that follow until the next look.
func (l *leader) look(ctx context.Context) error {
	w := l.w
	if err := w.callers.speak(w.clock, l.engine.inv); err != nil {
		return err
	}
	l.tell()
	snap := w.state.Snapshot(w.clock.Now())
	d, out := l.scaler.Tick(ctx, w.clock.Now(), w.cfg.Kind, *snap.Kind(w.cfg.Kind.Name))
	if w.cfg.Decided != nil {
		w.cfg.Decided(&d, &out)
	}
	return l.engine.work(ctx, w.next)
}

// tell tells the fold what ZooKeeper holds.
func (l *leader) tell() {
	kind := l.w.cfg.Kind.Name
	if st, version := l.engine.state, l.engine.version; version != l.said {
		l.said = version
		l.w.state.Apply(assignment(st))
	} else {
		l.w.state.Apply(observed.Read{Kind: kind, Source: observed.SourceStore, At: st.ReadAt})
	}
}

var _ = time.Now
