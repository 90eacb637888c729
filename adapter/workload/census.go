package workload

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"

	"github.com/shardscaler/shardscaler/adapter/observed"
)

// PodLister asks the API server itself for all pods of a namespace.
type PodLister struct {
	pods metadata.ResourceInterface
	page int64
}

// NewPodLister does not connect.
func NewPodLister(client metadata.Interface, namespace string) *PodLister {
	return &PodLister{pods: client.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(namespace), page: censusPage}
}

const (
	// censusPage is how many pods are asked for at once: never 10,000 pods are in memory.
	censusPage = 500
	// censusTimeout bounds a census. 10,000 pods take about a second.
	censusTimeout = 5 * time.Second
	// notEnded selects the pods of which a container may run or be started.
	notEnded = "status.phase!=" + string(corev1.PodSucceeded) + ",status.phase!=" + string(corev1.PodFailed)
)

// Census lists all pods of the namespace that have not ended. It asks for no resourceVersion, so
// that the answer holds every write from before the request, and all pages are of one moment. What
// cannot be read completely is an error.
func (l *PodLister) Census(ctx context.Context) (observed.Census, error) {
	ctx, cancel := context.WithTimeout(ctx, censusTimeout)
	defer cancel()
	begun, pods := time.Now(), map[string]string{}
	for opts := (metav1.ListOptions{Limit: l.page, FieldSelector: notEnded}); ; {
		page, err := l.pods.List(ctx, opts)
		if err != nil {
			return observed.Census{}, fmt.Errorf("list all pods of the namespace: %w", err)
		}
		for i := range page.Items {
			pods[page.Items[i].Name] = string(page.Items[i].UID)
		}
		if page.Continue == "" {
			return observed.NewCensus(begun, pods), nil
		}
		opts.Continue = page.Continue
	}
}
