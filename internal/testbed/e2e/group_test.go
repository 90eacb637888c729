package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/ptr"

	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

const groupName = "things"

// groups are the InstanceGroups of the test's namespace, as an administrator sees them.
func (w *world) groups() dynamic.ResourceInterface {
	w.t.Helper()
	cfg, err := w.Env.Kubernetes.Config()
	require.NoError(w.t, err)
	client, err := dynamic.NewForConfig(cfg)
	require.NoError(w.t, err)
	return client.Resource(v1alpha1.GroupVersion.WithResource(v1alpha1.Resource)).Namespace(w.Namespace)
}

// group waits until the InstanceGroup is so.
func (w *world) group(what string, ok func(*v1alpha1.InstanceGroup) error) {
	w.t.Helper()
	client := w.groups()
	w.until(what, func(ctx context.Context) error {
		object, err := client.Get(ctx, groupName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		var g v1alpha1.InstanceGroup
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &g); err != nil {
			return err
		}
		if g.Status.ObservedGeneration != g.Generation {
			return fmt.Errorf("status is of generation %d, the object of %d", g.Status.ObservedGeneration, g.Generation)
		}
		return ok(&g)
	})
}

// condition asks for a condition with that status and reason.
func condition(kind string, status metav1.ConditionStatus, reason string) func(*v1alpha1.InstanceGroup) error {
	return func(g *v1alpha1.InstanceGroup) error {
		c := meta.FindStatusCondition(g.Status.Conditions, kind)
		if c == nil || c.Status != status || c.Reason != reason {
			return fmt.Errorf("condition %s is %+v, want %s %s", kind, c, status, reason)
		}
		return nil
	}
}

// kubectl runs as a person would, in the test's namespace.
func (w *world) kubectl(args ...string) string {
	w.t.Helper()
	out, err := w.Env.Kubernetes.Run(w.t.Context(), append([]string{"--namespace", w.Namespace}, args...)...)
	require.NoError(w.t, err)
	return out
}

// hasEvent waits for an event of that reason on an object.
func (w *world) hasEvent(kind, reason string) {
	w.t.Helper()
	w.until(fmt.Sprintf("an event %s on a %s", reason, kind), func(ctx context.Context) error {
		events, err := w.Events(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(events, func(e corev1.Event) bool { return e.InvolvedObject.Kind == kind && e.Reason == reason }) {
			return fmt.Errorf("none among %d", len(events))
		}
		return nil
	})
}

// TestHPAOnTheInstanceGroup lets a real HPA own the size through an InstanceGroup, on a plain count
// of resources: a metric that falls before anything is drained. The first ordinal is 5.
func TestHPAOnTheInstanceGroup(t *testing.T) {
	w := start(t, func(_ *servers.Env, o *product.Options) {
		o.Sizes[thingSet], o.Starts = 3, map[string]int{thingSet: 5}
		o.Config.Kinds[0].Replicas.Owner = config.OwnerGroup
	})
	_, err := w.groups().Apply(t.Context(), groupName, unstructuredGroup(w.Namespace), metav1.ApplyOptions{FieldManager: "test"})
	require.NoError(t, err)
	w.group("the InstanceGroup is seeded, and its status complete", func(g *v1alpha1.InstanceGroup) error {
		if g.Spec.Replicas != 3 || g.Annotations[v1alpha1.SeededAnnotation] != "3" || g.Status.Replicas != 3 || g.Status.Selector != "app="+thingSet {
			return fmt.Errorf("%+v %+v", g.Spec, g.Status)
		}
		return condition(v1alpha1.ConditionScalingActive, metav1.ConditionTrue, v1alpha1.ReasonFollowed)(g)
	})
	w.hpaOnGroup()

	things := product.IDs(5_400, 21)
	require.NoError(t, w.Platform.Import(t.Context(), thing, things, 22))
	w.holds(w.settled(thing, thingSet, 12, 5_400), things)
	t.Log("\n" + w.kubectl("get", "ig", "-o", "wide"))
	onGroup, err := w.MetricOf(t.Context(), "instancegroups.shardscaler.io/"+groupName, "resources")
	require.NoError(t, err)
	require.InDelta(t, 5_400, onGroup, 0)

	gone, kept := things[2_000:], things[:2_000]
	require.NoError(t, w.Platform.Remove(t.Context(), thing, gone...))
	require.NoError(t, w.Platform.Publish(t.Context(), product.BulkDeleted(thing, gone)))
	w.holds(w.settled(thing, thingSet, 5, 2_000), kept)
	require.Positive(t, w.drainedFirst(thing, thingSet, 3), "Things were never scaled down")
	w.lostNothing(thing, gone)
	t.Log("\n" + w.kubectl("get", "ig"))
	w.toZeroAndBack(kept)

	// A second HPA, on the StatefulSet: Kubernetes stops both, and so it is said.
	onSet := autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: thingSet}
	w.createHPA(thingSet, onSet, objectMetric("resources", "900"), autoscalingv2.DisabledPolicySelect)
	w.hpaSays(thingSet, autoscalingv2.ScalingActive, "AmbiguousSelector")
	w.hpaSays(groupName, autoscalingv2.ScalingActive, "AmbiguousSelector")
	w.group("the conflict is reported", condition(v1alpha1.ConditionConflictingHPA, metav1.ConditionTrue, v1alpha1.ReasonAmbiguousSelector))
	w.hasEvent("StatefulSet", "ConflictingHPA")

	// The second alone: it writes sizes that are not its own, which is reported and not fought.
	w.kubectl("delete", "hpa", groupName)
	w.group("the conflict is another one", condition(v1alpha1.ConditionConflictingHPA, metav1.ConditionTrue, v1alpha1.ReasonOnStatefulSet))
	before := len(w.scaleWrites())
	more := product.IDs(3_000, 23)
	require.NoError(t, w.Platform.Import(t.Context(), thing, more, 24))
	w.settled(thing, thingSet, 6, 5_000)
	require.Len(t, w.scaleWrites(), before, "a size was written against the HPA")
	w.kubectl("delete", "hpa", thingSet)
	w.group("the conflict is over", condition(v1alpha1.ConditionConflictingHPA, metav1.ConditionFalse, v1alpha1.ReasonNone))

	// A wish that is too small for the resources there are is not followed.
	w.kubectl("scale", "ig", groupName, "--replicas=1")
	w.group("the resources limit the wish", condition(v1alpha1.ConditionScalingLimited, metav1.ConditionTrue, v1alpha1.ReasonResourceFloor))
	w.hasEvent(v1alpha1.Kind, v1alpha1.ReasonResourceFloor)
	w.settled(thing, thingSet, 6, 5_000)
	_, err = w.DrainedFirst(t.Context(), thing, thingSet, 3)
	require.NoError(t, err)
}

