package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

const (
	sizeThings, sizeInstances = 5_000_000, 1000
	// importPart is how many rows the platform commits before it tells of them, in messages of
	// importBulk, and importAhead how many it is ahead of what is durable at most.
	importPart, importBulk, importAhead = 50_000, 500, 500_000
	// sizeLimit is how long an import, or a start with all that is read then, may take.
	sizeLimit = 15 * time.Minute
	// askPeriod is the time between two looks at the leader's counts.
	askPeriod = time.Second
	// sizeKills are of leaders.
	sizeKills = 3
	// followerTime is how long a follower is left alone before its memory is looked at.
	followerTime = time.Minute
)

// large is a fleet at its largest, and the library's test adapter beside it.
type large struct {
	*fleet
	things        int
	ours, adapter *sampler
}

// sized measures memory, answers and the loss of a leader with that many things on as many
// instances as hold them when all are full.
func sized(things, instances int) measure {
	return func(ctx context.Context, b *bench) (map[string]float64, error) {
		l := &large{fleet: &fleet{down: map[*product.Server]bool{}}, things: things}
		adapt := func(w *world, o *product.Options) error {
			l.world = w
			return l.options(o)
		}
		return inWorldOf(instances, things, adapt, func(ctx context.Context, _ *world) (_ map[string]float64, err error) {
			adapter, err := l.startTestAdapter(ctx)
			if err != nil {
				return nil, err
			}
			defer func() { err = errors.Join(err, adapter.Kill()) }()
			pid := adapter.Pid() // one that ends is noticed
			l.ours, l.adapter = newSampler(l.Servers[0].Pid), newSampler(func() int { return pid })
			defer func() { err = errors.Join(err, l.ours.stop(), l.adapter.stop()) }()
			return l.measure(ctx)
		})(ctx, b)
	}
}

// options are those of two replicas with default settings, and of instances that are pods as
// objects alone: only what is counted differs by them.
func (l *large) options(o *product.Options) error {
	if err := l.fleet.options(o, 2, wires{}); err != nil {
		return err
	}
	k := &o.Config.Kinds[0]
	k.CPU, k.Memory, k.Heartbeat = nil, nil, nil
	o.Bare, o.Sizes = true, map[string]int{thingSet: 0}
	o.Before = func(ctx context.Context, s *product.Stack) error { return bearPods(ctx, s, thingSet, l.instances) }
	return nil
}

func (l *large) measure(ctx context.Context) (map[string]float64, error) {
	measured := map[string]float64{}
	follower := l.Servers[1]
	if err := l.take(ctx, follower); err != nil {
		return nil, err
	}
	if err := l.weighed(ctx, measured); err != nil {
		return measured, err
	}
	unanswered := l.answers(ctx, measured) // which costs no other figure
	for _, next := range []func(context.Context, map[string]float64) error{l.start, l.follow, l.fail} {
		if err := next(ctx, measured); err != nil {
			return measured, errors.Join(unanswered, err)
		}
	}
	return measured, unanswered
}

// weighed is an import and a time of rest, while metrics are read as an HPA and a Prometheus would.
func (l *large) weighed(ctx context.Context, measured map[string]float64) error {
	defer l.readMetrics(ctx)()
	if err := l.fill(ctx, measured); err != nil {
		return err
	}
	return l.rest(ctx, measured)
}

// perResource is so many MB above the adapter's as bytes a resource.
func (l *large) perResource(ours, adapter float64) float64 {
	return (ours - adapter) * 1e6 / float64(l.things)
}

// fill imports by messages: the platform commits rows and then tells of them, as fast as they
// become durable.
func (l *large) fill(ctx context.Context, measured map[string]float64) error {
	began, sent := time.Now(), 0
	for part := range slices.Chunk(importedIDs(l.things), importPart) {
		if err := l.Platform.Insert(ctx, thing, part...); err != nil {
			return err
		}
		var messages []product.Notification
		for some := range slices.Chunk(part, importBulk) {
			messages = append(messages, product.BulkCreated(thing, some))
		}
		if err := l.Platform.Publish(ctx, messages...); err != nil {
			return err
		}
		sent += len(part)
		if err := l.awaitKnown(ctx, sent-importAhead, "assigned", "in_flight", "unassigned"); err != nil {
			return err
		}
	}
	if err := l.awaitKnown(ctx, l.things, "assigned"); err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	measured["import_things_per_s"] = float64(l.things) / took
	l.b.tell("imported %d in %s s; RssAnon %s MB at the peak", l.things, number(took), number(l.ours.peak()))
	return nil
}

