package main

import (
	"context"
	"errors"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

const (
	// restartRate is how many creates come a second while leaders are stopped.
	restartRate = 100
	// aroundStop is how long before a stop and after all is well again a gap still belongs to it.
	aroundStop = time.Second
)

// span is a time in which a replica was replaced.
type span struct{ from, to time.Time }

// restarts measures how long nothing is created when the leader is stopped as planned, so many
// times, and when all replicas are replaced.
func restarts(things, stops int) measure {
	return inFleet(things, failoverReplicas+1, wires{}, func(ctx context.Context, f *fleet) (map[string]float64, error) {
		spare := f.Servers[failoverReplicas] // it stands for the pod that a Deployment makes first
		if err := f.take(ctx, spare); err != nil {
			return nil, err
		}
		stop := f.feed(ctx, restartRate)
		var planned, rolled []span
		_, err := f.flows(ctx)
		for i := 0; i < stops && err == nil; i++ {
			var s span
			s, err = f.restart(ctx)
			planned = append(planned, s)
			f.b.tell("%d of %d planned stops: all well after %s s", i+1, stops, number(s.to.Sub(s.from).Seconds()))
		}
		if err == nil {
			rolled, err = f.rollOut(ctx, spare)
		}
		err = errors.Join(err, f.stopFeed(ctx, stop, things))
		log, unread := f.terms()
		if err := errors.Join(err, unread); err != nil {
			return nil, err // of a part of the stops the worst is no figure
		}
		gaps, rolledGaps := log.gaps(planned), log.gaps(rolled)
		f.b.tell("longest gaps in ms: planned stops %.0f; roll-out %.0f", gaps, rolledGaps)
		return map[string]float64{
			"gap_worst_ms": rounds.Quantile(gaps, 1), "gap_median_ms": rounds.Median(gaps),
			"rollout_gap_worst_ms": rounds.Quantile(rolledGaps, 1),
		}, nil
	})
}

func (t *terms) gaps(spans []span) (ms []float64) {
	for _, s := range spans {
		ms = append(ms, t.longestGap(s.from, s.to))
	}
	return ms
}

// restart stops the leader, which is started again, and returns when all is well.
func (f *fleet) restart(ctx context.Context) (s span, err error) {
	leader, err := f.settled(ctx)
	if err != nil {
		return s, err
	}
	return f.around(ctx, func() error { return f.alone(func() error { return leader.Stop(ctx) }) })
}

// around does something, with a time before and after it.
func (f *fleet) around(ctx context.Context, do func() error) (s span, err error) {
	s.from = time.Now()
	if err = pause(ctx, aroundStop); err == nil {
		err = do()
	}
	if err == nil {
		_, err = f.settled(ctx)
	}
	if err == nil {
		_, err = f.flows(ctx)
	}
	if err == nil {
		err = pause(ctx, aroundStop)
	}
	s.to = time.Now()
	return s, err
}

// rollOut replaces one replica after the other, as a Deployment that may have one more pod than it
// wants: the new one is ready before an old one is stopped, whose place is the next new one's.
func (f *fleet) rollOut(ctx context.Context, spare *product.Server) (all []span, err error) {
	for _, old := range f.Servers[:failoverReplicas] {
		s, err := f.around(ctx, func() error {
			if err := f.bring(ctx, spare); err != nil {
				return err
			}
			return f.take(ctx, old)
		})
		if all = append(all, s); err != nil {
			return all, err
		}
		spare = old
	}
	return all, nil
}
