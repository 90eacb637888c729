package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// This file makes the StatefulSets of many kinds and their pods, as objects that the API server holds:
// nobody runs them. What instances say of themselves is written by one session with ZooKeeper.

// eachKind calls do for the first n kinds, several at a time.
func eachKind(ctx context.Context, n int, do func(ctx context.Context, k int) error) error {
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(8)
	for k := range n {
		all.Go(func() error { return do(ctx, k) })
	}
	return all.Wait()
}

// createObjects makes what the cluster has of n kinds, and lets the product write their sizes.
func (m *kinds) createObjects(ctx context.Context, n int) error {
	if err := m.allow(ctx, n); err != nil {
		return err
	}
	return eachKind(ctx, n, func(ctx context.Context, k int) error {
		set, err := m.createSet(ctx, k)
		for i := 0; i < kindInstances && err == nil; i++ {
			err = m.createPod(ctx, set, i)
		}
		return err
	})
}

// allow names the StatefulSets in the Role, as the manifests ask for.
func (m *kinds) allow(ctx context.Context, n int) error {
	const role = "shardscaler-statefulsets"
	patch := rbacv1.Role{}
	got, err := m.Kube.RbacV1().Roles(m.namespace).Get(ctx, role, metav1.GetOptions{})
	if err != nil {
		return err
	}
	patch.Rules = got.Rules
	for i := range patch.Rules {
		for k := range n {
			patch.Rules[i].ResourceNames = append(patch.Rules[i].ResourceNames, kindSet(k))
		}
	}
	raw, err := json.Marshal(map[string]any{"rules": patch.Rules})
	if err != nil {
		return err
	}
	_, err = m.Kube.RbacV1().Roles(m.namespace).Patch(ctx, role, types.MergePatchType, raw, metav1.PatchOptions{})
	return err
}

func (m *kinds) createSet(ctx context.Context, k int) (*appsv1.StatefulSet, error) {
	labels := map[string]string{"app": kindSet(k)}
	sets := m.Kube.AppsV1().StatefulSets(m.namespace)
	set, err := sets.Create(ctx, &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: kindSet(k), Labels: labels},
		Spec: appsv1.StatefulSetSpec{
			Replicas: ptr.To(int32(kindInstances)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: kindPod},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	set.Status = appsv1.StatefulSetStatus{
		ObservedGeneration: set.Generation, Replicas: kindInstances, ReadyReplicas: kindInstances, AvailableReplicas: kindInstances,
		CurrentReplicas: kindInstances, UpdatedReplicas: kindInstances, CurrentRevision: "1", UpdateRevision: "1",
	}
	return sets.UpdateStatus(ctx, set, metav1.UpdateOptions{})
}

// kindPod is placed by no scheduler.
var kindPod = corev1.PodSpec{SchedulerName: "nobody", Containers: []corev1.Container{{Name: "dac", Image: "dac"}}}

func (m *kinds) createPod(ctx context.Context, set *appsv1.StatefulSet, i int) error {
	pods := m.Kube.CoreV1().Pods(m.namespace)
	pod, err := pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("%s-%d", set.Name, i), Labels: set.Spec.Template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))},
		},
		Spec: kindPod,
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	now := metav1.Now()
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, StartTime: &now,
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now}},
	}
	_, err = pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	return err
}

// speak writes the status of every instance of the first n kinds that has none yet.
func (m *kinds) speak(ctx context.Context, n int) error {
	return eachKind(ctx, n, func(ctx context.Context, k int) error {
		for i := range kindInstances {
			pod, err := m.Kube.CoreV1().Pods(m.namespace).Get(ctx, fmt.Sprintf("%s-%d", kindSet(k), i), metav1.GetOptions{})
			if err != nil {
				return err
			}
			raw, _, err := m.conn.Get(m.Chroot + protocol.ReloadPath(kindName(k), i))
			if err != nil {
				return err
			}
			status := protocol.EncodeStatus(protocol.Status{Times: protocol.DecodeReload(raw), Pod: string(pod.UID)})
			_, err = m.conn.Create(m.Chroot+protocol.StatusPath(kindName(k), i), status, zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
			if err != nil && !errors.Is(err, zk.ErrNodeExists) {
				return err
			}
		}
		return nil
	})
}

// usedBy is how many resources an instance of a kind has, as its znode says.
func (m *kinds) usedBy(kind string, i int) (int, error) {
	raw, _, err := m.conn.Get(m.Chroot + protocol.InstancePath(kind, i))
	if err != nil {
		return 0, err
	}
	var data struct{ Used int }
	err = json.Unmarshal(raw, &data)
	return data.Used, err
}
