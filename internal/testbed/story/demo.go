// Package story shows the product at work on real servers, act by act, and checks what it claims.
//
// In: the running servers. Out: a story on a terminal, a live table of what the product sees and decides, commands to paste,
// and an error that lists every claim that did not come true. Invariant: a claim is judged by Kubernetes and ZooKeeper,
// never by what the product says of itself; the product's own words are only shown.
package story

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/workload"
)

// Options of Run.
type Options struct {
	// Oneshot ends after the last act instead of staying up.
	Oneshot bool
	Out     io.Writer
}

const (
	things, rules         = 20_000, 500
	thingInit, ruleInit   = 3, 2
	thingTarget           = 900
	ruleTarget            = 80
	cpuTarget, cpuRequest = 70, 0.5 // percent; cores of an instance of Things, as the example workload requests
	cpuPerThing           = 0.00005
)

// demoConfig has instances small enough that 20,000 resources need many, and windows short enough to watch.
const demoConfig = `
syncPeriod: 1s
kinds:
- name: Thing
  statefulSet: iota-dac
  capacity: 1000            # hard limit of an instance
  targetPerInstance: 900    # what sizing aims at
  init: 3
  max: 40
  cpu: {targetUtilization: 70}
  behavior: {scaleDown: {stabilizationWindow: 10s}}
  heartbeat: {topic: HeartBeat, staleAfter: 15s, restartAfter: 30s}
  catalogue: {lag: 3s}
- name: Rule
  statefulSet: iota-rules-engine
  capacity: 100
  targetPerInstance: 80
  init: 2
  max: 20
  behavior: {scaleDown: {stabilizationWindow: 10s}}
  catalogue: {lag: 3s}
`

// kind is one of the two that are shown.
type kind struct {
	name, set string
	init      int
	target    int
	// ids exist now, gone did.
	ids, gone []string
}

// deleted notes that the first n are gone.
func (k *kind) deleted(n int) { k.ids, k.gone = k.ids[n:], append(k.gone, k.ids[:n]...) }

// size is what the count alone asks for.
func (k *kind) size() int { return max(k.init, (len(k.ids)+k.target-1)/k.target) }

// demo is one showing.
type demo struct {
	*product.Stack
	out    io.Writer
	things kind
	rules  kind
	claims []claim
	began  time.Time
}

type claim struct {
	text string
	took time.Duration
	err  error
}

// Run shows everything. It returns an error if anything it claims did not happen.
func Run(ctx context.Context, env *servers.Env, o Options) error {
	d := &demo{
		out: o.Out, began: time.Now(),
		things: kind{name: "Thing", set: "iota-dac", init: thingInit, target: thingTarget},
		rules:  kind{name: "Rule", set: "iota-rules-engine", init: ruleInit, target: ruleTarget},
	}
	if err := d.start(ctx, env); err != nil {
		return err
	}
	defer func() {
		if err := d.Close(context.WithoutCancel(ctx)); err != nil {
			d.say("%v", err)
		}
	}()
	d.acts(ctx)
	if ctx.Err() != nil {
		return nil // whoever watched has seen enough
	}
	err := d.summary()
	if o.Oneshot {
		return err
	}
	d.invite(env)
	d.watchTable(ctx)
	return err
}

// start builds and starts the product with two replicas.
func (d *demo) start(ctx context.Context, env *servers.Env) error {
	d.title("Building shardscaler and dacsim")
	dir := filepath.Join(env.Dir, "demo")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	programs, err := product.Build(ctx, dir)
	if err != nil {
		return err
	}
	cfg, err := config.Parse([]byte(demoConfig))
	if err != nil {
		return err
	}
	d.title("Installing the manifests; starting two replicas of shardscaler and the simulated workload")
	if err := createNamespace(ctx, env, namespace); err != nil {
		return err
	}
	topic := cfg.Kinds[0].Heartbeat.Topic
	if err := env.Kafka.CreateTopic(ctx, topic, 1); err != nil {
		return err
	}
	d.Stack, err = product.Start(ctx, env, product.Options{
		Dir: dir, Programs: programs, Namespace: namespace, BeatTopic: topic, MQTTTopic: "cm/notify",
		Catalogue: env.Postgres.Catalogue, Config: cfg, Replicas: 2,
		Sizes:         map[string]int{d.things.set: d.things.init, d.rules.set: d.rules.init},
		WorkloadFlags: []string{"--beat", "5s", "--cpu-base", "0", "--cpu-per-resource", "50u"},
		Progress:      d.out,
	})
	return err
}

