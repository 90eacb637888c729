package workload

import (
	"bytes"
	"cmp"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// writerKey holds, in what is kept of a StatefulSet, who wrote replicas last, from managedFields.
const writerKey = "replicas-writer"

// keptAnnotations are those that are read here. A transform may see an object twice, the second
// time without managedFields.
func keptAnnotations(o metav1.Object) map[string]string {
	writer := cmp.Or(replicasWriter(o.GetManagedFields()), o.GetAnnotations()[writerKey])
	if writer == "" {
		return nil
	}
	return map[string]string{writerKey: writer}
}

// replicasWriter is the field manager that wrote spec.replicas last; empty: none is on record.
func replicasWriter(fields []metav1.ManagedFieldsEntry) (manager string) {
	var newest *metav1.Time
	for _, f := range fields {
		if f.Subresource == "status" || f.FieldsV1 == nil || !ownsReplicas(f.FieldsV1.GetRawBytes()) {
			continue
		}
		if manager == "" || newest == nil || newest.Before(f.Time) {
			manager, newest = f.Manager, f.Time
		}
	}
	return manager
}

func ownsReplicas(raw []byte) bool {
	if !bytes.Contains(raw, []byte(`"f:replicas"`)) {
		return false
	}
	var set struct {
		Spec map[string]json.RawMessage `json:"f:spec"`
	}
	if err := exact.JSON(raw, &set); err != nil {
		return false
	}
	_, owns := set.Spec["f:replicas"]
	return owns
}
