package virtual

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
)

const (
	dayLong = 24 * time.Hour
	// dayQuiet is the last part of a day, in which the load stays and callers ask for nothing.
	dayQuiet = 30 * time.Minute
	// dayLevels is how often the load changes to another level.
	dayLevels = 22
	// dayChanges is how many resources are created, and how many are deleted, in bursts of messages
	// of dayMessage ids.
	dayChanges, dayMessage = 25_000, 500
	// dayImport is how many of the resources that there are in the beginning are created in a
	// second.
	dayImport = 40_000
)

// dayBurst is how many resources a burst creates or deletes, where there are so many.
func dayBurst(resources int) int { return min(max(resources/70, dayMessage), dayChanges, resources/4) }

// Day is a day in the life of a kind, made up from a seed: its load rises and falls, resources are
// created and deleted in bursts, and its leader's process ends in the middle of its work.
type Day struct {
	Config Config
	// asks are what callers ask for, in order.
	asks []ask
	// kill is when the leader ends, after is after how many more transactions.
	kill       time.Time
	after      int
	unanswered bool
}

type ask struct {
	at  time.Time
	op  resync.Op
	ids []string
}

// NewDay is the day of that seed, of so many resources and at most so many instances. It begins
// with all instances, and with the creates of all the resources.
func NewDay(seed uint64, resources, instances int) (*Day, error) {
	rng := rand.New(rand.NewPCG(seed, 0))
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	parsed, err := config.Parse(fmt.Appendf(nil, dayConfig, min(config.MaxCapacity, 2*resources/instances+1), instances))
	if err != nil {
		return nil, fmt.Errorf("configure the day: %w", err)
	}
	d := &Day{Config: Config{
		Kind: parsed.Kinds[0], Start: start, SyncPeriod: parsed.SyncPeriod.Std(), TakeOver: 15 * time.Second,
		Cluster: ClusterConfig{
			Namespace: "iot", StatefulSet: parsed.Kinds[0].StatefulSet, Replicas: instances,
			Start: 5 * time.Second, Ready: 15 * time.Second, Stop: 10 * time.Second,
			CPURequest: dayRequest, MemoryRequest: 1 << 30,
		},
		Load: levels(rng, start, float64(instances)/float64(resources)),
	}}
	d.plan(rng, start, resources)
	return d, nil
}

const dayConfig = `
kinds:
- name: Thing
  statefulSet: iota-dac
  capacity: %d
  init: 2
  max: %d
  handOff: acknowledged
  cpu: {targetUtilization: 70}
  heartbeat: {}
`

// dayRequest is the milli-CPU that a pod requests, of which 70% are to be used.
const dayRequest = 1000

// levels is a load that wants a share of the instances, high and low in turn, and trembles by less
// than the tolerance; one is how many instances there are at most for a resource.
func levels(rng *rand.Rand, start time.Time, one float64) Load {
	const slot = (dayLong - dayQuiet) / dayLevels
	wants := make([]float64, dayLevels+1)
	for i := range wants {
		wants[i] = 0.90 + 0.06*rng.Float64()
		if i%2 == 1 {
			wants[i] = 0.76 + 0.03*rng.Float64()
		}
	}
	tremble := 2 * math.Pi * rng.Float64()
	return func(at time.Time, _, runs int) (cpu, memory int64) {
		since := at.Sub(start)
		want := wants[min(since/slot, dayLevels)] + 0.01*math.Sin(tremble+2*math.Pi*since.Hours())
		return 10 + int64(0.7*dayRequest*want*one*float64(runs)), 100<<20 + int64(runs)<<10
	}
}

