package story

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// demoConfig has small instances, of which 20,000 resources need many, and short windows.
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

// demo is one showing.
type demo struct {
	Story
	out    io.Writer
	claims []string // what became of each
	failed []error
	began  time.Time
	page   string // its address
}

// Run shows everything, and stays up unless it is to end with the last act. It returns an error if
// anything it claims did not happen.
func Run(ctx context.Context, env *servers.Env, out io.Writer, oneshot bool) error {
	return newDemo(out).run(ctx, env, oneshot)
}

func newDemo(out io.Writer) *demo {
	d := &demo{out: out, began: time.Now()}
	d.Story = Story{Do: d.claim, Await: d.eventually, Kinds: []*Kind{
		// CPU as the example workload requests
		{Name: "Thing", Set: "iota-dac", Init: 3, Target: 900, CPU: 0.5, IDs: product.IDs(20_000, 1)},
		{Name: "Rule", Set: "iota-rules-engine", Init: 2, Target: 80, CPU: 0.25, IDs: product.IDs(500, 2)},
	}}
	return d
}

func (d *demo) run(ctx context.Context, env *servers.Env, oneshot bool) error {
	if err := d.start(ctx, env); err != nil {
		return err
	}
	defer func() {
		if err := d.Close(context.WithoutCancel(ctx)); err != nil {
			fmt.Fprintln(d.out, err)
		}
	}()
	endPage, err := d.servePage(ctx, env)
	if err != nil {
		return fmt.Errorf("serve the page: %w", err)
	}
	defer endPage()
	d.claim(ctx, "the page has both kinds", func(ctx context.Context) error {
		return product.Until(ctx, product.Patience, d.showsPage) // the operator's rights are not known everywhere at once
	})
	d.acts(ctx)
	d.look(ctx, Over)
	if ctx.Err() != nil {
		return nil // a person ended it, and has seen enough
	}
	err = d.summary()
	if !oneshot {
		d.invite(env)
		d.watchTable(ctx)
	}
	return err
}

// start builds and starts the product with two replicas.
func (d *demo) start(ctx context.Context, env *servers.Env) error {
	d.title("Building shardscaler and dacsim")
	dir := filepath.Join(env.Dir, "demo") // go build makes it
	programs, err := product.Build(ctx, dir)
	if err != nil {
		return err
	}
	cfg, err := config.Parse([]byte(demoConfig))
	if err != nil {
		return err
	}
	d.title("Installing the manifests; starting two replicas of shardscaler and the simulated workload")
	if _, err := env.Kubernetes.Run(ctx, "create", "namespace", namespace); err != nil {
		return err
	}
	topic := cfg.Kinds[0].Heartbeat.Topic
	if err := env.Kafka.CreateTopic(ctx, topic, 1); err != nil {
		return err
	}
	d.Stack, err = product.Start(ctx, env, product.Options{
		Dir: dir, Programs: programs, Namespace: namespace, BeatTopic: topic, MQTTTopic: "cm/notify",
		Catalogue: env.Postgres.Catalogue, Config: cfg, Replicas: 2,
		Sizes:         map[string]int{d.Kinds[0].Set: d.Kinds[0].Init, d.Kinds[1].Set: d.Kinds[1].Init},
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
		{"The platform imports 20,000 Things and 500 Rules: rows in SQL, then messages on cm/notify (single, bulk, repeated, shuffled)", d.Import},
		{"Every Thing becomes busier: CPU rises, the count stays", func(ctx context.Context) { d.Busy(ctx, 0.25, d.Kinds[0]) }},
		{"A third is deleted, by id", d.DeleteByID},
		{"Another third by a bulk delete whose `where` was lost on its way: only the catalogue knows, and a person must confirm", d.DeleteByWhere},
		{"Looking back, in the API server's audit log and ZooKeeper's transaction log", d.LookBack},
	} {
		if ctx.Err() != nil {
			return
		}
		d.title(fmt.Sprintf("%d. %s", i+1, act.title))
		act.play(ctx)
	}
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
	line := fmt.Sprintf("ok  %s (%s)", text, time.Since(began).Round(100*time.Millisecond))
	if err != nil {
		line = fmt.Sprintf("FAILED  %s: %v", text, err)
		d.failed = append(d.failed, errors.New(text))
	}
	d.claims = append(d.claims, line)
	d.say("   %s", line)
}

// eventually waits for something while the table is shown.
func (d *demo) eventually(ctx context.Context, text string, try func(context.Context) error) {
	d.claim(ctx, text, func(ctx context.Context) error {
		ctx, stop := context.WithCancel(ctx)
		shown := make(chan struct{})
		go func() { defer close(shown); d.watchTable(ctx) }()
		err := product.Until(ctx, product.Patience, try)
		stop()
		<-shown
		return err
	})
}

// summary prints every claim and returns those that failed.
func (d *demo) summary() error {
	d.title("Summary")
	for _, line := range d.claims {
		d.say("   %s", line)
	}
	d.say("   %d of %d claims came true, in %s", len(d.claims)-len(d.failed), len(d.claims), time.Since(d.began).Round(time.Second))
	return errors.Join(d.failed...)
}

func (d *demo) title(text string) { fmt.Fprintf(d.out, "\n%s\n", text) }

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, format+"\n", args...)
}
