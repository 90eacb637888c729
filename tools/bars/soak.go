package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/wake"
)

const (
	soakThings   = 500_000
	soakReplicas = 3
	// soakRate is how many Things are created a second, and how many deleted.
	soakRate = 20
	// soakTarget is how many an instance is to have, which is as many as it may: at first all are full.
	soakTarget = 5_000
	// soakNoise is how much higher the last quarter's memory may be by the noise of what happens in it.
	soakNoise = 0.02
	// resizePeriod is the time between two changes of the least number of instances, which is between
	// leastResized and mostResized from then on.
	resizePeriod              = 3 * time.Minute
	leastResized, mostResized = 102, 108
	// publishLimit is after how long what the broker has not acknowledged is published again.
	publishLimit = 10 * time.Second
	// settleLimit is how long all may take to be well once no fault comes any more.
	settleLimit = 15 * time.Minute
)

// soak is a fleet that lives through one fault after the other, while Things are created and
// deleted and its size changes.
type soak struct {
	*fleet
	report *soakReport
	// live are the Things that must be there, gone those that were deleted.
	live []string
	gone map[string]bool
	// size is the least number of instances as configured last.
	size int
	// random chooses the faults; the same ones in each soak, at other moments.
	random *rand.Rand
}

// runSoak lets a fleet live for so long, and writes what came of it; false: a promise was broken.
func runSoak(ctx context.Context, b *bench, things int, long time.Duration, out io.Writer) (ok bool) {
	s := &soak{
		report: newSoakReport(things, long), live: slices.Clone(importedIDs(things)), gone: map[string]bool{}, size: scaleInstances,
		random: rand.New(rand.NewPCG(5, 5)),
	}
	_, err := inFleetOf(things, soakReplicas, wires{zookeeper: true}, soakConfig, func(ctx context.Context, f *fleet) (map[string]float64, error) {
		s.fleet = f
		return nil, s.run(ctx, long)
	})(ctx, b)
	if err != nil {
		s.report.broken("it ended early: %v", err)
	}
	s.report.write(out)
	return len(s.report.promises) == 0
}

// soakConfig makes room for sizes to change, has instances acknowledge what is taken from them (an
// immediate hand-off lets one that hangs run what another has by then), and has the catalogue make
// good within minutes what a broker that was killed has lost.
func soakConfig(o *product.Options) {
	o.Config.MaxInstancesCeiling = mostResized
	k := &o.Config.Kinds[0]
	k.TargetPerInstance, k.Max, k.HandOff = soakTarget, mostResized, config.HandOffAcknowledged
	k.Catalogue.Interval, k.Catalogue.Lag = config.Duration(time.Minute), new(config.Duration(time.Minute))
	k.Behavior.ScaleDown.StabilizationWindow = new(config.Duration)
}

// run lives, heals everything, and judges.
func (s *soak) run(ctx context.Context, long time.Duration) error {
	// Replica 0 is never killed: its memory is that of one process from the first minute to the last.
	memory := newSampler(s.Servers[0].Pid)
	living, end := context.WithTimeout(ctx, long)
	defer end()
	group, living := errgroup.WithContext(living)
	group.Go(func() error { return s.churn(living) })
	group.Go(func() error { return s.resize(living) })
	group.Go(func() error { return s.strikeOn(living) })
	group.Go(func() error { return s.watchMemory(living, memory, long) })
	err := errors.Join(group.Wait(), memory.stop())
	if err != nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	s.b.tell("no faults any more: waiting until all is well")
	began := time.Now()
	if err := product.Until(ctx, settleLimit, s.well); err != nil {
		s.report.broken("it is not well %s after the last fault: %v", settleLimit, err)
	}
	s.report.settled = time.Since(began)
	return s.judge(ctx)
}

// churn replaces Things all the time, as a platform that tries again until it is done.
func (s *soak) churn(ctx context.Context) error {
	random, made := rand.New(rand.NewPCG(4, 4)), 0
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		come := product.IDs(soakRate, uint64(1000+made))
		gone := make([]string, soakRate)
		for i := range gone {
			k := random.IntN(len(s.live))
			gone[i] = s.live[k]
			s.live[k] = come[i]
			s.gone[gone[i]] = true
		}
		made += soakRate
		// what is begun is finished: half of it would be another thing to recover from
		if err := s.replace(context.WithoutCancel(ctx), gone, come); err != nil {
			return fmt.Errorf("replace Things: %w", err)
		}
		s.report.replaced.Add(soakRate)
	}
}

