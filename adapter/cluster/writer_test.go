package cluster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestReplicasWriter(t *testing.T) {
	entry := func(manager, subresource string, second int64, fields string) metav1.ManagedFieldsEntry {
		at := metav1.NewTime(time.Unix(second, 0))
		return metav1.ManagedFieldsEntry{Manager: manager, Subresource: subresource, Time: &at, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	const owns, other, inTemplate = `{"f:spec":{"f:replicas":{}}}`, `{"f:spec":{"f:serviceName":{}}}`, `{"f:spec":{"f:template":{"f:replicas":{}}}}`
	for name, tc := range map[string]struct {
		fields []metav1.ManagedFieldsEntry
		want   string
	}{
		"nobody":             {},
		"kubectl scale":      {[]metav1.ManagedFieldsEntry{entry("installer", "", 1, other), entry("kubectl", "scale", 2, owns)}, "kubectl"},
		"the newest":         {[]metav1.ManagedFieldsEntry{entry("b", "", 3, owns), entry("a", "scale", 2, owns)}, "b"},
		"status is another":  {[]metav1.ManagedFieldsEntry{entry("a", "", 1, owns), entry("kube-controller-manager", "status", 2, `{"f:status":{"f:replicas":{}}}`)}, "a"},
		"deeper is another":  {[]metav1.ManagedFieldsEntry{entry("a", "", 1, inTemplate)}, ""},
		"cannot be read":     {[]metav1.ManagedFieldsEntry{entry("a", "", 1, `"f:replicas"`), {Manager: "b"}}, ""},
		"without a time":     {[]metav1.ManagedFieldsEntry{{Manager: "a", FieldsV1: metav1.NewFieldsV1(owns)}, entry("b", "", 1, owns)}, "b"},
		"its status is ours": {[]metav1.ManagedFieldsEntry{entry("a", "status", 1, owns)}, ""},
	} {
		require.Equal(t, tc.want, replicasWriter(tc.fields), name)
	}

	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{
		Annotations: map[string]string{"much": "text"}, ManagedFields: []metav1.ManagedFieldsEntry{entry("kubectl", "scale", 2, owns)},
	}}
	for range 2 { // a transform may see what it made
		_, err := strip(set)
		require.NoError(t, err)
		require.Nil(t, set.ManagedFields)
		require.Equal(t, map[string]string{writerKey: "kubectl"}, set.Annotations)
	}
}
