package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/util/retry"
)

// runningFinalizer keeps a pod in Kubernetes until its process has ended, as a kubelet does: kwok
// removes a pod that is being deleted at once, and "the pod is gone" would come before the end of
// what it runs.
const runningFinalizer = "dacsim.shardscaler.io/running"

// modeAnnotation of a pod says how its instance answers a reload, other than the program's
// --hand-off says: so that a rolling update can bring instances of another kind.
const modeAnnotation = "dacsim.shardscaler.io/hand-off"

// The annotations from which kwok reports the usage of a pod.
const (
	cpuAnnotation    = "kwok.x-k8s.io/usage-cpu"
	memoryAnnotation = "kwok.x-k8s.io/usage-memory"
)

// pods are those of one namespace, as a kubelet has them.
type pods struct{ typedcorev1.PodInterface }

// hold puts the finalizer on a pod before its instance begins.
func (p pods) hold(ctx context.Context, pod *corev1.Pod) error {
	if slices.Contains(pod.Finalizers, runningFinalizer) {
		return nil
	}
	return p.setFinalizers(ctx, pod, append(slices.Clone(pod.Finalizers), runningFinalizer))
}

// release lets a pod go whose process has ended.
func (p pods) release(ctx context.Context, pod *corev1.Pod) error {
	if !slices.Contains(pod.Finalizers, runningFinalizer) {
		return nil
	}
	left := slices.DeleteFunc(slices.Clone(pod.Finalizers), func(f string) bool { return f == runningFinalizer })
	if err := p.setFinalizers(ctx, pod, left); !apierrors.IsNotFound(err) {
		return err
	}
	return nil
}

// setFinalizers replaces the whole list, so it carries the resourceVersion it was read at.
func (p pods) setFinalizers(ctx context.Context, pod *corev1.Pod, finalizers []string) error {
	return p.patch(ctx, pod.Name, map[string]any{
		"uid": pod.UID, "resourceVersion": pod.ResourceVersion, "finalizers": finalizers,
	})
}

// patch changes the metadata of a pod; the uid in it keeps a successor of the same name untouched.
func (p pods) patch(ctx context.Context, name string, metadata map[string]any) error {
	raw, err := json.Marshal(map[string]any{"metadata": metadata})
	if err == nil {
		_, err = p.Patch(ctx, name, types.MergePatchType, raw, metav1.PatchOptions{})
	}
	if err != nil {
		return fmt.Errorf("patch pod: %w", err)
	}
	return nil
}

// crash ends the process of an instance without a word to ZooKeeper and restarts the container
// after a while. The instance stays listed until the pod shows that its container has ended, else
// any other event would start it again.
func (s *Sim) crash(ctx context.Context, in *instance, after time.Duration) error {
	in.end("crash", false)
	died := metav1.Now()
	if err := s.kubelet.setContainers(ctx, in, func(c *corev1.ContainerStatus) {
		c.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 137, Reason: "Error", FinishedAt: died,
		}}
		c.Ready = false
	}); err != nil {
		return err
	}
	s.ending.Go(func() {
		time.Sleep(after)
		s.restart(in)
	})
	return nil
}

// restart shows the container of an instance as running again. It tries until that is done, or
// there is no pod, or for too long; and on its own time, since the caller may be gone by then.
func (s *Sim) restart(in *instance) {
	_ = wait.PollUntilContextTimeout(context.Background(), retryEvery, restartTimeout, true, func(ctx context.Context) (bool, error) {
		err := s.kubelet.setContainers(ctx, in, func(c *corev1.ContainerStatus) {
			c.LastTerminationState = c.State
			c.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
			c.RestartCount++
			c.Ready = true
		})
		if err == nil || apierrors.IsNotFound(err) {
			return true, nil
		}
		s.log.Warn("restart container", "pod", in.pod, "error", err)
		return false, nil
	})
}

// restartTimeout bounds how long a container's restart is tried.
const restartTimeout = 2 * time.Minute

// setContainers changes the statuses of the pod's containers, and the Ready conditions with them,
// as a kubelet would.
func (p pods) setContainers(ctx context.Context, in *instance, change func(*corev1.ContainerStatus)) error {
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		pod, err := p.Get(ctx, in.pod, metav1.GetOptions{})
		if err != nil || string(pod.UID) != in.uid {
			return err
		}
		ready := corev1.ConditionTrue
		for i := range pod.Status.ContainerStatuses {
			change(&pod.Status.ContainerStatuses[i])
			if !pod.Status.ContainerStatuses[i].Ready {
				ready = corev1.ConditionFalse
			}
		}
		for i, c := range pod.Status.Conditions {
			if (c.Type == corev1.PodReady || c.Type == corev1.ContainersReady) && c.Status != ready {
				pod.Status.Conditions[i].Status, pod.Status.Conditions[i].LastTransitionTime = ready, metav1.Now()
			}
		}
		_, err = p.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("change container status of pod %s: %w", in.pod, err)
	}
	return nil
}

// Factors multiply the load of every instance of a kind.
type Factors struct {
	CPU    float64 `json:"cpu"`
	Memory float64 `json:"memory"`
}

// usage is what the annotations of a pod say: milli-cores and bytes.
type usage struct{ cpu, memory int64 }

// reportEvery is the time between two reads of what the pods use; noticeable is the least share by
// which a value must differ to be written: each write of 100 pods is 100 requests.
const (
	reportEvery = time.Second
	noticeable  = 0.03
)

// report writes the usage of the pods until ctx ends.
func (s *Sim) report(ctx context.Context) {
	written := map[string]usage{} // by pod uid
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		for _, in := range s.all() {
			now := s.usage(in)
			if last, ok := written[in.uid]; ok && !differs(last.cpu, now.cpu) && !differs(last.memory, now.memory) {
				continue
			}
			err := s.kubelet.patch(ctx, in.pod, map[string]any{
				"uid": in.uid,
				"annotations": map[string]string{
					cpuAnnotation:    resource.NewMilliQuantity(now.cpu, resource.DecimalSI).String(),
					memoryAnnotation: resource.NewQuantity(now.memory, resource.BinarySI).String(),
				},
			})
			if err == nil {
				written[in.uid] = now
			} else if ctx.Err() == nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				s.log.Warn("report usage", "pod", in.pod, "error", err)
			}
		}
	}, reportEvery)
}

func (s *Sim) usage(in *instance) usage {
	f, _ := s.factorsOf(in.kind.Name)
	n := float64(in.work.count())
	return usage{
		cpu:    int64(math.Round((s.cfg.CPU.Base + s.cfg.CPU.PerResource*n) * f.CPU * 1000)),
		memory: int64(math.Round((s.cfg.Memory.Base + s.cfg.Memory.PerResource*n) * f.Memory)),
	}
}

func differs(was, is int64) bool {
	return math.Abs(float64(is-was)) > noticeable*math.Max(float64(was), 1)
}

// factorsOf is false for a kind that is not played.
func (s *Sim) factorsOf(kind string) (Factors, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.factors[kind]
	return f, ok
}