// replace commits rows, and then publishes until the broker has all of it.
func (s *soak) replace(ctx context.Context, gone, come []string) error {
	if err := s.Platform.Remove(ctx, thing, gone...); err != nil {
		return err
	}
	if err := s.Platform.Insert(ctx, thing, come...); err != nil {
		return err
	}
	var messages []product.Notification
	for i := range gone {
		messages = append(messages, product.Deleted(thing, gone[i]), product.Created(thing, come[i]))
	}
	return product.Until(ctx, product.Patience, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, publishLimit)
		defer cancel()
		return s.Platform.Publish(ctx, messages...)
	})
}

// resize changes the least number of instances now and then.
func (s *soak) resize(ctx context.Context) error {
	sizes := []int{leastResized, mostResized, (leastResized + mostResized) / 2, mostResized}
	for i := 0; ; i++ {
		wake.Sleep(ctx, resizePeriod)
		if ctx.Err() != nil {
			return nil
		}
		s.size = sizes[i%len(sizes)]
		err := product.Until(context.WithoutCancel(ctx), product.Patience, func(ctx context.Context) error {
			return s.Configure(ctx, func(c *config.Config) { c.Kinds[0].Init = s.size })
		})
		if err != nil {
			return fmt.Errorf("resize: %w", err)
		}
		s.report.resizes++
	}
}

// watchMemory keeps the median of each quarter.
func (s *soak) watchMemory(ctx context.Context, memory *sampler, long time.Duration) error {
	for range quarters {
		memory.mark()
		if wake.Sleep(ctx, long/quarters); ctx.Err() != nil && len(s.report.memory) < quarters-1 {
			return nil
		}
		s.report.memory = append(s.report.memory, memory.sinceMark())
	}
	return nil
}

// well says what is missing: who leads, the size, or a Thing that is not in a list of its instances.
func (s *soak) well(ctx context.Context) error {
	if _, err := s.settled(ctx); err != nil {
		return err
	}
	want := max(s.size, (len(s.live)+soakTarget-1)/soakTarget)
	_, err := s.Settled(ctx, thing, thingSet, want, len(s.live))
	return err
}

// judge says what was lost, what was in two places, and what ran twice, ever.
func (s *soak) judge(ctx context.Context) error {
	a, err := s.Assignment(ctx, thing)
	if err != nil {
		return err
	}
	owners := a.Owners()
	for _, id := range s.live {
		if _, owned := owners[id]; !owned {
			s.report.broken("lost: %s is nowhere", id)
		}
		delete(owners, id)
	}
	for _, id := range slices.Sorted(maps.Keys(owners)) {
		s.report.broken("%s was deleted, or never was, and is on %d", id, owners[id])
	}
	s.b.tell("reading ZooKeeper's transaction log")
	ledger, err := product.ReadLedger(filepath.Join(s.ZooKeeper.Servers[0].WorkDir, "data"), s.Chroot, thing)
	if err != nil {
		return err
	}
	s.report.transactions = ledger.Transactions
	for _, fault := range ledger.Faults {
		s.report.broken("in ZooKeeper: %s", fault)
	}
	for id, at := range ledger.Lost {
		if !s.gone[id] {
			s.report.broken("%s was lost at %s", id, at.Format(time.TimeOnly))
		}
	}
	runs, err := s.Runs()
	if err != nil {
		return err
	}
	for _, o := range runs.Overlaps {
		s.report.broken("%s ran twice, on %v and on %v, at %s", o.ID, o.First, o.Second, o.At.Format(time.TimeOnly))
	}
	s.report.started = runs.Started[thing]
	if m := s.report.memory; m[quarters-1] > m[1]*(1+soakNoise) {
		s.report.broken("memory grows: medians of the quarters in MB are %.1f", m)
	}
	return nil
}
