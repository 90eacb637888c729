// Package actuate carries out what the scaler decides: it writes /scale, deletes pods that are to
// be restarted, and raises events.
//
// In: a StatefulSet by name and uid, and a size read from /scale. Out: requests to the Kubernetes
// API. Invariant: a size is written only over the uid and the resourceVersion it was read with, so
// that a change of the object in between wins.
package actuate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
)

// ErrConflict is returned when the object is not what it was when it was read: nothing was written,
// and the caller reads again.
var ErrConflict = errors.New("changed meanwhile")

// ErrDenied is returned when the API server does not allow this process what it asks: the rights
// that it was given lack it.
var ErrDenied = errors.New("kubernetes does not allow it")

// LeaderAnnotation names the leader on the StatefulSet. Only its writing matters: it raises the
// resourceVersion.
const LeaderAnnotation = "shardscaler.io/leader"

// fieldManager signs our writes in managedFields.
const fieldManager = "shardscaler"

// callTimeout bounds one request, so that an API server that does not answer holds up one tick and
// not the loop.
const callTimeout = 5 * time.Second

// Workload names a StatefulSet, or with Group an InstanceGroup. UID keeps a request from reaching
// another one of the same name.
type Workload struct {
	Namespace, Name, UID string
	Group                bool
}

// Size is spec.replicas with the version at which it was read.
type Size struct {
	UID, ResourceVersion string
	Replicas             int
}

// Kubernetes acts on a real API server. It may be used by any number of goroutines.
type Kubernetes struct {
	client   kubernetes.Interface
	recorder record.EventRecorder
	log      *slog.Logger

	mu   sync.Mutex
	last map[eventKey]raised // of its reason, on its object
}

// New returns an actuator.
func New(client kubernetes.Interface, recorder record.EventRecorder, log *slog.Logger) *Kubernetes {
	return &Kubernetes{client: client, recorder: recorder, log: log, last: map[eventKey]raised{}}
}

// Claim marks the StatefulSet as led by leader, which raises its resourceVersion: a size that a
// former leader read before can be written no more. It belongs after the head was taken and before
// the first grant.
func (k *Kubernetes) Claim(ctx context.Context, w Workload, leader string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	patch, _ := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": w.UID, "annotations": map[string]string{LeaderAnnotation: leader},
	}})
	_, err := k.client.AppsV1().StatefulSets(w.Namespace).Patch(ctx, w.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	return wrap(err, "claim statefulset %s", w.Name)
}

// Size reads /scale.
func (k *Kubernetes) Size(ctx context.Context, w Workload) (Size, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	scale, err := k.client.AppsV1().StatefulSets(w.Namespace).GetScale(ctx, w.Name, metav1.GetOptions{})
	if err != nil {
		return Size{}, wrap(err, "read scale of %s", w.Name)
	}
	if string(scale.UID) != w.UID {
		return Size{}, fmt.Errorf("read scale of %s: %w: its uid is %s, not %s", w.Name, ErrConflict, scale.UID, w.UID)
	}
	return Size{UID: string(scale.UID), ResourceVersion: scale.ResourceVersion, Replicas: int(scale.Spec.Replicas)}, nil
}

// Resize writes /scale if nothing about the object has changed since read.
func (k *Kubernetes) Resize(ctx context.Context, w Workload, read Size, replicas int) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if read.UID == "" || read.ResourceVersion == "" {
		return fmt.Errorf("scale %s to %d: the size was not read before", w.Name, replicas)
	}
	scale := &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: w.Name, Namespace: w.Namespace, UID: types.UID(read.UID), ResourceVersion: read.ResourceVersion},
		Spec:       autoscalingv1.ScaleSpec{Replicas: int32(replicas)},
	}
	_, err := k.client.AppsV1().StatefulSets(w.Namespace).UpdateScale(ctx, w.Name, scale, metav1.UpdateOptions{FieldManager: fieldManager})
	return wrap(err, "scale %s from %d to %d", w.Name, read.Replicas, replicas)
}

// Restart deletes the pod of that uid with its normal grace; that it is gone by now is no error.
func (k *Kubernetes) Restart(ctx context.Context, w Workload, pod, uid string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	id := types.UID(uid)
	err := k.client.CoreV1().Pods(w.Namespace).Delete(ctx, pod, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &id}})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return wrap(err, "delete pod %s", pod)
}

// wrap names the verb, and makes of the API's conflicts an ErrConflict, of its denials an
// ErrDenied.
func wrap(err error, format string, args ...any) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsConflict(err):
		return fmt.Errorf(format+": %w: %w", append(args, ErrConflict, err)...)
	case apierrors.IsForbidden(err):
		return fmt.Errorf(format+": %w: %w", append(args, ErrDenied, err)...)
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
