package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// User is the product's name in the audit log.
func (w *world) User() string { return "system:serviceaccount:" + w.Namespace + ":shardscaler" }

// Events lists the events in the namespace.
func (w *world) Events(ctx context.Context) ([]corev1.Event, error) {
	list, err := w.Kube.CoreV1().Events(w.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return list.Items, nil
}

// MetricOf reads the metric of one object.
func (w *world) MetricOf(ctx context.Context, resource, metric string) (float64, error) {
	values, err := w.Metric(ctx, resource, metric)
	if err != nil {
		return 0, err
	}
	_, name, _ := strings.Cut(resource, "/")
	value, ok := values[name]
	if !ok {
		return 0, fmt.Errorf("read metric %s of %s: no item among %d", metric, resource, len(values))
	}
	return value, nil
}

// onlyRestarted requires that the product deleted exactly these pods, each once, since the
// beginning.
func (w *world) onlyRestarted(pods ...string) {
	w.t.Helper()
	events, err := w.Env.Kubernetes.Audit(w.Namespace)
	require.NoError(w.t, err)
	var got []string
	for _, e := range events {
		accepted := e.ResponseStatus != nil && e.ResponseStatus.Code < http.StatusBadRequest
		if e.ObjectRef.Resource == "pods" && e.ObjectRef.Subresource == "" && e.Verb == "delete" && accepted && e.User.Username == w.User() {
			got = append(got, e.ObjectRef.Name)
		}
	}
	slices.Sort(got)
	require.Equal(w.t, slices.Sorted(slices.Values(pods)), got)
}