// awaitKnown returns when the leader counts that many resources in these states.
func (l *large) awaitKnown(ctx context.Context, n int, states ...string) error {
	return product.Until(ctx, sizeLimit, func(ctx context.Context) error {
		sum := 0.0
		for _, state := range states {
			v, err := series(ctx, l.Servers[0], fmt.Sprintf(`shardscaler_kind_resources{kind=%q,state=%q}`, thing, state))
			if err != nil {
				return err
			}
			sum += v
		}
		if int(sum) < n {
			return errors.Join(fmt.Errorf("%.0f of %d are known as %v", sum, n, states), pause(ctx, askPeriod))
		}
		return nil
	})
}

// series reads one of a replica's Prometheus series; one that is not there is 0.
func series(ctx context.Context, v *product.Server, name string) (float64, error) {
	text, err := v.Text(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(text, "\n"+name+" ")
	if !found {
		return 0, nil
	}
	value, _, _ := strings.Cut(rest, "\n")
	return strconv.ParseFloat(value, 64)
}

// rest looks at the memory when nothing has happened for a while.
func (l *large) rest(ctx context.Context, measured map[string]float64) error {
	if err := pause(ctx, settleTime); err != nil {
		return err
	}
	l.ours.mark()
	l.adapter.mark()
	if err := pause(ctx, restTime); err != nil {
		return err
	}
	ours, adapter := l.ours.sinceMark(), l.adapter.sinceMark()
	measured["rest_bytes_per_resource"] = l.perResource(ours, adapter)
	l.b.tell("at rest %s MB, test adapter %s; peak so far %s", number(ours), number(adapter), number(l.ours.peak()))
	return nil
}

// start has the leader start, which reads the whole catalogue then, and looks at the peak of all.
func (l *large) start(ctx context.Context, measured map[string]float64) error {
	before := l.ours.peak()
	if err := l.world.restart(ctx); err != nil {
		return err
	}
	const read = `shardscaler_catalogue_read_duration_seconds_%s{kind="` + thing + `",outcome="complete"}`
	err := product.Until(ctx, sizeLimit, func(ctx context.Context) error {
		n, err := series(ctx, l.Servers[0], fmt.Sprintf(read, "count"))
		if err == nil && n == 0 {
			err = errors.New("the catalogue is not read")
		}
		return err
	})
	if err != nil {
		return err
	}
	seconds, err := series(ctx, l.Servers[0], fmt.Sprintf(read, "sum"))
	if err != nil {
		return err
	}
	if err := pause(ctx, afterRestart); err != nil { // what was read is compared
		return err
	}
	measured["peak_bytes_per_resource"] = l.perResource(l.ours.peak(), l.adapter.peak())
	l.b.tell("the catalogue was read in %s s; RssAnon %s MB at the peak, %s before the start; test adapter %s", number(seconds),
		number(l.ours.peak()), number(before), number(l.adapter.peak()))
	return nil
}

// follow starts the other replica, and looks at its memory when it has loaded all.
func (l *large) follow(ctx context.Context, measured map[string]float64) error {
	follower := l.Servers[1]
	if err := l.bring(ctx, follower); err != nil {
		return err
	}
	if err := pause(ctx, followerTime); err != nil {
		return err
	}
	mb, err := rssAnon(follower.Pid())
	measured["follower_bytes_per_resource"] = l.perResource(mb, l.adapter.sinceMark())
	l.b.tell("a follower has %s MB", number(mb))
	return err
}

// fail kills the leader again and again while resources are created, for which it makes room first.
func (l *large) fail(ctx context.Context, measured map[string]float64) error {
	gone := importedIDs(l.things)[:l.instances]
	if err := l.Platform.Remove(ctx, thing, gone...); err != nil {
		return err
	}
	if err := l.Platform.Publish(ctx, product.BulkDeleted(thing, gone)); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var keeper sync.WaitGroup
	defer keeper.Wait()
	defer cancel()
	keeper.Go(func() { l.keep(ctx) })
	stop := l.feed(ctx, failoverRate)
	var took []float64
	for range sizeKills {
		leader, err := l.settled(ctx)
		var seconds float64
		if err == nil {
			_, seconds, err = l.strike(ctx, kill, leader)
		}
		if err != nil {
			_, ended := stop()
			return errors.Join(err, ended)
		}
		took = append(took, seconds)
	}
	l.b.tell("a leader is killed: the next create of another one after %.2f s", took)
	measured["failover_s"] = rounds.Median(took)
	fed, err := stop()
	if err != nil {
		return err
	}
	return l.complete(ctx, l.things-len(gone)+fed)
}

// complete returns when all resources are there, each once.
func (l *large) complete(ctx context.Context, n int) error {
	return product.Until(ctx, sizeLimit, func(ctx context.Context) error {
		a, err := l.Assignment(ctx, thing)
		if err != nil {
			return err
		}
		if got := a.Assigned() + len(a.Pool) + a.InFlight(); got != n {
			return fmt.Errorf("%d resources are there, want %d", got, n)
		}
		return a.Check()
	})
}
