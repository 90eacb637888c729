package chaos

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// podBook remembers when each pod of a namespace was gone, or had ended for good. A container that
// has ended in a pod that has not is started again, and proves nothing.
type podBook struct {
	mu   sync.Mutex
	ends map[string]time.Time // by uid
}

func watchPods(t *testing.T, client kubernetes.Interface, namespace string) *podBook {
	t.Helper()
	b := &podBook{ends: map[string]time.Time{}}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	informer := factory.Core().V1().Pods().Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { b.see(obj, false) },
		UpdateFunc: func(_, obj any) { b.see(obj, false) },
		DeleteFunc: func(obj any) { b.see(obj, true) },
	})
	require.NoError(t, err)
	stop := make(chan struct{})
	factory.Start(stop)
	t.Cleanup(func() {
		close(stop)
		factory.Shutdown()
	})
	require.True(t, cache.WaitForCacheSync(stop, informer.HasSynced))
	return b
}

func (b *podBook) see(obj any, deleted bool) {
	if d, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = d.Obj
	}
	pod := obj.(*corev1.Pod)
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.ends[string(pod.UID)]; !known && (deleted || ended) {
		b.ends[string(pod.UID)] = time.Now()
	}
}

// gone is when the pod was gone; zero if it is not.
func (b *podBook) gone(uid string) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ends[uid]
}
