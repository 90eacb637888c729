// Package decide holds the product's decision beside that of the real HPA's calculator, on the same
// inputs: proposal by proposal in random worlds, and in a benchmark by how long both take.
package decide

import (
	"context"
	"fmt"
	"math"
	"time"

	autoscaling "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/decide/hpa"
)

// calculator is the HPA's own, over the same inputs.
type calculator struct {
	*podautoscaler.ReplicaCalculator
	metrics    *samples
	inputs     []decide.Input
	selectors  []labels.Selector
	tolerances podautoscaler.Tolerances
}

// newCalculator turns the inputs into what the HPA reads: pods in an informer's store, metrics in a
// client's answers.
func newCalculator(in []decide.Input) (*calculator, error) {
	pods := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	c := &calculator{metrics: &samples{}, inputs: in}
	for i := range in {
		k := &in[i].Observed
		c.selectors = append(c.selectors, labels.SelectorFromSet(labels.Set{"app": k.Name}))
		for j := range k.Instances {
			if k.Instances[j].Pod == nil {
				continue
			}
			if err := pods.Add(podOf(k, k.Instances[j].Pod)); err != nil {
				return nil, fmt.Errorf("store pod: %w", err)
			}
		}
	}
	c.ReplicaCalculator = podautoscaler.NewReplicaCalculator(c.metrics, listers.NewPodLister(pods), hpa.CPUInitialization, hpa.InitialReadiness)
	return c, nil
}

// size is the HPA's answer for one target: the largest of its three proposals.
func (c *calculator) size(ctx context.Context, n int) (int, error) {
	count, err := c.count(n)
	if err != nil {
		return 0, err
	}
	size := count
	for _, signal := range []struct {
		resource v1.ResourceName
		target   *config.ResourceTarget
	}{{v1.ResourceCPU, c.inputs[n].Config.CPU}, {v1.ResourceMemory, c.inputs[n].Config.Memory}} {
		proposed, err := c.usage(ctx, n, signal.resource, signal.target)
		if err != nil {
			return 0, err
		}
		size = max(size, proposed)
	}
	return size, nil
}

func (c *calculator) count(n int) (int, error) {
	k := &c.inputs[n].Observed
	set := autoscaling.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: k.Name}
	size, _, _, err := c.GetObjectPerPodMetricReplicas(int32(k.Workload.Replicas), int64(c.inputs[n].Config.TargetPerInstance)*1000, "resources", c.tolerances, k.Namespace, &set, nil)
	return int(size), err
}

func (c *calculator) usage(ctx context.Context, n int, name v1.ResourceName, target *config.ResourceTarget) (int, error) {
	k := &c.inputs[n].Observed
	if target.TargetAverageValue != nil {
		size, _, _, err := c.GetRawResourceReplicas(ctx, int32(k.Workload.Replicas), target.TargetAverageValue.MilliValue(), name, c.tolerances, k.Namespace, c.selectors[n], "")
		return int(size), err
	}
	size, _, _, _, err := c.GetResourceReplicas(ctx, int32(k.Workload.Replicas), target.TargetUtilization, name, c.tolerances, k.Namespace, c.selectors[n], "")
	return int(size), err
}

func podOf(k *observed.Kind, p *observed.Pod) *v1.Pod {
	ready := v1.ConditionFalse
	if p.Ready {
		ready = v1.ConditionTrue
	}
	pod := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: k.Namespace, Labels: map[string]string{"app": k.Name}},
		Spec: v1.PodSpec{Containers: []v1.Container{{Name: "main", Resources: v1.ResourceRequirements{Requests: v1.ResourceList{
			v1.ResourceCPU:    *resource.NewMilliQuantity(p.CPURequest, resource.DecimalSI),
			v1.ResourceMemory: *resource.NewQuantity(p.MemoryRequest, resource.BinarySI),
		}}}}},
		Status: v1.PodStatus{Phase: v1.PodPhase(p.Phase)},
	}
	if !p.Started.IsZero() {
		pod.Status.StartTime = &metav1.Time{Time: p.Started}
	}
	if !p.ReadyChanged.IsZero() {
		pod.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: ready, LastTransitionTime: metav1.Time{Time: p.ReadyChanged}}}
	}
	if p.Terminating {
		pod.DeletionTimestamp = &metav1.Time{Time: p.DeleteBy}
	}
	return pod
}

// samples is a metrics client whose answers are ready before they are asked for. The calculator
// changes what it is given, so each answer is good for one question, and prepare makes them anew.
type samples struct {
	metrics.MetricsClient // nil: nothing else is asked

	// more is added to what every pod is said to use, as a share of what it requests and in
	// thousandths of its unit.
	more struct {
		share float64
		milli int64
	}
	usage     map[string]map[v1.ResourceName]metrics.PodMetricsInfo
	resources map[string]int64
}

func (s *samples) prepare(in []decide.Input) {
	s.usage, s.resources = map[string]map[v1.ResourceName]metrics.PodMetricsInfo{}, map[string]int64{}
	for i := range in {
		k := &in[i].Observed
		cpu, memory := metrics.PodMetricsInfo{}, metrics.PodMetricsInfo{}
		for j := range k.Instances {
			if inst := &k.Instances[j]; inst.Pod != nil && inst.Usage != nil {
				u := inst.Usage
				if u.MissingCPU == "" {
					cpu[inst.Pod.Name] = metrics.PodMetric{Timestamp: u.At, Window: u.Window, Value: s.value(u.CPU, inst.Pod.CPURequest)}
				}
				if u.MissingMemory == "" {
					memory[inst.Pod.Name] = metrics.PodMetric{Timestamp: u.At, Window: u.Window, Value: s.value(1000*u.Memory, 1000*inst.Pod.MemoryRequest)}
				}
			}
		}
		s.usage[k.Namespace] = map[v1.ResourceName]metrics.PodMetricsInfo{v1.ResourceCPU: cpu, v1.ResourceMemory: memory}
		s.resources[k.Namespace] = 1000 * int64(k.Resources())
	}
}

func (s *samples) value(use, request int64) int64 {
	return use + int64(math.Ceil(s.more.share*float64(request))) + s.more.milli
}

// GetResourceMetric implements metrics.MetricsClient.
func (s *samples) GetResourceMetric(_ context.Context, name v1.ResourceName, namespace string, _ labels.Selector, _ string) (metrics.PodMetricsInfo, time.Time, error) {
	return s.usage[namespace][name], time.Time{}, nil
}

// GetObjectMetric implements metrics.MetricsClient.
func (s *samples) GetObjectMetric(_, namespace string, _ *autoscaling.CrossVersionObjectReference, _ labels.Selector) (int64, time.Time, error) {
	return s.resources[namespace], time.Time{}, nil
}
