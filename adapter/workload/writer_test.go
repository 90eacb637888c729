package workload

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
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

func TestWhoWroteReplicasIsKnown(t *testing.T) {
	k := servers.Require(t, servers.PartKubernetes).Kubernetes
	ns := k.Namespace(t)
	c := clients(t, k)
	_, rec := run(t, Config{Namespace: ns, Renew: time.Second}, c)
	k.Apply(t, ns, workload3)
	writtenBy := func(from, replicas int, manager string) int {
		_, mark := observedtest.Await(t, rec, from, manager, func(c observed.Cluster) bool {
			return c.Workload != nil && c.Workload.Replicas == replicas && c.Workload.ReplicasWriter == manager
		})
		return mark
	}
	mark := writtenBy(0, 2, "kubectl-client-side-apply")
	_, err := k.Run(t.Context(), "-n", ns, "scale", "statefulset", "work", "--replicas=3")
	require.NoError(t, err)
	mark = writtenBy(mark, 3, "kubectl")
	_, err = c.Kube.AppsV1().StatefulSets(ns).UpdateScale(t.Context(), "work", &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: "work", Namespace: ns}, Spec: autoscalingv1.ScaleSpec{Replicas: 1},
	}, metav1.UpdateOptions{FieldManager: "shardscaler"})
	require.NoError(t, err)
	writtenBy(mark, 1, "shardscaler")
}