const namespace = "iota"

// acts plays the story; a claim that fails is noted, and the next act begins all the same.
func (d *demo) acts(ctx context.Context) {
	for i, act := range []struct {
		title string
		play  func(context.Context)
	}{
		{"The platform imports 20,000 Things and 500 Rules: rows in SQL, then messages on cm/notify (single, bulk, repeated, shuffled)", d.imports},
		{"Every Thing becomes busier: CPU rises, the count stays", d.becomesBusy},
		{"A third is deleted, by id", d.deletesByID},
		{"Another third by a bulk delete whose `where` was lost on its way: only the catalogue knows, and a person must confirm", d.deletesByWhere},
		{"Looking back, in the API server's audit log and ZooKeeper's transaction log", d.looksBack},
	} {
		if ctx.Err() != nil {
			return
		}
		d.title(fmt.Sprintf("%d. %s", i+1, act.title))
		act.play(ctx)
	}
}

func (d *demo) imports(ctx context.Context) {
	t, r := &d.things, &d.rules
	t.ids, r.ids = product.IDs(things, 1), product.IDs(rules, 2)
	d.claim(ctx, "the import is published", func(ctx context.Context) error {
		return errors.Join(d.Platform.Import(ctx, t.name, t.ids, 1), d.Platform.Import(ctx, r.name, r.ids, 2))
	})
	d.settleBoth(ctx)
	d.eventually(ctx, "the instances run exactly what ZooKeeper assigns", func(ctx context.Context) error {
		return errors.Join(d.RunsAsAssigned(ctx, t.name), d.RunsAsAssigned(ctx, r.name))
	})
}

func (d *demo) becomesBusy(ctx context.Context) {
	t := &d.things
	full := t.size()
	grown := full + full/4
	perInstance := cpuPerThing * float64(len(t.ids)) / float64(full)
	// The mean use over the target, such that exactly `grown` instances bring it back to the target.
	d.load(ctx, (float64(grown)-0.5)/float64(full)*cpuTarget/100*cpuRequest/perInstance)
	d.settle(ctx, t, grown)
	d.load(ctx, 1)
	d.settle(ctx, t, full)
}

func (d *demo) deletesByID(ctx context.Context) {
	for _, k := range []*kind{&d.things, &d.rules} {
		d.deleteByID(ctx, k, k.ids[:len(k.ids)/3])
	}
	d.settleBoth(ctx)
}

func (d *demo) deletesByWhere(ctx context.Context) {
	for _, k := range []*kind{&d.things, &d.rules} {
		d.deleteByWhere(ctx, k, k.ids[:len(k.ids)/2])
	}
	d.settleBoth(ctx)
}

func (d *demo) looksBack(ctx context.Context) {
	t, r := &d.things, &d.rules
	d.claim(ctx, "replicas fell only after every leaving instance was empty", func(ctx context.Context) error {
		return errors.Join(d.drained(ctx, t), d.drained(ctx, r))
	})
	d.claim(ctx, "at no transaction was a resource in two places, and only deleted ones are gone", func(context.Context) error {
		return errors.Join(d.none(t), d.none(r))
	})
}

func (d *demo) settleBoth(ctx context.Context) {
	for _, k := range []*kind{&d.things, &d.rules} {
		d.settle(ctx, k, k.size())
	}
}

func (d *demo) load(ctx context.Context, factor float64) {
	d.claim(ctx, fmt.Sprintf("each Thing uses %.1f times its usual CPU", factor), func(ctx context.Context) error {
		return d.Control.Load(ctx, d.things.name, workload.Factors{CPU: factor, Memory: 1})
	})
}

func (d *demo) settle(ctx context.Context, k *kind, size int) {
	text := fmt.Sprintf("%d %ss settle on %d instances of %s, each assigned once, evenly", len(k.ids), k.name, size, k.set)
	d.eventually(ctx, text, func(ctx context.Context) error {
		_, err := d.Settled(ctx, k.name, k.set, size, len(k.ids))
		return err
	})
}

