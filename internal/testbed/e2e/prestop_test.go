package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/workload"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// TestHPATakesOwnedOrdinals: a real HPA on another metric than recommended_replicas lowers replicas
// while what goes owns much. The preStop hooks hold the pods until they own nothing; a restart is
// not held; and a hook whose time is over says what it leaves behind.
func TestHPATakesOwnedOrdinals(t *testing.T) {
	w := start(t, func(_ *servers.Env, o *product.Options) {
		o.Hooks, o.Replicas = true, 2
		o.Sizes = map[string]int{thingSet: 3, ruleSet: ruleInit}
		k := &o.Config.Kinds[0]
		// else it lowers three empty instances to two by itself
		k.Replicas.Owner, k.HandOff, k.Init = config.OwnerHPA, config.HandOffAcknowledged, 1
		// else they are empty before the test reads them
		k.Rebalance.MaxInFlight = 60
	})
	things := product.IDs(2_700, 1)
	require.NoError(t, w.Platform.Import(t.Context(), thing, things, 1))
	before := w.settled(thing, thingSet, 3, len(things))
	w.runsWhatIsAssigned(thing)

	t.Run("a restart is not held", func(t *testing.T) {
		w.t = t
		w.restartPod(podName(thingSet, 1))
		require.Zero(t, w.hookOf(podName(thingSet, 1)).ExitCode)
		w.nothingMoved(before)
	})
	if t.Failed() {
		return
	}

	t.Run("what goes is held until it owns nothing", func(t *testing.T) {
		w.t = t
		w.hpa(objectMetric("resources", "900"), autoscalingv2.MaxChangePolicySelect)
		gone, kept := things[:1_000], things[1_000:]
		require.NoError(t, w.Platform.Remove(t.Context(), thing, gone...))
		require.NoError(t, w.Platform.Publish(t.Context(), product.BulkDeleted(thing, gone)))
		last := podName(thingSet, 2)
		w.holds(w.settled(thing, thingSet, 2, len(kept)), kept)
		hook := w.hookOf(last)
		require.Zero(t, hook.ExitCode, hook.Output)
		require.Regexp(t, last+`: resources left: \d+`, hook.Output)
		require.Contains(t, hook.Output, last+": empty")
		ledger := w.ledger(thing)
		require.True(t, ledger.BusyBetween(2, hook.Began, hook.Began), "the HPA took it empty: this test shows nothing")
		require.False(t, ledger.BusyBetween(2, *hook.Ended, *hook.Ended))
		w.runsWhatIsAssigned(thing)
		runs, err := w.Runs()
		require.NoError(t, err)
		require.Empty(t, runs.Overlaps, "with acknowledged hand-off nothing runs twice")
		w.lostNothing(thing, gone)
		w.until("an event says that it was taken", func(ctx context.Context) error { return w.event(ctx, "TakenWithResources", "terminating instance 2,") })
	})
	if t.Failed() {
		return
	}

	t.Run("a hook whose time is over", func(t *testing.T) {
		w.t = t
		// what has a place is there before the time is over
		w.change(thing, func(k *config.Kind) { k.Rebalance.MaxInFlight = 0 })
		w.giveGrace(26)
		// else what it revokes is recorded as taken from a pod that is gone, and waits for the end
		// of that
		w.leaderSeesPods(thing, thingSet)
		require.NoError(t, w.Kube.AutoscalingV2().HorizontalPodAutoscalers(w.Namespace).Delete(t.Context(), thingSet, metav1.DeleteOptions{}))
		last := podName(thingSet, 1)
		w.scale(thingSet, 1) // a person's mistake: 1,700 do not fit into 1,000
		w.until("the hook gives up", func(context.Context) error {
			runs := w.hooks(last)
			if len(runs) == 0 || runs[len(runs)-1].ExitCode != 1 {
				return fmt.Errorf("%+v", runs)
			}
			return nil
		})
		require.Regexp(t, `resources left: \d+ \(resources without a place: 700`, w.hookOf(last).Output)
		w.until("an event says how many are left", func(ctx context.Context) error {
			return w.event(ctx, "EndedWithResources", "not drained before the end of instance 1: resources left: 700")
		})
		w.hpa(objectMetric("resources", "900"), autoscalingv2.MaxChangePolicySelect)
		w.holds(w.settled(thing, thingSet, 2, 1_700), things[1_000:])
		w.runsWhatIsAssigned(thing)
	})

	w.t = t
	w.lostNothing(thing, things[:1_000])
	writes, err := w.ScaleWrites()
	require.NoError(t, err)
	for _, s := range writes {
		require.False(t, s.StatefulSet == thingSet && s.User == w.User(), "with owner hpa the product never writes /scale: %+v", s)
	}
	// A person who asks by hand gets the same answer from every replica.
	for _, v := range w.Servers {
		w.until(v.Name+" says what becomes of pods", func(ctx context.Context) error {
			var stays, empty struct{ State string }
			path := "/v1/api/drains/" + w.Namespace + "/"
			err := errors.Join(v.REST(ctx, http.MethodGet, path+podName(thingSet, 0), "", nil, &stays), v.REST(ctx, http.MethodGet, path+podName(thingSet, 2), "", nil, &empty))
			stranger := v.REST(ctx, http.MethodGet, path+"stranger-0", "", nil, nil)
			if err != nil || stays.State != "stays" || empty.State != "empty" || statusOf(stranger) != http.StatusNotFound {
				return fmt.Errorf("pod 0 %q, pod 2 %q, a stranger: %w; %w", stays.State, empty.State, stranger, err)
			}
			return nil
		})
	}
}

