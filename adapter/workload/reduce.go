package workload

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/shardscaler/shardscaler/adapter/observed"
)

// strip drops what is not read here: of 10,000 pods, it would be most of the process's memory.
func strip(obj any) (any, error) {
	if m, err := meta.Accessor(obj); err == nil {
		kept := keptAnnotations(m)
		m.SetManagedFields(nil)
		m.SetAnnotations(kept)
	}
	switch o := obj.(type) {
	case *corev1.Pod:
		if ref := metav1.GetControllerOfNoCopy(o); ref == nil || ref.Kind != "StatefulSet" {
			*o = corev1.Pod{ // it counts as no instance, but may be one that was orphaned
				ObjectMeta: metav1.ObjectMeta{
					Namespace: o.Namespace, Name: o.Name, UID: o.UID, ResourceVersion: o.ResourceVersion, DeletionTimestamp: o.DeletionTimestamp,
				},
				Status: corev1.PodStatus{Phase: o.Status.Phase},
			}
			break
		}
		o.Finalizers, o.GenerateName = nil, ""
		own := o.Spec.Resources
		o.Spec = corev1.PodSpec{
			NodeName:   o.Spec.NodeName,
			Containers: stripContainers(o.Spec.Containers), InitContainers: stripContainers(o.Spec.InitContainers),
			Overhead: o.Spec.Overhead,
		}
		if own != nil && len(own.Requests) > 0 {
			o.Spec.Resources = &corev1.ResourceRequirements{Requests: own.Requests}
		}
		o.Status = corev1.PodStatus{
			Phase: o.Status.Phase, Reason: o.Status.Reason, StartTime: o.Status.StartTime, ObservedGeneration: o.Status.ObservedGeneration,
			Conditions:        stripConditions(o.Status.Conditions),
			ContainerStatuses: stripStatuses(o.Status.ContainerStatuses), InitContainerStatuses: stripStatuses(o.Status.InitContainerStatuses),
		}
	case *corev1.Node:
		o.Labels, o.Spec = nil, corev1.NodeSpec{}
		o.Status = corev1.NodeStatus{Conditions: slices.DeleteFunc(o.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type != corev1.NodeReady })}
	case *appsv1.StatefulSet:
		o.Spec.Template = corev1.PodTemplateSpec{}
		o.Spec.VolumeClaimTemplates = nil
	}
	return obj, nil
}

func stripContainers(cs []corev1.Container) []corev1.Container {
	kept := make([]corev1.Container, len(cs))
	for i, c := range cs {
		kept[i] = corev1.Container{Name: c.Name, RestartPolicy: c.RestartPolicy}
		if len(c.Resources.Requests) > 0 {
			kept[i].Resources.Requests = c.Resources.Requests
		}
	}
	return kept
}

func stripConditions(cs []corev1.PodCondition) []corev1.PodCondition {
	var kept []corev1.PodCondition
	for _, c := range cs {
		switch c.Type {
		case corev1.PodReady, corev1.PodScheduled, corev1.PodResizePending, corev1.PodResizeInProgress:
			c.Message = ""
			kept = append(kept, c)
		}
	}
	return kept
}

func stripStatuses(cs []corev1.ContainerStatus) []corev1.ContainerStatus {
	var kept []corev1.ContainerStatus
	for _, c := range cs {
		k := corev1.ContainerStatus{Name: c.Name, RestartCount: c.RestartCount}
		if w := c.State.Waiting; w != nil {
			k.State.Waiting = &corev1.ContainerStateWaiting{Reason: w.Reason}
		}
		if c.State.Terminated != nil {
			k.State.Terminated = &corev1.ContainerStateTerminated{}
		}
		kept = append(kept, k)
	}
	return kept
}

func reduceSet(set *appsv1.StatefulSet) observed.Workload {
	w := observed.Workload{
		UID: string(set.UID), ResourceVersion: set.ResourceVersion, Generation: set.Generation,
		Replicas:       int(ptr.Deref(set.Spec.Replicas, 1)), // the API server's default
		StatusReplicas: int(set.Status.Replicas), ReadyReplicas: int(set.Status.ReadyReplicas), UpdatedReplicas: int(set.Status.UpdatedReplicas),
		AvailableReplicas: ptr.To(int(set.Status.AvailableReplicas)), UpdateRevision: set.Status.UpdateRevision,
		Selector: metav1.FormatLabelSelector(set.Spec.Selector), Labels: set.Labels,
		ReplicasWriter: set.Annotations[writerKey],
	}
	if set.Spec.Ordinals != nil {
		w.Start = int(set.Spec.Ordinals.Start)
	}
	return w
}

func reducePod(p *corev1.Pod) observed.Pod {
	o := observed.Pod{
		Name: p.Name, UID: string(p.UID), Labels: p.Labels, Node: p.Spec.NodeName, Phase: string(p.Status.Phase),
		Created: p.CreationTimestamp.Time, Reason: reason(p),
	}
	o.Started = ptr.Deref(p.Status.StartTime, metav1.Time{}).Time
	if p.DeletionTimestamp != nil {
		o.Terminating, o.DeleteBy = true, p.DeletionTimestamp.Time
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			o.Ready, o.ReadyChanged = c.Status == corev1.ConditionTrue, c.LastTransitionTime.Time
		}
	}
	for _, c := range p.Status.ContainerStatuses {
		o.Restarts += int(c.RestartCount)
	}
	cpu, missing := Requests(p, corev1.ResourceCPU)
	o.CPURequest, o.MissingCPURequest = cpu.MilliValue(), missing
	memory, missing := Requests(p, corev1.ResourceMemory)
	o.MemoryRequest, o.MissingMemoryRequest = memory.Value(), missing
	o.Resizing = resizing(p)
	return o
}

// resizing says why what p requests by its spec is not yet what its node gives it; "": it is.
func resizing(p *corev1.Pod) string {
	for _, c := range p.Status.Conditions {
		if (c.Type == corev1.PodResizePending || c.Type == corev1.PodResizeInProgress) && c.Status == corev1.ConditionTrue {
			return strings.TrimSuffix(string(c.Type)+": "+c.Reason, ": ")
		}
	}
	// A kubelet before Kubernetes 1.34 does not say what it has seen.
	if seen := p.Status.ObservedGeneration; seen > 0 && seen < p.Generation {
		return fmt.Sprintf("its kubelet has not seen generation %d yet", p.Generation)
	}
	return ""
}

// reason says why a pod does not run: a container's waiting reason, that of an init container first
// since the others wait for it; else why it cannot be scheduled.
func reason(p *corev1.Pod) string {
	for _, statuses := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for _, c := range statuses {
			if w := c.State.Waiting; w != nil && w.Reason != "" {
				return w.Reason
			}
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Reason
		}
	}
	return p.Status.Reason
}
