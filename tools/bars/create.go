package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
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
		for rest := ids; len(rest) > 0; {
			part := rest[:min(500, len(rest))]
			messages, rest = append(messages, product.BulkCreated(thing, part)), rest[len(part):]
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
	watch, err := w.watch()
	if err != nil {
		return nil, nil, err
	}
	defer watch.close()
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
	err = product.Until(ctx, time.Minute, func(context.Context) error { return watch.haveSeen(ids) })
	if err != nil {
		return nil, nil, err
	}
	unseen := 0
	for id, at := range published {
		seen := watch.seen[id]
		if seen.durable.IsZero() { // it was in the pool for less time than we take to look
			seen.durable = seen.listed
			unseen++
		}
		durable = append(durable, seen.durable.Sub(at).Seconds()*1e3)
		listed = append(listed, seen.listed.Sub(at).Seconds()*1e3)
	}
	w.b.tell("created %d one by one; %d went through the pool unseen and count as durable when listed", len(ids), unseen)
	return durable, listed, nil
}

// watch notes when each id is first seen in the pool and in a list.
type watch struct {
	w       *world
	stopped chan struct{}
	group   sync.WaitGroup

	mu   sync.Mutex
	seen map[string]sighting
	err  error
}

type sighting struct{ durable, listed time.Time }

func (w *world) watch() (*watch, error) {
	ordinals, _, err := w.conn.Children(w.kindPath(""))
	if err != nil {
		return nil, err
	}
	s := &watch{w: w, stopped: make(chan struct{}), seen: map[string]sighting{}}
	s.group.Go(func() { s.follow(s.pool()) })
	for _, ordinal := range ordinals {
		if _, err := strconv.Atoi(ordinal); err == nil {
			s.group.Go(func() { s.follow(s.list(w.kindPath("/" + ordinal + "/resources"))) })
		}
	}
	return s, nil
}

func (s *watch) close() {
	close(s.stopped)
	s.group.Wait()
}

// follow calls look whenever what it looked at has changed.
func (s *watch) follow(look func() (<-chan zk.Event, error)) {
	for {
		changed, err := look()
		if err != nil {
			s.mu.Lock()
			s.err = err
			s.mu.Unlock()
			return
		}
		select {
		case <-s.stopped:
			return
		case <-changed:
		}
	}
}

// pool looks at the pieces that it has not yet seen. A piece never gets longer.
func (s *watch) pool() func() (<-chan zk.Event, error) {
	known := map[string]bool{}
	return func() (<-chan zk.Event, error) {
		names, _, changed, err := s.w.conn.ChildrenW(s.w.poolPath())
		if err != nil {
			return nil, fmt.Errorf("watch the pool: %w", err)
		}
		for _, name := range names {
			if known[name] {
				continue
			}
			known[name] = true
			raw, _, err := s.w.conn.Get(s.w.poolPath() + "/" + name)
			if err == nil {
				err = s.note(raw, func(s *sighting) *time.Time { return &s.durable })
			}
			if err != nil && !errors.Is(err, zk.ErrNoNode) {
				return nil, fmt.Errorf("read the pool: %w", err)
			}
		}
		return changed, nil
	}
}

func (s *watch) list(path string) func() (<-chan zk.Event, error) {
	return func() (<-chan zk.Event, error) {
		raw, _, changed, err := s.w.conn.GetW(path)
		if err == nil {
			err = s.note(raw, func(s *sighting) *time.Time { return &s.listed })
		}
		if err != nil {
			return nil, fmt.Errorf("watch %s: %w", path, err)
		}
		return changed, nil
	}
}

// note marks the ids of a znode that were not marked before; which says what of a sighting the
// znode shows.
func (s *watch) note(raw []byte, which func(*sighting) *time.Time) error {
	now := time.Now()
	var content struct{ IDs []string }
	if err := json.Unmarshal(raw, &content); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range content.IDs {
		seen := s.seen[id]
		if at := which(&seen); at.IsZero() {
			*at = now
			s.seen[id] = seen
		}
	}
	return nil
}

// haveSeen says which of the ids is in no list yet.
func (s *watch) haveSeen(ids []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	for _, id := range ids {
		if s.seen[id].listed.IsZero() {
			return fmt.Errorf("%s is in no list", id)
		}
	}
	return nil
}
