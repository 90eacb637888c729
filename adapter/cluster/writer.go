package cluster

import (
	"bytes"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
	"github.com/shardscaler/shardscaler/internal/exact"
)

// writerKey holds, in what is kept of a StatefulSet, who wrote its replicas last: the one thing that is needed of managedFields.
const writerKey = "replicas-writer"

// keptAnnotations are the few that are read here. A transform may see the same object twice, and the second time there are no
// managedFields any more.
func keptAnnotations(o metav1.Object) map[string]string {
	kept := map[string]string{}
	for _, key := range []string{writerKey, v1alpha1.SeededAnnotation} {
		if v := o.GetAnnotations()[key]; v != "" {
			kept[key] = v
		}
	}
	if writer := replicasWriter(o.GetManagedFields()); writer != "" {
		kept[writerKey] = writer
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// replicasWriter is the field manager that wrote spec.replicas last; empty: nobody is on record.
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