// scale writes a size as a person would.
func (w *world) scale(set string, replicas int32) {
	w.t.Helper()
	_, err := w.Kube.AppsV1().StatefulSets(w.Namespace).UpdateScale(w.t.Context(), set, &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: set, Namespace: w.Namespace}, Spec: autoscalingv1.ScaleSpec{Replicas: replicas},
	}, metav1.UpdateOptions{})
	require.NoError(w.t, err)
}

// restartPod deletes a pod as a person would, and waits for its successor to be ready.
func (w *world) restartPod(name string) {
	w.t.Helper()
	pods := w.Kube.CoreV1().Pods(w.Namespace)
	old, err := pods.Get(w.t.Context(), name, metav1.GetOptions{})
	require.NoError(w.t, err)
	require.NoError(w.t, pods.Delete(w.t.Context(), name, metav1.DeleteOptions{}))
	w.until(name+" is back", func(ctx context.Context) error {
		p, err := pods.Get(ctx, name, metav1.GetOptions{})
		if err == nil && (p.UID == old.UID || p.Status.Phase != "Running") {
			err = fmt.Errorf("pod %s is %s", p.UID, p.Status.Phase)
		}
		return err
	})
}

// hooks are the runs of a pod's hook, oldest first.
func (w *world) hooks(pod string) []workload.Hook {
	w.t.Helper()
	all, err := w.Control.Hooks(w.t.Context())
	require.NoError(w.t, err)
	return slices.DeleteFunc(all, func(h workload.Hook) bool { return h.Pod != pod })
}

// hookOf is the latest run of a pod's hook; it has ended.
func (w *world) hookOf(pod string) (last workload.Hook) {
	w.t.Helper()
	w.until("the hook of "+pod+" ends", func(context.Context) error {
		runs := w.hooks(pod)
		if len(runs) == 0 || runs[len(runs)-1].Ended == nil {
			return fmt.Errorf("runs %+v", runs)
		}
		last = runs[len(runs)-1]
		return nil
	})
	return last
}

// event is an error unless there is an event of this reason that says so.
func (w *world) event(ctx context.Context, reason, says string) error {
	events, err := w.Events(ctx)
	if err != nil {
		return err
	}
	var others []string
	for _, e := range events {
		if e.Reason == reason && strings.Contains(e.Message, says) {
			return nil
		}
		if e.Reason == reason {
			others = append(others, e.Message)
		}
	}
	return fmt.Errorf("no event %s that says %q; others %q", reason, says, others)
}

// giveGrace gives the Things' pods another grace, and their hook with it, and waits until all of
// them have it.
func (w *world) giveGrace(seconds int) {
	w.t.Helper()
	patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":%d,"containers":[{"name":"instance",
		"lifecycle":{"preStop":{"exec":{"command":["/shardscaler/prestop","--grace","%[1]ds"]}}}}]}}}}`, seconds)
	sets := w.Kube.AppsV1().StatefulSets(w.Namespace)
	_, err := sets.Patch(w.t.Context(), thingSet, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(w.t, err)
	w.rolledOut(thingSet)
}

// leaderSeesPods waits until the leader decides by the very pods there are.
func (w *world) leaderSeesPods(kind, set string) {
	w.t.Helper()
	w.until("the leader sees the pods of "+set, func(ctx context.Context) error {
		pods, err := w.Pods(ctx, set)
		if err != nil {
			return err
		}
		leader, err := w.Leader(ctx)
		if err != nil {
			return err
		}
		var saved decide.Saved
		if err := leader.REST(ctx, http.MethodGet, "/v1/api/snapshot", "", nil, &saved); err != nil {
			return err
		}
		for _, in := range saved.Inputs {
			for _, inst := range in.Observed.Instances {
				if in.Config.Name == kind && inst.Pod != nil && string(pods[inst.Pod.Name].UID) != inst.Pod.UID {
					return fmt.Errorf("it sees %s of %s", inst.Pod.Name, inst.Pod.UID)
				}
			}
		}
		return nil
	})
}

// rolledOut waits until every pod of a StatefulSet is of its latest template, and ready.
func (w *world) rolledOut(set string) {
	w.t.Helper()
	w.until("the rolling update of "+set+" ends", func(ctx context.Context) error {
		s, err := w.Kube.AppsV1().StatefulSets(w.Namespace).Get(ctx, set, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if s.Status.ObservedGeneration < s.Generation || s.Status.UpdatedReplicas != *s.Spec.Replicas || s.Status.ReadyReplicas != *s.Spec.Replicas ||
			s.Status.Replicas != *s.Spec.Replicas || s.Status.CurrentRevision != s.Status.UpdateRevision {
			return fmt.Errorf("generation %d, status %+v", s.Generation, s.Status)
		}
		return nil
	})
}

// owned counts what an ordinal owns, in its list and in flight from it.
func owned(a *product.Assignment, ordinal int) (n int) {
	if in := a.Instances[ordinal]; in != nil {
		n = len(in.IDs)
	}
	for _, f := range a.Flight {
		if f.From == ordinal {
			n += len(f.IDs)
		}
	}
	return n
}
