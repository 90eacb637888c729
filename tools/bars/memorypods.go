package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
)

const (
	churnedPods = 10_000
	// churnRate is so many changes a second that every pod changes twice, as in an hour.
	churnRate = 2 * churnedPods / int(churnTime/time.Second)

	memoryWithPods = 140 // MB
)

// memoryPodsGroup tells the anonymous memory of the server, above that of the library's test adapter, beside 10,000 pods that change all
// the time while metrics are read: at its peak, and whether it still grows.
var memoryPodsGroup = group{
	name: "metrics_memory_10000_pods",
	figures: []figure{
		{"metrics_memory_10000_pods_peak_above_test_adapter_MB", atMost(memoryWithPods)},
		{"metrics_memory_10000_pods_last_quarter_over_second", atMost(quarterNoise)},
	},
	measure: measureMemoryWithPods,
}

func measureMemoryWithPods(ctx context.Context, b *bench) (_ map[string]float64, err error) {
	adapterProgram, err := b.buildTestAdapter(ctx)
	if err != nil {
		return nil, err
	}
	w, err := b.start(ctx, memoryInstances, createImported)
	if err != nil {
		return nil, err
	}
	defer func() { b.ended("close the world", w.close()) }()
	adapter, stopAdapter, err := w.startTestAdapter(ctx, adapterProgram)
	if err != nil {
		return nil, err
	}
	defer stopAdapter()
	ours, theirs := newSampler(w.Servers[0].Pid), newSampler(func() int { return adapter })
	defer func() { _, _ = ours.stop(), theirs.stop() }()
	stopReading := w.readMetrics(ctx)
	defer stopReading()
	if _, err := w.importThings(ctx, product.IDs(createImported, 3), true); err != nil {
		return nil, err
	}
	admin, err := w.Env.Kubernetes.Config()
	if err != nil {
		return nil, err
	}
	f := &field{b: b, admin: admin, population: population{Namespace: w.namespace, Pods: churnedPods}}
	b.tell("creating %d pods", churnedPods)
	if err := f.createPods(ctx); err != nil {
		return nil, err
	}
	b.tell("changing %d of them a second for %s", churnRate, churnTime)
	medians, err := ours.quarters(ctx, f.churn)
	if err != nil {
		return nil, err
	}
	b.tell("RssAnon in MB: median of each quarter %.1f; peak %s; test adapter %s", medians, number(ours.peak()), number(theirs.peak()))
	return map[string]float64{
		"metrics_memory_10000_pods_peak_above_test_adapter_MB": ours.peak() - theirs.peak(),
		"metrics_memory_10000_pods_last_quarter_over_second":   medians[quarters-1] / medians[1],
	}, errors.Join(ours.stop(), theirs.stop())
}

// churn changes pods all the time.
func (f *field) churn(ctx context.Context) error {
	cfg := rest.CopyConfig(f.admin)
	cfg.QPS = -1
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	pods := client.CoreV1().Pods(f.population.Namespace)
	tick := time.NewTicker(time.Second / time.Duration(churnRate))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		pod := n % churnedPods
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"round":"%d"}}}`, n)
		_, err := pods.Patch(ctx, podName(pod/podsASet, pod%podsASet), types.MergePatchType, patch, metav1.PatchOptions{})
		if err != nil {
			return err
		}
	}
}
