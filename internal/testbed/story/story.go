// Package story plays a fleet's life with the product at work on real servers, act by act: an
// import, load that comes and goes, and the deletion of two thirds. The demonstration shows it on a
// terminal; an end-to-end test plays it too.
//
// In: a running product. Out: what was done and what came true, one step after the other.
// Invariant: a step is judged by Kubernetes and ZooKeeper, never by what the product says of
// itself; the product's own words are only shown.
package story

import (
	"context"
	"errors"
	"fmt"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/workload"
)

// What the story needs: the target of CPU by which the product sizes, in percent of what an
// instance requests, and the cores that a resource uses.
const (
	CPUTarget   = 70
	cpuResource = 0.00005
)

// Kind is one of the two that live.
type Kind struct {
	Name, Set string
	// Init and Target are as configured; CPU are the cores that an instance requests.
	Init, Target int
	CPU          float64
	// IDs exist now, Gone did.
	IDs, Gone []string
}

// Size is what the count alone asks for.
func (k *Kind) Size() int { return max(k.Init, (len(k.IDs)+k.Target-1)/k.Target) }

// Story is one that is played. Do does a step; Await waits until a step is true. Look is called at
// each Moment, and the story goes on when it returns; it may be nil.
type Story struct {
	*product.Stack
	Kinds     []*Kind
	Do, Await func(ctx context.Context, text string, step Step)
	Look      func(ctx context.Context, at Moment)
}

// Moment is one at which there is something to see.
type Moment string

// The moments of a story.
const (
	Loaded       Moment = "loaded"        // the load is high, and the sizes are as it asks for
	Deleted      Moment = "deleted"       // a third has just been deleted: instances are about to be drained
	DeletesAsked Moment = "deletes-asked" // deletes wait for a person, or will within a minute
	Over         Moment = "over"          // all acts have been played
)

func (s *Story) look(ctx context.Context, at Moment) {
	if s.Look != nil && ctx.Err() == nil {
		s.Look(ctx, at)
	}
}

// Step is a part of an act; an error says that it is not true.
type Step = func(context.Context) error

// Import makes everything at once: rows, then messages.
func (s *Story) Import(ctx context.Context) {
	s.Do(ctx, "the import is published", s.each(func(ctx context.Context, i int, k *Kind) error {
		return s.Platform.Import(ctx, k.Name, k.IDs, uint64(i+1))
	}))
	s.Settle(ctx)
	s.Await(ctx, "the instances run exactly what ZooKeeper assigns",
		s.each(func(ctx context.Context, _ int, k *Kind) error { return s.RunsAsAssigned(ctx, k.Name) }))
}

// Busy raises the CPU of some kinds until that part of instances more is needed, and ends that.
func (s *Story) Busy(ctx context.Context, part float64, kinds ...*Kind) {
	grown := make([]int, len(kinds))
	for i, k := range kinds {
		full := k.Size()
		grown[i] = full + int(part*float64(full))
		perInstance := cpuResource * float64(len(k.IDs)) / float64(full)
		// The mean use, over the target, that exactly so many instances bring back to the target.
		s.load(ctx, k, (float64(grown[i])-0.5)/float64(full)*CPUTarget/100*k.CPU/perInstance)
	}
	for i, k := range kinds {
		s.settle(ctx, k, grown[i])
	}
	s.look(ctx, Loaded)
	for _, k := range kinds {
		s.load(ctx, k, 1)
	}
	for _, k := range kinds {
		s.settle(ctx, k, k.Size())
	}
}

// DeleteByID deletes a third, half of it one by one and half in bulk.
func (s *Story) DeleteByID(ctx context.Context) {
	for _, k := range s.Kinds {
		ids := k.take(len(k.IDs) / 3)
		text := fmt.Sprintf("%d %ss are deleted by id", len(ids), k.Name)
		s.Do(ctx, text, func(ctx context.Context) error {
			messages := []product.Notification{product.BulkDeleted(k.Name, ids[len(ids)/2:])}
			for _, id := range ids[:len(ids)/2] {
				messages = append(messages, product.Deleted(k.Name, id))
			}
			return s.delete(ctx, k, ids, messages...)
		})
	}
	s.look(ctx, Deleted)
	s.Settle(ctx)
}

