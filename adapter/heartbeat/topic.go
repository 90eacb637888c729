package heartbeat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/guard"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// topic reads all partitions of one topic for the kinds that beat on it.
type topic struct {
	*Source
	name   string
	kinds  []string
	sink   func(observed.Signal)
	log    *slog.Logger
	broker int         // which of the brokers is asked for the partitions
	relist wake.Signal // asks for a listing before its time

	partitions map[int]*partition
	listErr    error
	// proven is the proof last reported; before the first, the start.
	proven time.Time
}

func (s *Source) newTopic(name string, kinds []string, sink func(observed.Signal)) *topic {
	return &topic{
		Source: s, name: name, kinds: kinds, sink: sink,
		log:        s.log.With("topic", name),
		relist:     wake.New(),
		partitions: map[int]*partition{},
		proven:     time.Now(),
	}
}

func (t *topic) run(ctx context.Context) {
	defer func() {
		for _, p := range t.partitions {
			p.stop()
		}
	}()
	report := time.NewTicker(min(time.Second, t.poll))
	defer report.Stop()
	listed := time.Time{}
	for ctx.Err() == nil {
		every := t.refresh
		if t.listErr != nil {
			every = time.Second
		}
		if time.Since(listed) >= every {
			t.list(ctx)
			listed = time.Now()
		}
		t.report(time.Now())
		select {
		case <-ctx.Done():
		case <-report.C:
		case <-t.relist:
			listed = time.Time{}
			// a partition that fails at once must not make this a busy loop
			wake.Sleep(ctx, 200*time.Millisecond)
		}
	}
}

// list brings the readers in line with the topic's partitions. A failed listing changes nothing.
func (t *topic) list(ctx context.Context) {
	found, err := t.lookUp(ctx)
	if t.listErr = err; err != nil {
		return
	}
	for id, p := range t.partitions {
		if !slices.ContainsFunc(found, func(f kafka.Partition) bool { return f.ID == id }) {
			p.stop()
			delete(t.partitions, id)
		}
	}
	for _, f := range found {
		if p, ok := t.partitions[f.ID]; ok {
			p.leader.Store(&f)
			continue
		}
		p := t.newPartition(f)
		p.stop = start(ctx, p.run)
		t.partitions[f.ID] = p
	}
	t.metrics.partitions.WithLabelValues(t.name).Set(float64(len(t.partitions)))
}

// lookUp asks one broker for the topic's partitions, and another one the next time if that fails.
func (t *topic) lookUp(ctx context.Context) (found []kafka.Partition, err error) {
	err = t.guarded(func() error {
		conn, err := t.connect(ctx, t.cfg.Brokers[t.broker%len(t.cfg.Brokers)])
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
		found, err = conn.partitions(t.name)
		return err
	})
	if err != nil {
		t.broker++
		return nil, fmt.Errorf("list partitions of topic %s: %w", t.name, err)
	}
	return found, nil
}

// guarded makes a panic of code that is not ours an error, and counts and tells it.
func (t *topic) guarded(f func() error) error {
	err := guard.Run(f)
	if p := guard.Caught(err); p != nil {
		t.metrics.panics.WithLabelValues(t.name).Inc()
		t.log.Error("reading heartbeats panicked", "panic", p.Value, "stack", string(p.Stack))
	}
	return err
}

// report tells the kinds up to when every partition is known to have been read, or why not.
func (t *topic) report(now time.Time) {
	proof, err := t.proof(now)
	if proof.After(t.proven) {
		t.proven = proof
		for _, kind := range t.kinds {
			t.sink(observed.Read{Kind: kind, Source: observed.SourceBus, At: proof})
		}
		return
	}
	// By default well below observed.BusMaxAge: the reason is known before the value is refused.
	if now.Sub(t.proven) < t.poll+t.patience {
		return
	}
	if err == nil {
		err = errors.New("the broker does not answer")
	}
	for _, kind := range t.kinds {
		t.sink(observed.Failed{Kind: kind, Source: observed.SourceBus, At: now, Err: err})
	}
}

// proof is the oldest of the partitions' proofs, and the error of the one that has it. Without any
// partition there is none.
func (t *topic) proof(now time.Time) (time.Time, error) {
	if len(t.partitions) == 0 {
		return time.Time{}, t.listErr
	}
	oldest, err := now, t.listErr
	for _, p := range t.partitions {
		if of := p.proof.Load(); of.at.Before(oldest) {
			oldest, err = of.at, cmp.Or(of.err, err)
		}
	}
	return oldest, err
}
