package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
	"golang.org/x/sync/errgroup"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

const (
	createImported = 20_000
	// createSingles come one by one, at random moments, createRate a second.
	createSingles = 1000
	createRate    = 20
)

func measureCreate(ctx context.Context, w *world) (map[string]float64, error) {
	ids := product.IDs(createImported+createSingles, 1)
	took, err := w.importThings(ctx, ids[:createImported], false)
	if err != nil {
		return nil, err
	}
	measured := map[string]float64{"import_20000_things_per_s": createImported / took.Seconds()}
	w.b.tell("imported %d in %s", createImported, took.Round(10*time.Millisecond))
	durable, listed, err := w.createOneByOne(ctx, ids[createImported:])
	if err != nil {
		return measured, err
	}
	quantiles(measured, "durable", durable)
	quantiles(measured, "listed", listed)
	return measured, w.check(ctx, len(ids))
}

// quantiles puts two figures of times in ms into what was measured.
func quantiles(into map[string]float64, name string, ms []float64) {
	into[name+"_p50_ms"], into[name+"_p99_ms"] = rounds.Median(ms), rounds.Quantile(ms, 0.99)
}

// importThings commits rows and then publishes: in bulk messages alone, or as a busy platform does
// (half one by one, a tenth repeated, all shuffled). It returns the time from the first publish
// until all are in lists, and has then checked them.
func (w *world) importThings(ctx context.Context, ids []string, bulk bool) (time.Duration, error) {
	if err := w.Platform.Insert(ctx, thing, ids...); err != nil {
		return 0, err
	}
	var messages []product.Notification
	if bulk {
		for part := range slices.Chunk(ids, 500) {
			messages = append(messages, product.BulkCreated(thing, part))
		}
	} else {
		messages = product.ImportMessages(thing, ids, 1)
	}
	began := time.Now()
	if err := w.Platform.Publish(ctx, messages...); err != nil {
		return 0, err
	}
	at, err := w.awaitListed(ctx, len(ids), 10*time.Minute)
	if err != nil {
		return 0, err
	}
	return at.Sub(began), w.check(ctx, len(ids))
}

// createOneByOne creates ids at random moments, whether or not earlier ones are done, and returns
// how long each took, in ms.
func (w *world) createOneByOne(ctx context.Context, ids []string) (durable, listed []float64, err error) {
	watch := w.watch(ctx)
	defer watch.stop()
	random := rand.New(rand.NewPCG(1, 1))
	published := make(map[string]time.Time, len(ids))
	next := time.Now()
	for _, id := range ids {
		if err := w.Platform.Insert(ctx, thing, id); err != nil {
			return nil, nil, err
		}
		next = next.Add(time.Duration(random.ExpFloat64() / createRate * float64(time.Second)))
		time.Sleep(time.Until(next))
		published[id] = time.Now()
		if err := w.Platform.Publish(ctx, product.Created(thing, id)); err != nil {
			return nil, nil, err
		}
	}
	err = product.Until(watch.ctx, time.Minute, func(context.Context) error { return watch.haveSeen(ids) })
	watch.stop()
	if err := errors.Join(err, watch.group.Wait()); err != nil {
		return nil, nil, err
	}
	unseen := 0
	for id, at := range published {
		seen, first := watch.listed[id], watch.durable[id]
		if first.IsZero() { // it was in the pool for less time than we take to look
			first = seen
			unseen++
		}
		durable = append(durable, first.Sub(at).Seconds()*1e3)
		listed = append(listed, seen.Sub(at).Seconds()*1e3)
	}
	w.b.tell("created %d one by one; %d went through the pool unseen and count as durable when listed", len(ids), unseen)
	return durable, listed, nil
}

// watch notes when each id is first seen in the pool and in a list.
type watch struct {
	w     *world
	ctx   context.Context // until it is stopped or cannot look
	stop  context.CancelFunc
	group *errgroup.Group

	mu              sync.Mutex
	durable, listed map[string]time.Time
}

// newWatch looks at nothing yet.
func (w *world) newWatch(ctx context.Context) *watch {
	s := &watch{w: w, durable: map[string]time.Time{}, listed: map[string]time.Time{}}
	ctx, s.stop = context.WithCancel(ctx)
	s.group, s.ctx = errgroup.WithContext(ctx)
	return s
}

func (w *world) watch(ctx context.Context) *watch {
	s := w.newWatch(ctx)
	pieces := map[string]bool{}
	s.follow(func() (<-chan zk.Event, error) { return s.pool(pieces) })
	for n := range w.instances {
		s.follow(func() (<-chan zk.Event, error) { return s.list(thing, n) })
	}
	return s
}

// follow calls look whenever what it looked at has changed.
func (s *watch) follow(look func() (<-chan zk.Event, error)) {
	s.group.Go(func() error {
		for {
			changed, err := look()
			if err != nil {
				return err
			}
			select {
			case <-s.ctx.Done():
				return nil
			case <-changed:
			}
		}
	})
}

// pool looks at the pieces that it has not yet seen. A piece never gets longer.
func (s *watch) pool(known map[string]bool) (<-chan zk.Event, error) {
	names, _, changed, err := s.w.conn.ChildrenW(s.w.Chroot + protocol.PoolPath(thing))
	if err != nil {
		return nil, fmt.Errorf("watch the pool: %w", err)
	}
	for _, name := range names {
		if known[name] {
			continue
		}
		known[name] = true
		raw, _, err := s.w.conn.Get(s.w.Chroot + protocol.PiecePath(thing, name))
		if err == nil {
			err = s.note(raw, s.durable)
		}
		if err != nil && !errors.Is(err, zk.ErrNoNode) {
			return nil, fmt.Errorf("read the pool: %w", err)
		}
	}
	return changed, nil
}

func (s *watch) list(kind string, n int) (<-chan zk.Event, error) {
	raw, _, changed, err := s.w.conn.GetW(s.w.Chroot + protocol.ResourcesPath(kind, n))
	if err == nil {
		err = s.note(raw, s.listed)
	}
	if err != nil {
		return nil, fmt.Errorf("watch list %d of %s: %w", n, kind, err)
	}
	return changed, nil
}

// note marks the ids of a znode that were not marked before.
func (s *watch) note(raw []byte, first map[string]time.Time) error {
	now := time.Now()
	var content struct{ IDs []string }
	if err := json.Unmarshal(raw, &content); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range content.IDs {
		if first[id].IsZero() {
			first[id] = now
		}
	}
	return nil
}

// haveSeen says which of the ids is in no list yet.
func (s *watch) haveSeen(ids []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if s.listed[id].IsZero() {
			return fmt.Errorf("%s is in no list", id)
		}
	}
	return nil
}