// DeleteByWhere deletes half of what is left, and says so only by an empty `where`: a person has to
// confirm.
func (s *Story) DeleteByWhere(ctx context.Context) {
	for _, k := range s.Kinds {
		ids := k.take(len(k.IDs) / 2)
		text := fmt.Sprintf("%d %ss are deleted by an empty where", len(ids), k.Name)
		s.Do(ctx, text, func(ctx context.Context) error {
			return s.delete(ctx, k, ids, product.DeletedWhere(k.Name))
		})
		s.look(ctx, DeletesAsked)
		text = fmt.Sprintf("%d deletes of %ss wait for a person, who confirms that number", len(ids), k.Name)
		s.Await(ctx, text, func(ctx context.Context) error { return s.Confirm(ctx, k.Name, len(ids)) })
	}
	s.Settle(ctx)
}

// LookBack judges all that was done by the API server's audit log and ZooKeeper's transaction log.
func (s *Story) LookBack(ctx context.Context) {
	drained := s.each(func(ctx context.Context, _ int, k *Kind) error {
		lowered, err := s.DrainedFirst(ctx, k.Name, k.Set, k.Init)
		if err == nil && lowered == 0 {
			err = fmt.Errorf("%s was never lowered", k.Set)
		}
		return err
	})
	s.Do(ctx, "replicas fell only after every leaving instance was drained", drained)
	s.Do(ctx, "at no transaction was a resource in two places, and only deleted ones are gone",
		s.each(func(_ context.Context, _ int, k *Kind) error { return s.none(k) }))
}

// Settle waits until every kind has the size that its count asks for.
func (s *Story) Settle(ctx context.Context) {
	for _, k := range s.Kinds {
		s.settle(ctx, k, k.Size())
	}
}

func (s *Story) settle(ctx context.Context, k *Kind, size int) {
	text := fmt.Sprintf("%d %ss settle on %d instances of %s, each assigned once, evenly",
		len(k.IDs), k.Name, size, k.Set)
	s.Await(ctx, text, func(ctx context.Context) error {
		_, err := s.Settled(ctx, k.Name, k.Set, size, len(k.IDs))
		return err
	})
}

// take notes that the first n are gone.
func (k *Kind) take(n int) []string {
	ids := k.IDs[:n]
	k.IDs, k.Gone = k.IDs[n:], append(k.Gone, ids...)
	return ids
}

func (s *Story) each(step func(ctx context.Context, i int, k *Kind) error) Step {
	return func(ctx context.Context) error {
		var faults []error
		for i, k := range s.Kinds {
			faults = append(faults, step(ctx, i, k))
		}
		return errors.Join(faults...)
	}
}

func (s *Story) load(ctx context.Context, k *Kind, factor float64) {
	text := fmt.Sprintf("each %s uses %.1f times its usual CPU", k.Name, factor)
	s.Do(ctx, text, func(ctx context.Context) error {
		return s.Control.Load(ctx, k.Name, workload.Factors{CPU: factor, Memory: 1})
	})
}

func (s *Story) delete(ctx context.Context, k *Kind, ids []string, say ...product.Notification) error {
	if err := s.Platform.Remove(ctx, k.Name, ids...); err != nil {
		return err
	}
	return s.Platform.Publish(ctx, say...)
}

// none judges ZooKeeper's own log.
func (s *Story) none(k *Kind) error {
	ledger, err := s.Ledger(k.Name, 0)
	if err != nil {
		return err
	}
	if ledger.Transactions == 0 {
		return errors.New("the transaction log is empty")
	}
	if len(ledger.Faults) > 0 {
		return fmt.Errorf("%d times in two places, first %s", len(ledger.Faults), ledger.Faults[0])
	}
	for _, id := range k.Gone {
		delete(ledger.Lost, id)
	}
	if n := len(ledger.Lost); n > 0 {
		return fmt.Errorf("%d %ss are gone without a delete", n, k.Name)
	}
	return nil
}
