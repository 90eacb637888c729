package actuate

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
)

// Groups writes InstanceGroups on a real API server. It may be used by any number of goroutines.
type Groups struct {
	client dynamic.NamespaceableResourceInterface
}

// NewGroups returns Groups over client.
func NewGroups(client dynamic.Interface) *Groups {
	return &Groups{client: client.Resource(v1alpha1.GroupVersion.WithResource(v1alpha1.Resource))}
}

// SeedGroup sets spec.replicas and says so in an annotation, in one write. An InstanceGroup that
// changed since generation was seen is an ErrConflict: what a person wrote meanwhile is not lost
// unseen.
func (g *Groups) SeedGroup(ctx context.Context, w Workload, generation int64, replicas int) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	group, err := g.get(ctx, w)
	if err != nil {
		return wrap(err, "seed instancegroup %s", w.Name)
	}
	if group.Generation != generation {
		return fmt.Errorf("seed instancegroup %s: %w: its generation is %d by now, not %d", w.Name, ErrConflict, group.Generation, generation)
	}
	patch, _ := json.Marshal(map[string]any{
		"metadata": map[string]any{
			"uid": w.UID, "resourceVersion": group.ResourceVersion,
			"annotations": map[string]string{v1alpha1.SeededAnnotation: strconv.Itoa(replicas)},
		},
		"spec": map[string]any{"replicas": replicas},
	})
	_, err = g.client.Namespace(w.Namespace).Patch(ctx, w.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	return wrap(err, "seed instancegroup %s", w.Name)
}

// UpdateGroupStatus writes what update changes of the API server's status, and returns what it has.
func (g *Groups) UpdateGroupStatus(ctx context.Context, w Workload, update func(*v1alpha1.InstanceGroupStatus)) (v1alpha1.InstanceGroupStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	group, err := g.get(ctx, w)
	if err != nil {
		return v1alpha1.InstanceGroupStatus{}, wrap(err, "write status of instancegroup %s", w.Name)
	}
	before := group.Status.DeepCopy()
	update(&group.Status)
	if equality.Semantic.DeepEqual(before, &group.Status) {
		return group.Status, nil
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(group)
	if err != nil {
		return v1alpha1.InstanceGroupStatus{}, fmt.Errorf("write status of instancegroup %s: %w", w.Name, err)
	}
	_, err = g.client.Namespace(w.Namespace).UpdateStatus(ctx, &unstructured.Unstructured{Object: object}, metav1.UpdateOptions{FieldManager: fieldManager})
	return group.Status, wrap(err, "write status of instancegroup %s", w.Name)
}

func (g *Groups) get(ctx context.Context, w Workload) (*v1alpha1.InstanceGroup, error) {
	object, err := g.client.Namespace(w.Namespace).Get(ctx, w.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%w: it is gone", ErrConflict)
	}
	if err != nil {
		return nil, err
	}
	var group v1alpha1.InstanceGroup
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &group); err != nil {
		return nil, err
	}
	if string(group.UID) != w.UID {
		return nil, fmt.Errorf("%w: its uid is %s, not %s", ErrConflict, group.UID, w.UID)
	}
	return &group, nil
}
