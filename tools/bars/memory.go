package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
)

const (
	memoryInstances = 100
	// settleTime is how long nothing is asked of the server before it counts as at rest: Go
	// collects garbage at the latest every two minutes, and gives memory back after that. restTime
	// is then looked at.
	settleTime = 130 * time.Second
	restTime   = 60 * time.Second
	// churnTime stands for an hour: what changes in it is what an hour changes.
	churnTime = 3 * time.Minute
	// churnShare is the part of the Things that an hour replaces: one in so many.
	churnShare = 10
	// afterRestart is how long the peak of a restart is looked for.
	afterRestart = 30 * time.Second

	churnedPods = 10_000
	// churnRate is so many changes a second that every pod changes twice, as in an hour.
	churnRate = 2 * churnedPods / int(churnTime/time.Second)
)

// weighing looks at the server and at the library's own test adapter, which runs beside it on the
// same API server, while metrics are read as an HPA and a Prometheus would.
type weighing struct {
	*world
	ids           []string // imported
	ours, adapter *sampler
}

// weigh imports Things in bulk and then measures.
func weigh(things int, measure func(context.Context, *weighing) (map[string]float64, error)) measure {
	return inWorld(memoryInstances, things, func(ctx context.Context, w *world) (_ map[string]float64, err error) {
		adapter, err := w.startTestAdapter(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, adapter.Kill()) }()
		pid := adapter.Pid() // one that ends is noticed
		m := &weighing{world: w, ids: product.IDs(things, 3), ours: newSampler(w.Servers[0].Pid), adapter: newSampler(func() int { return pid })}
		defer func() { err = errors.Join(err, m.ours.stop(), m.adapter.stop()) }()
		defer w.readMetrics(ctx)()
		took, err := w.importThings(ctx, m.ids, true)
		if err != nil {
			return nil, err
		}
		w.b.tell("imported %d in %s (%s/s)", things, took.Round(10*time.Millisecond), number(float64(things)/took.Seconds()))
		return measure(ctx, m)
	})
}

// peak is the server's above the adapter's.
func (m *weighing) peak() float64 { return m.ours.peak() - m.adapter.peak() }

// growth is how much more memory there is in the last quarter of churnTime than in the second,
// while change is at work.
func (m *weighing) growth(ctx context.Context, change func(context.Context) error) (float64, error) {
	medians, err := m.ours.quarters(ctx, change)
	if err != nil {
		return 0, err
	}
	m.b.tell("RssAnon in MB: median of each quarter %.1f; peak %s; test adapter %s", medians, number(m.ours.peak()), number(m.adapter.peak()))
	return medians[quarters-1] / medians[1], nil
}

// memoryOf measures with that many Things: an hour in which they come and go, a time of rest, and a
// restart.
func memoryOf(things int) measure {
	return weigh(things, func(ctx context.Context, m *weighing) (map[string]float64, error) {
		growth, err := m.growth(ctx, m.churnThings)
		if err != nil {
			return nil, err
		}
		measured := map[string]float64{"last_quarter_over_second": growth}
		if _, err := m.awaitListed(ctx, things, time.Minute); err != nil {
			return measured, err
		}
		m.b.tell("now at rest for %s", settleTime+restTime)
		if err := pause(ctx, settleTime); err != nil {
			return measured, err
		}
		m.ours.mark()
		m.adapter.mark()
		if err := pause(ctx, restTime); err != nil {
			return measured, err
		}
		ours, adapter := m.ours.sinceMark(), m.adapter.sinceMark()
		measured["rest_above_test_adapter_MB"] = ours - adapter
		m.b.tell("at rest %s MB, test adapter %s; peak so far %s; now a restart", number(ours), number(adapter), number(m.ours.peak()))
		if err := m.restart(ctx); err != nil {
			return measured, err
		}
		measured["peak_above_test_adapter_MB"] = m.peak()
		if err := m.check(ctx, things); err != nil {
			return nil, err
		}
		return measured, nil
	})
}

// memoryWithPods measures beside pods that change all the time.
var memoryWithPods = weigh(createImported, func(ctx context.Context, m *weighing) (map[string]float64, error) {
	p := population{Namespace: m.namespace, Pods: churnedPods}
	m.b.tell("creating %d pods", churnedPods)
	if err := p.create(ctx, m.Kube); err != nil {
		return nil, err
	}
	m.b.tell("changing %d of them a second for %s", churnRate, churnTime)
	growth, err := m.growth(ctx, m.churnPods)
	if err != nil {
		return nil, err
	}
	return map[string]float64{"last_quarter_over_second": growth, "peak_above_test_adapter_MB": m.peak()}, nil
})

// churnThings lets Things go and as many come, one by one, over churnTime. A step that has begun is
// finished: half of one would leave a catalogue that no message told of.
func (m *weighing) churnThings(ctx context.Context) error {
	gone := m.ids[:len(m.ids)/churnShare]
	come := product.IDs(len(gone), 9)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for each := max(1, len(gone)/int(churnTime/time.Second)); len(gone) > 0; {
		n := min(each, len(gone))
		if err := m.replaceThings(context.WithoutCancel(ctx), gone[:n], come[:n]); err != nil {
			return err
		}
		gone, come = gone[n:], come[n:]
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	return nil
}

func (w *world) replaceThings(ctx context.Context, gone, come []string) error {
	if err := w.Platform.Remove(ctx, thing, gone...); err != nil {
		return err
	}
	if err := w.Platform.Insert(ctx, thing, come...); err != nil {
		return err
	}
	var messages []product.Notification
	for i := range gone {
		messages = append(messages, product.Deleted(thing, gone[i]), product.Created(thing, come[i]))
	}
	return w.Platform.Publish(ctx, messages...)
}

// restart makes the server load everything at once.
func (w *world) restart(ctx context.Context) error {
	server := w.Servers[0]
	if err := server.Stop(ctx); err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	if err := w.AwaitReady(ctx, server); err != nil {
		return err
	}
	return pause(ctx, afterRestart)
}

// readMetrics reads as an HPA and a Prometheus do, every 15 s.
func (w *world) readMetrics(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() {
		for pause(ctx, 15*time.Second) == nil {
			// while the server restarts there is no answer
			_, _ = w.Metric(ctx, "pods/*", "resources_per_instance")
			_ = w.Servers[0].REST(ctx, "GET", "/metrics", "", nil, nil)
		}
	})
	return func() {
		cancel()
		group.Wait()
	}
}

// churnPods changes pods all the time.
func (m *weighing) churnPods(ctx context.Context) error {
	pods := m.Kube.CoreV1().Pods(m.namespace)
	tick := time.NewTicker(time.Second / time.Duration(churnRate))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"round":"%d"}}}`, n)
		_, err := pods.Patch(ctx, pod(n%churnedPods).name(), types.MergePatchType, patch, metav1.PatchOptions{})
		if err != nil {
			return err
		}
	}
}
