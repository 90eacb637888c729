package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers/fetch"
	"github.com/shardscaler/shardscaler/internal/testbed/zkproxy"
	"github.com/shardscaler/shardscaler/internal/wake"
	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

const (
	// todayCommit is the commit of the build that the bars of scale call today's: the promise names
	// it. It stays, whatever comes after it.
	todayCommit = "20e12e8272bded347abfb15076f7a6514e2378ec"

	scaleThings    = 350_000
	scaleInstances = 100
	// deadThings are so many that an instance has about 5,000, and that the others have room for
	// what one of them has.
	deadThings = 480_000
	// catalogueInterval is the product's default.
	catalogueInterval = config.Duration(5 * time.Minute)
)

// fleet is several replicas at scale, as they are by default: of this checkout's build, or of
// today's.
type fleet struct {
	*world
	// zookeeper and api stand between each replica and the servers; empty if not asked for.
	zookeeper []*zkproxy.Proxy
	api       []*upstream

	mu   sync.Mutex // who starts or ends a replica holds it
	down map[*product.Server]bool
	pods int // that were made in the place of killed ones
}

// wires are what stands between a replica and the servers.
type wires struct{ zookeeper, api bool }

// inFleet measures that many replicas when things are imported. A replica that ends is started
// again, as the kubelet would.
func inFleet(things, replicas int, between wires, measure func(context.Context, *fleet) (map[string]float64, error)) measure {
	return inFleetOf(things, replicas, between, func(*product.Options) {}, measure)
}

// inFleetOf is inFleet of a product with other options.
func inFleetOf(things, replicas int, between wires, change func(*product.Options),
	measure func(context.Context, *fleet) (map[string]float64, error),
) measure {
	return func(ctx context.Context, b *bench) (map[string]float64, error) {
		f := &fleet{down: map[*product.Server]bool{}}
		adapt := func(w *world, o *product.Options) error {
			f.world = w
			change(o)
			return f.options(o, replicas, between)
		}
		return inWorldOf(scaleInstances, things, adapt, func(ctx context.Context, w *world) (map[string]float64, error) {
			took, err := w.importThings(ctx, importedIDs(things), true)
			if err != nil {
				return nil, err
			}
			w.b.tell("imported %d in %s", things, took.Round(10*time.Millisecond))
			ctx, cancel := context.WithCancel(ctx)
			var keeper sync.WaitGroup
			defer keeper.Wait()
			defer cancel()
			keeper.Go(func() { f.keep(ctx) })
			return measure(ctx, f)
		})(ctx, b)
	}
}

func importedIDs(n int) []string { return product.IDs(n, 3) }

func (f *fleet) options(o *product.Options, replicas int, between wires) error {
	o.Replicas, o.DefaultTimers = replicas, true
	for i := range o.Config.Kinds {
		c := &o.Config.Kinds[i].Catalogue
		c.Interval = catalogueInterval
		c.Lag, c.MaxDeletes, o.Config.Kinds[i].Mode = nil, nil, "" // today's build refuses fields that it does not know
	}
	for range replicas {
		if !between.zookeeper {
			break
		}
		p, err := zkproxy.Start(f.b.env.ZooKeeper.Addrs()...)
		if err != nil {
			return err
		}
		f.zookeeper = append(f.zookeeper, p)
		f.after = append(f.after, p.Close)
	}
	if between.api {
		o.Before = func(_ context.Context, s *product.Stack) error { return f.countCalls(s, replicas) }
	}
	o.EachServer = func(i int) (flags []string) {
		if between.zookeeper {
			flags = append(flags, "--zookeeper", f.zookeeper[i].Addr()+o.Chroot)
		}
		if between.api {
			flags = append(flags, "--kubeconfig", filepath.Join(o.Dir, apiDir(i), "kubeconfig"))
		}
		return flags
	}
	return nil
}

func apiDir(i int) string { return fmt.Sprintf("api-%d", i) }