// plan makes up what callers ask for, and when the leader ends: within a burst.
func (d *Day) plan(rng *rand.Rand, start time.Time, resources int) {
	alive := make([]string, 0, resources+dayChanges)
	create := func(at time.Time, n int) {
		fresh := make([]string, n)
		for i := range fresh {
			fresh[i] = newID(rng)
		}
		alive = append(alive, fresh...)
		d.say(at, resync.Created, fresh)
	}
	remove := func(at time.Time, n int) {
		gone := make([]string, n)
		for i := range gone {
			k := rng.IntN(len(alive))
			gone[i], alive[k] = alive[k], alive[len(alive)-1]
			alive = alive[:len(alive)-1]
		}
		d.say(at, resync.Deleted, gone)
	}
	for i := 0; i < resources; i += dayImport {
		create(start.Add(time.Minute+time.Duration(i/dayImport)*time.Second), min(dayImport, resources-i))
	}
	burst := max(1, dayBurst(resources))
	bursts := (dayChanges + burst - 1) / burst
	slot := (dayLong - dayQuiet - time.Hour) / time.Duration(2*bursts)
	killed := 2 + rng.IntN(4) // of the bursts
	for i := range 2 * bursts {
		at := start.Add(time.Hour).Add(time.Duration(i) * slot).Add(time.Duration(rng.Int64N(int64(slot / 2))))
		if i%2 == 0 {
			create(at, burst)
		} else {
			remove(at, burst)
		}
		if i == killed {
			d.kill, d.after, d.unanswered = at.Add(2*time.Second), 1+rng.IntN(20), rng.IntN(2) == 0
		}
	}
}

// say asks in messages of a bounded size.
func (d *Day) say(at time.Time, op resync.Op, ids []string) {
	for some := range slices.Chunk(ids, dayMessage) {
		d.asks = append(d.asks, ask{at, op, some})
	}
}

// newID is an id of the usual length.
func newID(rng *rand.Rand) string {
	return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", rng.Uint32(), rng.Uint32()>>16, rng.Uint32()>>20, rng.Uint32()>>20, rng.Uint64()>>16)
}

// Report is what became of a day.
type Report struct {
	// Ticks of the world, Terms of leaders, Resizes that were written, Restarts of pods.
	Ticks, Terms, Resizes, Restarts int
	// Created and Deleted count the ids whose callers were answered, Waiting the messages that were
	// not.
	Created, Deleted, Waiting int
	// Resources is how many there are in the end.
	Resources int
	// Transactions, and the bytes that they wrote.
	Transactions, Bytes int
	// Digest is the same where all transactions and decisions are.
	Digest string
}

// Play is a day as it goes on.
type Play struct {
	day    *Day
	World  *World
	digest *Digest
	// asks are what callers have not asked for yet.
	asks []ask
}

// Begin is the day before its first tick.
func (d *Day) Begin() *Play {
	cfg, digest := d.Config, NewDigest()
	cfg.Saw, cfg.Decided = digest.Saw, digest.Decided
	return &Play{day: d, World: New(cfg), digest: digest, asks: d.asks}
}

// Run plays a whole day. Its error is the first thing that went wrong, or what is not where it
// should be in the end.
func (d *Day) Run(ctx context.Context) (Report, error) {
	p := d.Begin()
	err := p.To(ctx, dayLong)
	if err == nil {
		err = p.World.Settled()
	}
	return p.Report(), err
}

// To goes on until so long after the beginning.
func (p *Play) To(ctx context.Context, after time.Duration) error {
	w, d := p.World, p.day
	for until := d.Config.Start.Add(after); w.next.Before(until); {
		if err := ctx.Err(); err != nil {
			return err
		}
		now, last := w.next, w.next.Add(-w.cfg.SyncPeriod)
		for ; len(p.asks) > 0 && !p.asks[0].at.After(now); p.asks = p.asks[1:] {
			w.callers.Ask(p.asks[0].op, p.asks[0].ids)
		}
		if d.kill.After(last) && !d.kill.After(now) {
			w.Kill(d.after, d.unanswered)
		}
		if err := w.Step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Report is what has become of it until now.
func (p *Play) Report() Report {
	w := p.World
	return Report{
		Ticks: w.ticks, Terms: w.terms, Resizes: len(w.cluster.Resized), Restarts: w.cluster.Restarted,
		Created: w.callers.Answered[resync.Created], Deleted: w.callers.Answered[resync.Deleted], Waiting: len(w.callers.open),
		Resources: w.judge.there, Transactions: p.digest.Transactions, Bytes: p.digest.Bytes, Digest: p.digest.String(),
	}
}