// toZeroAndBack lets the HPA scale to zero when no Thing is left. The API server accepts its wish
// of 0, init bounds it, and the size returns with the Things.
func (w *world) toZeroAndBack(kept []string) {
	w.t.Helper()
	w.kubectl("patch", "hpa", groupName, "--type=merge", "-p", `{"spec":{"minReplicas":0}}`)
	require.NoError(w.t, w.Platform.Remove(w.t.Context(), thing, kept...))
	require.NoError(w.t, w.Platform.Publish(w.t.Context(), product.BulkDeleted(thing, kept)))
	w.settled(thing, thingSet, thingInit, 0)
	w.hpaSays(groupName, autoscalingv2.ScaledToZero, "ScaledToZero")
	w.group("the wish is 0", func(g *v1alpha1.InstanceGroup) error {
		if g.Spec.Replicas != 0 || g.Status.Replicas != thingInit {
			return fmt.Errorf("wish %d, size %d", g.Spec.Replicas, g.Status.Replicas)
		}
		return condition(v1alpha1.ConditionScalingLimited, metav1.ConditionTrue, v1alpha1.ReasonTooFewReplicas)(g)
	})
	require.NoError(w.t, w.Platform.Import(w.t.Context(), thing, kept, 25))
	w.holds(w.settled(thing, thingSet, 5, len(kept)), kept)
}

func unstructuredGroup(namespace string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"kind": thing, "statefulSetName": thingSet},
	}}
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))
	o.SetNamespace(namespace)
	o.SetName(groupName)
	return o
}

// hpaOnGroup puts an HPA on the InstanceGroup: tolerance 0, no windows, any rate.
func (w *world) hpaOnGroup() {
	w.t.Helper()
	ref := autoscalingv2.CrossVersionObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.Kind, Name: groupName}
	// half of the target of our own: the wish is the larger signal
	metric := objectMetric("resources", "450")
	metric.Object.DescribedObject = ref
	w.createHPA(groupName, ref, metric, autoscalingv2.MaxChangePolicySelect)
	w.hpaSays(groupName, autoscalingv2.ScalingActive, "ValidMetricFound")
}

