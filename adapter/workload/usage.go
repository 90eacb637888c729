package workload

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/shardscaler/shardscaler/adapter/informer"
	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// offBeat is when in a second samples are polled: as it begins, streams read them.
const offBeat = 500 * time.Millisecond

func (s *Source) poll(ctx context.Context, sink func(observed.Signal)) {
	for !s.synced() && wake.Sleep(ctx, informer.Debounce) {
	}
	for ; ctx.Err() == nil; wake.Sleep(ctx, wake.Until(time.Now(), s.cfg.MetricsInterval, offBeat)) {
		kinds, at := *s.kinds.Load(), time.Now()
		answer := s.samples(ctx, kinds)
		for _, k := range kinds {
			list, err := answer(k)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				s.doubt.Wake()
				s.failures.WithLabelValues("metrics").Inc()
				sink(observed.Failed{Kind: k.Name, Source: observed.SourceMetrics, At: at, Err: err})
			default:
				sink(observed.PodUsage{Kind: k.Name, At: at, Usage: s.usage(k, list)})
			}
		}
	}
}

// perList is how many pods' samples cost as much as one more request.
const perList = 100

// samples are by the names of their pods.
type samples map[string]*metricsv1beta1.PodMetrics

// samples returns what gets the samples of one of the kinds: from one list of the whole namespace,
// unless the pods of others in it cost more than a list for each kind. Of 1,000 kinds it is one.
func (s *Source) samples(ctx context.Context, kinds []config.Kind) func(config.Kind) (samples, error) {
	selectors, own := map[string]string{}, 0
	for _, k := range kinds {
		if set := s.set(k.StatefulSet); set != nil {
			selectors[k.Name] = metav1.FormatLabelSelector(set.Spec.Selector)
			own += len(s.named(k.StatefulSet))
		}
	}
	if len(selectors) == 0 {
		return func(config.Kind) (samples, error) { return nil, nil }
	}
	others := len(s.pods.GetStore().ListKeys()) - own
	if others <= perList*(len(selectors)-1) {
		list, err := s.list(ctx, s.cfg.Namespace, "")
		return func(config.Kind) (samples, error) { return list, err }
	}
	return func(k config.Kind) (samples, error) {
		selector, made := selectors[k.Name]
		if !made {
			return nil, nil
		}
		return s.list(ctx, k.StatefulSet, selector)
	}
}

func (s *Source) list(ctx context.Context, of, selector string) (samples, error) {
	ctx, cancel := context.WithTimeout(ctx, informer.RequestTimeout)
	defer cancel()
	list, err := s.clients.Metrics.MetricsV1beta1().PodMetricses(s.cfg.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("list pod metrics of %s: %w", of, err)
	}
	all := make(samples, len(list.Items))
	for i := range list.Items {
		all[list.Items[i].Name] = &list.Items[i]
	}
	return all, nil
}

// usage returns the samples of the pods that the StatefulSet owns, by ordinal, as far as there are.
func (s *Source) usage(k config.Kind, of samples) map[int]observed.Usage {
	usage := map[int]observed.Usage{}
	set := s.set(k.StatefulSet)
	if set == nil {
		return usage
	}
	for n, pod := range s.named(set.Name) {
		if m := of[pod.Name]; m != nil && metav1.IsControlledBy(pod, set) {
			usage[n] = sample(pod, m)
		}
	}
	return usage
}

func sample(p *corev1.Pod, m *metricsv1beta1.PodMetrics) observed.Usage {
	u := observed.Usage{At: m.Timestamp.Time, Window: m.Window.Duration, WindowText: m.Window.Duration.String()}
	u.CPU, u.MissingCPU = sum(p, m, corev1.ResourceCPU, (*resource.Quantity).MilliValue)
	u.Memory, u.MissingMemory = sum(p, m, corev1.ResourceMemory, (*resource.Quantity).Value)
	return u
}

// mostUsed bounds what a container may use, in bytes or milli-CPU: what is above is no measurement.
const mostUsed = 1 << 50

// sum adds up one resource over the containers, or says why there is no such sum: an unknown part
// is not 0. As for the HPA, a pod is missing if the answer has none of its containers, or one
// without the resource. Unlike for the HPA it is, too, where a value cannot have been measured, or
// where a container of its spec lacks: metrics-server leaves out what a node did not report.
func sum(p *corev1.Pod, m *metricsv1beta1.PodMetrics, name corev1.ResourceName, value func(*resource.Quantity) int64) (total int64, missing string) {
	for _, c := range m.Containers {
		q, ok := c.Usage[name]
		if !ok {
			return 0, fmt.Sprintf("its sample has no %s of container %s", name, c.Name)
		}
		if q.Sign() < 0 || q.CmpInt64(mostUsed) > 0 || value(&q) > mostUsed {
			return 0, fmt.Sprintf("its sample has %s %s of container %s", &q, name, c.Name)
		}
		total += value(&q)
	}
	for _, c := range lasting(p) {
		answered := slices.ContainsFunc(m.Containers, func(a metricsv1beta1.ContainerMetrics) bool { return a.Name == c.Name })
		if !answered && !ended(p, c) {
			return 0, "its sample lacks container " + c.Name
		}
	}
	if len(m.Containers) == 0 {
		return 0, "its sample has no container"
	}
	return total, ""
}

// ended says whether a container has ended for good, as only one with its own restart policy can.
func ended(p *corev1.Pod, c *corev1.Container) bool {
	if c.RestartPolicy == nil || *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
		return false
	}
	return slices.ContainsFunc(p.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.Name == c.Name && s.State.Terminated != nil
	})
}
