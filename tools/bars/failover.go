package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

const (
	failoverReplicas = 3
	// failoverRate is how many creates come a second while leaders are struck.
	failoverRate = 20
	// strikeTime is how long a leader is frozen, or cut off from ZooKeeper.
	strikeTime = 10 * time.Second
	// apartMin and apartMax bound the time between all being well and a strike: it is to meet any
	// moment of what the leader does periodically.
	apartMin, apartMax = 500 * time.Millisecond, 2500 * time.Millisecond
	// successorLimit is how long a create is waited for, with a look at the pool each lookPeriod.
	successorLimit = 2 * time.Minute
	lookPeriod     = 20 * time.Millisecond
)

// strike is a way in which a leader is lost.
type strike struct {
	name string
	// begin returns when the leader is struck, end gives it back; nil: another comes in its place.
	begin, end func(*fleet, *product.Server) error
}

var (
	kill   = strike{name: "kill", begin: (*fleet).kill}
	freeze = strike{
		"freeze",
		func(_ *fleet, v *product.Server) error { return v.Freeze() },
		func(_ *fleet, v *product.Server) error { return v.Continue() },
	}
	cut = strike{
		"cut",
		func(f *fleet, v *product.Server) error { f.wireOf(v).Partition(); return nil },
		func(f *fleet, v *product.Server) error { f.wireOf(v).Heal(); return nil },
	}
)

// kill ends a replica as the loss of its node does. What is started in its place is another pod, as
// a Deployment makes it: one of the same name would at once be who leads.
func (f *fleet) kill(v *product.Server) error {
	return f.alone(func() error {
		name := slices.Index(v.Argv, "--pod-name") + 1
		f.pods++
		v.Argv[name] = fmt.Sprintf("%s-%d", v.Name, f.pods)
		return v.Kill()
	})
}

// strikes is how often each is done.
type strikes struct{ kill, freeze, cut, today int }