// countCalls puts a proxy of its own between each replica and the API server, with the product's
// own rights.
func (f *fleet) countCalls(s *product.Stack, replicas int) error {
	user, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig)
	if err != nil {
		return err
	}
	for i := range replicas {
		u, err := newUpstream(user)
		if err != nil {
			return err
		}
		f.api = append(f.api, u)
		f.after = append(f.after, u.end)
		dir := filepath.Join(s.Dir, apiDir(i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if _, err := u.kubeconfig(dir); err != nil {
			return err
		}
	}
	return nil
}

// buildToday returns today's build, which is built once for all clones.
func (b *bench) buildToday(ctx context.Context) (program string, err error) {
	b.tell("building %.7s", todayCommit)
	dir, err := fetch.Cached(fetch.NewProgress(b.progress), "shardscaler", [][]byte{[]byte(todayCommit), []byte(runtime.Version())},
		func(dir string) error {
			return product.BuildCommit(ctx, todayCommit, filepath.Join(dir, "shardscaler"))
		})
	return filepath.Join(dir, "shardscaler"), err
}

// keep starts every replica that has ended and is not to be down.
func (f *fleet) keep(ctx context.Context) {
	const kubeletPeriod = time.Second
	for pause(ctx, kubeletPeriod) == nil {
		f.b.ended("start a replica again", f.alone(func() (err error) {
			for _, v := range f.Servers {
				if !f.down[v] && !v.Running() {
					err = errors.Join(err, v.Start())
				}
			}
			return err
		}))
	}
}

// alone does something to replicas while nobody else does.
func (f *fleet) alone(do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return do()
}

// take stops a replica, which stays down until bring.
func (f *fleet) take(ctx context.Context, v *product.Server) error {
	return f.alone(func() error {
		f.down[v] = true
		return v.Stop(ctx)
	})
}

// bring starts a replica and returns when it is ready.
func (f *fleet) bring(ctx context.Context, v *product.Server) error {
	err := f.alone(func() error {
		delete(f.down, v)
		return v.Start()
	})
	if err != nil {
		return err
	}
	return f.AwaitReady(ctx, v)
}

// wireOf is what stands between a replica and ZooKeeper.
func (f *fleet) wireOf(v *product.Server) *zkproxy.Proxy {
	return f.zookeeper[slices.Index(f.Servers, v)]
}

// become lets every replica that is up go on as another build.
func (f *fleet) become(ctx context.Context, program string) error {
	return f.alone(func() error {
		for _, v := range f.Servers {
			if err := v.Stop(ctx); err != nil {
				return err
			}
			v.Argv[0] = program
		}
		for _, v := range f.Servers {
			if f.down[v] {
				continue
			}
			if err := v.Start(); err != nil {
				return err
			}
		}
		return nil
	})
}

// settled returns the replica that writes, when each that is up is ready and one says that it does.
func (f *fleet) settled(ctx context.Context) (leader *product.Server, err error) {
	const answerLimit = 2 * time.Second
	err = product.Until(ctx, product.Patience, func(ctx context.Context) error {
		var leaders []*product.Server
		for _, v := range f.Servers {
			if f.down[v] {
				continue
			}
			ctx, cancel := context.WithTimeout(ctx, answerLimit)
			defer cancel()
			if err := v.Ready(ctx); err != nil {
				return fmt.Errorf("%s is not ready: %w", v.Name, err)
			}
			text, err := v.Text(ctx, "/metrics")
			if err != nil {
				return fmt.Errorf("ask %s who leads: %w", v.Name, err)
			}
			if strings.Contains(text, "\nshardscaler_rebalancer_leading{kind=\""+thing+"\"} 1\n") {
				leaders = append(leaders, v)
			}
		}
		if len(leaders) != 1 {
			return fmt.Errorf("%d replicas lead", len(leaders))
		}
		leader = leaders[0]
		return nil
	})
	return leader, err
}

// feed creates Things one by one, rate a second, until it is stopped; stop says how many.
func (f *fleet) feed(ctx context.Context, rate int) (stop func() (int, error)) {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	var fed int
	var failed error
	group.Go(func() { fed, failed = f.create(ctx, rate) })
	return func() (int, error) {
		cancel()
		group.Wait()
		return fed, failed
	}
}

// create is feed until ctx ends. What is begun is finished: a row without its message would be
// another thing to recover from.
func (f *fleet) create(ctx context.Context, rate int) (n int, err error) {
	const atOnce = 1000
	whole := context.WithoutCancel(ctx)
	var ids []string
	began, last, longest := time.Now(), time.Now(), 0.0
	for {
		if len(ids) == 0 {
			ids = product.IDs(atOnce, uint64(100+n/atOnce))
		}
		wake.Sleep(ctx, time.Until(began.Add(time.Duration(n)*time.Second/time.Duration(rate))))
		if ctx.Err() != nil {
			break
		}
		if err := f.Platform.Insert(whole, thing, ids[0]); err != nil {
			return n, err
		}
		if err := f.Platform.Publish(whole, product.Created(thing, ids[0])); err != nil {
			return n, err
		}
		ids = ids[1:]
		n++
		longest = max(longest, rounds.Since(last))
		last = time.Now()
	}
	f.b.tell("published %d creates, %s a second; the longest time between two was %s ms", n, number(float64(n)/time.Since(began).Seconds()), number(longest))
	return n, nil
}

// flows returns when something has been created after it was called, which it returns.
func (f *fleet) flows(ctx context.Context) (newest piece, err error) {
	before, err := f.newestPiece()
	if err != nil {
		return before, err
	}
	err = product.Until(ctx, successorLimit, func(context.Context) (err error) {
		newest, err = f.newestPiece()
		if err == nil && !newest.after(before) {
			err = errors.New("nothing is created")
		}
		return err
	})
	return newest, err
}

// stopFeed ends a feed and checks that none of what was created is lost.
func (f *fleet) stopFeed(ctx context.Context, stop func() (int, error), before int) error {
	fed, err := stop()
	if err == nil {
		_, err = f.awaitListed(ctx, before+fed, time.Minute)
	}
	if err == nil {
		err = f.check(ctx, before+fed)
	}
	return err
}