// TestReplicasByHand scales StatefulSets by hand, up and down, twice each. Things are scaled up and
// their owner holds that for a window; Rules, whose pods start in order, are lowered below their
// need.
func TestReplicasByHand(t *testing.T) {
	w := startBeside(t, func(_ *servers.Env, o *product.Options) {
		o.Replicas = 2
		o.Before = func(ctx context.Context, s *product.Stack) error { return inOrder(ctx, s, ruleSet) }
	})
	things, rules := product.IDs(2_500, 31), product.IDs(200, 32)
	require.NoError(t, w.Platform.Import(t.Context(), thing, things, 33))
	require.NoError(t, w.Platform.Import(t.Context(), rule, rules, 34))
	w.settled(thing, thingSet, 3, 2_500)
	w.settled(rule, ruleSet, 3, 200)

	// Up: held for a window, then drained. Down: raised again.
	w.kubectl("scale", "statefulset", thingSet, "--replicas=5")
	w.kubectl("scale", "statefulset", ruleSet, "--replicas=1")
	w.settled(rule, ruleSet, 3, 200)
	w.settled(thing, thingSet, 3, 2_500)
	w.heldForAWindow(5, 3)
	_, err := w.DrainedFirst(t.Context(), thing, thingSet, thingInit)
	require.NoError(t, err)

	// Again.
	w.kubectl("scale", "statefulset", thingSet, "--replicas=5")
	w.kubectl("scale", "statefulset", ruleSet, "--replicas=1")
	stopped := func(d *decide.Decision) bool {
		return d.Reason == decide.ByForeignWriter && d.Foreign != nil && d.Foreign.Stopped && d.Foreign.Writer == "kubectl"
	}
	w.leaderDecides(thing, "Things are left to kubectl", stopped)
	w.leaderDecides(rule, "Rules are left to kubectl", stopped)
	w.hasEvent("StatefulSet", "ForeignWriter")
	written := len(w.scaleWrites())

	// Assignments go on, and so does the stop, under the next leader too.
	require.NoError(t, w.leader().Kill())
	more := product.IDs(400, 35)
	require.NoError(t, w.Platform.Import(t.Context(), thing, more, 36))
	w.settled(thing, thingSet, 5, 2_900)
	w.until("what remains of the Rules is full", func(ctx context.Context) error {
		a, err := w.Assignment(ctx, rule)
		if err != nil {
			return err
		}
		if n := owned(a, 0); n != 100 || len(a.Pool)+a.Assigned()+a.InFlight() != 200 {
			return fmt.Errorf("instance 0 owns %d, %d in all", n, len(a.Pool)+a.Assigned()+a.InFlight())
		}
		return nil
	})
	w.leaderDecides(thing, "the next leader writes no Things either", stopped)
	w.leaderDecides(rule, "nor Rules", stopped)
	require.Len(t, w.scaleWrites(), written, "a size was written after the stop")

	// Until a person pauses and resumes.
	for _, paused := range []bool{true, false} {
		require.NoError(t, w.Configure(t.Context(), func(c *config.Config) {
			for i := range c.Kinds {
				c.Kinds[i].Paused = paused
			}
		}))
		for _, kind := range []string{thing, rule} {
			w.leaderDecides(kind, fmt.Sprintf("paused: %t", paused), func(d *decide.Decision) bool {
				return paused == slices.ContainsFunc(d.Holds, func(h decide.Hold) bool { return h.By == decide.ByPause })
			})
		}
	}
	w.settled(thing, thingSet, 4, 2_900)
	w.settled(rule, ruleSet, 3, 200)
	w.lostNothing(thing, nil)
	w.lostNothing(rule, nil)
}

// heldForAWindow requires that after another writer raised Things one scale-down window went by
// before they were lowered again.
func (w *world) heldForAWindow(raised, lowered int) {
	w.t.Helper()
	writes, err := w.ScaleWrites()
	require.NoError(w.t, err)
	writes = slices.DeleteFunc(writes, func(s product.ScaleWrite) bool { return s.StatefulSet != thingSet || !s.Accepted })
	n := slices.IndexFunc(writes, func(s product.ScaleWrite) bool { return s.User != w.User() })
	require.GreaterOrEqual(w.t, n, 0, "no other writer wrote")
	require.Greater(w.t, len(writes), n+1)
	raise, answer := writes[n], writes[n+1]
	require.Equal(w.t, []int{raised, lowered}, []int{raise.Replicas, answer.Replicas})
	require.Equal(w.t, w.User(), answer.User)
	k, ok := w.Config.Kind(thing)
	require.True(w.t, ok)
	require.GreaterOrEqual(w.t, answer.Received.Sub(raise.Received), k.Behavior.ScaleDown.StabilizationWindow.Std())
}

// scaleWrites are the product's own.
func (w *world) scaleWrites() (own []product.ScaleWrite) {
	w.t.Helper()
	writes, err := w.ScaleWrites()
	require.NoError(w.t, err)
	return slices.DeleteFunc(writes, func(s product.ScaleWrite) bool { return s.User != w.User() || !s.Accepted })
}

// leaderDecides waits for a decision on which the leader acts.
func (w *world) leaderDecides(kind, what string, ok func(*decide.Decision) bool) {
	w.t.Helper()
	w.until(what, func(ctx context.Context) error {
		leader, err := w.Leader(ctx)
		if err != nil {
			return err
		}
		var d decide.Decision
		if err := leader.REST(ctx, http.MethodGet, "/v1/api/orchestrations/"+kind+"/decision", "", nil, &d); err != nil {
			return err
		}
		if !ok(&d) {
			return fmt.Errorf("the decision is %s", d.Summary)
		}
		return nil
	})
}

// inOrder makes a StatefulSet anew with pods that start and stop one after the other.
func inOrder(ctx context.Context, s *product.Stack, name string) error {
	sets := s.Kube.AppsV1().StatefulSets(s.Namespace)
	set, err := sets.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if err := sets.Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationForeground)}); err != nil {
		return err
	}
	set.ResourceVersion, set.UID, set.Spec.PodManagementPolicy = "", "", appsv1.OrderedReadyPodManagement
	return product.Until(ctx, product.Patience, func(ctx context.Context) error {
		_, err := sets.Create(ctx, set, metav1.CreateOptions{})
		return err
	})
}