func (d *demo) deleteByID(ctx context.Context, k *kind, ids []string) {
	k.deleted(len(ids))
	d.claim(ctx, fmt.Sprintf("%d %ss are deleted by id", len(ids), k.name), func(ctx context.Context) error {
		if err := d.Platform.Remove(ctx, k.name, ids...); err != nil {
			return err
		}
		messages := []product.Notification{product.BulkDeleted(k.name, ids[len(ids)/2:])}
		for _, id := range ids[:len(ids)/2] {
			messages = append(messages, product.Deleted(k.name, id))
		}
		return d.Platform.Publish(ctx, messages...)
	})
}

func (d *demo) deleteByWhere(ctx context.Context, k *kind, ids []string) {
	k.deleted(len(ids))
	d.claim(ctx, fmt.Sprintf("%d %ss are deleted by an empty where", len(ids), k.name), func(ctx context.Context) error {
		if err := d.Platform.Remove(ctx, k.name, ids...); err != nil {
			return err
		}
		return d.Platform.Publish(ctx, product.DeletedWhere(k.name))
	})
	d.eventually(ctx, fmt.Sprintf("%d deletes of %ss wait for a person, who confirms that number", len(ids), k.name), func(ctx context.Context) error {
		return d.Confirm(ctx, k.name, len(ids))
	})
}

func (d *demo) drained(ctx context.Context, k *kind) error {
	lowered, err := d.DrainedFirst(ctx, k.name, k.set, k.init)
	if err == nil && lowered == 0 {
		err = fmt.Errorf("%s was never lowered", k.set)
	}
	return err
}

// none judges ZooKeeper's own log.
func (d *demo) none(k *kind) error {
	ledger, err := d.Ledger(k.name, 0)
	if err != nil {
		return err
	}
	if len(ledger.Faults) > 0 {
		return fmt.Errorf("%d times in two places, first %s", len(ledger.Faults), ledger.Faults[0])
	}
	for _, id := range k.gone {
		delete(ledger.Vanished, id)
	}
	if n := len(ledger.Vanished); n > 0 {
		return fmt.Errorf("%d %ss are gone that nobody deleted", n, k.name)
	}
	return nil
}

// claim does something and notes whether it came true.
func (d *demo) claim(ctx context.Context, text string, do func(context.Context) error) {
	if ctx.Err() != nil {
		return
	}
	began := time.Now()
	err := do(ctx)
	if ctx.Err() != nil {
		return // interrupted: nothing was found out
	}
	c := claim{text: text, took: time.Since(began), err: err}
	d.claims = append(d.claims, c)
	d.say("   %s", c)
}

// patience is how long a claim may take to come true.
const patience = 3 * time.Minute

// eventually waits for something while the table is shown.
func (d *demo) eventually(ctx context.Context, text string, try func(context.Context) error) {
	d.claim(ctx, text, func(ctx context.Context) error {
		ctx, stop := context.WithCancel(ctx)
		shown := make(chan struct{})
		go func() { defer close(shown); d.watchTable(ctx) }()
		err := product.Until(ctx, patience, try)
		stop()
		<-shown
		return err
	})
}

func (c claim) String() string {
	if c.err != nil {
		return fmt.Sprintf("FAILED  %s: %v", c.text, c.err)
	}
	return fmt.Sprintf("ok  %s (%s)", c.text, c.took.Round(100*time.Millisecond))
}

// summary prints every claim and returns those that failed.
func (d *demo) summary() error {
	d.title("Summary")
	var failed []error
	for _, c := range d.claims {
		d.say("   %s", c)
		if c.err != nil {
			failed = append(failed, errors.New(c.text))
		}
	}
	d.say("   %d of %d claims came true, in %s", len(d.claims)-len(failed), len(d.claims), time.Since(d.began).Round(time.Second))
	return errors.Join(failed...)
}

func (d *demo) title(text string) { fmt.Fprintf(d.out, "\n%s\n", text) }

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, strings.TrimRight(format, "\n")+"\n", args...)
}
