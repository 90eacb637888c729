package cluster

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

// poll asks metrics.k8s.io about every kind's pods at each interval.
func (s *Source) poll(ctx context.Context, sink func(observed.Signal)) {
	for {
		pause := s.cfg.MetricsInterval
		if !s.synced() {
			pause = s.cfg.Debounce
		} else {
			for _, k := range s.configured() {
				s.pollKind(ctx, k, sink)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (s *Source) pollKind(ctx context.Context, k config.Kind, sink func(observed.Signal)) {
	at := time.Now()
	usage, err := s.usage(ctx, k)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.metrics.failures.WithLabelValues("metrics").Inc()
		sink(observed.Failed{Kind: k.Name, Source: observed.SourceMetrics, At: at, Err: err})
	default:
		sink(observed.PodUsage{Kind: k.Name, At: at, Usage: usage})
	}
}

// usage returns the samples of the pods that the StatefulSet owns, by ordinal. Pods without a sample are not in it.
func (s *Source) usage(ctx context.Context, k config.Kind) (map[int]observed.Usage, error) {
	usage := map[int]observed.Usage{}
	set := s.set(k.StatefulSet)
	if set == nil {
		return usage, nil
	}
	owned := map[string]bool{}
	for _, p := range s.owned(set) {
		owned[p.Name] = true
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	list, err := s.clients.Metrics.MetricsV1beta1().PodMetricses(s.cfg.Namespace).List(ctx,
		metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(set.Spec.Selector)})
	if err != nil {
		return nil, fmt.Errorf("list pod metrics of %s: %w", k.StatefulSet, err)
	}
	for i := range list.Items {
		m := &list.Items[i]
		if n, ok := ordinal(set.Name, m.Name); ok && owned[m.Name] {
			usage[n] = sum(m)
		}
	}
	return usage, nil
}

func sum(m *metricsv1beta1.PodMetrics) observed.Usage {
	u := observed.Usage{At: m.Timestamp.Time, Window: m.Window.Duration}
	for _, c := range m.Containers {
		u.CPU += c.Usage.Cpu().MilliValue()
		u.Memory += c.Usage.Memory().Value()
	}
	return u
}
