package workload

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/limits"
)

// PodLister asks the API server itself for all pods of a namespace. Callers that ask together, such
// as kinds, share one list that begins after each of them asked.
type PodLister struct {
	pods   metadata.ResourceInterface
	page   int64
	shared limits.Shared[struct{}, observed.PodList]
}

// NewPodLister does not connect.
func NewPodLister(client metadata.Interface, namespace string) *PodLister {
	return &PodLister{pods: client.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(namespace), page: listPage}
}

const (
	// listPage is how many pods are asked for at once: never 10,000 pods are in memory.
	listPage = 500
	// listTimeout bounds a list. 10,000 pods take about a second.
	listTimeout = 5 * time.Second
	// mayRun selects the pods of which a container may run: those that have a node, and have not
	// ended. What is given a node later begins later, too.
	mayRun = "spec.nodeName!=,status.phase!=" + string(corev1.PodSucceeded) + ",status.phase!=" + string(corev1.PodFailed)
)

// ListPods lists all pods of the namespace that may run something, or fails. It asks for no
// resourceVersion: the answer holds every earlier write, and all pages are of one moment. The list is
// read only.
func (l *PodLister) ListPods(ctx context.Context) (observed.PodList, error) {
	list, err := l.shared.Do(ctx, struct{}{}, l.list)
	if err != nil {
		return observed.PodList{}, fmt.Errorf("list all pods of the namespace: %w", err)
	}
	return list, nil
}

func (l *PodLister) list(ctx context.Context) (observed.PodList, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	list := observed.PodList{Begun: time.Now(), UIDs: map[string]string{}}
	for opts := (metav1.ListOptions{Limit: l.page, FieldSelector: mayRun}); ; {
		page, err := l.pods.List(ctx, opts)
		if err != nil {
			return observed.PodList{}, err
		}
		for i := range page.Items {
			list.UIDs[page.Items[i].Name] = string(page.Items[i].UID)
		}
		if page.Continue == "" {
			return list, nil
		}
		opts.Continue = page.Continue
	}
}