// order mixes the strikes, the same way each time.
func (n strikes) order() []strike {
	all := slices.Concat(slices.Repeat([]strike{kill}, n.kill), slices.Repeat([]strike{freeze}, n.freeze), slices.Repeat([]strike{cut}, n.cut))
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// struck is a strike that was done. back is when the leader was given back; zero: never.
type struck struct {
	name     string
	at, back time.Time
}

// losses are the strikes of a run, and how many reads of the other replicas failed meanwhile.
type losses struct {
	ours, theirs []struck // by this build's replicas, and by today's
	readsFailed  int
}

// failover measures how long nothing is created when the leader is lost, also with today's build.
func failover(things int, n strikes) measure {
	return inFleet(things, failoverReplicas, wires{zookeeper: true}, func(ctx context.Context, f *fleet) (map[string]float64, error) {
		today, err := f.b.buildToday(ctx)
		if err != nil {
			return nil, err
		}
		stop := f.feed(ctx, failoverRate)
		var all losses
		all.ours, all.readsFailed, err = f.lose(ctx, n.order(), "")
		if err == nil {
			err = f.become(ctx, today)
		}
		if err == nil {
			all.theirs, _, err = f.lose(ctx, slices.Repeat([]strike{kill}, n.today), "today's ")
		}
		err = errors.Join(err, f.stopFeed(ctx, stop, things))
		log, unread := f.terms()
		if err := errors.Join(err, unread); err != nil {
			return nil, err // of a part of the strikes the worst is no figure
		}
		return all.figures(f.b, log)
	})
}

// figures makes the figures of what ZooKeeper's log says of the strikes.
func (l *losses) figures(b *bench, log *terms) (map[string]float64, error) {
	const toldWrites = 10
	for _, what := range log.old[:min(len(log.old), toldWrites)] {
		b.tell("a write of an old epoch: %s", what)
	}
	ours, err := log.successions(l.ours)
	theirs, errTheirs := log.successions(l.theirs)
	if err := errors.Join(err, errTheirs); err != nil {
		return nil, err
	}
	measured := map[string]float64{"reads_failed": float64(l.readsFailed), "old_epoch_writes": float64(len(log.old))}
	for name, seconds := range ours {
		b.tell("%s: %d times, seconds %.2f", name, len(seconds), seconds)
		measured[name+"_worst_s"], measured[name+"_median_s"] = slices.Max(seconds), rounds.Median(seconds)
	}
	b.tell("today's kill: %d times, seconds %.2f", len(theirs[kill.name]), theirs[kill.name])
	measured["today_kill_s"] = rounds.Median(theirs[kill.name])
	measured["over_today"] = measured["kill_median_s"] / measured["today_kill_s"]
	return measured, nil
}

// successions says how long each strike took, by its name.
func (t *terms) successions(all []struck) (seconds map[string][]float64, err error) {
	seconds = map[string][]float64{}
	for _, s := range all {
		first, found := t.successor(s.at, s.back)
		if !found {
			return seconds, fmt.Errorf("the log has no create after the %s at %s", s.name, s.at.Format(time.TimeOnly))
		}
		seconds[s.name] = append(seconds[s.name], first.at.Sub(s.at).Seconds())
	}
	return seconds, nil
}

// lose strikes the leader again and again, and counts the reads of the other replicas that failed.
func (f *fleet) lose(ctx context.Context, order []strike, whose string) (all []struck, failed int, err error) {
	if _, err := f.settled(ctx); err != nil {
		return nil, 0, err
	}
	readers, err := f.newReaders(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer func() { failed = readers.stop() }()
	random := rand.New(rand.NewPCG(2, 2))
	for i, s := range order {
		leader, err := f.settled(ctx)
		if err != nil {
			return all, 0, err
		}
		apart := apartMin + time.Duration(random.Int64N(int64(apartMax-apartMin)))
		if err := pause(ctx, apart); err != nil {
			return all, 0, err
		}
		readers.spare(leader)
		done, seconds, err := f.strike(ctx, s, leader)
		if err == nil {
			err = readers.await(ctx, leader)
		}
		if err != nil {
			return all, 0, fmt.Errorf("%s%s %d of %s: %w", whose, s.name, i+1, leader.Name, err)
		}
		readers.spare(nil)
		all = append(all, done)
		f.b.tell("%d of %d, %s%s of %s: seen to be over after %s s", i+1, len(order), whose, s.name, leader.Name, number(seconds))
	}
	return all, 0, nil
}

// strike strikes a leader and returns when something has been created by another epoch, or by the
// leader that was given back, and that was done. seconds is when the create was seen.
func (f *fleet) strike(ctx context.Context, s strike, leader *product.Server) (done struck, seconds float64, err error) {
	before, err := f.flows(ctx)
	if err != nil {
		return done, 0, err
	}
	done = struck{name: s.name, at: time.Now()}
	if err := s.begin(f, leader); err != nil {
		return done, 0, err
	}
	given := s.end == nil
	defer func() {
		if !given { // after an error
			err = errors.Join(err, s.end(f, leader))
		}
	}()
	for seconds == 0 || !given {
		if since := time.Since(done.at); !given && since >= strikeTime {
			given, done.back = true, time.Now()
			// what it had made before it was struck is nothing new
			if before, err = f.newestPiece(); err == nil {
				err = s.end(f, leader)
			}
			if err != nil {
				return done, 0, err
			}
		} else if since > successorLimit {
			return done, 0, fmt.Errorf("nothing was created in %s", successorLimit)
		}
		newest, err := f.newestPiece()
		if err != nil {
			return done, 0, err
		}
		if seconds == 0 && (newest.epoch > before.epoch || !done.back.IsZero() && newest.after(before)) {
			seconds = time.Since(done.at).Seconds()
		}
		if err := pause(ctx, lookPeriod); err != nil {
			return done, 0, err
		}
	}
	return done, seconds, nil
}

// newestPiece is the newest piece that the pool has; zero: it is empty.
func (f *fleet) newestPiece() (newest piece, err error) {
	names, _, err := f.conn.Children(f.Chroot + protocol.PoolPath(thing))
	if err != nil {
		return newest, fmt.Errorf("look into the pool: %w", err)
	}
	for _, name := range names {
		p, err := pieceOf(name)
		if err != nil {
			return newest, err
		}
		if p.after(newest) {
			newest = p
		}
	}
	return newest, nil
}
