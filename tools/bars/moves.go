package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

// movesLimit is how long a spread, or a drain, may take before it counts as failed.
const movesLimit = 3 * time.Minute

// spreads measures what spreading onto one more instance takes, by the one hand-off and the other
// in turns. Instances acknowledge at once.
func spreads(things, times int) measure {
	adapt := func(o *product.Options) {
		o.Config.MaxInstancesCeiling = scaleInstances + 1
		k := &o.Config.Kinds[0]
		k.Max, k.HandOff = scaleInstances+1, config.HandOffAcknowledged
		k.Behavior.ScaleDown.StabilizationWindow = new(config.Duration) // the way back is not measured
	}
	return inFleetOf(things, 2, wires{}, adapt, func(ctx context.Context, f *fleet) (map[string]float64, error) {
		spans := map[config.HandOff][]span{}
		var acknowledged []span // the way back included
		var err error
		for round := range times {
			of := func(h config.HandOff) func() {
				return func() {
					if err != nil {
						return
					}
					began := time.Now()
					var s span
					if s, err = f.spread(ctx, h, things); err != nil {
						return
					}
					spans[h] = append(spans[h], s)
					if h == config.HandOffAcknowledged {
						acknowledged = append(acknowledged, span{began, time.Now()})
					}
					f.b.tell("round %d of %d, %s: spread and back after %s s", round+1, times, h, number(time.Since(began).Seconds()))
				}
			}
			rounds.Alternate(round, of(config.HandOffAcknowledged), of(config.HandOffImmediate))
		}
		if err != nil {
			return nil, err
		}
		log, err := f.flights()
		if err != nil {
			return nil, err
		}
		runs, err := f.Runs()
		if err != nil {
			return nil, err
		}
		twice := 0
		for _, o := range runs.Overlaps {
			if slices.ContainsFunc(acknowledged, func(s span) bool { return o.At.After(s.from) && o.At.Before(s.to) }) {
				twice++
			}
		}
		measured := map[string]float64{"run_twice": float64(twice)}
		f.spreadFigures(measured, "", log, spans[config.HandOffAcknowledged])
		f.spreadFigures(measured, "immediate_", log, spans[config.HandOffImmediate])
		return measured, nil
	})
}

// spreadFigures puts the figures of one hand-off into what was measured.
func (f *fleet) spreadFigures(into map[string]float64, name string, log *flights, spans []span) {
	var took, moves, all []float64
	for _, s := range spans {
		without, seconds := ownerless(log.within(s, func(one flight) bool { return one.from < scaleInstances }))
		took, moves, all = append(took, seconds), append(moves, float64(len(without))), append(all, without...)
	}
	f.b.tell("%smoves %.0f; from the first revoke to the last grant %.2f s", name, moves, took)
	into[name+"s"], into[name+"moves"] = rounds.Median(took), rounds.Median(moves)
	into[name+"ownerless_p50_s"], into[name+"ownerless_p99_s"] = rounds.Median(all), rounds.Quantile(all, 0.99)
	into[name+"ownerless_worst_s"] = rounds.Quantile(all, 1)
}

// spread adds an instance, to which a share of what the others have is moved, and takes it away
// again. The span has all that is moved to it.
func (f *fleet) spread(ctx context.Context, h config.HandOff, things int) (s span, err error) {
	const newest = scaleInstances
	share := things / (scaleInstances + 1)
	if err := f.size(ctx, h, scaleInstances+1); err != nil {
		return s, err
	}
	s.from = time.Now()
	err = product.Until(ctx, movesLimit, func(context.Context) error {
		has, flying, err := f.has(newest)
		if err == nil && (has < share || flying > 0) {
			err = fmt.Errorf("the new instance has %d of %d, pieces in flight: %d", has, share, flying)
		}
		return err
	})
	if err != nil {
		return s, err
	}
	s.to = time.Now()
	if err := f.check(ctx, things); err != nil {
		return s, err
	}
	if err := f.size(ctx, h, scaleInstances); err != nil {
		return s, err
	}
	err = product.Until(ctx, movesLimit, func(ctx context.Context) error {
		size, err := f.Size(ctx, thingSet)
		if err == nil && (size.Status != scaleInstances || size.Ready != scaleInstances) {
			err = fmt.Errorf("the StatefulSet has %d pods", size.Status)
		}
		return err
	})
	if err == nil {
		err = f.check(ctx, things)
	}
	return s, err
}

// size has the kind be of that size, with that hand-off.
func (f *fleet) size(ctx context.Context, h config.HandOff, n int) error {
	return f.Configure(ctx, func(c *config.Config) { c.Kinds[0].Init, c.Kinds[0].HandOff = n, h })
}

// has is how many resources an instance has by its own count, and how many pieces are in flight.
func (f *fleet) has(ordinal int) (used, flying int, err error) {
	raw, _, err := f.conn.Get(f.Chroot + protocol.InstancePath(thing, ordinal))
	if err != nil {
		return 0, 0, fmt.Errorf("read instance %d: %w", ordinal, err)
	}
	var data struct{ Used int }
	if err := json.Unmarshal(raw, &data); err != nil {
		return 0, 0, fmt.Errorf("instance %d: %w", ordinal, err)
	}
	pieces, _, err := f.conn.Children(f.Chroot + protocol.OwnRoot + "/" + thing + "/flight")
	if err != nil {
		return 0, 0, fmt.Errorf("look into the flight: %w", err)
	}
	return data.Used, len(pieces), nil
}
