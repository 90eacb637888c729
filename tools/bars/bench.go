package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/wake"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// bench is what the groups share: one sandbox and the built programs, made when first needed.
type bench struct {
	progress io.Writer
	began    time.Time

	env      *servers.Env
	dir      string // for logs and programs; removed by close
	programs product.Programs
	worlds   int
}

func newBench(progress io.Writer) *bench { return &bench{progress: progress, began: time.Now()} }

func (b *bench) tell(format string, args ...any) {
	fmt.Fprintf(b.progress, "bars: %4ds  %s\n", int(time.Since(b.began).Seconds()), fmt.Sprintf(format, args...))
}

func (b *bench) close() {
	if b.env != nil {
		if err := b.env.Close(); err != nil {
			b.tell("end the sandbox: %v", err)
		}
	}
	_ = os.RemoveAll(b.dir)
}

// prepare starts the sandbox and builds the programs, once.
func (b *bench) prepare(ctx context.Context) (err error) {
	if b.env != nil {
		return nil
	}
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "shardscaler-bars-"); err != nil {
			return err
		}
	}
	b.tell("building the programs")
	if b.programs, err = product.Build(ctx, b.dir); err != nil {
		return err
	}
	if file := os.Getenv(servers.FileVar); file != "" {
		b.tell("on the sandbox of %s: what else it does weighs on the figures", file)
		b.env, err = servers.Attach(file)
		return err
	}
	b.env, err = servers.Start(ctx, servers.Options{Progress: b.progress})
	return err
}

// The kind that is measured, and its StatefulSet in the manifests.
const (
	thing    = "Thing"
	thingSet = "iota-dac"
)

// world is one product at work on the sandbox, with instances enough from the start, so that no
// growth is measured.
type world struct {
	*product.Stack
	b         *bench
	namespace string
	conn      *zk.Conn // of our own
	instances int
	// after is called when the product has ended: what stands between it and the servers ends then.
	after []func()
}

// inWorld measures the product with its default timers, but for those of the election, for things resources on that many
// instances. It returns what was measured also beside an error; a clean-up that fails is only told
// of, as what was measured before stays true.
func inWorld(instances, things int, measure func(context.Context, *world) (map[string]float64, error)) measure {
	return inWorldOf(instances, things, func(*world, *product.Options) error { return nil }, measure)
}

// inWorldOf is inWorld of a product with other options.
func inWorldOf(instances, things int, adapt func(*world, *product.Options) error,
	measure func(context.Context, *world) (map[string]float64, error),
) measure {
	return func(ctx context.Context, b *bench) (map[string]float64, error) {
		if err := b.prepare(ctx); err != nil {
			return nil, err
		}
		if os.Getenv(servers.FileVar) != "" {
			return nil, fmt.Errorf("the product needs a sandbox of its own: unset %s", servers.FileVar)
		}
		b.worlds++
		w := &world{b: b, namespace: fmt.Sprintf("bars-%d", b.worlds), instances: instances}
		defer func() { b.ended("close the world", w.close()) }()
		if err := w.start(ctx, things, adapt); err != nil {
			return nil, fmt.Errorf("start the product: %w", err)
		}
		return measure(ctx, w)
	}
}

func (w *world) start(ctx context.Context, things int, adapt func(*world, *product.Options) error) (err error) {
	env := w.b.env
	o := product.Options{
		Dir: filepath.Join(w.b.dir, w.namespace), Programs: w.b.programs, Namespace: w.namespace,
		Chroot: "/" + w.namespace, BeatTopic: w.namespace, MQTTTopic: w.namespace, Catalogue: env.Postgres.Catalogue,
		Sizes: map[string]int{thingSet: w.instances}, Progress: w.b.progress,
	}
	if err := os.Mkdir(o.Dir, 0o755); err != nil {
		return err
	}
	most := max(100, w.instances)
	if o.Config, err = config.Parse(fmt.Appendf(nil, worldConfig, w.instances, max(1, things/w.instances), o.BeatTopic, most)); err != nil {
		return err
	}
	if _, err := env.Kubernetes.Run(ctx, "create", "namespace", w.namespace); err != nil {
		return err
	}
	if err := env.Kafka.CreateTopic(ctx, o.BeatTopic, 4); err != nil {
		return err
	}
	if err := o.Catalogue.Exec(ctx, `TRUNCATE "Thing", "Rule"`); err != nil {
		return err
	}
	if w.conn, _, err = env.ZooKeeper.Open(10 * time.Second); err != nil {
		return err
	}
	if err := adapt(w, &o); err != nil {
		return err
	}
	if w.Stack, err = product.Start(ctx, env, o); err != nil {
		return err
	}
	return product.Until(ctx, 5*time.Minute, func(ctx context.Context) error {
		size, err := w.Size(ctx, thingSet)
		if err == nil && size.Ready != w.instances {
			err = fmt.Errorf("%d of %d instances are ready", size.Ready, w.instances)
		}
		return err
	})
}

// worldConfig is the platform's, with the defaults for everything that takes time but one: the
// catalogue is read every minute instead of every five, so that a time of rest has reads in it.
const worldConfig = `
maxInstancesCeiling: %[4]d
kinds:
- name: Thing
  statefulSet: iota-dac
  capacity: 5000
  targetPerInstance: %[2]d
  init: %[1]d
  max: %[4]d
  cpu: {targetUtilization: 70}
  memory: {targetAverageValue: 1Gi}
  heartbeat: {topic: %[3]s}
  catalogue: {interval: 1m}
- name: Rule
  statefulSet: iota-rules-engine
  capacity: 1000
  init: 1
  max: 10
`

func (w *world) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var faults []error
	if w.Stack != nil {
		faults = append(faults, w.Stack.Close(ctx))
	}
	for _, end := range w.after {
		end()
	}
	if w.conn != nil {
		w.conn.Close()
	}
	// Its pods would go on costing the next world's processor time.
	if _, err := w.b.env.Kubernetes.Run(ctx, "delete", "namespace", w.namespace, "--ignore-not-found"); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// awaitListed returns when the instances' own counts add up to n and nothing waits.
func (w *world) awaitListed(ctx context.Context, n int, limit time.Duration) (time.Time, error) {
	var at time.Time
	err := product.Until(ctx, limit, func(context.Context) error {
		sum := 0
		for n := range w.instances {
			raw, _, err := w.conn.Get(w.Chroot + protocol.InstancePath(thing, n))
			if err != nil {
				return err
			}
			var data struct{ Used int }
			if err := json.Unmarshal(raw, &data); err != nil {
				return fmt.Errorf("instance %d: %w", n, err)
			}
			sum += data.Used
		}
		if at = time.Now(); sum != n {
			return fmt.Errorf("%d of %d are in a list", sum, n)
		}
		return nil
	})
	return at, err
}

// check reads everything and says what is wrong with it.
func (w *world) check(ctx context.Context, n int) error {
	a, err := w.Assignment(ctx, thing)
	if err != nil {
		return err
	}
	if a.Assigned() != n {
		return fmt.Errorf("%d are assigned, want %d; %d pieces are in the pool, %d resources in flight", a.Assigned(), n, len(a.Pool), a.InFlight())
	}
	return a.Check()
}

// ended tells of a clean-up that failed; what was measured before stays true.
func (b *bench) ended(what string, err error) {
	if err != nil {
		b.tell("%s: %v", what, err)
	}
}

// pause waits, or says that the run was interrupted.
func pause(ctx context.Context, d time.Duration) error {
	wake.Sleep(ctx, d)
	return ctx.Err()
}
