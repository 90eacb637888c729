package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// hpaUser is the HPA controller in the audit log: not an administrator, so its rights are tested
// too.
const hpaUser = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"

// TestRealHPA lets a real HPA own the size, on one metric after the other: two over the same pods
// would stop each other.
func TestRealHPA(t *testing.T) {
	w := start(t, func(_ *servers.Env, o *product.Options) { o.Config.Kinds[0].Replicas.Owner = config.OwnerHPA })
	things := product.IDs(10_350, 3)

	t.Run("pods metric, up only", func(t *testing.T) {
		w.t = t
		w.hpa(autoscalingv2.MetricSpec{
			Type: autoscalingv2.PodsMetricSourceType,
			Pods: &autoscalingv2.PodsMetricSource{
				Metric: autoscalingv2.MetricIdentifier{Name: "resources_per_instance"},
				Target: averageValue("800"), // 80 % of the capacity
			},
		}, autoscalingv2.DisabledPolicySelect)
		// Two instances hold 1,000 each and 1,000 wait: 1000/800 of two are three, and those are
		// full as well.
		require.NoError(t, w.Platform.Import(t.Context(), thing, things[:3_000], 3))
		w.settled(thing, thingSet, 4, 3_000)
	})
	if t.Failed() {
		return
	}

	t.Run("recommended replicas, both ways", func(t *testing.T) {
		w.t = t
		w.hpa(objectMetric("recommended_replicas", "1"), autoscalingv2.MaxChangePolicySelect)
		require.NoError(t, w.Platform.Import(t.Context(), thing, things[3_000:5_400], 4))
		w.settled(thing, thingSet, 6, 5_400)
		gone := things[1_700:5_400]
		require.NoError(t, w.Platform.Remove(t.Context(), thing, gone...))
		require.NoError(t, w.Platform.Publish(t.Context(), product.BulkDeleted(thing, gone)))
		w.settled(thing, thingSet, 2, 1_700)
		lowered, err := w.DrainedFirst(t.Context(), thing, thingSet, thingInit)
		require.NoError(t, err)
		require.Positive(t, lowered)
	})
	if t.Failed() {
		return
	}

	t.Run("resources, to the exact size", func(t *testing.T) {
		w.t = t
		w.hpa(objectMetric("resources", "900"), autoscalingv2.DisabledPolicySelect)
		require.NoError(t, w.Platform.Import(t.Context(), thing, things[1_700:9_000], 5))
		w.settled(thing, thingSet, 10, 9_000)
		require.NoError(t, w.Platform.Import(t.Context(), thing, things[9_000:9_450], 6))
		w.settled(thing, thingSet, 11, 9_450)
	})
	if t.Failed() {
		return
	}

	t.Run("external metric of one kind", func(t *testing.T) {
		w.t = t
		w.hpa(autoscalingv2.MetricSpec{
			Type: autoscalingv2.ExternalMetricSourceType,
			External: &autoscalingv2.ExternalMetricSource{
				Metric: autoscalingv2.MetricIdentifier{
					Name: "resources", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"kind": thing, "namespace": w.Namespace}},
				},
				Target: averageValue("900"),
			},
		}, autoscalingv2.DisabledPolicySelect)
		require.NoError(t, w.Platform.Import(t.Context(), thing, things[9_450:], 7))
		w.settled(thing, thingSet, 12, 10_350) // 11.5 of 900
	})

	w.t = t
	w.ledger(thing)
	writes, err := w.ScaleWrites()
	require.NoError(t, err)
	for _, s := range writes {
		if s.StatefulSet == thingSet {
			require.Equal(t, hpaUser, s.User, "with owner hpa the product never writes /scale: %+v", s)
		}
	}
}

func averageValue(v string) autoscalingv2.MetricTarget {
	return autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: ptr.To(resource.MustParse(v))}
}

func objectMetric(name, average string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.ObjectMetricSourceType,
		Object: &autoscalingv2.ObjectMetricSource{
			DescribedObject: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: thingSet},
			Metric:          autoscalingv2.MetricIdentifier{Name: name},
			Target:          averageValue(average),
		},
	}
}

// hpa puts an HPA on that metric over the Things in place of any earlier one.
func (w *world) hpa(metric autoscalingv2.MetricSpec, down autoscalingv2.ScalingPolicySelect) {
	w.t.Helper()
	// the first time there is none
	_ = w.Kube.AutoscalingV2().HorizontalPodAutoscalers(w.Namespace).Delete(w.t.Context(), thingSet, metav1.DeleteOptions{})
	w.createHPA(thingSet, autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: thingSet}, metric, down)
	w.hpaSays(thingSet, autoscalingv2.ScalingActive, "ValidMetricFound")
}

// createHPA makes an HPA: tolerance 0, no windows, any rate.
func (w *world) createHPA(name string, target autoscalingv2.CrossVersionObjectReference, metric autoscalingv2.MetricSpec, down autoscalingv2.ScalingPolicySelect) {
	w.t.Helper()
	rules := func(policy autoscalingv2.ScalingPolicySelect) *autoscalingv2.HPAScalingRules {
		return &autoscalingv2.HPAScalingRules{
			Tolerance: ptr.To(resource.MustParse("0")), StabilizationWindowSeconds: ptr.To(int32(0)), SelectPolicy: &policy,
			Policies: []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PodsScalingPolicy, Value: 100, PeriodSeconds: 1}},
		}
	}
	_, err := w.Kube.AutoscalingV2().HorizontalPodAutoscalers(w.Namespace).Create(w.t.Context(), &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: target, MinReplicas: ptr.To(int32(1)), MaxReplicas: 30, Metrics: []autoscalingv2.MetricSpec{metric},
			Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: rules(autoscalingv2.MaxChangePolicySelect), ScaleDown: rules(down)},
		},
	}, metav1.CreateOptions{})
	require.NoError(w.t, err)
}

// hpaSays waits until a condition of the HPA has that reason.
func (w *world) hpaSays(name string, condition autoscalingv2.HorizontalPodAutoscalerConditionType, reason string) {
	w.t.Helper()
	w.until(fmt.Sprintf("HPA %s says %s", name, reason), func(ctx context.Context) error {
		h, err := w.Kube.AutoscalingV2().HorizontalPodAutoscalers(w.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range h.Status.Conditions {
			if c.Type == condition && c.Reason == reason {
				return nil
			}
		}
		return fmt.Errorf("conditions %v", h.Status.Conditions)
	})
}
